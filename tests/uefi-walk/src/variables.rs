//! Runtime services.

use uefi::runtime::{self, VariableAttributes, VariableVendor};
use uefi::{CStr16, Status, cstr16, guid};

use crate::report::{check, refused, works};

const VENDOR: VariableVendor = VariableVendor(guid!("6a3ef2d5-30b7-4bb1-9a53-0d1d8a5e3a0f"));
const NAME: &CStr16 = cstr16!("Walk");
const KEPT: &CStr16 = cstr16!("WalkKept");
const HIDDEN: &CStr16 = cstr16!("WalkHidden");
const BOOT: VariableAttributes = VariableAttributes::BOOTSERVICE_ACCESS;
const ALL: VariableAttributes = VariableAttributes::NON_VOLATILE.union(BOOT).union(VariableAttributes::RUNTIME_ACCESS);

fn is(name: &CStr16, value: &[u8]) -> bool {
    let mut buffer = [0; 32];
    runtime::get_variable(name, &VENDOR, &mut buffer).is_ok_and(|(data, _)| *data == *value)
}

pub fn walk() {
    works("set_variable", runtime::set_variable(NAME, &VENDOR, ALL, b"one"));
    check("get_variable", is(NAME, b"one"));
    let attributes = runtime::get_variable_boxed(NAME, &VENDOR).map(|(_, attributes)| attributes);
    check("get_variable: attributes", attributes.is_ok_and(|attributes| attributes == ALL));
    let append = ALL | VariableAttributes::APPEND_WRITE;
    works("set_variable: append", runtime::set_variable(NAME, &VENDOR, append, b"+two"));
    check("set_variable: appended", is(NAME, b"one+two"));
    let mut small = [0; 2];
    let result = runtime::get_variable(NAME, &VENDOR, &mut small);
    check("get_variable: tells the size", result.is_err_and(|error| *error.data() == Some(7)));
    let listed = runtime::variable_keys().flatten().filter(|key| *key.name == *NAME && key.vendor == VENDOR).count();
    check("variable_keys: once", listed == 1);
    refused(
        "set_variable: other attributes",
        runtime::set_variable(NAME, &VENDOR, BOOT, b"x"),
        Status::INVALID_PARAMETER,
    );
    works("delete_variable", runtime::delete_variable(NAME, &VENDOR));
    check("variable_exists", runtime::variable_exists(NAME, &VENDOR) == Ok(false));
    refused("delete_variable: again", runtime::delete_variable(NAME, &VENDOR), Status::NOT_FOUND);
    let info = works("query_variable_info", runtime::query_variable_info(ALL));
    check("query_variable_info: room", info.is_some_and(|info| info.remaining_variable_storage_size > 0));
    let signed = ALL | VariableAttributes::TIME_BASED_AUTHENTICATED_WRITE_ACCESS;
    refused("set_variable: signed", runtime::set_variable(NAME, &VENDOR, signed, &[0; 48]), Status::SECURITY_VIOLATION);
    let global = VariableVendor::GLOBAL_VARIABLE;
    for name in [cstr16!("SetupMode"), cstr16!("SecureBoot"), cstr16!("PlatformLangCodes")] {
        check("variable_exists: global", runtime::variable_exists(name, &global) == Ok(true));
        let written = runtime::set_variable(name, &global, BOOT | VariableAttributes::RUNTIME_ACCESS, b"x");
        refused("set_variable: read-only", written, Status::WRITE_PROTECTED);
    }
    if let Some(time) = works("get_time", runtime::get_time()) {
        check("get_time: is one", time.year() > 2000);
    }
    works("set_variable: to be kept", runtime::set_variable(KEPT, &VENDOR, ALL, b"kept"));
    works("set_variable: to be hidden", runtime::set_variable(HIDDEN, &VENDOR, BOOT, b"hidden"));
}

/// Whether runtime services are there after the end of boot services.
pub fn survive() -> bool {
    let mut buffer = [0; 8];
    is(KEPT, b"kept")
        && runtime::get_variable(HIDDEN, &VENDOR, &mut buffer).is_err_and(|e| e.status() == Status::NOT_FOUND)
        && runtime::set_variable(KEPT, &VENDOR, ALL, b"").is_ok()
        && runtime::get_time().is_ok()
}
