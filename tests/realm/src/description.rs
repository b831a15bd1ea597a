//! Events in words. Their data comes from the realm and whoever runs in it, and may be anything: what does not have its
//! event's form is told of by its length, and nothing told is a control character.

use formats::device_path::{DevicePath, MEDIA_FILE_PATH, MEDIA_VENDOR, TYPE_MEDIA};
use measured::event_log::{EventType, Record};

/// The event in words, without its type.
pub fn description(record: &Record<'_>) -> String {
    let described = match record.event_type {
        EventType::SEPARATOR => Some("the line before the boot".to_owned()),
        EventType::EFI_BOOT_SERVICES_APPLICATION => image("EFI image", record.data),
        EventType::EFI_BOOT_SERVICES_DRIVER => image("EFI driver", record.data),
        EventType::EFI_RUNTIME_SERVICES_DRIVER => image("EFI runtime driver", record.data),
        EventType::EFI_GPT_EVENT => partitions(record.data),
        EventType::EFI_VARIABLE_BOOT | EventType::EFI_VARIABLE_BOOT2 => variable(record.data),
        // TCG_PCClientTaggedEvent: two words, then what Linux' EFI stub makes a string.
        EventType::EVENT_TAG => record.data.get(8..).map(|text| format!("EFI stub: {}", printable(text))),
        _ if record.data.len() <= MAX_TEXT => Some(printable(record.data)),
        _ => None,
    };
    described.unwrap_or_else(|| format!("{} bytes", record.data.len()))
}

/// Longer data is no text for a line.
const MAX_TEXT: usize = 512;

/// Takes a number of 64 bits, or of 32, from `data`.
fn number64(data: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*data.get(at..)?.first_chunk()?))
}

/// UEFI_IMAGE_LOAD_EVENT (TCG PC Client Platform Firmware Profile 1.05, section 10.2.3): where from, and how long.
fn image(kind: &str, data: &[u8]) -> Option<String> {
    let len = number64(data, 8)?;
    let path_len = usize::try_from(number64(data, 24)?).ok()?;
    let path = data.get(32..)?.get(..path_len)?;
    let nodes: Vec<_> = DevicePath::parse(path).into_iter().flat_map(DevicePath::nodes).collect();
    let media = |kind: u8| {
        let is = move |node: &&formats::device_path::Node<'_>| {
            node.header.kind == TYPE_MEDIA && node.header.sub_kind == kind
        };
        nodes.iter().filter(is)
    };
    let file: String = media(MEDIA_FILE_PATH).map(|node| printable(node.data())).collect();
    // The firmware's only vendor-defined media are what the VMM gives in fw_cfg.
    Some(match (media(MEDIA_VENDOR).next(), file.as_str()) {
        (_, "") => format!("{kind} of {len} bytes"),
        (Some(_), file) => format!("{kind}: the {file} in fw_cfg, {len} bytes"),
        (None, file) => format!("{kind}: {file}, {len} bytes"),
    })
}

/// UEFI_GPT_DATA (section 10.2.5): the header, the number of entries and the entries, with their names.
fn partitions(data: &[u8]) -> Option<String> {
    const NAME: usize = 56;
    let header_len = u32::from_le_bytes(*data.get(12..)?.first_chunk()?) as usize;
    let entry_len = u32::from_le_bytes(*data.get(84..)?.first_chunk()?) as usize;
    let count = number64(data, header_len)?;
    let entries = data.get(header_len.checked_add(8)?..)?.chunks(entry_len.max(NAME + 2));
    let names: Vec<_> = entries.filter_map(|entry| Some(printable(entry.get(NAME..)?))).collect();
    let named: Vec<_> = names.iter().filter(|name| !name.is_empty()).map(String::as_str).collect();
    let colon = if named.is_empty() { "" } else { ": " };
    Some(format!("GPT with {count} partitions{colon}{}", named.join(", ")))
}

/// UEFI_VARIABLE_DATA (section 10.2.6): the name.
fn variable(data: &[u8]) -> Option<String> {
    let len = usize::try_from(number64(data, 16)?.checked_mul(2)?).ok()?;
    let name = data.get(32..)?.get(..len)?;
    Some(format!("variable {}", printable(name)))
}

