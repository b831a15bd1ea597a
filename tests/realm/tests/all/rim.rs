//! The realm initial measurement, predicted by DEN0137 A7.1.1 from what a VMM was given, without the model's code for it:
//! only the device tree comes from there.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use model_rmm::dtb::{Edit, Node, realm_tree};
use model_rmm::ns16550;
use realm_vm::{Realm, end};
use sha2::{Digest, Sha256, Sha384, Sha512};

const LIMIT: Duration = Duration::from_secs(30);
const PAGE: usize = 4096;
const MIB: u64 = 1 << 20;

/// A hash and its number in RmiRealmParams.
#[derive(Clone, Copy)]
struct Hash {
    name: &'static str,
    number: u8,
    digest: fn(&[u8]) -> Vec<u8>,
}

const SHA_256: Hash = Hash { name: "sha-256", number: 0, digest: |bytes| Sha256::digest(bytes).to_vec() };
const SHA_384: Hash = Hash { name: "sha-384", number: 2, digest: |bytes| Sha384::digest(bytes).to_vec() };
const SHA_512: Hash = Hash { name: "sha-512", number: 1, digest: |bytes| Sha512::digest(bytes).to_vec() };

/// A structure of `len` bytes with values at their offsets; the rest is zero.
fn structure(len: usize, values: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    for (offset, value) in values {
        bytes.splice(offset..&(offset + value.len()), value.iter().copied());
    }
    bytes
}

struct Rim {
    hash: Hash,
    value: Vec<u8>,
}

impl Rim {
    /// RmiRealmParams: IPA width, flags, SVE vector length, breakpoints, watchpoints, PMU counters.
    fn new(hash: Hash, width: u32, [flags, sve, bps, wps, pmu]: [u32; 5]) -> Self {
        let words = [flags, width, sve, bps, wps, pmu].map(u32::to_le_bytes);
        let [flags, width, sve, bps, wps, pmu] = &words;
        let fields: [(usize, &[u8]); 7] =
            [(0, flags), (0x8, width), (0x10, sve), (0x18, bps), (0x20, wps), (0x28, pmu), (0x30, &[hash.number])];
        Self { hash, value: (hash.digest)(&structure(PAGE, &fields)) }
    }

    fn extend(&mut self, kind: u8, fields: &[(usize, &[u8])]) {
        let kind = [kind];
        let mut all: Vec<(usize, &[u8])> = vec![(0, &kind), (0x8, &[0, 1]), (0x10, &self.value)];
        all.extend(fields);
        self.value = (self.hash.digest)(&structure(0x100, &all));
    }

    /// RIPAS of `range`, which a host initialises in blocks of this size.
    fn ripas(&mut self, range: Range<u64>, block: u64) {
        for base in range.step_by(block as usize) {
            self.extend(2, &[(0x50, &base.to_le_bytes()), (0x58, &(base + block).to_le_bytes())]);
        }
    }

    /// Contents, measured.
    fn data(&mut self, base: u64, contents: &[u8]) {
        for (page, ipa) in contents.chunks(PAGE).zip((base..).step_by(PAGE)) {
            let digest = (self.hash.digest)(&structure(PAGE, &[(0, page)]));
            self.extend(0, &[(0x50, &ipa.to_le_bytes()), (0x58, &[1]), (0x60, &digest)]);
        }
    }

    /// The first REC.
    fn rec(&mut self, pc: u64, x0: u64) {
        let params = structure(PAGE, &[(0, &[1]), (0x200, &pc.to_le_bytes()), (0x300, &x0.to_le_bytes())]);
        self.extend(1, &[(0x50, &(self.hash.digest)(&params))]);
    }
}

/// A file that goes away.
struct File(PathBuf);

impl File {
    fn new(name: &str, bytes: &[u8]) -> Result<Self> {
        let path = std::env::temp_dir().join(format!("realm-rim-{}-{name}", std::process::id()));
        fs::write(&path, bytes)?;
        Ok(Self(path))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What cannot be removed now goes with the folder for temporary files.
        let _ = fs::remove_file(&self.0);
    }
}

/// An arm64 Image that powers off at once: three pages and a half of which no two are alike.
fn image() -> Vec<u8> {
    let head = structure(
        64,
        &[
            // b 64
            (0, &0x1400_0010_u32.to_le_bytes()),
            // image_size
            (16, &0x1_0000_u64.to_le_bytes()),
            (56, b"ARM\x64"),
        ],
    );
    // movz w0, #0x8400, lsl #16; movk w0, #8; smc #0
    let code = [0x52b0_8000_u32, 0x7280_0100, 0xd400_0003].into_iter().flat_map(u32::to_le_bytes);
    let filler = (0_u32..7 * 2048).map(|number| ((number * number) >> 7) as u8);
    let mut image: Vec<u8> = head.into_iter().chain(code).collect();
    image.extend(filler.skip(image.len()));
    image
}

const INITRD_LEN: usize = 5000;

