//! The option string: `key=value` words separated by spaces; `append=` takes the rest.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use rsi::{HashAlgorithm, Version};

use crate::pci;
use crate::virtio::{FAULTS, Lie};

/// Why an option string is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No such option.
    #[error("unknown option '{0}'")]
    Unknown(String),
    /// The value does not fit the option.
    #[error("'{value}' is no value of option '{key}'")]
    Value {
        /// The option.
        key: String,
        /// The value.
        value: String,
    },
}

/// How the realm is populated and entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Launch {
    /// As QEMU does with `-bios`: firmware at IPA 0, DTB at the start of RAM, x0 = 0.
    Bios,
    /// As kvmtool does with `--firmware`: firmware at the start of RAM, x0 = DTB.
    Kvmtool,
    /// As any VMM does with an arm64 Image: x0 = DTB.
    Kernel,
}

/// Which revision of the RMM specification the RIM follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RmmVersion {
    /// RIPAS initialisation is measured.
    V1,
    /// RIPAS initialisation is not measured.
    V2,
}

/// Which address of shared memory a device of QEMU's uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dma {
    /// With the shared bit set.
    SharedBit,
    /// Without it.
    Canonical,
}

/// How the host takes RIPAS requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RipasHabit {
    /// Accepts all.
    Accept,
    /// Refuses all after the first so many, of each but so many granules at its start.
    RejectAfter(u64, u64),
    /// Changes so many granules a call.
    Partial(u64),
    /// Accepts but changes nothing after the first so many.
    StallAfter(u64),
}

/// What the device tree says that is not true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtbLie {
    /// More RAM than there is.
    Memory,
    /// Two memory nodes that overlap.
    Overlap,
    /// The UART is in the middle of RAM.
    Uart,
    /// A total size beyond the file.
    Size,
}

/// How the host misbehaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misbehaviour {
    /// RIPAS requests.
    pub ripas: RipasHabit,
    /// Granule to destroy at the RSI call of this number (1 is the first).
    pub destroy: Option<(u64, u64)>,
    /// Part of the populated memory to leave EMPTY at the start.
    pub empty: Option<Range<u64>>,
    /// Part of the protected half to be a device (RIPAS DEV) at the start.
    pub device: Option<Range<u64>>,
    /// fw_cfg item whose contents change from the second read on.
    pub fw_cfg_change: Option<String>,
    /// fw_cfg item whose size in the directory is this number.
    pub fw_cfg_size: Option<(String, u32)>,
    /// A lying device tree.
    pub dtb: Option<DtbLie>,
    /// SPI that fires without end.
    pub irq_storm: Option<u32>,
    /// PSCI_CPU_ON is denied.
    pub deny_cpu_on: bool,
    /// fw_cfg DMA writes once more after it is done.
    pub late_dma: bool,
    /// Offset of a byte of the first payload that is not what the owner built.
    pub tamper: Option<u64>,
    /// virtio-mmio devices that break the protocol.
    pub virtio: Vec<Lie>,
    /// PCI functions that lie.
    pub pci: Vec<pci::Lie>,
}

