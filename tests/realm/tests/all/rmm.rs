//! The model as an RMM: what its options, the CPU and what a host may do change, seen by the
//! conformance payload, which has to pass in each.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use model_rmm::verify::verify;
use realm_vm::{Ended, Realm, conformance, end, unhex};
use sha2::{Digest, Sha256};

const LIMIT: Duration = Duration::from_secs(60);

/// Runs the payload with options and checks that no rule fails.
fn passes(options: &[&str]) -> Result<Ended> {
    let realm = Realm::firmware(conformance()).cpus(2);
    let realm = options.iter().fold(realm, |realm, option| realm.option(*option));
    let ended = realm.run(LIMIT)?;
    let summary = ended.printed("CONFORMANCE ").unwrap_or_default();
    ensure!(summary.ends_with(" 0 failed") && ended.status() == Some(end::OFF), "{options:?}: {}", ended.report());
    Ok(ended)
}

/// Checks that the payload says `lines`, each as often as it stands there.
fn says(ended: &Ended, lines: &[&str]) -> Result<()> {
    for line in lines {
        let count = |lines: &mut dyn Iterator<Item = &str>| lines.filter(|other| other == line).count();
        let (said, expected) = (count(&mut ended.finished.console.lines()), count(&mut lines.iter().copied()));
        ensure!(said == expected, "{said} times {line:?}\n{}", ended.report());
    }
    Ok(())
}

fn host_says(ended: &Ended, what: &str) -> Result<()> {
    ensure!(ended.log.lines().any(|line| line == format!("host: {what}")), "no {what:?}\n{}", ended.report());
    Ok(())
}

#[test]
fn stricter_than_the_specification() -> Result<()> {
    let ended = passes(&[])?;
    says(
        &ended,
        &[
            "INFO RSI 0x10000 to 0x10001",
            // Bits that should be zero.
            "INFO RSI_IPA_STATE_SET with x3 bit 8: result 0x1",
            "INFO RSI_IPA_STATE_SET with x3 bit 63: result 0x1",
            "INFO RSI_IPA_STATE_SET with x4 bit 1: result 0x1",
            "INFO RSI_IPA_STATE_SET with x4 bit 63: result 0x1",
            // The level of a walk, which the specification leaves to the architecture.
            "INFO a page that is EMPTY: status 0x10",
            "INFO a table of level 1 that is EMPTY: status 0x15",
            "INFO a table of level 2 that is EMPTY: status 0x16",
            "INFO a table of level 3 that is EMPTY: status 0x17",
            "INFO an EMPTY page is refused at call 1",
            // The identifiers of DEN0137 B6.3 only.
            "INFO PSCI_FEATURES of 0x84000001: 0xffffffffffffffff",
            "INFO PSCI_FEATURES of 0x84000003: 0xffffffffffffffff",
            "INFO PSCI_FEATURES of 0x84000004: 0xffffffffffffffff",
            // QEMU's CPU has SVE and SME.
            "INFO SMCCC_VERSION 0x10004",
        ],
    )
}

#[test]
fn without_rsi_1_1_its_commands_are_not_there() -> Result<()> {
    let ended = passes(&["rsi=1.0"])?;
    says(&ended, &["INFO RSI 0x10000 to 0x10000", "INFO 0 auxiliary planes, ICH_VTR_EL2 0x0"])?;
    let vtr = passes(&[])?;
    let vtr = vtr.printed("INFO 0 auxiliary planes, ICH_VTR_EL2 ").context("no ICH_VTR_EL2")?.to_owned();
    ensure!(vtr != "0x0", "RSI 1.1 shows no ICH_VTR_EL2");
    Ok(())
}

#[test]
fn a_token_of_several_granules_takes_many_calls() -> Result<()> {
    let ended = passes(&["token=9000", "signing=20", "rpv=abab"])?;
    let hex: String = ended.finished.console.lines().filter_map(|line| line.strip_prefix("TOKEN ")).collect();
    let token = unhex(&hex).context("no token")?;
    let claims = verify(&token).with_context(|| ended.report())?;
    ensure!(token.len() > 9000 && claims.challenge == (0..64).collect::<Vec<u8>>(), "{}", ended.report());
    says(&ended, &[&format!("INFO token of {} bytes, 20 calls without a part", token.len())])?;
    let rpv = [&[0xab; 2][..], &[0; 62]].concat();
    let shown = ended.printed("RPV ").and_then(unhex);
    ensure!(claims.rpv == rpv && shown.as_ref() == Some(&rpv), "{}", ended.report());
    Ok(())
}

