//! The rules one by one, and long random runs against a model that is as simple as can be.

use super::*;

const NV: u32 = efi::VARIABLE_NON_VOLATILE;
const BS: u32 = efi::VARIABLE_BOOTSERVICE_ACCESS;
const RT: u32 = efi::VARIABLE_RUNTIME_ACCESS;
const HR: u32 = efi::VARIABLE_HARDWARE_ERROR_RECORD;
const APPEND: u32 = efi::VARIABLE_APPEND_WRITE;
const COUNTED: u32 = efi::VARIABLE_AUTHENTICATED_WRITE_ACCESS;
const TIME_BASED: u32 = efi::VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS;
const ENHANCED: u32 = efi::VARIABLE_ENHANCED_AUTHENTICATED_ACCESS;
const ALL: u32 = NV | BS | RT | HR | COUNTED | TIME_BASED | APPEND | ENHANCED;
const DATABASE: Guid =
    Guid::from_fields(0xd719_b2cb, 0x3d3a, 0x4596, 0xa3, 0xbc, &[0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f]);
const VENDOR: Guid = Guid::from_fields(1, 2, 3, 4, 5, &[6; 6]);
const OTHER: Guid = Guid::from_fields(1, 2, 3, 4, 5, &[7; 6]);

fn name(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

struct Machine {
    bytes: Vec<u8>,
    used: usize,
    phase: Phase,
    reserve: usize,
}

impl Machine {
    fn new(capacity: usize) -> Self {
        Self { bytes: vec![0xa5; capacity], used: 0, phase: Phase::Boot, reserve: 0 }
    }

    fn variables(&mut self) -> Variables<'_> {
        Variables::new(Store::new(&mut self.bytes, &mut self.used), self.phase).with_reserve(self.reserve)
    }

    fn set(&mut self, text: &str, attributes: u32, data: &[u8]) -> Result<(), Error> {
        self.variables().set(&name(text), &VENDOR, attributes, data)
    }

    fn get(&mut self, text: &str) -> Result<(u32, Vec<u8>), Error> {
        self.variables().get(&name(text), &VENDOR).map(|(attributes, data)| (attributes, data.to_vec()))
    }

    fn names(&mut self) -> Vec<(Vec<u8>, Guid)> {
        let variables = self.variables();
        let mut names: Vec<(Vec<u8>, Guid)> = Vec::new();
        let mut at = (Vec::new(), VENDOR);
        while let Ok((name, guid)) = variables.next(&at.0, &at.1) {
            at = (name.to_vec(), guid);
            names.push(at.clone());
        }
        assert_eq!(variables.next(&at.0, &at.1), Err(Error::NotFound));
        names
    }
}

#[test]
fn a_variable_is_what_was_set_last() {
    let mut machine = Machine::new(4096);
    assert_eq!(machine.get("A"), Err(Error::NotFound));
    assert_eq!(machine.set("A", BS, b"one"), Ok(()));
    assert_eq!(machine.set("B", NV | BS | RT, b"other"), Ok(()));
    assert_eq!(machine.set("A", BS, b"longer"), Ok(()));
    assert_eq!(machine.get("A"), Ok((BS, b"longer".to_vec())));
    assert_eq!(machine.set("A", BS, b"s"), Ok(()));
    assert_eq!(machine.get("A"), Ok((BS, b"s".to_vec())));
    assert_eq!(machine.get("B"), Ok((NV | BS | RT, b"other".to_vec())));
    assert_eq!(machine.get("a"), Err(Error::NotFound));
    assert!(machine.variables().get(&name("A"), &OTHER).is_err());
    assert_eq!(machine.names(), [(name("A"), VENDOR), (name("B"), VENDOR)]);
}

#[test]
fn attributes_of_an_existing_variable_cannot_change() {
    let mut machine = Machine::new(4096);
    assert_eq!(machine.set("A", NV | BS, b"1"), Ok(()));
    for attributes in [BS, BS | RT, NV | BS | RT] {
        assert_eq!(machine.set("A", attributes, b"2"), Err(Error::InvalidParameter));
        assert_eq!(machine.set("A", attributes, b""), Err(Error::InvalidParameter));
    }
    assert_eq!(machine.get("A"), Ok((NV | BS, b"1".to_vec())));
}

#[test]
fn deleting() {
    let mut machine = Machine::new(4096);
    for (attributes, data) in [(NV | BS, &b""[..]), (0, b""), (0, b"x"), (NV, b"x"), (APPEND, b"x")] {
        assert_eq!(machine.set("A", attributes, data), Err(Error::NotFound));
        assert_eq!(machine.set("A", NV | BS, b"1"), Ok(()));
        assert_eq!(machine.set("A", attributes, data), Ok(()));
        assert_eq!(machine.get("A"), Err(Error::NotFound));
    }
    assert_eq!(machine.used, 0);
}