/// The device tree that a VMM hands to the realm.
fn tree(realm: &Realm, name: &str, edit: &Edit<'_>, kvmtool: bool) -> Result<Vec<u8>> {
    let dump = File::new(&format!("{name}.dtb"), &[])?;
    let ended = realm.clone().arg("-machine").arg(format!("dumpdtb={}", dump.0.display())).run(LIMIT)?;
    ensure!(ended.status() == Some(0), "{}", ended.report());
    let mut tree = Node::parse(&fs::read(&dump.0)?)?;
    if kvmtool {
        ns16550::replace_pl011(&mut tree, ns16550::BASE).context("no PL011")?;
    }
    let mut blob = realm_tree(&mut tree, edit);
    if kvmtool {
        // All that kvmtool keeps for it.
        blob.resize(64 << 10, 0);
    }
    Ok(blob)
}

/// How a realm is launched, and where that puts things.
#[derive(Clone, Copy, PartialEq)]
enum Launch {
    Qemu,
    Kvmtool,
    Kernel,
}

/// A realm measures as predicted, with the RIPAS of its memory (RMM 1.0) and without (RMM 2.0).
fn measures(launch: Launch, hash: Hash, width: u32, ram_mib: u64, rmm: &str, options: [Option<u32>; 4]) -> Result<()> {
    let name = format!("{}-{width}-{rmm}-{}", launch as u8, hash.name);
    let image = image();
    let file = File::new(&name, &image)?;
    let initrd: Vec<u8> = (0..INITRD_LEN).map(|index| (index % 251) as u8).collect();
    let initrd_file = File::new(&format!("{name}.initrd"), &initrd)?;
    let realm = match launch {
        Launch::Qemu => Realm::firmware(&file.0),
        Launch::Kvmtool => Realm::kvmtool(&file.0),
        Launch::Kernel => Realm::direct_kernel(&file.0).initrd(&initrd_file.0),
    };
    let mut realm = realm.width(width).ram_mib(ram_mib).option(format!("hash={}", hash.name));
    realm = realm.option(format!("rmm={rmm}"));
    for (option, value) in ["sve", "bps", "wps", "pmu"].into_iter().zip(options) {
        if let Some(value) = value {
            realm = realm.option(format!("{option}={value}"));
        }
    }
    let [sve, bps, wps, pmu] = options;
    let flags = u32::from(sve.is_some()) << 1 | u32::from(pmu.is_some()) << 2;
    let mut rim =
        Rim::new(hash, width, [flags, sve.unwrap_or(0), bps.unwrap_or(1), wps.unwrap_or(1), pmu.unwrap_or(0)]);

    let base = if launch == Launch::Kvmtool { 0x8000_0000 } else { 0x4000_0000 };
    let ram = base..base + ram_mib * MIB;
    let (at, dtb, x0) = match launch {
        Launch::Qemu => (0, 0x4000_0000, 0),
        Launch::Kvmtool => (base, 0x8fe0_0000, 0x8fe0_0000),
        Launch::Kernel => (base, 0x4040_0000, 0x4040_0000),
    };
    let initrd_at = 0x4020_0000;
    let edit = Edit {
        ram: ram.clone(),
        half: 1 << (width - 1),
        fw_cfg: launch == Launch::Qemu,
        pmu: pmu.is_some(),
        bootargs: None,
        initrd: (launch == Launch::Kernel).then_some(initrd_at..initrd_at + INITRD_LEN as u64),
        lie: None,
    };
    let blob = tree(&realm, &name, &edit, launch == Launch::Kvmtool)?;
    if rmm == "1.0" {
        if launch == Launch::Qemu {
            rim.ripas(0..0x4000, 0x1000);
        }
        // A block of level 1 where the memory is one and the tables begin there.
        rim.ripas(ram, if ram_mib == 1024 && width > 34 { 1 << 30 } else { 2 * MIB });
    }
    rim.data(at, &image);
    if launch == Launch::Kernel {
        rim.data(initrd_at, &initrd);
    }
    rim.data(dtb, &blob);
    rim.rec(at, x0);

    let ended = realm.run(LIMIT)?;
    ensure!(ended.status() == Some(end::OFF), "{}", ended.report());
    let predicted: String = rim.value.iter().map(|byte| format!("{byte:02x}")).collect();
    let measured = ended.rim().context("no RIM")?;
    // The register is 64 bytes long whatever the hash.
    ensure!(measured == format!("{predicted:0<128}"), "{name}: predicted {predicted}\n{}", ended.report());
    Ok(())
}

#[test]
fn launched_by_qemu() -> Result<()> {
    measures(Launch::Qemu, SHA_256, 33, 512, "1.0", [None; 4])?;
    measures(Launch::Qemu, SHA_512, 41, 1024, "1.0", [Some(3), Some(2), Some(3), Some(5)])?;
    measures(Launch::Qemu, SHA_384, 48, 512, "2.0", [None; 4])
}

#[test]
fn launched_by_kvmtool() -> Result<()> {
    measures(Launch::Kvmtool, SHA_384, 33, 512, "1.0", [None; 4])?;
    measures(Launch::Kvmtool, SHA_256, 40, 1024, "1.0", [None; 4])?;
    measures(Launch::Kvmtool, SHA_512, 33, 512, "2.0", [None, Some(5), None, None])
}

#[test]
fn launched_as_a_kernel() -> Result<()> {
    measures(Launch::Kernel, SHA_512, 33, 512, "1.0", [None; 4])?;
    measures(Launch::Kernel, SHA_384, 36, 1024, "1.0", [None; 4])?;
    measures(Launch::Kernel, SHA_256, 33, 512, "2.0", [None; 4])
}
