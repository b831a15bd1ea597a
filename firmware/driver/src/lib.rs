//! What drivers of the host's devices have in common.
//!
//! [`Platform`] is the machine, [`SharedMemory`] what a driver works on together with a device, [`Registers`] the way to
//! the device. Data moves by addresses that the caller has from its DMA layer, so that no driver copies a block.
#![no_std]

use core::time::Duration;

/// How long a device may take to answer a request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be wrong with a device or a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// The registers are not those of such a device, or not to be had.
    #[error("no registers: {0}")]
    Registers(&'static str),
    /// The device has no VIRTIO_F_VERSION_1.
    #[error("legacy device: no VIRTIO_F_VERSION_1")]
    Legacy,
    /// The device of a realm has no VIRTIO_F_ACCESS_PLATFORM: it would bypass what the realm shares.
    #[error("no VIRTIO_F_ACCESS_PLATFORM (iommu_platform=on)")]
    NoAccessPlatform,
    /// The device does not take the features that it offered.
    #[error("FEATURES_OK refused")]
    Features,
    /// The device does not finish its reset.
    #[error("reset never ended")]
    Reset,
    /// The queue is missing or too small.
    #[error("no virtqueue {0} of four descriptors")]
    Queue(u16),
    /// The configuration space makes no sense.
    #[error("device configuration: {0}")]
    Config(&'static str),
    /// There is no memory to share with the device.
    #[error("no shared memory left")]
    NoMemory,
    /// The device has set DEVICE_NEEDS_RESET: it met what it can do nothing with, such as an address.
    #[error("DEVICE_NEEDS_RESET")]
    NeedsReset,
    /// The controller has set CSTS.CFS: it met what it can do nothing with, such as an address.
    #[error("controller fatal status (CSTS.CFS)")]
    ControllerFatal,
    /// The device does not answer.
    #[error("no answer within the time-out")]
    Timeout,
    /// The device broke the protocol.
    #[error("protocol broken: {0}")]
    Protocol(&'static str),
    /// The device was given up before.
    #[error("device was given up")]
    Broken,
    /// The device reports that the request failed.
    #[error("request failed")]
    Io,
    /// The device does not know the request.
    #[error("request not supported")]
    Unsupported,
    /// The request is not one of whole blocks of the medium.
    #[error("not within the medium")]
    Range,
    /// The medium is write protected.
    #[error("write protected")]
    WriteProtected,
    /// There is no medium.
    #[error("no medium")]
    NoMedium,
    /// The medium is another one.
    #[error("medium changed")]
    MediumChanged,
}

impl Error {
    /// Whether the device is to be reset and not used again.
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Timeout | Self::NeedsReset | Self::ControllerFatal | Self::Protocol(_))
    }
}

/// Memory that driver and device share. The device may change it at any time.
pub trait SharedMemory {
    /// The device's address of the first byte, which is page aligned.
    fn device_address(&self) -> u64;
    /// Copies `bytes` to `offset`.
    fn write(&mut self, offset: usize, bytes: &[u8]);
    /// Copies from `offset`.
    fn read(&self, offset: usize, bytes: &mut [u8]);
    /// Stores a little-endian number in one access, after all that was written before.
    fn store16(&mut self, offset: usize, value: u16);
    /// Loads a little-endian number in one access, before all that is read afterwards.
    fn load16(&self, offset: usize) -> u16;
}

/// The machine that the driver runs on.
pub trait Platform {
    /// Memory shared with a device.
    type Memory: SharedMemory + core::fmt::Debug;
    /// Takes some pages in a row to share, which are zero.
    fn allocate_pages(&self, count: usize) -> Option<Self::Memory>;
    /// A counter that only grows.
    fn ticks(&self) -> u64;
    /// Its ticks in a second.
    fn ticks_per_second(&self) -> u64;
    /// Lets at most some microseconds pass while a device works.
    fn pause(&self) {
        core::hint::spin_loop();
    }
}