#[test]
fn appending() {
    let mut machine = Machine::new(4096);
    assert_eq!(machine.set("A", BS | APPEND, b""), Ok(()));
    assert_eq!(machine.get("A"), Err(Error::NotFound));
    assert_eq!(machine.set("A", BS | APPEND, b"ab"), Ok(()));
    assert_eq!(machine.set("B", BS, b"keep"), Ok(()));
    assert_eq!(machine.set("A", BS | APPEND, b"cd"), Ok(()));
    assert_eq!(machine.set("A", BS | APPEND, b""), Ok(()));
    assert_eq!(machine.get("A"), Ok((BS, b"abcd".to_vec())));
    assert_eq!(machine.set("A", NV | BS | APPEND, b"e"), Err(Error::InvalidParameter));
    assert_eq!(machine.get("B"), Ok((BS, b"keep".to_vec())));
}

#[test]
fn attributes_that_cannot_be() {
    let mut machine = Machine::new(4096);
    let mut set = |attributes| machine.set("A", attributes, b"1");
    assert_eq!(set(RT), Err(Error::InvalidParameter));
    assert_eq!(set(NV | RT), Err(Error::InvalidParameter));
    assert_eq!(set(BS | 0x100), Err(Error::InvalidParameter));
    assert_eq!(set(BS | 0x8000_0000), Err(Error::InvalidParameter));
    assert_eq!(set(BS | COUNTED), Err(Error::Unsupported));
    assert_eq!(set(BS | COUNTED | TIME_BASED), Err(Error::Unsupported));
    assert_eq!(set(BS | ENHANCED), Err(Error::Unsupported));
    assert_eq!(set(NV | BS | TIME_BASED | ENHANCED), Err(Error::InvalidParameter));
    assert_eq!(set(NV | BS | TIME_BASED), Err(Error::SecurityViolation));
    assert_eq!(set(NV | BS | RT | HR), Err(Error::InvalidParameter));
    assert_eq!(machine.set("", BS, b"1"), Err(Error::InvalidParameter));
    assert_eq!(machine.used, 0);
}

#[test]
fn hardware_error_records() {
    let mut machine = Machine::new(4096);
    let vendor = efi::HARDWARE_ERROR_VARIABLE_GUID;
    let mut set = |text: &str, attributes| machine.variables().set(&name(text), &vendor, attributes, b"1");
    assert_eq!(set("HwErrRec00aF", NV | BS | RT | HR), Ok(()));
    for attributes in [BS | RT | HR, NV | BS | HR, NV | HR, HR] {
        assert_eq!(set("HwErrRec0001", attributes), Err(Error::InvalidParameter));
    }
    for text in ["HwErrRec001", "HwErrRec00001", "HwErrRec000g", "hwErrRec0001"] {
        assert_eq!(set(text, NV | BS | RT | HR), Err(Error::InvalidParameter), "{text}");
    }
    assert_eq!(set("HwErrRec00aF", 0), Ok(()));
}

#[test]
fn after_boot_services() {
    let mut machine = Machine::new(4096);
    machine.set("Boot", NV | BS, b"1").unwrap();
    machine.set("Volatile", BS | RT, b"2").unwrap();
    machine.set("Kept", NV | BS | RT, b"3").unwrap();
    machine.phase = Phase::Runtime;

    assert_eq!(machine.get("Boot"), Err(Error::NotFound));
    assert_eq!(machine.set("Boot", 0, b""), Err(Error::NotFound));
    assert_eq!(machine.set("Boot", NV | BS | RT, b""), Err(Error::NotFound));
    assert_eq!(machine.set("Boot", NV | BS | RT, b"x"), Err(Error::InvalidParameter));
    assert_eq!(machine.set("Boot", NV | BS, b"x"), Err(Error::InvalidParameter));
    assert_eq!(machine.variables().next(&name("Boot"), &VENDOR), Err(Error::InvalidParameter));

    assert_eq!(machine.get("Volatile"), Ok((BS | RT, b"2".to_vec())));
    assert_eq!(machine.set("Volatile", BS | RT, b"x"), Err(Error::WriteProtected));
    assert_eq!(machine.set("Volatile", BS | RT | APPEND, b"x"), Err(Error::WriteProtected));
    assert_eq!(machine.set("Volatile", 0, b""), Err(Error::WriteProtected));

    assert_eq!(machine.set("Kept", NV | BS | RT | APPEND, b"4"), Ok(()));
    assert_eq!(machine.get("Kept"), Ok((NV | BS | RT, b"34".to_vec())));
    assert_eq!(machine.names(), [(name("Volatile"), VENDOR), (name("Kept"), VENDOR)]);
    assert_eq!(machine.set("Kept", NV | BS | RT, b""), Ok(()));

    assert_eq!(machine.set("New", NV | BS, b"x"), Err(Error::InvalidParameter));
    assert_eq!(machine.set("New", BS | RT, b"x"), Err(Error::InvalidParameter));
    assert_eq!(machine.set("New", NV | BS | RT, b"x"), Ok(()));

    machine.phase = Phase::Boot;
    assert_eq!(machine.get("Boot"), Ok((NV | BS, b"1".to_vec())));
}

