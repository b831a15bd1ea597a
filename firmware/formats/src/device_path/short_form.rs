//! Short-form device paths of load options, which leave out where the device is (UEFI Specification 2.11, 3.1.2).

use alloc::vec::Vec;

use super::{DevicePath, Error, HEADER_LEN, MEDIA_FILE_PATH, Node, TYPE_MEDIA, concat};

/// Media sub-type: a partition.
pub const MEDIA_HARD_DRIVE: u8 = 0x01;

/// Where a short-form path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortForm {
    /// With a partition that any disk may have.
    HardDrive,
    /// With a file that any file system may have.
    FilePath,
}

impl ShortForm {
    /// The form of `path`; `None` when it begins with a device, and so is no short form.
    pub fn of(path: DevicePath<'_>) -> Option<Self> {
        let first = path.nodes().next()?;
        match (first.header.kind, first.header.sub_kind) {
            (TYPE_MEDIA, MEDIA_HARD_DRIVE) => Some(Self::HardDrive),
            (TYPE_MEDIA, MEDIA_FILE_PATH) => Some(Self::FilePath),
            _ => None,
        }
    }

    /// The whole path that `path`, which has this form, has on `device`, a file system's path; `None` when it is not
    /// on there.
    ///
    /// # Errors
    /// Out of memory, or a path that is too long.
    pub fn on(self, path: DevicePath<'_>, device: DevicePath<'_>) -> Result<Option<Vec<u8>>, Error> {
        let device_nodes = device.without_end();
        match self {
            Self::FilePath => concat(&[device_nodes, path.as_bytes()]).map(Some),
            Self::HardDrive => {
                let wanted = path.nodes().next().and_then(|node| Partition::of(&node));
                let mut length = 0;
                for node in device.nodes() {
                    length += node.bytes.len();
                    if wanted.is_some() && Partition::of(&node) == wanted {
                        let first = path.nodes().next().map_or(0, |node| node.bytes.len());
                        let (start, rest) = (device_nodes.get(..length), path.as_bytes().get(first..));
                        return concat(&[start.unwrap_or_default(), rest.unwrap_or_default()]).map(Some);
                    }
                }
                Ok(None)
            }
        }
    }
}

/// What a hard drive node says of a partition, but for where on its disk it lies: a partition that was moved or grown
/// is the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Partition {
    number: [u8; 4],
    signature: [u8; 16],
    format: u8,
    signature_type: u8,
}

impl Partition {
    /// A partition without a signature is not one that can be found again.
    fn of(node: &Node<'_>) -> Option<Self> {
        let is_hard_drive = node.header.kind == TYPE_MEDIA && node.header.sub_kind == MEDIA_HARD_DRIVE;
        if !is_hard_drive || node.bytes.len() != HEADER_LEN + 38 {
            return None;
        }
        let data = node.data();
        let partition = Self {
            number: *data.first_chunk()?,
            signature: *data.get(20..)?.first_chunk()?,
            format: *data.get(36)?,
            signature_type: *data.get(37)?,
        };
        (partition.signature_type != 0).then_some(partition)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Builder;
    use super::*;

    fn hard_drive(builder: Builder, number: u32, start: u64, signature: u8, signature_type: u8) -> Builder {
        let data: [&[u8]; 6] =
            [&number.to_le_bytes(), &start.to_le_bytes(), &[0; 8], &[signature; 16], &[2], &[signature_type]];
        builder.node(TYPE_MEDIA, MEDIA_HARD_DRIVE, &data)
    }

    fn expand(short: Builder, device: Builder) -> Option<Vec<u8>> {
        let (short, device) = (short.finish().unwrap(), device.finish().unwrap());
        let short = DevicePath::parse(&short).unwrap();
        ShortForm::of(short).unwrap().on(short, DevicePath::parse(&device).unwrap()).unwrap()
    }

    fn root() -> Builder {
        Builder::new().acpi(0x0a03_41d0, 0)
    }

    #[test]
    fn a_partition_is_found_by_its_signature_wherever_it_lies() {
        let short = || hard_drive(Builder::new(), 1, 2048, 7, 2).file_path("a.efi");
        let whole = hard_drive(root(), 1, 4096, 7, 2).file_path("a.efi").finish().unwrap();
        assert_eq!(expand(short(), hard_drive(root(), 1, 4096, 7, 2)), Some(whole));
        for (number, signature, kind) in [(2, 7, 2), (1, 8, 2), (1, 7, 1)] {
            assert_eq!(expand(short(), hard_drive(root(), number, 2048, signature, kind)), None);
        }
        assert_eq!(expand(short(), root()), None);
    }

    #[test]
    fn a_partition_without_signature_is_on_no_device() {
        let short = hard_drive(Builder::new(), 1, 2048, 0, 0).file_path("a.efi");
        assert_eq!(expand(short, hard_drive(root(), 1, 2048, 0, 0)), None);
    }

    #[test]
    fn a_file_is_looked_for_on_every_device() {
        let whole = root().file_path("a.efi").finish().unwrap();
        assert_eq!(expand(Builder::new().file_path("a.efi"), root()), Some(whole));
    }

    #[test]
    fn whole_paths_are_no_short_form() {
        let path = root().file_path("a.efi").finish().unwrap();
        assert_eq!(ShortForm::of(DevicePath::parse(&path).unwrap()), None);
    }
}