/// Registers in memory. What is outside of them reads as zero and is not written.
pub trait Registers {
    /// Reads a byte.
    fn read8(&self, offset: u64) -> u8;
    /// Reads two bytes.
    fn read16(&self, offset: u64) -> u16;
    /// Reads four bytes.
    fn read32(&self, offset: u64) -> u32;
    /// Writes a byte.
    fn write8(&self, offset: u64, value: u8);
    /// Writes two bytes.
    fn write16(&self, offset: u64, value: u16);
    /// Writes four bytes.
    fn write32(&self, offset: u64, value: u32);
}

/// Whether data goes from the device or to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// From the device.
    Read,
    /// To the device.
    Write,
}

/// A medium of blocks.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Medium {
    /// Bytes of a block: a power of two from 512 to 4096.
    pub block_size: u32,
    /// Number of blocks; zero without a medium. Their bytes fit 64 bits.
    pub blocks: u64,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// Logical blocks in a physical one; 1 when the device does not say.
    pub blocks_per_physical: u32,
    /// The first block at the start of a physical one.
    pub lowest_aligned: u64,
}

const MIN_BLOCK_SIZE: u32 = 512;
/// The largest block of a medium that is used.
pub const MAX_BLOCK_SIZE: u32 = 4096;

impl Medium {
    /// A medium of `blocks` blocks.
    ///
    /// # Errors
    /// [`Error::Config`].
    pub fn new(block_size: u32, blocks: u64) -> Result<Self, Error> {
        if !block_size.is_power_of_two() || !(MIN_BLOCK_SIZE..=MAX_BLOCK_SIZE).contains(&block_size) {
            return Err(Error::Config("block size"));
        }
        if blocks.checked_mul(block_size.into()).is_none() {
            return Err(Error::Config("capacity"));
        }
        Ok(Self { block_size, blocks, read_only: false, blocks_per_physical: 1, lowest_aligned: 0 })
    }

    /// Whether a transfer is one of whole blocks within the medium; the number of blocks.
    ///
    /// # Errors
    /// [`Error::NoMedium`], [`Error::Range`], [`Error::WriteProtected`].
    pub fn check(&self, direction: Direction, block: u64, length: u32) -> Result<u32, Error> {
        if self.blocks == 0 {
            return Err(Error::NoMedium);
        }
        if direction == Direction::Write && self.read_only {
            return Err(Error::WriteProtected);
        }
        let count = length / self.block_size;
        let whole = length.is_multiple_of(self.block_size) && count != 0;
        let end = block.checked_add(count.into());
        if whole && end.is_some_and(|end| end <= self.blocks) { Ok(count) } else { Err(Error::Range) }
    }
}

/// The memory of one transfer, as the device finds it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Data {
    /// The device's address.
    pub address: u64,
    /// Bytes.
    pub length: u32,
}

/// Waits until `answer` has something, for `timeout` at most. It is told when it is also to look at the register that
/// says that a device has given up, which is seldom: each look is an exit to the host.
///
/// # Errors
/// [`Error::Timeout`]; those of `answer`.
pub fn wait(
    platform: &impl Platform,
    timeout: Duration,
    answer: &mut dyn FnMut(bool) -> Result<Option<u32>, Error>,
) -> Result<u32, Error> {
    let start = platform.ticks();
    let frequency = platform.ticks_per_second();
    let limit = frequency.saturating_mul(timeout.as_secs());
    let limit = limit.saturating_add(frequency.saturating_mul(timeout.subsec_millis().into()) / 1000);
    let mut look_at = frequency / 1000;
    loop {
        // The time before the look: who was kept from running meanwhile looks once more.
        let waited = platform.ticks().saturating_sub(start);
        let looks = waited > look_at;
        if looks {
            look_at = waited.saturating_mul(2);
        }
        if let Some(answer) = answer(looks)? {
            return Ok(answer);
        }
        if waited > limit {
            return Err(Error::Timeout);
        }
        platform.pause();
    }
}