/// All options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How to launch.
    pub launch: Launch,
    /// Path of the firmware or kernel.
    pub image: Option<String>,
    /// Path of the initial RAM disk (kernel launch).
    pub initrd: Option<String>,
    /// Kernel command line (kernel launch).
    pub append: Option<String>,
    /// Bytes of realm RAM.
    pub ram: u64,
    /// IPA width in bits, 32 to 52.
    pub width: u32,
    /// Hash algorithm.
    pub hash: HashAlgorithm,
    /// Personalization value.
    pub rpv: [u8; 64],
    /// Specification revision the RIM follows.
    pub rmm: RmmVersion,
    /// RSI revisions offered.
    pub rsi: (Version, Version),
    /// SVE vector length in quadwords minus one; none: no SVE.
    pub sve: Option<u8>,
    /// Breakpoints, as RmiRealmParams.num_bps has it.
    pub bps: u8,
    /// Watchpoints, as RmiRealmParams.num_wps has it.
    pub wps: u8,
    /// PMU counters; none: no PMU.
    pub pmu: Option<u8>,
    /// DMA addresses of QEMU's devices.
    pub dma: Dma,
    /// Granularity in bytes of RIPAS changes the host can do; it is also what RHI reports.
    pub align: u64,
    /// Where the UART is; none: where the VMM has it.
    pub uart: Option<u64>,
    /// Bytes of the kernel in fw_cfg that are its setup part.
    pub fw_cfg_setup: Option<u32>,
    /// Where RSI_IPA_STATE_GET ends its runs beside changes of the state: at multiples of so many bytes.
    pub runs: Option<u64>,
    /// Bytes that an attestation token has at least.
    pub token: u32,
    /// Calls of RSI_ATTESTATION_TOKEN_CONTINUE that the RMM takes to sign a token.
    pub signing: u32,
    /// Whether each RSI call is logged.
    pub log: bool,
    /// Misbehaviour.
    pub host: Misbehaviour,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            launch: Launch::Bios,
            image: None,
            initrd: None,
            append: None,
            ram: 512 << 20,
            width: 33,
            hash: HashAlgorithm::Sha256,
            rpv: [0; 64],
            rmm: RmmVersion::V1,
            rsi: (Version::V1_0, Version::V1_1),
            sve: None,
            bps: 1,
            wps: 1,
            pmu: None,
            dma: Dma::SharedBit,
            align: rsi::GRANULE,
            uart: None,
            fw_cfg_setup: None,
            runs: None,
            token: 0,
            signing: 1,
            log: false,
            host: Misbehaviour {
                ripas: RipasHabit::Accept,
                destroy: None,
                empty: None,
                device: None,
                fw_cfg_change: None,
                fw_cfg_size: None,
                dtb: None,
                irq_storm: None,
                deny_cpu_on: false,
                late_dma: false,
                tamper: None,
                virtio: Vec::new(),
                pci: Vec::new(),
            },
        }
    }
}

impl Options {
    /// Reads an option string whose first word is the program's name.
    ///
    /// # Errors
    /// An option that does not exist or whose value does not fit.
    pub fn parse(line: &str) -> Result<Self, OptionError> {
        let mut options = Self::default();
        let mut rest = line.trim().split_once(' ').map_or("", |(_, rest)| rest);
        loop {
            rest = rest.trim_start();
            if rest.is_empty() {
                return Ok(options);
            }
            if let Some(append) = rest.strip_prefix("append=") {
                options.append = Some(append.to_string());
                return Ok(options);
            }
            let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            options.set(key, value)?;
            rest = tail;
        }
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), OptionError> {
        let text = || (!value.is_empty()).then(|| value.to_string());
        let done: Option<()> = match key {
            "firmware" => self.image(Launch::Bios, text()),
            "kvmtool" => self.image(Launch::Kvmtool, text()),
            "kernel" => self.image(Launch::Kernel, text()),
            "initrd" => text().map(|path| self.initrd = Some(path)),
            "ram" => aligned(value, 2 << 20).map(|ram| self.ram = ram),
            "width" => small(value, 32, 52).map(|width| self.width = u32::from(width)),
            "hash" => hash(value).map(|hash| self.hash = hash),
            "rpv" => rpv(value).map(|rpv| self.rpv = rpv),
            "rmm" => choice(value, [("1.0", RmmVersion::V1), ("2.0", RmmVersion::V2)]).map(|rmm| self.rmm = rmm),
            "rsi" => versions(value).map(|versions| self.rsi = versions),
            "sve" => small(value, 0, 15).map(|sve| self.sve = Some(sve)),
            "bps" => small(value, 1, 15).map(|bps| self.bps = bps),
            "wps" => small(value, 1, 15).map(|wps| self.wps = wps),
            "pmu" => small(value, 0, 31).map(|pmu| self.pmu = Some(pmu)),
            "dma" => {
                choice(value, [("shared", Dma::SharedBit), ("canonical", Dma::Canonical)]).map(|dma| self.dma = dma)
            }
            "uart" => aligned(value, rsi::GRANULE).map(|uart| self.uart = Some(uart)),
            "align" => number(value).map(|align| self.align = align),
            "fw-cfg-setup" => {
                number(value).and_then(|size| u32::try_from(size).ok()).map(|size| self.fw_cfg_setup = Some(size))
            }
            "runs" => aligned(value, rsi::GRANULE).map(|runs| self.runs = Some(runs)),
            "token" => number(value).filter(|size| *size <= 1 << 16).map(|size| self.token = size as u32),
            "signing" => small(value, 0, 255).map(|rounds| self.signing = u32::from(rounds)),
            "log" => value.is_empty().then(|| self.log = true),
            _ => return self.host.set(key, value),
        };
        done.ok_or_else(|| refused(key, value))
    }

