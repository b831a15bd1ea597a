//! Random numbers: the CPU's, mixed with what the VMM's entropy device gave.

use measured::{Algorithm, CpuHash, Hasher};
use spin::Mutex;
use virtio::Error;
use virtio::entropy::{self, LEN};

use super::virtio::Found;
use crate::arch;

/// What the device's bytes have become; `None` without a device. The host may know it.
static POOL: Mutex<Option<[u8; LEN]>> = Mutex::new(None);

/// Asks a device, once, and mixes its bytes into what [`random`] gives from then on.
///
/// # Errors
/// The device's.
pub fn mix(found: Found<'_>) -> Result<(), Error> {
    let bytes = entropy::read(found.machine, found.transport, found.setup, found.timeout)?;
    let mut pool = POOL.lock();
    *pool = Some(digest(&[&pool.unwrap_or_default(), &bytes]).0);
    Ok(())
}

/// Random bytes; `None` where the CPU has none to give, for a device's alone are as good as the host's word.
///
/// What the host knows is no more than added to them (XOR): it can make them no worse.
pub fn random() -> Option<[u8; LEN]> {
    let mut random = [0; LEN];
    for part in random.as_chunks_mut().0 {
        *part = arch::random()?.to_le_bytes();
    }
    if let Some(pool) = POOL.lock().as_mut() {
        let mask;
        (*pool, mask) = digest(&[pool]);
        random.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
    Some(random)
}

/// The halves of a SHA-512 digest.
fn digest(parts: &[&[u8; LEN]]) -> ([u8; LEN], [u8; LEN]) {
    let mut hasher = Hasher::new(Algorithm::Sha512, CpuHash::detect());
    parts.iter().for_each(|part| hasher.update(&part[..]));
    let digest = hasher.finish();
    let mut halves = digest.as_bytes().as_chunks().0.iter().copied();
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}