#[test]
fn enumeration_needs_a_name_that_exists() {
    let mut machine = Machine::new(4096);
    assert_eq!(machine.variables().next(&[], &VENDOR), Err(Error::NotFound));
    machine.set("A", BS, b"1").unwrap();
    let variables = machine.variables();
    assert_eq!(variables.next(&[], &OTHER), Ok((&name("A")[..], VENDOR)));
    assert_eq!(variables.next(&name("B"), &VENDOR), Err(Error::InvalidParameter));
    assert_eq!(variables.next(&name("A"), &OTHER), Err(Error::InvalidParameter));
    assert_eq!(variables.next(&name("A"), &VENDOR), Err(Error::NotFound));
}

#[test]
fn a_write_that_does_not_fit_changes_nothing() {
    let mut machine = Machine::new(100);
    machine.set("A", BS, &[1; 10]).unwrap();
    machine.set("B", BS, &[2; 10]).unwrap();
    assert_eq!(machine.used, 80);
    assert_eq!(machine.set("A", BS, &[3; 31]), Err(Error::OutOfResources));
    assert_eq!(machine.set("A", BS | APPEND, &[3; 21]), Err(Error::OutOfResources));
    assert_eq!(machine.set("C", BS, &[]), Err(Error::NotFound));
    assert_eq!(machine.set("C", BS, &[3]), Err(Error::OutOfResources));
    assert_eq!(machine.get("A"), Ok((BS, vec![1; 10])));
    assert_eq!(machine.get("B"), Ok((BS, vec![2; 10])));
    assert_eq!(machine.set("A", BS, &[3; 30]), Ok(()));
    assert_eq!(machine.variables().query(BS).unwrap().remaining_storage, 0);
    assert_eq!(machine.set("A", BS, &[4]), Ok(()));
    assert_eq!(machine.get("B"), Ok((BS, vec![2; 10])));
}