    fn image(&mut self, launch: Launch, path: Option<String>) -> Option<()> {
        self.launch = launch;
        self.image = Some(path?);
        Some(())
    }
}

impl Misbehaviour {
    fn set(&mut self, key: &str, value: &str) -> Result<(), OptionError> {
        let done = match key {
            "ripas" => habit(value).map(|habit| self.ripas = habit),
            "destroy" => pair(value, '@').map(|destroy| self.destroy = Some(destroy)),
            "empty" => range(value).map(|range| self.empty = Some(range)),
            "device" => range(value).map(|range| self.device = Some(range)),
            "fw-cfg-change" => (!value.is_empty()).then(|| self.fw_cfg_change = Some(value.to_string())),
            "fw-cfg-size" => lie_about_size(value).map(|lie| self.fw_cfg_size = Some(lie)),
            "dtb" => {
                let lies = [
                    ("memory", DtbLie::Memory),
                    ("overlap", DtbLie::Overlap),
                    ("uart", DtbLie::Uart),
                    ("size", DtbLie::Size),
                ];
                choice(value, lies).map(|lie| self.dtb = Some(lie))
            }
            "irq-storm" => small(value, 0, 255).map(|spi| self.irq_storm = Some(u32::from(spi))),
            "cpu-on" => choice(value, [("deny", true)]).map(|deny| self.deny_cpu_on = deny),
            "late-dma" => value.is_empty().then(|| self.late_dma = true),
            "tamper" => number(value).map(|offset| self.tamper = Some(offset)),
            "virtio" => virtio_lie(value).map(|lie| self.virtio.push(lie)),
            "pci" => pci_lie(value).map(|lie| self.pci.push(lie)),
            _ => return Err(OptionError::Unknown(key.to_string())),
        };
        done.ok_or_else(|| refused(key, value))
    }
}

fn refused(key: &str, value: &str) -> OptionError {
    OptionError::Value { key: key.to_string(), value: value.to_string() }
}

/// A number: decimal or 0x, with an optional K, M or G.
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (text.get(..text.len() - 1)?, 10),
        b'M' => (text.get(..text.len() - 1)?, 20),
        b'G' => (text.get(..text.len() - 1)?, 30),
        _ => (text, 0),
    };
    let number = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => digits.parse().ok()?,
    };
    number.checked_mul(1 << shift)
}

/// The meaning of one of several words.
fn choice<T, const N: usize>(text: &str, words: [(&str, T); N]) -> Option<T> {
    words.into_iter().find(|(word, _)| *word == text).map(|(_, meaning)| meaning)
}

/// `NAME:SIZE`; a name may hold colons.
fn lie_about_size(text: &str) -> Option<(String, u32)> {
    let (name, size) = text.rsplit_once(':')?;
    Some((name.to_string(), u32::try_from(number(size)?).ok()?))
}

/// `SLOT:FAULT`, `SLOT:FAULT@N`, or `SLOT:FAULT@wN`.
fn virtio_lie(text: &str) -> Option<Lie> {
    let (slot, what) = text.split_once(':')?;
    let (fault, from) = what.split_once('@').unwrap_or((what, "1"));
    let writes = from.strip_prefix('w');
    let from = number(writes.unwrap_or(from))?;
    Some(Lie { slot: small(slot, 0, 31)?, fault: choice(fault, FAULTS)?, from, writes: writes.is_some() })
}