#[test]
fn a_page_taken_away_comes_back_only_on_request() -> Result<()> {
    let spare = spare_pages()?;
    let page = spare + 0x1000;
    let ended = passes(&[&format!("destroy={page:#x}@3")])?;
    host_says(&ended, &format!("destroyed the page at {page:#x} before RSI call 3"))?;
    says(
        &ended,
        &[
            &format!("INFO Destroyed from {page:#x} to {:#x}", page + 0x1000),
            "PASS a page that was taken away is DESTROYED",
            // A request for RAM and one for EMPTY.
            "PASS RSI_NO_CHANGE_DESTROYED ends at a DESTROYED page (IGXDDX)",
            "PASS RSI_NO_CHANGE_DESTROYED ends at a DESTROYED page (IGXDDX)",
            "PASS RSI_CHANGE_DESTROYED goes over it",
            "PASS the page is EMPTY to loads too",
            "PASS its shared alias can be used",
            "PASS it is RAM again, without what was shared",
            &format!("INFO the page at {page:#x} had been taken away"),
        ],
    )
}

/// Where the payload has memory that it can spare; at least three pages.
fn spare_pages() -> Result<u64> {
    let ended = passes(&[])?;
    let spare = ended.printed("INFO spare pages from 0x").context("no spare pages")?;
    Ok(u64::from_str_radix(spare, 16)?)
}

/// RMI_DATA_DESTROY makes DESTROYED of RAM only (DEN0137 B4.3.3.3).
#[test]
fn an_empty_page_taken_away_stays_empty() -> Result<()> {
    let ended = passes(&["empty=0x48000000+4K", "destroy=0x48000000@1"])?;
    host_says(&ended, "took the memory of the page at 0x48000000, which is not RAM, before RSI call 1")?;
    says(&ended, &["INFO Empty from 0x48000000 to 0x48001000"])
}

#[test]
fn a_device_is_not_made_memory() -> Result<()> {
    let ended = passes(&["device=0xc000000+8K"])?;
    // To EMPTY and to RAM, with and without RSI_CHANGE_DESTROYED.
    says(&ended, &["INFO Dev from 0xc000000 to 0xc002000"])?;
    says(&ended, &["PASS a device stays a device"; 4])
}

/// The payload's rules hold for an RMM that tells states table by table.
#[test]
fn runs_that_end_where_a_table_does() -> Result<()> {
    let (whole, parts) = (passes(&[])?, passes(&["runs=2M"])?);
    let runs = |ended: &Ended| -> Option<u64> {
        let lines = ended.finished.console.lines().filter_map(|line| line.strip_prefix("INFO "));
        lines.filter_map(|line| line.strip_suffix(" runs")).find_map(|runs| runs.parse().ok())
    };
    ensure!(runs(&whole) == Some(4) && runs(&parts) > Some(2048), "{:?} {:?}", runs(&whole), runs(&parts));
    let ram = "INFO Ram from 0x40000000 to 0x60000000";
    says(&whole, &[ram])?;
    says(&parts, &[ram])
}

#[test]
fn a_request_rejected_in_part() -> Result<()> {
    let ended = Realm::firmware(conformance()).option("ripas=reject:3+1").run(LIMIT)?;
    says(
        &ended,
        &[
            "INFO a request for Empty: 0x1000 of 0x3000, accepted",
            "INFO a request for Ram: 0x1000 of 0x3000, rejected",
            "PASS a request changes as much as it says, and only RAM is rejected (A5.4)",
            "PASS a request changes as much as it says, and only RAM is rejected (A5.4)",
        ],
    )
}

#[test]
fn the_host_may_deny_a_cpu() -> Result<()> {
    let ended = passes(&["cpu-on=deny"])?;
    host_says(&ended, "denied PSCI_CPU_ON of 0x1")?;
    says(&ended, &["INFO PSCI_CPU_ON is denied", "INFO PSCI_CPU_ON is denied"])?;
    says(&ended, &["PASS a CPU whose start was denied is off"; 2])?;
    says(&ended, &["PASS a CPU that is on cannot be denied"; 2])
}

