//! The conformance payload in every IPA width, with every hash, launched in every way.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use model_rmm::verify::verify;
use realm_vm::{Ended, Realm, conformance, end, unhex};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs the payload; every rule has to hold, and what it says of itself has to be so.
fn conforms(realm: &Realm, width: u32, hash: &str) -> Result<Ended> {
    let ended = realm.run(LIMIT)?;
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        let counts = ended.printed("CONFORMANCE ").context("no summary")?;
        let passed = ended.finished.console.lines().filter(|line| line.starts_with("PASS ")).count();
        ensure!(passed > 150 && counts == format!("{passed} passed, 0 failed"), "{counts}");
        let config = ended.printed("CONFIG ").context("no configuration")?;
        ensure!(config.starts_with(&format!("width={width} hash={hash} ")), "{config}");
        attests(&ended, hash)
    })()
    .with_context(|| ended.report())?;
    Ok(ended)
}

/// The token that the payload printed has to verify and to say what the payload read.
fn attests(ended: &Ended, hash: &str) -> Result<()> {
    let console = ended.finished.console.lines();
    let hex: String = console.filter_map(|line| line.strip_prefix("TOKEN ")).collect();
    let claims = verify(&unhex(&hex).context("no token")?)?;
    let rim = unhex(ended.printed("RIM ").context("no RIM")?).context("RIM")?;
    ensure!(claims.challenge == (0..64).collect::<Vec<u8>>(), "challenge");
    ensure!(claims.hash == hash, "hash algorithm {}", claims.hash);
    ensure!(claims.rim == rim, "RIM {:x?}", claims.rim);
    let logged = unhex(ended.rim().context("no RIM in the log")?).context("RIM")?;
    ensure!(logged.starts_with(&rim), "the log has another RIM");
    ensure!(claims.rpv == [&[0xab; 2][..], &[0; 62]].concat(), "personalization value");
    Ok(())
}

fn every_hash(width: u32) -> Result<()> {
    for hash in ["sha-256", "sha-384", "sha-512"] {
        let realm = Realm::firmware(conformance()).width(width).cpus(2);
        conforms(&realm.option(format!("hash={hash}")).option("rpv=abab"), width, hash)?;
    }
    Ok(())
}

#[test]
fn width_32() -> Result<()> {
    every_hash(32)
}

#[test]
fn width_33() -> Result<()> {
    every_hash(33)
}

#[test]
fn width_34() -> Result<()> {
    every_hash(34)
}

#[test]
fn width_36() -> Result<()> {
    every_hash(36)
}

#[test]
fn width_40() -> Result<()> {
    every_hash(40)
}

#[test]
fn width_41() -> Result<()> {
    every_hash(41)
}

#[test]
fn width_44() -> Result<()> {
    every_hash(44)
}

#[test]
fn width_48() -> Result<()> {
    every_hash(48)
}

#[test]
fn every_way_to_launch() -> Result<()> {
    for (realm, x0) in [
        (Realm::firmware(conformance()), "x0=0x0"),
        (Realm::kvmtool(conformance()), "x0=0x8fe00000"),
        (Realm::direct_kernel(conformance()), "x0=0x4020"),
    ] {
        let ended = conforms(&realm.option("rpv=abab"), 33, "sha-256")?;
        let config = ended.printed("CONFIG ").unwrap_or_default();
        ensure!(config.contains(x0), "{config}");
    }
    Ok(())
}

#[test]
fn stricter_than_the_specification() -> Result<()> {
    let ended = conforms(&Realm::firmware(conformance()).option("rpv=abab"), 33, "sha-256")?;
    for info in [
        "a load from the alias of a private page is an abort",
        "a load from where there is no device is an abort",
        "shared contents are lost while the page is private",
        "fw_cfg DMA to private memory: control 0x1",
        "fw_cfg DMA on into private memory: control 0x1",
        "at nothing 4 of 4 loads and 4 of 4 stores are external aborts",
        "2 of 2 stores of a size that fw_cfg refuses are external aborts",
    ] {
        ensure!(ended.finished.console.contains(&format!("INFO {info}\n")), "{info}\n{}", ended.report());
    }
    Ok(())
}

