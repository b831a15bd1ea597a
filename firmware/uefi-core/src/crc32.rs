//! The CRC of EFI tables and of `CalculateCrc32()`: polynomial 0x04C11DB7, reflected, as ISO 3309
//! and IEEE 802.3 use it (UEFI 2.10, section 4.2).

/// Sixteen entries suffice: the tables are short, and the table counts in the image.
const NIBBLES: [u32; 16] = {
    let mut table = [0; 16];
    let mut nibble = 0;
    while nibble < 16 {
        let mut crc = nibble as u32;
        let mut bit = 0;
        while bit < 4 {
            crc = if crc & 1 != 0 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
        {
            table[nibble] = crc;
        }
        nibble += 1;
    }
    table
};

/// A checksum over bytes that come in pieces.
#[derive(Clone, Copy, Debug)]
pub struct Crc32(u32);

impl Default for Crc32 {
    fn default() -> Self {
        Self(!0)
    }
}

impl Crc32 {
    /// Adds bytes.
    #[must_use]
    pub fn update(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |crc, byte| {
            let crc = crc ^ u32::from(*byte);
            step(step(crc))
        }))
    }

    /// The checksum of what was added.
    pub fn value(self) -> u32 {
        !self.0
    }
}

fn step(crc: u32) -> u32 {
    let low = usize::try_from(crc & 0xF).unwrap_or_default();
    (crc >> 4) ^ NIBBLES.get(low).copied().unwrap_or_default()
}

/// The checksum of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    Crc32::default().update(bytes).value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_polynomial() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn pieces_give_the_checksum_of_the_whole() {
        let whole = crc32(b"123456789");
        let pieces = Crc32::default().update(b"1234").update(b"56789");
        assert_eq!(pieces.value(), whole);
    }
}
