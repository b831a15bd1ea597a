//! Where each way of launching puts things, and the state in which the first REC starts.

use core::ops::Range;

use crate::layout::Layout;
use crate::options::Launch;

/// Why a payload cannot be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The payload has no arm64 Image header.
    #[error("the kernel has no arm64 Image header (a compressed kernel must be unpacked first)")]
    NoImageHeader,
    /// Something does not fit.
    #[error("the {0} does not fit the realm's memory")]
    TooBig(&'static str),
}

/// The placement, in canonical IPAs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The firmware or kernel.
    pub image: u64,
    /// The initial RAM disk.
    pub initrd: Option<Range<u64>>,
    /// The device tree; its end is not known before it is written.
    pub dtb: u64,
    /// Program counter of the first REC.
    pub pc: u64,
    /// x0 of the first REC.
    pub x0: u64,
}

const MIB: u64 = 1 << 20;

/// Bytes kept for the device tree.
pub const DTB_ROOM: u64 = MIB;

/// Bytes measured for a device tree of `len` bytes: kvmtool hands over the whole of the 64 KiB that
/// it keeps for one (`FDT_MAX_SIZE`).
pub fn dtb_len(launch: Launch, len: usize) -> usize {
    const FDT_MAX_SIZE: usize = 0x1_0000;
    match launch {
        Launch::Kvmtool => len.max(FDT_MAX_SIZE),
        Launch::Bios | Launch::Kernel => len,
    }
}

impl Plan {
    /// Places an image of `len` bytes that begins with `head`, and an initial RAM disk.
    ///
    /// # Errors
    /// What cannot be placed.
    pub fn new(
        launch: Launch,
        layout: &Layout,
        len: u64,
        head: &[u8; 64],
        initrd: Option<u64>,
    ) -> Result<Self, PlanError> {
        let ram = &layout.ram;
        let plan = match launch {
            Launch::Bios if len > layout.flash.end => return Err(PlanError::TooBig("firmware")),
            Launch::Bios => Self { image: 0, initrd: None, dtb: ram.start, pc: 0, x0: 0 },
            Launch::Kvmtool => {
                let top = ram.end.min(ram.start.saturating_add(256 * MIB));
                let dtb = top.saturating_sub(2 * MIB) & !(2 * MIB - 1);
                if ram.start.saturating_add(len) > dtb {
                    return Err(PlanError::TooBig("firmware"));
                }
                Self { image: ram.start, initrd: None, dtb, pc: ram.start, x0: dtb }
            }
            Launch::Kernel => Self::kernel(ram.start, len, head, initrd)?,
        };
        if plan.dtb.saturating_add(DTB_ROOM) > ram.end {
            return Err(PlanError::TooBig("device tree"));
        }
        Ok(plan)
    }

    /// The arm64 boot protocol: 2 MiB aligned base plus text_offset, x0 = DTB.
    fn kernel(start: u64, len: u64, head: &[u8; 64], initrd: Option<u64>) -> Result<Self, PlanError> {
        let field = |offset: usize| {
            let bytes = head.get(offset..).and_then(|rest| rest.first_chunk());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        const MAGIC: u64 = 0x644d_5241;
        if field(56) & 0xffff_ffff != MAGIC {
            return Err(PlanError::NoImageHeader);
        }
        let (text_offset, size) = (field(8), field(16).max(len));
        let image = start.next_multiple_of(2 * MIB).checked_add(text_offset);
        let image = image.ok_or(PlanError::TooBig("kernel"))?;
        let end = image.checked_add(size).and_then(|end| end.checked_next_multiple_of(2 * MIB));
        let end = end.ok_or(PlanError::TooBig("kernel"))?;
        let initrd = match initrd {
            Some(len) => Some(end..end.checked_add(len).ok_or(PlanError::TooBig("initrd"))?),
            None => None,
        };
        let after = initrd.as_ref().map_or(end, |initrd| initrd.end);
        let dtb = after.checked_next_multiple_of(2 * MIB);
        let dtb = dtb.ok_or(PlanError::TooBig("initrd"))?;
        Ok(Self { image, initrd, dtb, pc: image, x0: dtb })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Dma;

    fn layout(launch: Launch) -> Layout {
        Layout::new(launch, 512 * MIB, 33, Dma::SharedBit, 9 << 30).unwrap()
    }

    #[test]
    fn firmware_is_where_each_vmm_puts_it() {
        let plan = |launch| Plan::new(launch, &layout(launch), MIB, &[0; 64], None).unwrap();
        let qemu = plan(Launch::Bios);
        assert_eq!((qemu.image, qemu.dtb, qemu.pc, qemu.x0), (0, 0x4000_0000, 0, 0));
        let kvmtool = plan(Launch::Kvmtool);
        assert_eq!((kvmtool.image, kvmtool.pc), (0x8000_0000, 0x8000_0000));
        assert_eq!((kvmtool.dtb, kvmtool.x0), (0x8fe0_0000, 0x8fe0_0000));
    }

    #[test]
    fn kvmtool_hands_over_all_it_keeps_for_the_tree() {
        assert_eq!(dtb_len(Launch::Kvmtool, 9000), 0x1_0000);
        assert_eq!(dtb_len(Launch::Kvmtool, 0x1_0001), 0x1_0001);
        assert_eq!(dtb_len(Launch::Bios, 9000), 9000);
    }

    #[test]
    fn kernel_follows_its_header() {
        let mut head = [0; 64];
        let new = |head: &_, initrd| Plan::new(Launch::Kernel, &layout(Launch::Kernel), MIB, head, initrd);
        assert_eq!(new(&head, None), Err(PlanError::NoImageHeader));
        head[56..60].copy_from_slice(b"ARM\x64");
        head[8] = 0x10;
        head[18] = 0x50; // image_size = 5 MiB
        let plan = new(&head, Some(3 * MIB)).unwrap();
        assert_eq!(plan.image, 0x4000_0010);
        assert_eq!(plan.initrd, Some(0x4060_0000..0x4090_0000));
        assert_eq!((plan.dtb, plan.x0, plan.pc), (0x40a0_0000, 0x40a0_0000, 0x4000_0010));
        assert_eq!(new(&head, Some(600 * MIB)), Err(PlanError::TooBig("device tree")));
        assert_eq!(new(&head, Some(u64::MAX)), Err(PlanError::TooBig("initrd")));
    }
}