#[test]
fn what_lasts_leaves_room_for_what_the_next_boot_tells() {
    let mut machine = Machine::new(200);
    machine.reserve = 60;
    assert_eq!(machine.set("A", PERSISTENT, &[1; 111]), Err(Error::OutOfResources));
    assert_eq!(machine.set("A", PERSISTENT, &[1; 100]), Ok(()));
    assert_eq!(machine.set("A", PERSISTENT | APPEND, &[2; 11]), Err(Error::OutOfResources));
    let info = Info { maximum_storage: 140, remaining_storage: 10, maximum_variable: 0 };
    assert_eq!(machine.variables().query(PERSISTENT), Ok(info));
    assert_eq!(machine.set("A", PERSISTENT | APPEND, &[2; 10]), Ok(()));
    assert_eq!(machine.set("V", BS, &[3; 30]), Ok(()));
    // The room is taken: what lasts may shrink, not grow.
    assert_eq!(machine.set("A", PERSISTENT, &[4; 110]), Ok(()));
    assert_eq!(machine.set("A", PERSISTENT | APPEND, &[5]), Err(Error::OutOfResources));
    assert_eq!(machine.variables().query(PERSISTENT).unwrap().maximum_storage, 140);
    machine.variables().outlive_reset();
    assert_eq!(machine.names(), [(name("A"), VENDOR)]);
    // Nor is what the firmware creates there let in, if it lasts.
    machine.variables().create_defaults(true);
    machine.variables().outlive_reset();
    assert_eq!(machine.names(), [(name("A"), VENDOR)]);
    // No SetVariable() leaves less than the reserve.
    machine.reserve = 61;
    machine.variables().outlive_reset();
    assert_eq!(machine.names(), []);
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and about numbers only")]
fn one_variable_has_a_limit() {
    let mut machine = Machine::new(3 * MAX_VARIABLE_SIZE);
    let limit = MAX_VARIABLE_SIZE - 2;
    assert_eq!(machine.set("A", BS, &vec![1; limit + 1]), Err(Error::InvalidParameter));
    assert_eq!(machine.set("A", BS, &vec![1; limit - 1]), Ok(()));
    assert_eq!(machine.set("A", BS | APPEND, &[1]), Ok(()));
    assert_eq!(machine.set("A", BS | APPEND, &[1]), Err(Error::OutOfResources));
}

#[test]
fn info_is_told_for_attributes_that_can_be() {
    let mut machine = Machine::new(1000);
    machine.set("A", BS, &[1; 70]).unwrap();
    let info = Info { maximum_storage: 1000, remaining_storage: 900, maximum_variable: 872 };
    for attributes in [BS, NV | BS, BS | RT, NV | BS | RT, NV | BS | RT | HR, BS | APPEND] {
        assert_eq!(machine.variables().query(attributes), Ok(info));
    }
    for attributes in [0, NV, RT, NV | RT, APPEND, HR, NV | BS | HR, BS | 0x100] {
        assert_eq!(machine.variables().query(attributes), Err(Error::InvalidParameter));
    }
    // What is unsupported counts for more than what is invalid.
    for attributes in [NV | BS | TIME_BASED, RT | TIME_BASED, RT | COUNTED, COUNTED | 0x100, NV | ENHANCED, ALL] {
        assert_eq!(machine.variables().query(attributes), Err(Error::Unsupported), "{attributes:#x}");
    }
    machine.phase = Phase::Runtime;
    assert_eq!(machine.variables().query(NV | BS), Err(Error::InvalidParameter));
    assert_eq!(machine.variables().query(NV | BS | RT), Ok(info));
    let mut large = Machine::new(3 * MAX_VARIABLE_SIZE);
    assert_eq!(large.variables().query(BS).unwrap().maximum_variable, 0x1_0000);
}

#[test]
fn the_firmware_alone_writes_what_tells_about_it() {
    let mut machine = Machine::new(4096);
    let mut variables = machine.variables();
    variables.create_defaults(true);
    let global = efi::GLOBAL_VARIABLE;
    assert_eq!(variables.get(&name("SetupMode"), &global), Ok((BS | RT, &[1][..])));
    assert_eq!(variables.get(&name("SecureBoot"), &global), Ok((BS | RT, &[0][..])));
    assert_eq!(variables.get(&name("PlatformLang"), &global), Ok((NV | BS | RT, &b"en\0"[..])));
    for text in ["SetupMode", "SecureBoot", "PlatformLangCodes", "dbxDefault", "OsIndicationsSupported"] {
        for (attributes, data) in [(BS | RT, &b"x"[..]), (BS | RT, b""), (0, b"")] {
            assert_eq!(variables.set(&name(text), &global, attributes, data), Err(Error::WriteProtected));
        }
        assert_eq!(variables.set(&name(text), &VENDOR, BS, b"x"), Ok(()));
    }
    assert_eq!(variables.set(&name("PlatformLang"), &global, NV | BS | RT, b"de\0"), Ok(()));
    assert_eq!(variables.set(&name("db"), &VENDOR, BS, b"x"), Ok(()));
}

/// They are not made without their attributes (UEFI 2.11, section 8.2.2), nor with, nor are there any to delete.
#[test]
fn secure_boot_policy_cannot_be_set() {
    let mut machine = Machine::new(4096);
    let mut variables = machine.variables();
    let global = efi::GLOBAL_VARIABLE;
    let names = ["PK", "KEK", "OsRecoveryOrder"].map(|text| (text, global)).into_iter();
    let names = names.chain(["db", "dbx", "dbt", "dbr"].map(|text| (text, DATABASE)));
    for (text, vendor) in names.chain([("OsRecovery00A0", VENDOR)]) {
        for data in [&b"x"[..], &descriptor(&signed_data(&SHA256, false))] {
            let mut set = |attributes| variables.set(&name(text), &vendor, attributes, data);
            for attributes in [BS | RT, NV | BS | RT, NV | BS | RT | APPEND, BS | TIME_BASED, NV | BS | TIME_BASED] {
                assert_eq!(set(attributes), Err(Error::InvalidParameter), "{text} {attributes:#x}");
            }
            assert_eq!(set(NV | BS | RT | TIME_BASED), Err(Error::SecurityViolation), "{text}");
            assert_eq!(set(NV | BS | RT | TIME_BASED | APPEND), Err(Error::SecurityViolation), "{text}");
            assert_eq!(set(0), Err(Error::NotFound), "{text}");
        }
    }
    // Nor does the attribute let in what the tables of the specification have without it, or not at all.
    for text in ["BootOrder", "Boot0000", "BootCurrent", "NewGlobal", "db"] {
        let refused = variables.set(&name(text), &global, NV | BS | RT | TIME_BASED, b"x");
        assert_eq!(refused, Err(Error::InvalidParameter), "{text}");
    }
    assert_eq!(machine.used, 0);
}

#[test]
fn vendors_of_the_specification_have_its_variables_only() {
    let mut machine = Machine::new(8192);
    let mut variables = machine.variables();
    let global = efi::GLOBAL_VARIABLE;
    let persistent = [
        "BootOrder",
        "BootNext",
        "Boot0000",
        "BootFFFF",
        "DriverOrder",
        "Driver00A0",
        "SysPrepOrder",
        "SysPrep0001",
        "Key0000",
        "Timeout",
        "OsIndications",
        "PlatformLang",
        "ConIn",
        "ConOut",
        "ErrOut",
    ];
    for text in persistent {
        for attributes in [BS, NV | BS, BS | RT] {
            let refused = variables.set(&name(text), &global, attributes, b"x");
            assert_eq!(refused, Err(Error::InvalidParameter), "{text}");
        }
        assert_eq!(variables.set(&name(text), &global, NV | BS | RT, b"x"), Ok(()), "{text}");
        assert_eq!(variables.set(&name(text), &global, NV | BS | RT | APPEND, b"y"), Ok(()), "{text}");
        assert_eq!(variables.set(&name(text), &global, 0, b""), Ok(()), "{text}");
    }
    for text in ["BootCurrent", "ConInDev", "ConOutDev", "ErrOutDev"] {
        assert_eq!(variables.set(&name(text), &global, NV | BS | RT, b"x"), Err(Error::InvalidParameter), "{text}");
        assert_eq!(variables.set(&name(text), &global, BS | RT, b"x"), Ok(()), "{text}");
    }
    for text in ["SetupMode2", "Setu", "Boot", "Boot000", "Boot00000", "Boot00a0", "Boot000G", "boot0000", "db", "0000"]
    {
        for attributes in [BS | RT, NV | BS | RT, NV | BS | RT | APPEND] {
            let refused = variables.set(&name(text), &global, attributes, b"x");
            assert_eq!(refused, Err(Error::InvalidParameter), "{text}");
        }
        assert_eq!(variables.set(&name(text), &global, NV | BS | RT, b""), Err(Error::NotFound), "{text}");
    }
    for (text, guid) in [("PlatformRecovery0000", &global), ("AuditMode", &global), ("DeployedMode", &global)] {
        assert_eq!(variables.set(&name(text), guid, BS | RT, b"x"), Err(Error::WriteProtected), "{text}");
    }
    assert_eq!(variables.set(&name("dby"), &DATABASE, NV | BS | RT, b"x"), Err(Error::InvalidParameter));
    let record = efi::HARDWARE_ERROR_VARIABLE_GUID;
    assert_eq!(variables.set(&name("HwErrRec0000"), &record, NV | BS | RT, b"x"), Err(Error::InvalidParameter));
}

/// A DER element of this tag.
fn der(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    let length = content.len().to_be_bytes();
    let length: &[u8] = match content.len() {
        0..0x80 => &length[7..],
        0x80..0x100 => &[0x81, length[7]],
        _ => &[0x82, length[6], length[7]],
    };
    [&[tag], length, &content].concat()
}

const SHA256: [u8; 9] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 1];

