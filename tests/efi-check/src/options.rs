//! The command line.

use core::slice;

use crate::env;

const DEFAULT_FUZZ: u64 = 20_000;
const DEFAULT_UART: u64 = 0x0900_0000;

pub struct Options {
    only: [u8; 16],
    fault: [u8; 16],
    read: [u8; 16],
    pub fuzz: u64,
    pub seed: u64,
    pub stay: bool,
    pub returns: bool,
    pub keys: u64,
    pub serial: u64,
    /// Whether this is a realm.
    pub realm: bool,
    /// Whether the event log is filled.
    pub fill: bool,
    pub uart: u64,
    /// Seconds for the watchdog, if it is to be set at all.
    pub watchdog: Option<u64>,
    /// Seconds to stall.
    pub stall: u64,
    /// Memory to overwrite: its distance from `Stall()`, and its size.
    pub overwrite: (usize, usize),
}

impl Options {
    pub fn from_image() -> Self {
        let mut options = Self {
            only: [0; 16],
            fault: [0; 16],
            read: [0; 16],
            fuzz: DEFAULT_FUZZ,
            seed: 1,
            stay: false,
            returns: false,
            keys: 0,
            serial: 0,
            realm: false,
            fill: false,
            uart: DEFAULT_UART,
            watchdog: None,
            stall: 0,
            overwrite: (0, 0),
        };
        let image = env::loaded_image();
        if image.load_options.is_null() {
            return options;
        }
        let units = unsafe {
            slice::from_raw_parts(image.load_options.cast::<[u8; 2]>(), image.load_options_size as usize / 2)
        };
        let mut text = [0u8; 256];
        let mut length = 0;
        for unit in units.iter().map(|unit| u16::from_le_bytes(*unit)).take_while(|&unit| unit != 0).take(256) {
            text[length] = u8::try_from(unit).unwrap_or(b'?');
            length += 1;
        }
        let text = core::str::from_utf8(&text[..length]).unwrap_or_default();
        for word in text.split(' ') {
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            match name {
                "only" => put(&mut options.only, value),
                "fault" => put(&mut options.fault, value),
                "read" => put(&mut options.read, value),
                "fuzz" => options.fuzz = value.parse().unwrap_or(DEFAULT_FUZZ),
                "seed" => options.seed = value.parse().unwrap_or(1),
                "keys" => options.keys = value.parse().unwrap_or(0),
                "serial" => options.serial = value.parse().unwrap_or(0),
                "return" => options.returns = true,
                "stay" => options.stay = true,
                "realm" => options.realm = true,
                "fill" => options.fill = true,
                "uart" => options.uart = hex(value).unwrap_or(DEFAULT_UART),
                "watchdog" => options.watchdog = value.parse().ok(),
                "stall" => options.stall = value.parse().unwrap_or(0),
                "overwrite" => {
                    let (distance, size) = value.split_once('+').unwrap_or_default();
                    let number = |digits| hex(digits).unwrap_or(0) as usize;
                    options.overwrite = (number(distance), number(size));
                }
                _ => {}
            }
        }
        options
    }

    /// Whether a group of checks is wanted.
    pub fn selects(&self, group: &str) -> bool {
        let only = get(&self.only);
        only.is_empty() || group == only
    }

    /// Whether nothing is wanted but what is only there for the asking.
    pub fn asks_for(&self, group: &str) -> bool {
        get(&self.only) == group
    }

    /// The fault that is wanted, or nothing.
    pub fn fault(&self) -> &str {
        get(&self.fault)
    }

    /// The file that is to be read, or nothing.
    pub fn read(&self) -> &str {
        get(&self.read)
    }
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
}

fn put(to: &mut [u8; 16], value: &str) {
    let length = value.len().min(to.len());
    to[..length].copy_from_slice(&value.as_bytes()[..length]);
}

fn get(from: &[u8; 16]) -> &str {
    let length = from.iter().position(|&byte| byte == 0).unwrap_or(from.len());
    core::str::from_utf8(&from[..length]).unwrap_or_default()
}
