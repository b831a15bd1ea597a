//! What a realm that ended leaves behind about its boot: registers and event log, as the model read them from it.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use measured::CpuHash;
use measured::event_log::{EventType, Log, Record, replay};
use model_rmm::verify as token;

use crate::description::description;
use crate::unhex;

/// The registers as the RMM has them, zero padded to 64 bytes, and the log in the realm's memory.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// REM\[0\] to REM\[3\].
    pub rems: Vec<Vec<u8>>,
    /// The event log; empty when the realm has none.
    pub log: Vec<u8>,
}

impl Evidence {
    /// From the model's log; none before the realm has ended.
    pub fn from_model_log(text: &str) -> Option<Self> {
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start));
        let rems = (0..4).map(|index| unhex(line(&format!("realm: REM[{index}] "))?)).collect::<Option<_>>()?;
        let log = line("realm: event log ").map_or(Some(Vec::new()), unhex)?;
        Some(Self { rems, log })
    }

    /// What a verifier goes by: the registers of the attestation token that the guest took, and the log that it found.
    /// None when its console has no token.
    ///
    /// # Errors
    /// Why the token is not believed.
    pub fn from_guest(console: &str) -> Result<Option<Self>> {
        let note = |start: &str| console.lines().find_map(|line| line.strip_prefix(start));
        let Some(token) = note("# token: ") else { return Ok(None) };
        let claims = token::verify(&unhex(token).context("the token is no hexadecimal number")?)?;
        let log = note("# event-log: ").and_then(unhex).context("the guest found no event log")?;
        Ok(Some(Self { rems: claims.rems, log }))
    }

    /// Replays the log; every register must come out as the RMM has it.
    ///
    /// # Errors
    /// What is wrong with the log, or which registers differ.
    pub fn verify(&self) -> Result<()> {
        verify(&self.log, &self.rems)
    }

    /// One line for each event: register, type, digest, description.
    ///
    /// # Errors
    /// The log is malformed.
    pub fn table(&self) -> Result<String> {
        let log = Log::parse(&self.log)?;
        let mut text = format!("{:<8} {:<33} {:<17} {}\n", "Register", "Event", "Digest", "Description");
        for record in log.records() {
            let record = record?;
            let kind =
                record.event_type.name().map_or_else(|| format!("{:#x}", record.event_type.0), |n| format!("EV_{n}"));
            let digest = record.digest.to_string();
            let digest = digest.get(..16).unwrap_or_default();
            // Writing to a String does not fail.
            let _ = writeln!(text, "{:<8} {kind:<33} {digest:<17} {}", register(record.index), description(&record));
        }
        Ok(text)
    }

    /// What was measured, in words: the register, the digest, what it is of. Without the lines and strings that are
    /// the same in every boot.
    ///
    /// # Errors
    /// The log is malformed.
    pub fn measured(&self) -> Result<Vec<(String, String, String)>> {
        let records = Log::parse(&self.log)?.records().collect::<Result<Vec<_>, _>>()?;
        let told = records.iter().filter(|r| !matches!(r.event_type, EventType::SEPARATOR | EventType::EFI_ACTION));
        let mut told: Vec<_> = told.collect();
        told.sort_by_key(|record| record.index);
        let row = |record: &Record<'_>| (register(record.index), record.digest.to_string(), description(record));
        Ok(told.into_iter().map(row).collect())
    }
}

/// Replays a log and compares it with registers, which may be padded with zeros.
///
/// # Errors
/// What is wrong with the log, or which registers differ.
pub fn verify(log: &[u8], rems: &[Vec<u8>]) -> Result<()> {
    ensure!(!log.is_empty(), "there is no event log");
    let log = Log::parse(log)?;
    let replayed = replay(&log, CpuHash::detect())?;
    ensure!(rems.len() == replayed.len(), "{} registers", rems.len());
    let same = |(rem, digest): (&Vec<u8>, &measured::Digest)| {
        let (value, rest) = rem.split_at_checked(log.algorithm().digest_len()).unwrap_or_default();
        value == digest.as_bytes() && rest.iter().all(|byte| *byte == 0)
    };
    let differ: Vec<_> = (0..).zip(rems.iter().zip(&replayed)).filter(|(_, pair)| !same(*pair)).collect();
    let names: Vec<_> = differ.iter().map(|(index, _)| format!("REM[{index}]")).collect();
    ensure!(names.is_empty(), "the event log does not give {}", names.join(", "));
    Ok(())
}

