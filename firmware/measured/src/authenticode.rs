//! The Authenticode digest of an image, without a copy of it.

use formats::pe::{Error, Image};

use crate::hash::{Algorithm, CpuHash, Digest, Hasher};

/// Hashes what the Authenticode digest of `image` covers. `file` is what `image` was parsed from.
///
/// Not covered are the checksum, the certificate table and the directory entry that points to it: a change of
/// those changes no measurement.
pub fn digest(image: &Image, file: &[u8], algorithm: Algorithm, cpu: CpuHash) -> Result<Digest, Error> {
    let mut hasher = Hasher::new(algorithm, cpu);
    for range in image.authenticode_ranges()? {
        hasher.update(file.get(range).ok_or(Error::Truncated("image"))?);
    }
    Ok(hasher.finish())
}