/// `SLOT:FAULT`.
fn pci_lie(text: &str) -> Option<pci::Lie> {
    let (slot, fault) = text.split_once(':')?;
    Some(pci::Lie { slot: small(slot, 0, 31)?, fault: choice(fault, pci::FAULTS)? })
}

fn aligned(text: &str, alignment: u64) -> Option<u64> {
    number(text).filter(|n| *n > 0 && n.is_multiple_of(alignment))
}

fn small(text: &str, low: u8, high: u8) -> Option<u8> {
    let number = u8::try_from(number(text)?).ok()?;
    (low..=high).contains(&number).then_some(number)
}

fn hash(text: &str) -> Option<HashAlgorithm> {
    [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512].into_iter().find(|hash| hash.name() == text)
}

fn rpv(text: &str) -> Option<[u8; 64]> {
    let mut rpv = [0; 64];
    let digits = text.as_bytes();
    if digits.len() > 128 || !digits.len().is_multiple_of(2) {
        return None;
    }
    for (byte, pair) in rpv.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(rpv)
}

fn version(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    Some(Version { major: major.parse().ok()?, minor: minor.parse().ok()? })
}

fn versions(text: &str) -> Option<(Version, Version)> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let versions = (version(low)?, version(high)?);
    (versions.0 <= versions.1).then_some(versions)
}

fn habit(text: &str) -> Option<RipasHabit> {
    let (kind, count) = text.split_once(':').unwrap_or((text, "0"));
    let (count, granules) = count.split_once('+').unwrap_or((count, "0"));
    let (count, granules) = (number(count)?, number(granules)?);
    Some(match kind {
        "reject" => RipasHabit::RejectAfter(count, granules),
        _ if granules > 0 => return None,
        "stall" => RipasHabit::StallAfter(count),
        "partial" if count > 0 => RipasHabit::Partial(count),
        _ => return None,
    })
}

fn pair(text: &str, separator: char) -> Option<(u64, u64)> {
    let (first, second) = text.split_once(separator)?;
    Some((number(first)?, number(second)?))
}

fn range(text: &str) -> Option<Range<u64>> {
    let (base, size) = pair(text, '+')?;
    let aligned = base.is_multiple_of(rsi::GRANULE) && size.is_multiple_of(rsi::GRANULE);
    (aligned && size > 0).then(|| Some(base..base.checked_add(size)?))?
}

/// Names of all options, for the message that follows a refused one.
pub const NAMES: &str = "firmware kvmtool kernel initrd ram width hash rpv rmm rsi sve bps wps pmu \
     dma align uart fw-cfg-setup runs token signing log ripas cpu-on destroy empty device fw-cfg-change fw-cfg-size dtb \
     irq-storm late-dma tamper virtio pci append";