fn register(index: u32) -> String {
    match index.checked_sub(1) {
        None => "RIM".to_owned(),
        Some(rem) => format!("REM[{rem}]"),
    }
}

#[cfg(test)]
mod tests {
    use measured::Algorithm;
    use measured::expected::{DirectBoot, direct_boot};
    use rsi::HashAlgorithm;
    use rsi::rmm::Attested;

    use super::*;

    fn evidence() -> Evidence {
        let boot =
            DirectBoot { command_line: b"quiet", initrd: b"initrd", device_tree: b"tree", ..DirectBoot::default() };
        let expected = direct_boot(Algorithm::Sha384, CpuHash::detect(), &boot).unwrap();
        let rems = expected.registers.iter().map(|digest| [digest.as_bytes(), &[0; 16]].concat()).collect();
        Evidence { rems, log: expected.log }
    }

    #[test]
    fn a_log_gives_its_registers_and_no_others() {
        let mut evidence = evidence();
        evidence.verify().unwrap();
        evidence.rems[2][0] ^= 1;
        assert_eq!(evidence.verify().unwrap_err().to_string(), "the event log does not give REM[2]");
        evidence.rems[2][0] ^= 1;
        evidence.rems[3][63] = 1;
        assert_eq!(evidence.verify().unwrap_err().to_string(), "the event log does not give REM[3]");
        evidence.log.clear();
        assert!(evidence.verify().is_err());
    }

    /// The console of a guest with a token for these registers, and this log.
    fn console(evidence: &Evidence) -> String {
        let hash = HashAlgorithm::Sha384;
        let mut attested = Attested { hash, rpv: [0; 64], measurements: [[0; 64]; 5] };
        for (to, rem) in attested.measurements.iter_mut().skip(1).zip(&evidence.rems) {
            to.copy_from_slice(rem);
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let token = model_rmm::token::token(&[7; 64], &attested, 0);
        format!("ok - something\n# token: {}\n# event-log: {}\n", hex(&token), hex(&evidence.log))
    }

    #[test]
    fn a_guests_log_is_held_against_its_token() {
        let mut evidence = evidence();
        let found = |evidence: &Evidence| Evidence::from_guest(&console(evidence)).unwrap().unwrap();
        found(&evidence).verify().unwrap();
        evidence.rems[1][5] ^= 1;
        assert_eq!(found(&evidence).verify().unwrap_err().to_string(), "the event log does not give REM[1]");
        assert!(Evidence::from_guest("ok - something\n").unwrap().is_none());
        assert!(Evidence::from_guest("# token: d901\n").is_err());
        let without_log = console(&evidence).replace("# event-log", "# other");
        assert!(Evidence::from_guest(&without_log).is_err());
    }

    #[test]
    fn the_table_names_what_was_measured() {
        let table = evidence().table().unwrap();
        for (start, end) in [("REM[0]   EV_PLATFORM_CONFIG_FLAGS", "device tree"), ("REM[2]   EV_IPL", "command line")]
        {
            assert!(table.lines().any(|line| line.starts_with(start) && line.ends_with(end)), "{table}");
        }
    }

    #[test]
    fn the_models_lines_are_read() {
        let line = |index: u32| format!("realm: REM[{index}] {}\n", "0".repeat(128));
        let text: String = (0..4).map(line).collect();
        let evidence = Evidence::from_model_log(&text).unwrap();
        assert_eq!((evidence.rems.len(), evidence.log.len()), (4, 0));
        assert!(Evidence::from_model_log("end: Off").is_none());
    }
}