/// Text, of bytes or of UCS-2, whichever it is, up to its NUL.
fn printable(data: &[u8]) -> String {
    let (pairs, rest) = data.as_chunks::<2>();
    let is_wide = rest.is_empty() && !pairs.is_empty() && pairs.iter().all(|[_, high]| *high == 0);
    let text = if is_wide {
        let units: Vec<_> = pairs.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|unit| *unit != 0).collect();
        String::from_utf16_lossy(&units)
    } else {
        String::from_utf8_lossy(data).trim_end_matches('\0').to_owned()
    };
    text.chars().map(|char| if char.is_control() { '.' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use formats::device_path::Builder;
    use measured::measure::gpt_data;
    use measured::{Algorithm, Digest};

    use super::*;

    fn told(event_type: EventType, data: &[u8]) -> String {
        let digest = Digest::zero(Algorithm::Sha256);
        description(&Record { offset: 0, index: 1, event_type, digest, data })
    }

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn images_are_told_by_where_they_are_from() {
        let event = |path: &[u8]| {
            let numbers = [0_u64, 4096, 0, path.len() as u64].map(u64::to_le_bytes);
            [numbers.concat(), path.to_vec()].concat()
        };
        let kernel = Builder::new().vendor_media(&[7; 16]).file_path("kernel").finish().unwrap();
        let loader = Builder::new().file_path("/EFI/BOOT/BOOTAA64.EFI").finish().unwrap();
        let application = EventType::EFI_BOOT_SERVICES_APPLICATION;
        assert_eq!(told(application, &event(&kernel)), "EFI image: the kernel in fw_cfg, 4096 bytes");
        let loaded = told(EventType::EFI_BOOT_SERVICES_DRIVER, &event(&loader));
        assert_eq!(loaded, "EFI driver: \\EFI\\BOOT\\BOOTAA64.EFI, 4096 bytes");
        assert_eq!(told(application, &event(&[])), "EFI image of 4096 bytes");
        assert_eq!(told(application, &event(&loader)[..40]), "40 bytes");
    }

    #[test]
    fn partition_tables_are_told_by_the_names_of_their_partitions() {
        let mut header = [0; 92];
        header[12] = 92;
        header[84] = 128;
        let entry = |name: &str| {
            let mut entry = [0; 128];
            entry[56..56 + 2 * name.len() + 2].copy_from_slice(&wide(name));
            entry
        };
        let entries = [entry("EFI system"), entry(""), entry("root")];
        let data = gpt_data(&header, entries.iter().map(<[u8; 128]>::as_slice)).unwrap();
        assert_eq!(told(EventType::EFI_GPT_EVENT, &data), "GPT with 3 partitions: EFI system, root");
        assert_eq!(told(EventType::EFI_GPT_EVENT, &data[..50]), "50 bytes");
    }

    #[test]
    fn variables_are_told_by_their_names() {
        let name: Vec<u8> = "BootOrder".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let data = [&[1; 16], &9_u64.to_le_bytes()[..], &2_u64.to_le_bytes(), &name, &[0, 1]].concat();
        assert_eq!(told(EventType::EFI_VARIABLE_BOOT2, &data), "variable BootOrder");
        assert_eq!(told(EventType::EFI_VARIABLE_BOOT2, &data[..40]), "40 bytes");
    }

    #[test]
    fn text_is_of_bytes_or_of_ucs_2_and_never_moves_the_cursor() {
        assert_eq!(told(EventType::IPL, b"a\x1b[2J\0"), "a.[2J");
        assert_eq!(told(EventType::IPL, &wide(".linux")), ".linux");
        assert_eq!(
            told(EventType::EVENT_TAG, b"12345678LOADED_IMAGE::LoadOptions\0"),
            "EFI stub: LOADED_IMAGE::LoadOptions"
        );
        assert_eq!(told(EventType::IPL, &[b'x'; 1000]), "1000 bytes");
        assert_eq!(told(EventType::IPL, b""), "");
    }
}