/// SignedData of PKCS #7 with this digest algorithm, without and with a ContentInfo around it.
fn signed_data(digest: &[u8], in_content: bool) -> Vec<u8> {
    let algorithms = der(0x31, &[&der(0x30, &[&der(0x06, &[digest]), &[5, 0]])]);
    let data = der(0x30, &[&der(0x06, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01]])]);
    let certificates = der(0xa0, &[&[0x5a; 300]]);
    let signed = der(0x30, &[&[0x02, 1, 1], &algorithms, &data, &certificates, &der(0x31, &[])]);
    match in_content {
        false => signed,
        true => {
            let kind = der(0x06, &[&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02]]);
            der(0x30, &[&kind, &der(0xa0, &[&signed])])
        }
    }
}

/// EFI_VARIABLE_AUTHENTICATION_2 with this certificate.
fn descriptor(certificate: &[u8]) -> Vec<u8> {
    let mut descriptor = vec![0xea, 0x07, 11, 25, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    descriptor.extend((24 + certificate.len() as u32).to_le_bytes());
    descriptor.extend([0x00, 0x02, 0xf1, 0x0e]);
    descriptor.extend([0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65, 0xa7]);
    [&descriptor, certificate].concat()
}

#[test]
#[cfg_attr(miri, ignore = "slow there, and about values only")]
fn no_authentication_descriptor_passes() {
    let mut machine = Machine::new(4096);
    let mut refusal = |data: &[u8]| {
        let told = machine.set("Signed", NV | BS | TIME_BASED, data);
        for attributes in [NV | BS | RT | TIME_BASED, NV | BS | TIME_BASED | APPEND, TIME_BASED] {
            assert_eq!(machine.set("Signed", attributes, data), told);
        }
        assert_eq!(machine.set("Signed", NV | BS | RT | COUNTED, data), Err(Error::Unsupported));
        assert_eq!(machine.set("Signed", NV | BS | RT | ENHANCED, data), Err(Error::Unsupported));
        assert_eq!(machine.used, 0);
        told.unwrap_err()
    };
    let with_value = |certificate: &[u8]| [descriptor(certificate), b"value".to_vec()].concat();
    for in_content in [false, true] {
        // SHA-256 and its like are taken by firmware that can verify; SHA-1, SHA-224 and MD5 by none.
        for last in 1..=3 {
            let digest = [&SHA256[..8], &[last]].concat();
            assert_eq!(refusal(&with_value(&signed_data(&digest, in_content))), Error::SecurityViolation);
            // Without a value, as one that deletes.
            assert_eq!(refusal(&descriptor(&signed_data(&digest, in_content))), Error::SecurityViolation);
        }
        let sha224 = [&SHA256[..8], &[4]].concat();
        let rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 1, 1];
        for other in [&sha224[..], &[0x2b, 14, 3, 2, 26], &[0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 2, 5], &rsa, &[]] {
            let certificate = signed_data(other, in_content);
            let whole = with_value(&certificate);
            assert_eq!(refusal(&whole), Error::InvalidParameter);
            // Which is told of a descriptor that is whole, up to the algorithm: Pad1, Nanosecond, TimeZone, Daylight,
            // Pad2, dwLength, wRevision, wCertificateType, CertType, and each element with its length.
            let signed = if in_content { 59 } else { 40 };
            let content = if in_content { &[40, 41, 44, 45, 46, 54, 55, 56][..] } else { &[] };
            let signed = [0, 1, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(|at| signed + at);
            for at in (7..16).chain(17..40).chain(content.iter().copied()).chain(signed) {
                for wrong in [0xff, 0x80] {
                    let mut changed = whole.clone();
                    changed[at] = wrong;
                    assert_eq!(refusal(&changed), Error::SecurityViolation, "{at} of {changed:x?}");
                }
            }
            for length in 0..descriptor(&certificate).len() {
                assert_eq!(refusal(&whole[..length]), Error::SecurityViolation, "{length}");
            }
            // dwLength ends before the certificate does, or in front of it.
            for length in [0, 8, 23, 24, 30] {
                let mut changed = whole.clone();
                changed[16..20].copy_from_slice(&u32::to_le_bytes(length));
                assert_eq!(refusal(&changed), Error::SecurityViolation, "{length}");
            }
        }
    }
    for data in [&[][..], &[0; 64], &descriptor(&[]), &descriptor(&[0x30, 0x80, 0, 0]), &descriptor(&[0x30, 0x85])] {
        assert_eq!(refusal(data), Error::SecurityViolation);
    }
}

#[test]
fn a_descriptor_changes_no_variable_that_was_made_without() {
    let mut machine = Machine::new(4096);
    machine.set("Plain", NV | BS | RT, b"1").unwrap();
    for data in [&b""[..], b"2", &descriptor(&signed_data(&SHA256, false))] {
        for attributes in [NV | BS | RT | TIME_BASED, NV | BS | RT | TIME_BASED | APPEND, TIME_BASED] {
            assert_eq!(machine.set("Plain", attributes, data), Err(Error::InvalidParameter));
        }
    }
    assert_eq!(machine.get("Plain"), Ok((NV | BS | RT, b"1".to_vec())));
}

/// The same rules told another way: a list, and one decision after the other.
#[derive(Default)]
struct Model {
    list: Vec<(Vec<u8>, Guid, u32, Vec<u8>)>,
}

impl Model {
    fn used(&self) -> usize {
        self.list.iter().map(|(name, _, _, data)| 28 + name.len() + data.len()).sum()
    }

    fn set(
        &mut self,
        capacity: usize,
        phase: Phase,
        (name, guid): (&[u8], Guid),
        attributes: u32,
        data: &[u8],
    ) -> Result<(), Error> {
        let bit = |bit: u32| attributes & bit != 0;
        if name.is_empty() || attributes >= 0x100 || bit(RT) && !bit(BS) {
            return Err(Error::InvalidParameter);
        }
        if bit(0x20) && bit(0x80) || bit(HR) && attributes & 7 != 7 {
            return Err(Error::InvalidParameter);
        }
        if bit(0x10) || bit(0x80) {
            return Err(Error::Unsupported);
        }
        if bit(HR) {
            // None of the names used here is that of a record.
            return Err(Error::InvalidParameter);
        }
        if name.len() + data.len() > 65536 {
            return Err(Error::InvalidParameter);
        }
        let deletes = !bit(BS) || data.is_empty() && !bit(APPEND);
        let index = self.list.iter().position(|(n, g, _, _)| n == name && *g == guid);
        let kept = attributes & !APPEND;
        if bit(0x20) {
            return match (index, phase) {
                (None, Phase::Boot) => Err(Error::SecurityViolation),
                (None, Phase::Runtime) if attributes & 7 == 7 => Err(Error::SecurityViolation),
                _ => Err(Error::InvalidParameter),
            };
        }
        let Some(index) = index else {
            if deletes {
                return Err(Error::NotFound);
            }
            if phase == Phase::Runtime && kept != (NV | BS | RT) {
                return Err(Error::InvalidParameter);
            }
            if data.is_empty() {
                return Ok(());
            }
            if self.used() + 28 + name.len() + data.len() > capacity {
                return Err(Error::OutOfResources);
            }
            self.list.push((name.to_vec(), guid, kept, data.to_vec()));
            return Ok(());
        };
        let has = self.list[index].2;
        if phase == Phase::Runtime {
            match (has & RT != 0, has & NV != 0, deletes) {
                (false, _, true) => return Err(Error::NotFound),
                (false, _, false) => return Err(Error::InvalidParameter),
                (true, false, _) => return Err(Error::WriteProtected),
                (true, true, _) => {}
            }
        }
        if bit(BS) && kept != has {
            return Err(Error::InvalidParameter);
        }
        if deletes {
            self.list.remove(index);
            return Ok(());
        }
        let mut value = if bit(APPEND) { self.list[index].3.clone() } else { Vec::new() };
        let before = self.list[index].3.len();
        value.extend_from_slice(data);
        if name.len() + value.len() > 65536 || self.used() - before + value.len() > capacity {
            return Err(Error::OutOfResources);
        }
        self.list[index].3 = value;
        Ok(())
    }
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % limit
    }
}

