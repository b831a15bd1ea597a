//! The ways a realm ends, told apart by the exit status.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use realm_vm::{Realm, conformance, end};

const LIMIT: Duration = Duration::from_secs(30);

/// Runs a few instructions as firmware.
fn ends(name: &str, code: &[u32], status: i32, why: &str) -> Result<()> {
    ends_with(&[], name, code, status, why)
}

/// The same with options of the model.
fn ends_with(options: &[&str], name: &str, code: &[u32], status: i32, why: &str) -> Result<()> {
    let path = std::env::temp_dir().join(format!("realm-code-{}-{name}", std::process::id()));
    let bytes: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
    fs::write(&path, bytes)?;
    let realm = options.iter().fold(Realm::firmware(&path), |realm, option| realm.option(*option));
    let ended = realm.run(LIMIT);
    fs::remove_file(&path)?;
    let ended = ended?;
    let told = ended.logged("end: ").context("no end in the log").with_context(|| ended.report())?;
    ensure!(ended.status() == Some(status) && told.contains(why), "{}", ended.report());
    Ok(())
}

const WFI: u32 = 0xd503_207f;
const SMC: u32 = 0xd400_0003;
const LOOP: u32 = 0x1400_0000;
/// movz w0, #0x8400, lsl #16
const PSCI: u32 = 0x52b0_8000;

/// movk w0, #number
const fn movk(number: u32) -> u32 {
    0x7280_0000 | number << 5
}

#[test]
fn power_off() -> Result<()> {
    ends("off", &[PSCI, movk(8), SMC, LOOP], end::OFF, "PSCI_SYSTEM_OFF")
}

#[test]
fn reset() -> Result<()> {
    ends("reset", &[PSCI, movk(9), SMC, LOOP], end::RESET, "PSCI_SYSTEM_RESET")
}

#[test]
fn last_cpu_off() -> Result<()> {
    ends("last", &[PSCI, movk(2), SMC, LOOP], end::DEADLOCK, "all RECs are off")
}

#[test]
fn waiting_for_nothing() -> Result<()> {
    ends("wait", &[WFI, LOOP], end::DEADLOCK, "no interrupt can come")
}

#[test]
fn vectors_where_there_is_no_memory() -> Result<()> {
    const MOVZ_X0_0X10_LSL_16: u32 = 0xd2a0_0200;
    const MSR_VBAR_EL1_X0: u32 = 0xd518_c000;
    const BRK: u32 = 0xd420_0000;
    let code = [MOVZ_X0_0X10_LSL_16, MSR_VBAR_EL1_X0, BRK];
    ends("vectors", &code, end::FAULT, "vector at 0x100200 cannot be fetched")
}

/// movz x0, #0x4f00, lsl #16: 0x4f00_0000, which is RAM unless an option has it otherwise.
const MOVZ_X0_0X4F00_LSL_16: u32 = 0xd2a9_e000;
const LDR_X1_X0: u32 = 0xf940_0001;
const STR_X1_X0: u32 = 0xf900_0001;
/// br x0
const BR_X0: u32 = 0xd61f_0000;

#[test]
fn accesses_to_destroyed_memory() -> Result<()> {
    // RSI_VERSION(1.0) is the call before which the page goes.
    const MOVZ_W0_0XC400_LSL_16: u32 = 0x52b8_8000;
    for (name, access) in [("load", LDR_X1_X0), ("store", STR_X1_X0), ("fetch", BR_X0)] {
        let code = [MOVZ_W0_0XC400_LSL_16, movk(0x190), SMC, MOVZ_X0_0X4F00_LSL_16, access, LOOP];
        let why = "access to 0x4f000000, which is Destroyed";
        ends_with(&["destroy=0x4f000000@1"], &format!("destroyed-{name}"), &code, end::FAULT, why)?;
    }
    Ok(())
}

/// What names a DESTROYED page in a call waits for the host, which cannot help.
#[test]
fn calls_that_name_destroyed_memory() -> Result<()> {
    const MOVZ_X1_0X4F00_LSL_16: u32 = 0xd2a9_e001;
    const MOVZ_W0_0XC400_LSL_16: u32 = 0x52b8_8000;
    const CONFIG: u32 = 0x196;
    const HOST_CALL: u32 = 0x199;
    const TOKEN_INIT: u32 = 0x194;
    const TOKEN_CONTINUE: u32 = 0x195;
    for (name, calls) in [
        ("RSI_REALM_CONFIG", &[CONFIG][..]),
        ("RSI_HOST_CALL", &[HOST_CALL]),
        ("RSI_ATTESTATION_TOKEN_CONTINUE", &[TOKEN_INIT, TOKEN_CONTINUE]),
    ] {
        let call = |number: &u32| [MOVZ_X1_0X4F00_LSL_16, MOVZ_W0_0XC400_LSL_16, movk(*number), SMC];
        let code: Vec<u32> = calls.iter().flat_map(call).chain([LOOP]).collect();
        let why = format!("{name} names 0x4f000000, which is Destroyed");
        ends_with(&["destroy=0x4f000000@1"], name, &code, end::FAULT, &why)?;
    }
    Ok(())
}

#[test]
fn accesses_to_a_device_that_is_not_there() -> Result<()> {
    for (name, access) in [("load", LDR_X1_X0), ("store", STR_X1_X0), ("fetch", BR_X0)] {
        let why = "access to 0x4f000000, which is Dev";
        let code = [MOVZ_X0_0X4F00_LSL_16, access, LOOP];
        ends_with(&["device=0x4f000000+4096"], &format!("device-{name}"), &code, end::FAULT, why)?;
    }
    Ok(())
}

#[test]
fn options_that_make_no_sense() -> Result<()> {
    for (option, why) in
        [("width=31", "width"), ("nonsense=1", "nonsense"), ("tamper=1G", "tamper="), ("ram=3G", "protected half")]
    {
        let realm = Realm::firmware(conformance()).width(32).option(option);
        let ended = realm.run(LIMIT)?;
        let told = ended.logged("model: ").unwrap_or_default();
        ensure!(ended.status() == Some(end::MODEL) && told.contains(why), "{}", ended.report());
    }
    Ok(())
}
