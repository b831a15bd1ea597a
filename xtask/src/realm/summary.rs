//! What a realm's run is summed up with, from the model's log.

use std::time::Duration;

use anyhow::{Result, ensure};
use realm_vm::evidence::Evidence;

/// Bytes of a digest that a person compares.
const DIGEST_START: usize = 16;

/// What a run cost.
pub struct Spent {
    /// From QEMU's start to its end.
    pub elapsed: Duration,
    /// Guest instructions up to the kernel's entry, where they were counted.
    pub instructions: Option<u64>,
}

/// Prints the summary; with `events` the event log before it. Returns why what was measured is not to be believed.
///
/// # Errors
/// The event log is malformed.
pub fn print(log: &str, console: &str, spent: &Spent, events: bool) -> Result<Result<(), String>> {
    // A realm that the model did not end has nothing to be summed up.
    let Some(evidence) = Evidence::from_model_log(log) else { return Ok(Ok(())) };
    if events && !evidence.log.is_empty() {
        print!("\n{}", evidence.table()?);
    }
    let verdict = (!evidence.log.is_empty()).then(|| verdict(&evidence, console));
    println!("\n{}", text(log, &evidence, verdict.as_ref(), spent)?);
    Ok(verdict.unwrap_or(Ok(String::new())).map(drop))
}

/// Whether replaying the event log gives the registers: those of the guest's attestation token or, where it has printed
/// none, those of the RMM.
fn verdict(evidence: &Evidence, console: &str) -> Result<String, String> {
    let guest = Evidence::from_guest(console);
    let (verified, registers) = match guest {
        Ok(Some(guest)) => (guest.verify().and_then(|()| same(evidence, &guest)), "the attestation token's registers"),
        Ok(None) => (evidence.verify(), "the RMM's registers (no attestation token was at hand)"),
        Err(error) => (Err(error), ""),
    };
    match verified {
        Ok(()) => Ok(format!("VERIFIED: replaying the event log gives exactly {registers}")),
        Err(error) => Err(format!("NOT VERIFIED: {error}")),
    }
}

/// What is shown is the log that the model found, and what was verified is the guest's: one may only go on where the
/// other ends.
fn same(evidence: &Evidence, guest: &Evidence) -> Result<()> {
    let length = evidence.log.len().min(guest.log.len());
    let same = length > 0 && evidence.log.get(..length) == guest.log.get(..length);
    ensure!(same, "the event log that the guest has is not the one shown here");
    Ok(())
}

fn text(log: &str, evidence: &Evidence, verdict: Option<&Result<String, String>>, spent: &Spent) -> Result<String> {
    let line = |start: &str| log.lines().find_map(|line| line.strip_prefix(start));
    let width =
        log.lines().find_map(|line| line.strip_prefix("realm: ")?.split_once("IPA width ")?.1.split([' ', ',']).next());
    let hash = line("realm: RIM ").and_then(|rim| rim.split(' ').next()).unwrap_or("?");
    let mut rows = vec![(
        "Realm".to_owned(),
        format!(
            "RSI {}, IPA width {} bits, {}",
            line("realm: RSI ").unwrap_or("not asked for"),
            width.unwrap_or("?"),
            hash.to_uppercase()
        ),
    )];
    let total = |what: &str| -> u64 {
        let totals = log.lines().filter_map(|line| line.strip_prefix("total: ")?.split_once(' '));
        totals.filter(|(_, name)| name.starts_with(what)).filter_map(|(count, _)| count.parse::<u64>().ok()).sum()
    };
    if let Some(state) = line("realm: at its end ") {
        let back = total("shared pages taken back");
        rows.push(("RAM".to_owned(), format!("{state}; the firmware shared {back} pages and took them back")));
    }
    if evidence.log.is_empty() {
        rows.push(("Measured".to_owned(), "nothing: no firmware left an event log".to_owned()));
    } else {
        for (register, digest, what) in evidence.measured()? {
            rows.push((register, format!("{}…  {what}", digest.get(..DIGEST_START).unwrap_or(&digest))));
        }
    }
    if let Some(verdict) = verdict {
        let (Ok(said) | Err(said)) = verdict;
        rows.push(("Verdict".to_owned(), said.clone()));
    }
    let instructions = match spent.instructions {
        Some(count) => format!("{:.1} M guest instructions to the kernel's entry", count as f64 / 1e6),
        None => "guest instructions not counted".to_owned(),
    };
    let (seconds, calls) = (spent.elapsed.as_secs_f64(), total("RSI_"));
    rows.push(("Spent".to_owned(), format!("{seconds:.1} s, {instructions}, {calls} RSI calls with the kernel's")));
    let lines = rows.iter().map(|(name, value)| format!("  {name:<9} {value}"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model_log() -> String {
        let rems: String = (0..4).map(|index| format!("realm: REM[{index}] {}\n", "0".repeat(128))).collect();
        format!("realm: RSI 1.1\ntotal: 30 RSI_VERSION\ntotal: 12 RSI_HOST_CALL\ntotal: 9 mmio exits\n{rems}")
    }

    #[test]
    fn what_was_spent_is_told_or_that_it_was_not_counted() {
        let evidence = Evidence::from_model_log(&model_log()).unwrap();
        let last = |instructions| {
            let spent = Spent { elapsed: Duration::from_millis(2500), instructions };
            text(&model_log(), &evidence, None, &spent).unwrap().lines().last().unwrap().trim().to_owned()
        };
        let counted =
            "Spent     2.5 s, 31.4 M guest instructions to the kernel's entry, 42 RSI calls with the kernel's";
        assert_eq!(last(Some(31_400_000)), counted);
        assert!(last(None).contains("guest instructions not counted"));
    }

    #[test]
    fn the_log_that_is_shown_is_the_one_verified() {
        let evidence = |log: &[u8]| Evidence { rems: Vec::new(), log: log.to_vec() };
        assert!(same(&evidence(b"one two"), &evidence(b"one")).is_ok());
        assert!(same(&evidence(b"one"), &evidence(b"one two")).is_ok());
        assert!(same(&evidence(b"one two"), &evidence(b"one too")).is_err());
        assert!(same(&evidence(b"one"), &evidence(b"")).is_err());
    }

    #[test]
    fn a_token_that_is_not_believed_verifies_nothing() {
        let evidence = Evidence { rems: vec![vec![0; 64]; 4], log: vec![1] };
        let said = verdict(&evidence, "# token: d901\n# event-log: 00\n").unwrap_err();
        assert!(said.starts_with("NOT VERIFIED: the token is malformed"), "{said}");
        let said = verdict(&evidence, "").unwrap_err();
        assert!(said.starts_with("NOT VERIFIED: "), "{said}");
    }
}