#[test]
fn random_streams_agree_with_the_model() {
    let (runs, steps) = if cfg!(miri) { (2, 25) } else { (30, 1500) };
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seen = std::collections::BTreeMap::new();
    for run in 0..runs {
        let capacity = [300, 1000, 140_000][run % 3];
        let mut machine = Machine::new(capacity);
        let mut model = Model::default();
        for step in 0..steps {
            machine.phase = if step * 2 < steps { Phase::Boot } else { Phase::Runtime };
            let name =
                name(["A", "B", "a", "AB", "Longer", ""][usize::try_from(random.below(40).min(24) / 5).unwrap()]);
            let guid = if random.below(4) == 0 { OTHER } else { VENDOR };
            let attributes = match random.below(12) {
                0 => u32::try_from(random.below(0x200)).unwrap(),
                1 => 0,
                2 | 3 => NV | BS,
                4 => BS | RT,
                5..8 => NV | BS | RT | APPEND,
                _ => NV | BS | RT,
            };
            let longest =
                [1, 8, 60, if capacity > 1000 { 70_000 } else { 400 }][usize::try_from(random.below(4)).unwrap()];
            let data: Vec<u8> = (0..random.below(longest)).map(|at| (at ^ random.0) as u8).collect();

            let result = machine.variables().set(&name, &guid, attributes, &data);
            let expected = model.set(capacity, machine.phase, (&name, guid), attributes, &data);
            assert_eq!(result, expected, "run {run} step {step} {attributes:#x} {}", data.len());
            *seen.entry(format!("{result:?}")).or_insert(0) += 1;

            assert_eq!(machine.used, model.used());
            let shown: Vec<_> = model
                .list
                .iter()
                .filter(|(_, _, attributes, _)| machine.phase == Phase::Boot || attributes & RT != 0)
                .map(|(name, guid, _, _)| (name.clone(), *guid))
                .collect();
            assert_eq!(machine.names(), shown);
            let variables = machine.variables();
            for (name, guid, attributes, data) in &model.list {
                if shown.contains(&(name.clone(), *guid)) {
                    assert_eq!(variables.get(name, guid), Ok((*attributes, &data[..])));
                } else {
                    assert_eq!(variables.get(name, guid), Err(Error::NotFound));
                }
            }
        }
    }
    assert!(cfg!(miri) || seen.len() == 7, "not every outcome was reached: {seen:?}");
}