#[test]
fn measurements_follow_the_revision_and_the_parameters() -> Result<()> {
    let base = || Realm::firmware(conformance()).option("rpv=abab");
    let mut seen = Vec::new();
    let plain = "2 breakpoints, 2 watchpoints, PMU 0, SVE 0";
    for (realm, sees) in [
        (base(), plain),
        (base().option("rmm=2.0"), plain),
        (base().option("bps=3"), "4 breakpoints, 2 watchpoints, PMU 0, SVE 0"),
        (base().option("wps=3"), "2 breakpoints, 4 watchpoints, PMU 0, SVE 0"),
        (base().option("sve=1"), "2 breakpoints, 2 watchpoints, PMU 0, SVE 1"),
        (base().option("pmu=4"), "2 breakpoints, 2 watchpoints, PMU 1, SVE 0"),
        (base().ram_mib(514), plain),
    ] {
        let ended = conforms(&realm, 33, "sha-256")?;
        ensure!(ended.finished.console.contains(&format!("INFO {sees}\n")), "{realm:?} sees other than {sees}");
        let rim = ended.rim().unwrap_or_default().to_owned();
        ensure!(!seen.contains(&rim), "{realm:?} measures like another");
        seen.push(rim);
    }
    // The same realm, and one with another personalization value, measure the same.
    let again = conforms(&base(), 33, "sha-256")?;
    ensure!(seen.first().map(String::as_str) == again.rim(), "the RIM changed");
    let other = Realm::firmware(conformance()).option("rpv=cd").run(LIMIT)?;
    ensure!(other.rim() == again.rim(), "the personalization value is measured");
    Ok(())
}

#[test]
fn the_log_has_each_call_once_and_totals() -> Result<()> {
    let ended = conforms(&Realm::firmware(conformance()).option("rpv=abab").option("log"), 33, "sha-256")?;
    let total = |what: &str| -> Option<usize> {
        let totals = ended.log.lines().filter_map(|line| line.strip_prefix("total: "));
        totals.filter_map(|line| line.split_once(' ')).find(|(_, name)| name.starts_with(what))?.0.parse().ok()
    };
    for (call, kind) in [
        ("RSI_VERSION", "rsi"),
        ("RSI_REALM_CONFIG", "rsi"),
        ("RSI_MEASUREMENT_EXTEND", "rsi"),
        ("RSI_IPA_STATE_SET", "rsi"),
        ("RSI_IPA_STATE_GET", "rsi"),
        ("RSI_HOST_CALL", "rsi"),
        ("RSI_ATTESTATION_TOKEN_CONTINUE", "rsi"),
        ("PSCI_CPU_ON", "call"),
    ] {
        let line = format!("{kind}: cpu0 {call}");
        let lines = ended
            .log
            .lines()
            .filter(|logged| logged.strip_prefix(&line).is_some_and(|rest| rest.starts_with(['(', ' '])));
        let lines = lines.count();
        ensure!(lines > 0 && Some(lines) == total(call), "{call}: {lines} lines, total {:?}", total(call));
    }
    for what in ["mmio exits", "pages shared", "aborts injected"] {
        ensure!(total(what).is_some_and(|count| count > 0), "no total of {what}\n{}", ended.report());
    }
    ensure!(!ended.finished.console.contains("total: "), "the log is on the realm's console");
    Ok(())
}

#[test]
fn memory_of_several_gib_costs_what_is_touched() -> Result<()> {
    let realm = Realm::firmware(conformance()).width(34).ram_mib(3584).option("rpv=abab");
    let ended = conforms(&realm, 34, "sha-256")?;
    let populated = ended.log.lines().find_map(|line| line.strip_suffix(" private pages populated"));
    let populated: u64 = populated.context("no total")?.trim_start_matches("total: ").parse()?;
    ensure!(populated < 500, "{populated} pages populated");
    Ok(())
}
