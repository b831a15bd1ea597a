//! The menu that a key brings up: one option for this boot, the event log, the machine.

use formats::load_option;
use measured::event_log::Log;
use r_efi::efi::Status;

use super::options::BootOption;
use super::{Error, Platform};
use crate::devices::console;
use crate::efi::{services, variables};
use crate::realm::World;
use crate::{arch, log, measurement};

/// Timeout: no time limit (UEFI 2.11, table 3-1).
const FOR_EVER: u16 = 0xffff;
/// EFI_OS_INDICATIONS_BOOT_TO_FW_UI, in the first byte of OsIndications (UEFI 2.11, 8.5.4).
const BOOT_TO_FW_UI: u8 = 1;

/// What was chosen.
pub enum Choice {
    /// The option at this place, before the others.
    Boot(usize),
    /// The normal boot.
    Continue,
}

/// Whether somebody asks for the menu: the operating system before, or who presses a key within the seconds that Timeout
/// gives.
///
/// # Errors
/// A variable that cannot be read or set.
pub fn is_wanted() -> Result<bool, Error> {
    if is_indicated().map_err(Error::Manager)? || console::read_byte().is_some() {
        return Ok(true);
    }
    let timeout = variables::global("Timeout").map_err(Error::Manager)?.unwrap_or_default();
    let seconds = load_option::boot_order(&timeout).next().unwrap_or(0);
    if seconds == 0 {
        return Ok(false);
    }
    log::raw(format_args!("Press a key for the boot menu.\r\n"));
    let end = arch::counter().saturating_add(arch::counter_frequency().saturating_mul(seconds.into()));
    while seconds == FOR_EVER || arch::counter() < end {
        if console::read_byte().is_some() {
            return Ok(true);
        }
        services::poll();
    }
    Ok(false)
}

/// Whether OsIndications asks for it, once (UEFI 2.11, 8.5.4).
fn is_indicated() -> Result<bool, Status> {
    let mut indications = variables::global("OsIndications")?.unwrap_or_default();
    match indications.first_mut() {
        Some(first) if *first & BOOT_TO_FW_UI != 0 => *first &= !BOOT_TO_FW_UI,
        _ => return Ok(false),
    }
    variables::set_global("OsIndications", variables::PERSISTENT, &indications)?;
    Ok(true)
}

/// Shows the menu until something is chosen.
pub fn run(platform: &Platform<'_>, options: &[BootOption]) -> Choice {
    loop {
        log::raw(format_args!("\r\nrealmfw boot menu\r\n"));
        for (number, option) in (1..).zip(options) {
            let inactive = if option.automatic { "" } else { " (not active)" };
            log::raw(format_args!("  {number:2}  {}{inactive}\r\n", option.name));
        }
        log::raw(format_args!("   e  event log\r\n   m  machine\r\n   c  continue\r\nboot once: "));
        let mut line = [0; 8];
        match read_line(&mut line) {
            "e" => event_log(),
            "m" => machine(platform),
            "c" | "" => return Choice::Continue,
            number => match number.parse::<usize>().ok().and_then(|number| number.checked_sub(1)) {
                Some(at) if at < options.len() => return Choice::Boot(at),
                _ => log::raw(format_args!("there is no \"{number}\"\r\n")),
            },
        }
    }
}

/// What is typed up to the end of the line; what does not fit is dropped.
fn read_line(line: &mut [u8; 8]) -> &str {
    let mut length = 0;
    loop {
        services::poll();
        match console::read_byte() {
            Some(b'\r' | b'\n') => break,
            Some(0x08 | 0x7f) if length > 0 => {
                length -= 1;
                log::raw(format_args!("\x08 \x08"));
            }
            Some(byte @ b'!'..=b'~') => {
                if let Some(place) = line.get_mut(length) {
                    *place = byte;
                    length += 1;
                    log::raw(format_args!("{}", char::from(byte)));
                }
            }
            _ => {}
        }
    }
    log::raw(format_args!("\r\n"));
    line.get(..length).and_then(|line| core::str::from_utf8(line).ok()).unwrap_or_default()
}

fn event_log() {
    let shown = measurement::with_log(|bytes| {
        let Ok(log) = Log::parse(bytes) else { return };
        for record in log.records().flatten() {
            let digest = record.digest.as_bytes().first_chunk::<8>().map_or(0, |start| u64::from_be_bytes(*start));
            let register = record.index.saturating_sub(1);
            log::raw(format_args!("  REM[{register}] {:08x} {digest:016x}… ", record.event_type.0));
            // The data may be the host's or an image's word.
            let text = record.data.iter().take(48).filter(|byte| byte.is_ascii_graphic() || **byte == b' ');
            text.for_each(|byte| console::write_byte(*byte));
            log::raw(format_args!("\r\n"));
        }
    });
    if !shown {
        log::raw(format_args!("  a plain VM measures nothing\r\n"));
    }
}

fn machine(platform: &Platform<'_>) {
    let Platform { machine, world, .. } = platform;
    match world {
        World::Plain => log::raw(format_args!("  plain VM at EL{}\r\n", arch::exception_level())),
        World::Realm(realm) => log::raw(format_args!(
            "  realm, RSI {}, IPA width {}, {}\r\n",
            realm.version,
            realm.ipa_width,
            realm.hash.name()
        )),
    }
    log::raw(format_args!("  {} CPUs\r\n", machine.cpus.len()));
    for ram in &machine.memory {
        log::raw(format_args!("  RAM {:#x}..{:#x}\r\n", ram.base(), ram.end()));
    }
}