/// A store with these records, taken as they are.
fn store_of(records: &[(&[u8], Guid, u32, &[u8])]) -> Machine {
    let mut machine = Machine::new(4096);
    let mut store = Store::new(&mut machine.bytes, &mut machine.used);
    for (name, guid, attributes, data) in records {
        store.insert(name, guid, *attributes, data).unwrap();
    }
    machine
}

fn after_reset(mut machine: Machine) -> Machine {
    machine.phase = Phase::Boot;
    machine.variables().outlive_reset();
    machine
}

#[test]
fn only_what_is_non_volatile_outlives_a_reset() {
    let mut machine = Machine::new(4096);
    machine.variables().create_defaults(true);
    machine.set("Gone", BS | RT, b"1").unwrap();
    machine.set("Kept", NV | BS | RT, b"23").unwrap();
    machine.set("Private", NV | BS, b"4").unwrap();
    machine.set("Gone too", BS, b"5").unwrap();
    let order = (name("BootOrder"), efi::GLOBAL_VARIABLE);
    machine.variables().set(&order.0, &order.1, NV | BS | RT, &[1, 0]).unwrap();
    machine.variables().set(&name("Timeout"), &efi::GLOBAL_VARIABLE, NV | BS | RT, &[7, 0]).unwrap();
    let mut machine = after_reset(machine);
    let names: Vec<_> = ["Timeout", "PlatformLang", "Kept", "Private", "BootOrder"].map(name).into();
    assert_eq!(machine.names().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), names);
    assert_eq!(machine.get("Kept"), Ok((NV | BS | RT, b"23".to_vec())));
    machine.variables().create_defaults(true);
    assert_eq!(machine.variables().get(&name("Timeout"), &efi::GLOBAL_VARIABLE), Ok((NV | BS | RT, &[7, 0][..])));
    assert!(machine.variables().get(&name("SecureBoot"), &efi::GLOBAL_VARIABLE).is_ok());
}

