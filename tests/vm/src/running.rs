//! A virtual machine that runs: its console, its deadline, its end.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::machine::Machine;
use crate::symbolize::Symbols;
use crate::workspace;

/// What has come out of the machine so far.
#[derive(Debug, Default)]
struct Output {
    console: Vec<u8>,
    errors: Vec<u8>,
    console_closed: bool,
    errors_closed: bool,
}

#[derive(Debug, Default)]
struct Shared {
    output: Mutex<Output>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running virtual machine. It is killed when it goes out of scope.
#[derive(Debug)]
pub struct Vm {
    child: Child,
    input: Option<ChildStdin>,
    shared: Arc<Shared>,
    started: Instant,
    deadline: Instant,
    /// How much of the console `expect` has gone past.
    seen: usize,
}

/// A virtual machine that ended by itself.
#[derive(Debug)]
pub struct Finished {
    /// QEMU's exit status.
    pub status: ExitStatus,
    /// The console, without escape sequences.
    pub console: String,
    /// What QEMU itself said.
    pub errors: String,
    /// From its start to its end.
    pub elapsed: Duration,
}

impl Vm {
    /// Starts the machine. It has to be done before `limit` has passed.
    pub fn start(machine: &Machine, limit: Duration) -> Result<Self> {
        Self::start_with(machine, limit, |_| ())
    }

    /// Starts the machine and gives everything that it prints to `tee` at once, in a thread of its own.
    pub fn start_with(machine: &Machine, limit: Duration, mut tee: impl FnMut(&[u8]) + Send + 'static) -> Result<Self> {
        let mut command = machine.command("stdio");
        let started = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let shared = Arc::new(Shared::default());
        let input = child.stdin.take();
        let console = child.stdout.take().context("QEMU has no standard output")?;
        let errors = child.stderr.take().context("QEMU has no standard error")?;
        let to = Arc::clone(&shared);
        thread::spawn(move || {
            pump(console, |bytes| {
                let mut output = to.lock();
                match bytes {
                    Some(bytes) => output.console.extend_from_slice(bytes),
                    None => output.console_closed = true,
                }
                drop(output);
                to.changed.notify_all();
                tee(bytes.unwrap_or_default());
            });
        });
        let to = Arc::clone(&shared);
        thread::spawn(move || {
            pump(errors, |bytes| {
                let mut output = to.lock();
                match bytes {
                    Some(bytes) => output.errors.extend_from_slice(bytes),
                    None => output.errors_closed = true,
                }
                drop(output);
                to.changed.notify_all();
            });
        });
        Ok(Self { child, input, shared, started, deadline: started + limit, seen: 0 })
    }

    /// Waits for `text` on the console, behind everything that was waited for before, and returns
    /// the line that it stands in, as far as that has come.
    pub fn expect(&mut self, text: &str) -> Result<String> {
        let (_, at) = self.pass(text)?;
        Ok(line_at(&self.shared.lock().console, at))
    }

    /// As [`Self::expect`], but returns everything that was not waited for before, up to `text`.
    pub fn read_until(&mut self, text: &str) -> Result<String> {
        let (from, at) = self.pass(text)?;
        Ok(clean(self.shared.lock().console.get(from..at).unwrap_or_default()))
    }

