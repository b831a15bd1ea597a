//! PCI functions of a host that lies (PCI Local Bus 3.0, PCI-to-PCI Bridge 1.2, virtio 1.2 section 4.1.4): they stand in
//! front of QEMU's configuration space.

/// What is wrong with a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Each capability is its own successor.
    Circle,
    /// The list of capabilities never ends and is another each time.
    Changes,
    /// Its registers read as ones from the second read on.
    Gone,
    /// The header is of a type that there is not.
    Header,
    /// The function is there eight times, with what cannot be.
    Functions,
    /// It is a bridge to buses full of such bridges, all of which lead to bus 0.
    Bridges,
    /// Its BARs have another size and another place each time.
    Bars,
    /// Its BARs cannot be written to: they have no size.
    NoSize,
    /// Its BARs take half of what 64 bits can address.
    Huge,
    /// Its structures are beyond the BAR.
    Outside,
    /// The multiplier of the notifications has all bits.
    Multiplier,
}

/// The words for the faults.
pub const FAULTS: [(&str, Fault); 11] = [
    ("circle", Fault::Circle),
    ("changes", Fault::Changes),
    ("gone", Fault::Gone),
    ("header", Fault::Header),
    ("functions", Fault::Functions),
    ("bridges", Fault::Bridges),
    ("bars", Fault::Bars),
    ("no-size", Fault::NoSize),
    ("huge", Fault::Huge),
    ("outside", Fault::Outside),
    ("multiplier", Fault::Multiplier),
];

/// Which device does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lie {
    /// Its number on bus 0.
    pub slot: u8,
    /// What is wrong.
    pub fault: Fault,
}

/// Where in ECAM a bus, a device and a function begin.
const BUS: u64 = 1 << 20;
const DEVICE: u64 = 1 << 15;
const FUNCTION: u64 = 1 << 12;

mod register {
    pub const ID: u64 = 0x00;
    pub const HEADER: u64 = 0x0c;
    pub const BARS: u64 = 0x10;
    /// The bus numbers of a bridge.
    pub const BUSES: u64 = 0x18;
    pub const BARS_END: u64 = 0x28;
    pub const CAPABILITIES: u64 = 0x34;
    /// Where capabilities are.
    pub const HEADER_END: u64 = 0x40;
    pub const END: u64 = 0x100;
}

/// QEMU's root port.
const BRIDGE_ID: u64 = 0x000c_1b36;
const MULTI_FUNCTION: u64 = 0x80 << 16;
const HEADER_TYPE: u64 = 0xff << 16;
const BRIDGE_TYPE: u64 = 0x81 << 16;
const NO_TYPE: u64 = 0x7f << 16;
/// A memory BAR of 64 bits, prefetchable, and the highest bit of its upper half.
const BAR_64: u64 = 0xc;
const HIGHEST: u64 = 0x8000_0000;

/// A vendor-specific capability and those of its kinds whose fields lie.
const VENDOR_SPECIFIC: u64 = 0x09;
const COMMON: u64 = 1;
const NOTIFY: u64 = 2;
/// Fields of such a capability.
const OFFSET: u64 = 8;
const MULTIPLIER: u64 = 16;

/// A function that lies.
#[derive(Clone, Debug)]
pub struct Function {
    lie: Lie,
    reads: u64,
    /// Where the capability that was read last begins, and of which kind it is.
    capability: (u64, u64),
}

impl Function {
    /// The function of a lie.
    pub fn new(lie: Lie) -> Self {
        Self { lie, reads: 0, capability: (0, 0) }
    }

    /// The register of QEMU's function that an offset in ECAM stands for; none where it is another's.
    pub fn stands_for(&self, ecam: u64) -> Option<u64> {
        let own = u64::from(self.lie.slot) * DEVICE;
        let function = ecam & !(FUNCTION - 1);
        let claimed = match self.lie.fault {
            Fault::Functions => (own..own + DEVICE).contains(&function),
            Fault::Bridges => function == own || function >= BUS,
            _ => function == own,
        };
        claimed.then_some(own | ecam & (FUNCTION - 1))
    }

    /// Whether QEMU's function is to have what is written at an offset in ECAM.
    pub fn takes_write(&self, ecam: u64) -> bool {
        let bars = (register::BARS..register::BARS_END).contains(&(ecam & (FUNCTION - 1)));
        match self.lie.fault {
            Fault::Functions | Fault::Bridges => false,
            Fault::Bars | Fault::NoSize | Fault::Huge => !bars,
            _ => true,
        }
    }