#[test]
fn a_store_with_what_nobody_can_set_is_dropped() {
    let (kept, nv) = (name("Kept"), NV | BS | RT);
    let good = (kept.as_slice(), VENDOR, nv, b"1".as_slice());
    let (odd, nul) = ([b'A', 0, b'B'], [b'A', 0, 0, 0]);
    let [secure_boot, pk, order, new, error] = ["SecureBoot", "PK", "BootOrder", "NewGlobal", "HwErrRec000G"].map(name);
    let long = vec![0; MAX_VARIABLE_SIZE];
    let bad: [(&[u8], Guid, u32, &[u8]); 14] = [
        (&[], VENDOR, nv, b"1"),
        (&odd, VENDOR, nv, b"1"),
        (&nul, VENDOR, nv, b"1"),
        (&kept, VENDOR, nv, b"2"),
        (&kept, OTHER, nv, b""),
        (&kept, OTHER, NV, b"1"),
        (&kept, OTHER, NV | RT, b"1"),
        (&kept, OTHER, nv | APPEND, b"1"),
        (&kept, OTHER, nv | TIME_BASED, b"1"),
        (&kept, OTHER, nv | 0x8000_0000, b"1"),
        (&secure_boot, efi::GLOBAL_VARIABLE, nv, b"\x01"),
        (&pk, efi::GLOBAL_VARIABLE, nv, b"1"),
        (&new, efi::GLOBAL_VARIABLE, nv, b"1"),
        (&order, efi::GLOBAL_VARIABLE, NV | BS, b"1"),
    ];
    assert_eq!(after_reset(store_of(&[good])).names(), [(kept.clone(), VENDOR)]);
    for record in bad {
        assert_eq!(after_reset(store_of(&[good, record])).names(), [], "{record:?}");
        assert_eq!(after_reset(store_of(&[record])).names().len(), usize::from(record.1 == VENDOR && record.3 == b"2"));
    }
    let hardware = (error.as_slice(), efi::HARDWARE_ERROR_VARIABLE_GUID, nv | HR, b"1".as_slice());
    assert_eq!(after_reset(store_of(&[good, hardware])).names(), []);
    let mut large = Machine::new(3 * MAX_VARIABLE_SIZE);
    Store::new(&mut large.bytes, &mut large.used).insert(&kept, &VENDOR, nv, &long).unwrap();
    assert_eq!(after_reset(large).names(), []);
    // What lies behind the last variable is none.
    for extra in [1, RECORD_OVERHEAD, 64] {
        let mut machine = store_of(&[good]);
        machine.used += extra;
        assert_eq!(after_reset(machine).names(), [], "{extra}");
    }
}

/// Whatever a store becomes in between, what outlives a reset is a store that could have been made.
#[test]
fn damage_between_two_boots_leaves_a_whole_store() {
    let mut random = 0x5eed_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let rounds = if cfg!(miri) { 30 } else { 20_000 };
    let (mut kept, mut dropped) = (0, 0);
    for _ in 0..rounds {
        let mut machine = Machine::new(512);
        machine.set("A", NV | BS | RT, b"1").unwrap();
        machine.set("B", BS, b"22").unwrap();
        machine.set("Long name", NV | BS, b"333").unwrap();
        for _ in 0..1 + next() % 4 {
            let at = next() % machine.used;
            machine.bytes[at] = next() as u8;
        }
        let mut machine = after_reset(machine);
        let names = machine.names();
        let mut again = Machine::new(512);
        for (name, guid) in &names {
            let (attributes, data) = machine.variables().get(name, guid).map(|(a, d)| (a, d.to_vec())).unwrap();
            assert_ne!(attributes & NV, 0);
            again.variables().set(name, guid, attributes, &data).unwrap();
        }
        assert_eq!(again.names(), names);
        *if names.is_empty() { &mut dropped } else { &mut kept } += 1;
    }
    assert!(kept > 0 && dropped > 0, "{kept} kept, {dropped} dropped");
}