    /// Goes past `text`; returns where that began, and where `text` did.
    fn pass(&mut self, text: &str) -> Result<(usize, usize)> {
        let wanted = text.as_bytes();
        let shared = Arc::clone(&self.shared);
        let mut output = shared.lock();
        loop {
            let from = self.seen;
            let unseen = output.console.get(from..).unwrap_or_default();
            if let Some(at) = find(unseen, wanted) {
                self.seen = from + at + wanted.len();
                return Ok((from, from + at));
            }
            let left = self.deadline.saturating_duration_since(Instant::now());
            let ended = output.console_closed;
            if ended || left.is_zero() {
                drop(output);
                let why = if ended { "ended" } else { "ran out of time" };
                bail!("the machine {why} before it printed {text:?}\n{}", self.report());
            }
            output = shared.changed.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Types `text`.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let input = self.input.as_mut().context("the console is closed")?;
        input.write_all(text.as_bytes())?;
        input.flush()?;
        Ok(())
    }

    /// Waits until the machine has ended by itself.
    pub fn wait(mut self) -> Result<Finished> {
        let shared = Arc::clone(&self.shared);
        let mut output = shared.lock();
        // Both streams close when QEMU ends, and everything has been read by then.
        while !(output.console_closed && output.errors_closed) {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(output);
                bail!("the machine did not end within {:.0?}\n{}", self.deadline - self.started, self.report());
            }
            output = shared.changed.wait_timeout(output, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let elapsed = self.started.elapsed();
        let finished = Finished {
            status: self.child.wait()?,
            console: clean(&output.console),
            errors: clean(&output.errors),
            elapsed,
        };
        Ok(finished)
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// The console so far, without escape sequences.
    pub fn console(&self) -> String {
        clean(&self.shared.lock().console)
    }

    /// Console and QEMU's messages for a person to read, with names for the firmware's addresses.
    pub fn report(&self) -> String {
        let output = self.shared.lock();
        report(&clean(&output.console), &clean(&output.errors))
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // Failure means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Finished {
    /// Console and QEMU's messages for a person to read, with names for the firmware's addresses.
    pub fn report(&self) -> String {
        report(&self.console, &self.errors)
    }
}

fn report(console: &str, errors: &str) -> String {
    let console = match Symbols::load(&workspace::elf()) {
        Ok(symbols) => symbols.annotate(console),
        Err(_) => console.to_owned(),
    };
    let mut text = format!("---- console ----\n{}\n", console.trim_end());
    if !errors.is_empty() {
        text.push_str(&format!("---- qemu ----\n{}\n", errors.trim_end()));
    }
    text.push_str("-----------------\n");
    text
}

fn pump(mut from: impl Read, mut to: impl FnMut(Option<&[u8]>)) {
    let mut buffer = [0; 4096];
    loop {
        match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(length) => to(buffer.get(..length)),
        }
    }
    to(None);
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len().max(1)).position(|window| window == wanted)
}

fn line_at(console: &[u8], at: usize) -> String {
    let (before, after) = console.split_at_checked(at).unwrap_or((console, &[]));
    let start = before.iter().rposition(|&byte| byte == b'\n');
    let start = start.map_or(0, |newline| newline + 1);
    let length = after.iter().position(|&byte| byte == b'\n');
    let end = at + length.unwrap_or(after.len());
    clean(console.get(start..end).unwrap_or_default())
}

/// Console output as plain text: no carriage returns, no terminal escape sequences.
pub fn clean(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut clean = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            // ECMA-48: ESC [ parameters final, or ESC and one character.
            '\x1b' => {
                if chars.next() == Some('[') {
                    while chars.next().is_some_and(|char| !('@'..='~').contains(&char)) {}
                }
            }
            '\n' | '\t' => clean.push(char),
            _ if char.is_control() => {}
            _ => clean.push(char),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_drops_escapes_and_carriage_returns() {
        assert_eq!(clean(b"\x1b[2J\x1b[01;01Hone\r\n\x1b[1mtwo\x1b[0m\x07"), "one\ntwo");
        assert_eq!(clean(b"cut \x1b["), "cut ");
    }

    #[test]
    fn line_at_gives_the_whole_line() {
        let console = b"first\nthe second\r\nthird";
        assert_eq!(line_at(console, 10), "the second");
        assert_eq!(line_at(console, 0), "first");
        assert_eq!(line_at(console, 18), "third");
    }

    #[test]
    fn find_is_exact() {
        assert_eq!(find(b"aabab", b"bab"), Some(2));
        assert_eq!(find(b"aab", b"bab"), None);
        assert_eq!(find(b"", b"a"), None);
    }
}
