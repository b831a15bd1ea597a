//! Inputs for tests and fuzzers: built by code, so that each byte has a reason.
// Each test crate uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

pub mod compressed;
pub mod exercise;
pub mod image;
pub mod machines;
pub mod tree;

/// Marsaglia's xorshift64: the same numbers from the same seed on every machine.
pub struct Xorshift(u64);

impl Xorshift {
    pub fn new(seed: u64) -> Self {
        assert_ne!(seed, 0);
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Numbers at which length and offset checks go wrong.
const INTERESTING: [u32; 12] =
    [0, 1, 4, 8, 0xff, 0x1000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_fffe, 0xffff_ffff];

/// Changes one to eight places of a valid input: bits, bytes, words, lengths.
pub fn mutate(random: &mut Xorshift, input: &mut Vec<u8>) {
    for _ in 0..1 + random.below(8) {
        if input.is_empty() {
            return;
        }
        let at = random.below(input.len());
        match random.below(8) {
            0 | 1 => input[at] ^= 1 << random.below(8),
            2 => input[at] = random.next() as u8,
            3 | 4 => {
                let value = INTERESTING[random.below(INTERESTING.len())];
                put(input, at & !3, &value.to_be_bytes());
            }
            5 => {
                let value = INTERESTING[random.below(INTERESTING.len())];
                put(input, at & !1, &value.to_le_bytes());
            }
            6 => {
                // What stands elsewhere in the input is likely to be valid here.
                let from = random.below(input.len());
                let len = random.below(32).min(input.len() - from);
                let piece = input[from..from + len].to_vec();
                put(input, at & !3, &piece);
            }
            _ => {
                let len = random.below(input.len() + 1);
                // Rarely: most of what is cut short ends the parse at once.
                if random.below(8) == 0 {
                    input.truncate(len);
                }
            }
        }
    }
}

fn put(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (place, byte) in input.iter_mut().skip(at).zip(bytes) {
        *place = *byte;
    }
}

/// Device paths the firmware itself builds.
pub fn device_paths() -> Vec<Vec<u8>> {
    use formats::device_path::{Builder, LINUX_EFI_INITRD_MEDIA, MemoryType, VT_UTF8};
    let initrd = Builder::new().vendor_media(&LINUX_EFI_INITRD_MEDIA);
    let kernel =
        Builder::new().memory_mapped(MemoryType(1), 0x4000_0000, 0x4fff_ffff).file_path("/EFI/BOOT/BOOTAA64.EFI");
    let consoles = Builder::new().console(0, 115_200, &VT_UTF8).end_instance().vendor_hardware(&VT_UTF8, b"data");
    [initrd, kernel, consoles].map(|builder| builder.finish().unwrap()).to_vec()
}

/// Load options, and a path with an order of devices of the same length behind it.
pub fn load_options() -> Vec<Vec<u8>> {
    use formats::device_path::Builder;
    use formats::load_option::{ACTIVE, build};
    let file = Builder::new().file_path("/EFI/debian/shimaa64.efi").finish().unwrap();
    let mut path = Builder::new().acpi(0x0a03_41d0, 0).node(1, 1, &[&[0, 2]]).finish().unwrap();
    let mut order = b"/pcie@0/scsi@2/disk@0\n".to_vec();
    order.resize(path.len(), 0);
    path.extend(order);
    vec![build(ACTIVE, "debian", &file, b"more").unwrap(), path]
}

/// A variable as the runtime services store it.
pub fn variable_record() -> Vec<u8> {
    let name: Vec<u8> = "Name".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut record = [7, name.len() as u32, 4].map(u32::to_le_bytes).concat();
    record.extend([0x11; 16]);
    record.extend(name);
    record.extend(b"data");
    record
}

/// Device paths in UCS-2 text.
pub fn device_path_texts() -> Vec<Vec<u8>> {
    [
        "PciRoot(0x0)/Pci(0x1,0x0)/Scsi(0x0,0x1)/HD(1,GPT,AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88,0x800,0x1000)/\\EFI\\a.efi",
        "Serial(0x0)/Uart(115200,8,N,1)/VenUtf8(),VenHw(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88,0102)/Acpi(PNP0C0C,0x0)",
        "MemoryMapped(0x1,0x40000000,0x4FFFFFFF)/CDROM(0x1,0x1,0x1)/HD(1,MBR,0x12345678,1,2)/Path(9,1,0A0B)/Msg(3,00)",
    ]
    .map(|text| text.encode_utf16().flat_map(u16::to_le_bytes).collect())
    .to_vec()
}

/// One entry of a fw_cfg file directory.
pub fn fw_cfg_file(name: &str, size: u32, key: u16) -> Vec<u8> {
    let mut entry = size.to_be_bytes().to_vec();
    entry.extend(key.to_be_bytes());
    entry.extend([0, 0]);
    entry.extend(name.as_bytes());
    entry.resize(64, 0);
    entry
}

/// A fw_cfg file directory of three files.
pub fn fw_cfg_directory() -> Vec<u8> {
    let mut directory = 3u32.to_be_bytes().to_vec();
    directory.extend(fw_cfg_file("etc/acpi/tables", 0x2_0000, 0x22));
    directory.extend(fw_cfg_file("bootorder", 0, 0x20));
    directory.extend(fw_cfg_file("etc/table-loader", 0x1000, 0x23));
    directory
}
