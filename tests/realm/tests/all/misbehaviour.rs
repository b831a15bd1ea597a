//! Each misbehaviour of the host happens, says so, and is seen from inside.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use realm_vm::{Ended, Realm, conformance, end};

const LIMIT: Duration = Duration::from_secs(60);

fn run(options: &[&str]) -> Result<Ended> {
    let realm = Realm::firmware(conformance());
    options.iter().fold(realm, |realm, option| realm.option(*option)).run(LIMIT)
}

/// The host says `said`; the payload's lines that begin with FAIL contain `failed`, if any.
fn misbehaves(options: &[&str], said: &str, failed: Option<&str>) -> Result<Ended> {
    let ended = run(options)?;
    (|| {
        let host = ended.log.lines().filter_map(|line| line.strip_prefix("host: "));
        ensure!(host.clone().any(|line| line.contains(said)), "the host did not say {said:?}");
        let mut failures = ended.finished.console.lines().filter(|line| line.starts_with("FAIL "));
        match failed {
            Some(failed) => ensure!(failures.any(|line| line.contains(failed)), "no failure of {failed:?}"),
            None => ensure!(failures.next().is_none(), "a rule failed"),
        }
        Ok(())
    })()
    .with_context(|| ended.report())?;
    Ok(ended)
}

/// The states in which the payload found its memory: where a run that begins at the last one's end, or at 0x40000000,
/// ends, and what it is.
fn states(ended: &Ended) -> Vec<String> {
    let runs = ended.finished.console.lines().filter_map(|line| line.strip_prefix("INFO 0x")?.split_once(".."));
    runs.map(|(_, end)| end.to_owned()).collect()
}

#[test]
fn ripas_requests_rejected() -> Result<()> {
    misbehaves(&["ripas=reject:0"], "rejected RIPAS request 1", Some("RSI_IPA_STATE_SET to EMPTY")).map(drop)
}

#[test]
fn ripas_requests_without_progress() -> Result<()> {
    misbehaves(&["ripas=stall:0"], "made no progress", Some("RSI_IPA_STATE_SET to EMPTY")).map(drop)
}

#[test]
fn ripas_requests_in_part() -> Result<()> {
    // The loop in `Rsi::set_range` copes with it.
    let ended = misbehaves(&["ripas=partial:1", "log"], " only", None)?;
    // The realm is told what was done: the first granule of the range.
    let part = ended.logged("host: changed ").and_then(|line| line.strip_suffix(" only")).unwrap_or_default();
    let (done, asked) = part.split_once(" of ").context("no part")?;
    let ((_, end), (base, top)) = (done.split_once("..").context("no end")?, asked.split_once("..").context("no top")?);
    let mut calls = ended.log.lines().filter(|line| line.contains(&format!(" RSI_IPA_STATE_SET({base}, {top}, ")));
    ensure!(calls.any(|line| line.ends_with(&format!(" = Success {end}, 0x0"))), "{}", ended.report());
    Ok(())
}

#[test]
fn large_host_pages() -> Result<()> {
    // The payload asks and converts what the host can; a single granule makes no progress.
    let ended = misbehaves(&["align=64K"], "not aligned to 0x10000", None)?;
    let granule = ended.printed("INFO one granule to EMPTY: ");
    ensure!(granule == Some("result 0x0, progress 0x0"), "{}", ended.report());
    ensure!(ended.printed("CONFORMANCE").is_some_and(|line| line.ends_with(" 0 failed")), "{}", ended.report());
    ensure!(ended.printed("INFO RHI").is_some_and(|line| line.ends_with("alignment 0x10000")), "{}", ended.report());
    Ok(())
}

#[test]
fn odd_alignment() -> Result<()> {
    let ended = misbehaves(&["align=0x1800"], "claims an IPA change alignment of 0x1800", None)?;
    ensure!(ended.printed("INFO RHI").is_some_and(|line| line.ends_with("alignment 0x1800")), "{}", ended.report());
    Ok(())
}

#[test]
fn page_destroyed_behind_the_realms_back() -> Result<()> {
    // The first page of the image: the payload cannot go on, and nobody can help it.
    let ended = run(&["destroy=0@20"])?;
    let told = ended.logged("host: destroyed the page at 0x0").is_some();
    let why = ended.logged("end: Fault").unwrap_or_default();
    ensure!(told && ended.status() == Some(end::FAULT) && why.contains("Destroyed"), "{}", ended.report());
    // A page that the payload does not use, before its first call.
    let ended = misbehaves(&["destroy=0x4f000000@1"], "destroyed the page at 0x4f000000 before RSI call 1", None)?;
    let expected = ["0x4f000000 is Ram", "0x4f001000 is Destroyed", "0x60000000 is Ram"];
    ensure!(states(&ended) == expected, "{}", ended.report());
    Ok(())
}