/// The words of [`NAMES`].
pub fn names() -> Vec<&'static str> {
    NAMES.split_whitespace().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::virtio::Fault;

    #[test]
    fn reads_a_launch() {
        let options = Options::parse(
            "model-rmm kernel=/a/Image initrd=/b ram=3G width=34 hash=sha-384 rmm=2.0 rsi=1.1 \
             rpv=0102ff fw-cfg-setup=4K runs=2M token=6000 signing=9 log append=console=ttyAMA0 ripas=not-an-option",
        )
        .unwrap();
        assert_eq!(options.launch, Launch::Kernel);
        assert_eq!(options.image.as_deref(), Some("/a/Image"));
        assert_eq!(options.initrd.as_deref(), Some("/b"));
        assert_eq!((options.ram, options.width), (3 << 30, 34));
        assert_eq!(options.hash, HashAlgorithm::Sha384);
        assert_eq!(options.rsi, (Version::V1_1, Version::V1_1));
        assert_eq!(options.rpv[..4], [1, 2, 0xff, 0]);
        assert!(options.log);
        assert_eq!(options.fw_cfg_setup, Some(4096));
        assert_eq!((options.runs, options.token, options.signing), (Some(2 << 20), 6000, 9));
        assert_eq!(options.append.as_deref(), Some("console=ttyAMA0 ripas=not-an-option"));
    }

    #[test]
    fn reads_misbehaviour() {
        let host = Options::parse(
            "m ripas=partial:3 destroy=0x40001000@7 empty=0x48000000+64K device=0x9000000+4096 \
             fw-cfg-change=etc/x cpu-on=deny fw-cfg-size=opt/a:b:0xffff dtb=overlap irq-storm=5 late-dma \
             tamper=4096 virtio=31:used-id@5 virtio=0:silent virtio=2:status@w3 pci=7:bridges",
        )
        .unwrap()
        .host;
        assert_eq!(host.ripas, RipasHabit::Partial(3));
        assert_eq!(host.destroy, Some((0x4000_1000, 7)));
        assert_eq!(host.empty, Some(0x4800_0000..0x4801_0000));
        assert_eq!(host.device, Some(0x900_0000..0x900_1000));
        assert_eq!(host.fw_cfg_change.as_deref(), Some("etc/x"));
        assert_eq!(host.fw_cfg_size, Some(("opt/a:b".to_string(), 0xffff)));
        assert_eq!(host.dtb, Some(DtbLie::Overlap));
        assert_eq!((host.irq_storm, host.late_dma, host.deny_cpu_on), (Some(5), true, true));
        assert_eq!(host.tamper, Some(4096));
        let habit = |text| Options::parse(text).unwrap().host.ripas;
        assert_eq!(habit("m ripas=reject"), RipasHabit::RejectAfter(0, 0));
        assert_eq!(habit("m ripas=reject:4"), RipasHabit::RejectAfter(4, 0));
        assert_eq!(habit("m ripas=reject:1+2"), RipasHabit::RejectAfter(1, 2));
        let lies = [
            Lie { slot: 31, fault: Fault::UsedId, from: 5, writes: false },
            Lie { slot: 0, fault: Fault::Silent, from: 1, writes: false },
            Lie { slot: 2, fault: Fault::Status, from: 3, writes: true },
        ];
        assert_eq!(host.virtio, lies);
        assert_eq!(host.pci, [pci::Lie { slot: 7, fault: pci::Fault::Bridges }]);
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        for line in [
            "m width=31",
            "m width=53",
            "m ram=0",
            "m ram=1000",
            "m hash=md5",
            "m rsi=1.1-1.0",
            "m ripas=partial",
            "m ripas=stall:1+1",
            "m ripas=reject:",
            "m bps=0",
            "m token=65537",
            "m runs=1",
            "m cpu-on=allow",
            "m empty=1+4096",
            "m empty=0xfffffffffffff000+0x2000",
            "m nothing",
            "m rpv=123",
            "m kernel=",
            "m log=1",
            "m ram=0xffffffffffffffffG",
            "m destroy=1",
            "m virtio=32:silent",
            "m virtio=1:loud",
            "m pci=1:loud",
            "m pci=32:gone",
        ] {
            assert!(Options::parse(line).is_err(), "{line}");
        }
        assert_eq!(Options::parse("m").unwrap(), Options::default());
    }

    #[test]
    fn every_listed_name_exists() {
        for name in names() {
            let result = Options::parse(&alloc::format!("m {name}=\u{1}"));
            assert!(!matches!(result, Err(OptionError::Unknown(_))), "{name}");
        }
    }

    #[test]
    fn the_page_has_each_option_in_its_tables_and_no_other() {
        let page = include_str!("../../../docs/model-rmm.md");
        let rows = page.lines().filter(|line| line.starts_with("| `"));
        let cells = rows.filter_map(|line| line.split('|').nth(1));
        let quoted = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
        // The further values of an option stand alone.
        let told: Vec<_> = quoted.filter(|text| text.contains('=') || names().contains(text)).collect();
        let told: Vec<_> = told.into_iter().map(|text| text.split('=').next().unwrap_or(text)).collect();
        for name in names() {
            assert!(told.contains(&name), "{name} is not in the page");
        }
        for name in told {
            assert!(names().contains(&name), "{name} is in the page");
            assert_ne!(Options::parse(&["m ", name, "=\u{1}"].concat()), Err(OptionError::Unknown(name.to_string())));
        }
    }
}