/// Pages of 16 KiB and 64 KiB: RHI tells them, whole ones are changed, and parts of one are not.
#[test]
fn hosts_with_larger_pages() -> Result<()> {
    for (align, bytes) in [("align=16K", 0x4000), ("align=64K", 0x1_0000)] {
        let ended = passes(&[align])?;
        says(
            &ended,
            &[
                &format!("INFO RHI version 0x10000 alignment {bytes:#x}"),
                "INFO one granule to EMPTY: result 0x0, progress 0x0",
                &format!("INFO a request for Empty: {:#x} of {:#x}, accepted", 3 * bytes, 3 * bytes),
            ],
        )?;
    }
    Ok(())
}

/// What of the parameters the realm sees, and the RIM that RMI_REALM_CREATE makes of them.
#[test]
fn parameters_limit_the_cpu_and_are_measured() -> Result<()> {
    let cases: [(&[&str], [u32; 5], &[&str]); 3] = [
        (&[], [0, 0, 1, 1, 0], &["INFO 2 breakpoints, 2 watchpoints, PMU 0, SVE 0"]),
        (
            &["sve=1", "bps=5", "wps=3", "pmu=2"],
            [1 << 1 | 1 << 2, 1, 5, 3, 2],
            &[
                "INFO 6 breakpoints, 4 watchpoints, PMU 1, SVE 1",
                "INFO SVE vectors of 32 bytes",
                "INFO 2 event counters",
            ],
        ),
        (&["sve=15", "pmu=6"], [6, 15, 1, 1, 6], &["INFO SVE vectors of 256 bytes", "INFO 6 event counters"]),
    ];
    for (options, [flags, sve_vl, num_bps, num_wps, pmu_num_ctrs], lines) in cases {
        let ended = passes(options)?;
        says(&ended, lines)?;
        // RmiRealmParams (DEN0137 B4.4.12) with nothing but what is measured.
        let mut page = vec![0; 4096];
        for (offset, value) in
            [(0, flags), (8, 33), (0x10, sve_vl), (0x18, num_bps), (0x20, num_wps), (0x28, pmu_num_ctrs)]
        {
            page[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        }
        let logged = ended.logged("rim: parameters ").and_then(unhex).unwrap_or_default();
        ensure!(logged.get(..32) == Some(&*Sha256::digest(&page)), "{options:?}: {}", ended.report());
    }
    Ok(())
}

/// RMI_REALM_CREATE refuses what the CPU has not (DEN0137 RFZZDS, RCJQTB, RPLMDH, RXVRGD), where
/// hardware would silently give less.
#[test]
fn parameters_beyond_the_cpu_make_no_realm() -> Result<()> {
    let small = "max,sve-max-vq=2,pauth-impdef=on";
    let bare = "max,sve=off,pmu=off,pauth-impdef=on";
    for (cpu, option, why) in [
        (small, "bps=6", "the CPU has bps=5 wps=3 at most"),
        (small, "wps=4", "the CPU has bps=5 wps=3 at most"),
        (small, "pmu=7", "the CPU has 6 PMU counters, and a realm 1 at least"),
        (small, "sve=2", "the CPU has vectors of 2 quadwords in place of 3"),
        (bare, "sve=0", "the CPU has no SVE"),
        (bare, "pmu=1", "the CPU has no PMU"),
    ] {
        let ended = Realm::firmware(conformance()).arg("-cpu").arg(cpu).option(option).run(LIMIT)?;
        let said = ended.logged("model: RMI_REALM_CREATE fails: ");
        ensure!(said == Some(why) && ended.status() == Some(end::MODEL), "{option}: {}", ended.report());
    }
    Ok(())
}

/// SMCCC as old as a CPU without SVE allows: the payload finds no hint for SVE in it.
#[test]
fn smccc_follows_the_cpu() -> Result<()> {
    for (cpu, version) in [("cortex-a76", "0x10002"), ("max,sme=off,pauth-impdef=on", "0x10003")] {
        let ended = Realm::firmware(conformance()).cpus(2).arg("-cpu").arg(cpu).run(LIMIT)?;
        let summary = ended.printed("CONFORMANCE ").unwrap_or_default();
        ensure!(summary.ends_with(" 0 failed"), "{cpu}: {}", ended.report());
        says(&ended, &[&format!("INFO SMCCC_VERSION {version}")])?;
    }
    Ok(())
}