#[test]
fn pages_left_empty() -> Result<()> {
    let honest = run(&[])?;
    let ended = misbehaves(&["empty=0x48000000+64K"], "left 0x48000000..0x48010000 EMPTY", None)?;
    ensure!(ended.rim() != honest.rim(), "RMM 1.x measures what is RAM");
    let (first, second) = (run(&["rmm=2.0"])?, run(&["rmm=2.0", "empty=0x48000000+64K"])?);
    ensure!(first.rim() == second.rim(), "RMM 2.0 does not measure what is RAM");
    ensure!(states(&honest) == ["0x60000000 is Ram"], "{}", honest.report());
    for ended in [&ended, &second] {
        let expected = ["0x48000000 is Ram", "0x48010000 is Empty", "0x60000000 is Ram"];
        ensure!(states(ended) == expected, "{}", ended.report());
    }
    Ok(())
}

#[test]
fn versions_unsupported() -> Result<()> {
    let ended = misbehaves(&["rsi=2.0-2.3"], "offers RSI 2.0 to 2.3 only", Some("RSI_VERSION has 1.0"))?;
    let info = ended.printed("INFO RSI").unwrap_or_default();
    ensure!(info.contains("0x20003"), "{}", ended.report());
    Ok(())
}

#[test]
fn firmware_tampered_with() -> Result<()> {
    // A byte of the header that nothing reads.
    let ended = misbehaves(&["tamper=40"], "tampered with the payload at offset 0x28", None)?;
    ensure!(ended.rim() != run(&[])?.rim(), "the RIM does not show it");
    Ok(())
}

#[test]
fn fw_cfg_contents_change() -> Result<()> {
    let honest = run(&[])?;
    let file = honest.printed("INFO fw_cfg file ").context("no fw_cfg file")?.to_owned();
    let option = format!("fw-cfg-change={file}");
    let said = "changed the first byte of a fw_cfg item since its last read";
    for failed in ["fw_cfg reads the same twice", "fw_cfg DMA reads what its registers read"] {
        misbehaves(&[&option], said, Some(failed))?;
    }
    Ok(())
}

#[test]
fn fw_cfg_sizes_lie() -> Result<()> {
    let honest = run(&[])?;
    let file = honest.printed("INFO fw_cfg file ").context("no fw_cfg file")?.to_owned();
    let option = format!("fw-cfg-size={file}:0x7fffffff");
    let ended = misbehaves(&[&option], "put a wrong size into the fw_cfg directory", None)?;
    let size = ended.printed("INFO fw_cfg size ");
    ensure!(size == Some("0x7fffffff, by DMA 0x7fffffff"), "{}", ended.report());
    ensure!(honest.printed("INFO fw_cfg size ") != size, "{}", honest.report());
    Ok(())
}

#[test]
fn dma_after_it_was_done() -> Result<()> {
    misbehaves(&["late-dma"], "after its DMA was done", Some("fw_cfg DMA is over when it says so")).map(drop)
}

#[test]
fn device_tree_lies() -> Result<()> {
    let memory = |ended: &Ended| -> Vec<String> {
        let lines = ended.finished.console.lines();
        lines.filter_map(|line| line.strip_prefix("INFO memory ")).map(str::to_owned).collect()
    };
    let more = misbehaves(&["dtb=memory"], "the device tree lies: Memory", None)?;
    ensure!(memory(&more) == ["0x40000000 0x40000000"], "{}", more.report());
    let overlap = misbehaves(&["dtb=overlap"], "the device tree lies: Overlap", None)?;
    ensure!(memory(&overlap) == ["0x40000000 0x20000000", "0x50000000 0x10000000"], "{}", overlap.report());
    let size = misbehaves(&["dtb=size"], "the device tree lies: Size", None)?;
    ensure!(size.printed("INFO device tree of ") == Some("0x7fffffff bytes"), "{}", size.report());
    // The payload's console is in RAM then, so that it ends without a word.
    let uart = run(&["dtb=uart"])?;
    let said = uart.logged("host: the device tree lies: Uart").is_some();
    let where_to = uart.log.contains("host: access to the shared alias 0x141000000");
    ensure!(said && where_to && uart.finished.console.is_empty(), "{}", uart.report());
    Ok(())
}

#[test]
fn interrupts_without_end() -> Result<()> {
    let ended = misbehaves(&["irq-storm=5"], "SPI 5 fires without end", Some("an SGI to this CPU arrives: Some(37)"))?;
    ensure!(ended.log.contains("interrupts of the storm"), "{}", ended.report());
    Ok(())
}

#[test]
fn device_memory_in_the_protected_half() -> Result<()> {
    // The payload asks for its state, and does not touch it.
    let ended = misbehaves(&["device=0x4f000000+4096"], "made 0x4f000000..0x4f001000 a device", None)?;
    let expected = ["0x4f000000 is Ram", "0x4f001000 is Dev", "0x60000000 is Ram"];
    ensure!(states(&ended) == expected && ended.status() == Some(end::OFF), "{}", ended.report());
    Ok(())
}
