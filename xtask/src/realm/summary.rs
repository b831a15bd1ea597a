//! What a realm's run is summed up with, from the model's log.

use std::time::Duration;

use anyhow::Result;
use realm_vm::evidence::Evidence;

/// Bytes of a digest that a person compares.
const DIGEST_START: usize = 16;

/// Prints the summary; with `events` the event log before it.
///
/// # Errors
/// The event log is malformed.
pub fn print(log: &str, elapsed: Duration, events: bool) -> Result<()> {
    // A realm that the model did not end has nothing to be summed up.
    let Some(evidence) = Evidence::from_model_log(log) else { return Ok(()) };
    if events {
        println!();
        if !evidence.log.is_empty() {
            print!("{}", evidence.table()?);
        }
        match evidence.verify() {
            Ok(()) => println!("\nVERIFIED: replaying the event log gives exactly the realm's registers."),
            Err(error) => println!("\nNOT VERIFIED: {error}."),
        }
    }
    println!("\n{}", text(log, &evidence, elapsed)?);
    Ok(())
}

fn text(log: &str, evidence: &Evidence, elapsed: Duration) -> Result<String> {
    let line = |start: &str| log.lines().find_map(|line| line.strip_prefix(start));
    let field = |start: &str, after: &str| Some(line(start)?.split_once(after)?.1.trim());
    let hash = line("realm: RIM ").and_then(|rim| rim.split(' ').next()).unwrap_or("?");
    let mut rows = vec![(
        "Realm".to_owned(),
        format!(
            "RSI {}, IPA width {} bits, {}",
            line("realm: RSI ").unwrap_or("not asked for"),
            field("realm: ", "IPA width ").unwrap_or("?"),
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
    let spent = format!("{:.1} s, {} RSI calls, the kernel's among them", elapsed.as_secs_f64(), total("RSI_"));
    rows.push(("Spent".to_owned(), spent));
    let lines = rows.iter().map(|(name, value)| format!("  {name:<9} {value}"));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}