    /// Four bytes are read at an offset in ECAM, where QEMU's function has `value`.
    pub fn read(&mut self, ecam: u64, value: u64) -> u64 {
        let register = ecam & (FUNCTION - 1);
        self.reads = self.reads.wrapping_add(1);
        // Any number that is another each time.
        let noise = self.reads.wrapping_mul(0x9e37_79b9) & 0xffff_ffff;
        let in_list = (register::HEADER_END..register::END).contains(&register);
        if in_list && value & 0xff == VENDOR_SPECIFIC {
            self.capability = (register, value >> 24 & 0xff);
        }
        let field = register.wrapping_sub(self.capability.0);
        match (self.lie.fault, register) {
            (Fault::Gone, _) if self.reads > 1 => 0xffff_ffff,
            (Fault::Circle, _) if in_list && self.capability.0 == register => value & !0xff00 | register << 8,
            (Fault::Changes, _) if in_list => value & 0xffff_00ff ^ noise & 0xff00_ff00,
            (Fault::Header, register::HEADER) => value & !HEADER_TYPE | NO_TYPE,
            (Fault::Functions, register::HEADER) => value | MULTI_FUNCTION,
            (Fault::Bridges, register::ID) => BRIDGE_ID,
            (Fault::Bridges, register::HEADER) => value & !HEADER_TYPE | BRIDGE_TYPE,
            (Fault::Bridges, register::BUSES) => 0,
            (Fault::Bars, register::BARS..register::BARS_END) => noise & !0xf | BAR_64,
            // The lower and the upper half in turn.
            (Fault::Huge, register::BARS..register::BARS_END) if register & 4 == 0 => BAR_64,
            (Fault::Huge, register::BARS..register::BARS_END) => HIGHEST,
            (Fault::Functions | Fault::Outside, _) if self.capability.1 == COMMON && field == OFFSET => 0x0010_0000,
            (Fault::Multiplier, _) if self.capability.1 == NOTIFY && field == MULTIPLIER => 0xffff_ffff,
            (Fault::Bridges, register::CAPABILITIES) => 0,
            _ => value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOT: u64 = 3 * DEVICE;

    fn function(fault: Fault) -> Function {
        Function::new(Lie { slot: 3, fault })
    }

    #[test]
    fn who_lies_stands_for_one_function_or_many() {
        let one = function(Fault::Circle);
        assert_eq!(one.stands_for(SLOT + 0x34), Some(SLOT + 0x34));
        assert_eq!(one.stands_for(SLOT + FUNCTION), None);
        assert_eq!(one.stands_for(BUS + SLOT), None);
        let eight = function(Fault::Functions);
        assert_eq!(eight.stands_for(SLOT + 7 * FUNCTION + 4), Some(SLOT + 4));
        assert_eq!(eight.stands_for(SLOT + DEVICE), None);
        let buses = function(Fault::Bridges);
        assert_eq!(buses.stands_for(5 * BUS + DEVICE + FUNCTION), Some(SLOT));
        assert_eq!(buses.stands_for(SLOT + FUNCTION), None);
    }

    #[test]
    fn each_fault_is_in_its_registers() {
        for (fault, register, honest, lie) in [
            (Fault::Circle, 0x84, 0x0514_7009, 0x0514_8409),
            (Fault::Header, 0x0c, 0x0000_0010, 0x007f_0010),
            (Fault::Functions, 0x0c, 0, 0x0080_0000),
            (Fault::Bridges, 0, 0x1042_1af4, 0x000c_1b36),
            (Fault::Bridges, 0x0c, 0, 0x0081_0000),
            (Fault::Huge, 0x20, 0x1000_000c, 0xc),
            (Fault::Huge, 0x24, 0, 0x8000_0000),
        ] {
            assert_eq!(function(fault).read(SLOT + register, honest), lie, "{fault:?}");
            // Elsewhere nothing is changed.
            assert_eq!(function(fault).read(SLOT + 0x08, 5), 5, "{fault:?}");
        }
        let mut gone = function(Fault::Gone);
        assert_eq!([gone.read(SLOT, 1), gone.read(SLOT, 1)], [1, 0xffff_ffff]);
        for (fault, register) in [(Fault::Bars, 0x20), (Fault::Changes, 0x40)] {
            let mut changes = function(fault);
            assert_ne!(changes.read(SLOT + register, 9), changes.read(SLOT + register, 9), "{fault:?}");
        }
        assert!(function(Fault::Bars).takes_write(SLOT + 4) && !function(Fault::NoSize).takes_write(SLOT + 0x10));
    }

    #[test]
    fn fields_of_virtio_s_capabilities_lie() {
        let mut outside = function(Fault::Outside);
        assert_eq!(outside.read(SLOT + 0x70, 0x0214_0009), 0x0214_0009);
        assert_eq!(outside.read(SLOT + 0x78, 0), 0);
        assert_eq!(outside.read(SLOT + 0x40, 0x0110_0009), 0x0110_0009);
        assert_eq!(outside.read(SLOT + 0x48, 0), 0x0010_0000);
        let mut multiplier = function(Fault::Multiplier);
        multiplier.read(SLOT + 0x70, 0x0214_6009);
        assert_eq!(multiplier.read(SLOT + 0x80, 4), 0xffff_ffff);
    }
}
