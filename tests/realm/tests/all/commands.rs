//! `cargo xtask run` as it is typed: what it starts, where the log goes, and its exit status.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use realm_vm::end;
use vm::workspace;

const LIMIT: Duration = Duration::from_secs(120);

/// A command that runs. It ends when it goes out of scope, and what it started with it.
struct Typed {
    child: Child,
    output: Receiver<Vec<u8>>,
    seen: String,
    deadline: Instant,
}

impl Typed {
    /// `cargo xtask run` with `arguments`.
    fn new(arguments: &[&str]) -> Result<Self> {
        Self::xtask("run", arguments)
    }

    /// `cargo xtask` with `command` and `arguments`.
    fn xtask(command: &str, arguments: &[&str]) -> Result<Self> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut child = Command::new(cargo)
            .current_dir(workspace::root())
            .args(["xtask", command, "--no-install"])
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (sender, output) = mpsc::channel();
        let streams: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().context("no standard output")?),
            Box::new(child.stderr.take().context("no standard error")?),
        ];
        for mut stream in streams {
            let sender = sender.clone();
            thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    // Nobody may be listening any more.
                    let _ = sender.send(buffer.get(..count).unwrap_or_default().to_vec());
                }
            });
        }
        Ok(Self { child, output, seen: String::new(), deadline: Instant::now() + LIMIT })
    }

    /// Takes what is printed; false at its end.
    fn more(&mut self) -> Result<bool> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.output.recv_timeout(left) {
            Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(false),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("no end within {LIMIT:?}\n{}", self.seen),
        }
        Ok(true)
    }

    /// Waits until `text` has been printed.
    fn expect(&mut self, text: &str) -> Result<()> {
        while !self.seen.contains(text) {
            ensure!(self.more()?, "it ended without {text:?}\n{}", self.seen);
        }
        Ok(())
    }

    fn type_in(&mut self, text: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("no standard input")?;
        input.write_all(text.as_bytes())?;
        Ok(input.flush()?)
    }

    /// Waits for its end; returns its exit status and what it printed.
    fn end(mut self) -> Result<(Option<i32>, String)> {
        while self.more()? {}
        let status = self.child.wait()?;
        Ok((status.code(), std::mem::take(&mut self.seen)))
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        // The group: cargo, xtask in its place, and QEMU. It fails when all have ended.
        let _ =
            Command::new("kill").args(["-KILL", "--", &format!("-{}", self.child.id())]).stderr(Stdio::null()).status();
        let _ = self.child.wait();
    }
}

/// A file of this test, which goes away.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(env::temp_dir().join(format!("realm-command-{}-{name}", std::process::id())))
    }

    fn text(&self) -> Result<&str> {
        self.0.to_str().context("a path is not UTF-8")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What cannot be removed now goes with the folder for temporary files.
        let _ = fs::remove_file(&self.0);
    }
}

/// Checks a log: one line a call, totals, the end, and none of it on the console.
fn logs(log: &File, console: &str, lines: &[&str]) -> Result<()> {
    let log = fs::read_to_string(&log.0)?;
    for line in lines {
        ensure!(log.lines().any(|logged| logged.starts_with(line)), "the log has no {line:?}\n{log}");
    }
    let calls = log.lines().filter(|line| line.contains(" RSI_IPA_STATE_SET(")).count();
    let total = format!("total: {calls} RSI_IPA_STATE_SET");
    ensure!(calls > 0 && log.lines().any(|line| line == total), "the log has no {total:?}\n{log}");
    for what in ["mmio exits", "pages shared"] {
        let total = log.lines().find(|line| line.starts_with("total: ") && line.contains(what));
        ensure!(total.is_some_and(|line| !line.starts_with("total: 0 ")), "no total of {what}\n{log}");
    }
    let mixed = console.lines().find(|line| ["rsi: ", "call: ", "total: "].iter().any(|kind| line.contains(kind)));
    ensure!(mixed.is_none(), "the log is on the console: {mixed:?}");
    Ok(())
}

#[test]
fn direct_kernel_to_a_shell() -> Result<()> {
    let log = File::new("shell.log");
    let mut typed = Typed::new(&["--realm", "--direct-kernel", "--rsi-log", log.text()?, "--smp", "2"])?;
    typed.expect("in a realm on 2 CPU(s). Leave with poweroff")?;
    typed.expect("# ")?;
    typed.type_in("poweroff\n")?;
    let (status, printed) = typed.end()?;
    ensure!(status == Some(0), "status {status:?}\n{printed}");
    for said in ["IPA width 33 bits, SHA-256", "Measured  nothing: no firmware"] {
        ensure!(printed.contains(said), "no {said:?}\n{printed}");
    }
    let lines =
        ["realm: Kernel launch, IPA width 33", "rsi: cpu0 RSI_VERSION(0x10000) = Success", "end: Off: PSCI_SYSTEM_OFF"];
    logs(&log, &printed, &lines)
}

#[test]
fn direct_kernel_headless_with_options() -> Result<()> {
    let log = File::new("headless.log");
    let (status, printed) = Typed::new(&[
        "--direct-kernel",
        "--headless",
        "--rsi-log",
        log.text()?,
        "--memory",
        "768M",
        "--rmm",
        "width=41",
        "--rmm",
        "hash=sha-512",
        "--append",
        "loglevel=7",
        "--",
        "-name",
        "guest",
    ])?
    .end()?;
    ensure!(status == Some(0) && printed.contains(" checks held\n"), "status {status:?}\n{printed}");
    for said in ["RME: Using RSI version 1.0", "IPA width 41 bits, SHA-512"] {
        ensure!(printed.contains(said), "no {said:?}\n{printed}");
    }
    let lines = [
        "realm: Kernel launch, IPA width 41",
        "realm: RAM 0x40000000..0x70000000",
        "realm: RIM sha-512 ",
        "rsi: cpu0 RSI_ATTESTATION_TOKEN_CONTINUE(",
        "end: Off: PSCI_SYSTEM_OFF",
    ];
    logs(&log, &printed, &lines)
}

/// A disk by its name, which is built, and an image, which stays as it is, in a realm and in a plain VM.
#[test]
fn disks_to_a_shell() -> Result<()> {
    let image = File::new("disk.img");
    let path = image.text()?;
    let (status, printed) = Typed::xtask("disk", &["uki", "--output", path])?.end()?;
    ensure!(status == Some(0), "status {status:?}\n{printed}");
    let before = fs::metadata(&image.0)?.modified()?;
    for (world, disk, way) in [
        ("--realm", "debian", "BOOT_IMAGE=/boot/vmlinuz"),
        ("--realm", path, "console=ttyAMA0 root="),
        ("--plain", path, "console=ttyAMA0 root="),
    ] {
        let mut typed = Typed::new(&[world, "--disk", disk])?;
        typed.expect("is up, from disk. Leave with poweroff")?;
        typed.expect("/root # ")?;
        typed.type_in("cat /proc/cmdline; poweroff\n")?;
        let (status, printed) = typed.end()?;
        ensure!(status == Some(0), "{world} {disk}: status {status:?}\n{printed}");
        let told = printed.lines().any(|line| line.starts_with(way));
        let verified = printed.contains("Verdict   VERIFIED: ") == (world == "--realm");
        ensure!(told && verified, "{world} {disk}: {way}\n{printed}");
    }
    ensure!(fs::metadata(&image.0)?.modified()? == before, "the image was written to");
    let (status, printed) = Typed::new(&["--disk", "nowhere.img"])?.end()?;
    ensure!(status == Some(1) && printed.contains("there is no file nowhere.img"), "status {status:?}\n{printed}");
    Ok(())
}

/// The exit status of the command is the model's.
#[test]
fn ends_are_told_apart() -> Result<()> {
    const PSCI: u32 = 0x52b0_8000;
    const SMC: u32 = 0xd400_0003;
    const BRK: u32 = 0xd420_0000;
    const WFI: u32 = 0xd503_207f;
    const LOOP: u32 = 0x1400_0000;
    const MOVZ_X0_0X10_LSL_16: u32 = 0xd2a0_0200;
    const MSR_VBAR_EL1_X0: u32 = 0xd518_c000;
    let movk = |number: u32| 0x7280_0000 | number << 5;
    let fault = [MOVZ_X0_0X10_LSL_16, MSR_VBAR_EL1_X0, BRK];
    for (name, code, more, status, why) in [
        ("off", [PSCI, movk(8), SMC].as_slice(), [].as_slice(), end::OFF, None),
        ("reset", &[PSCI, movk(9), SMC], &["--headless"], end::RESET, Some("end: Reset: PSCI_SYSTEM_RESET")),
        ("fault", &fault, &[], end::FAULT, Some("end: Fault: the exception vector at 0x100200 cannot be fetched")),
        ("fault", &fault, &["--headless"], end::FAULT, Some("end: Fault: ")),
        ("deadlock", &[WFI, LOOP], &[], end::DEADLOCK, Some("end: Deadlock: all RECs wait")),
        ("options", &[LOOP], &["--rmm", "width=99"], end::MODEL, Some("model: '99' is no value of option 'width'")),
    ] {
        let file = File::new(name);
        let code: Vec<u8> = code.iter().flat_map(|word| word.to_le_bytes()).collect();
        fs::write(&file.0, code)?;
        let path = file.text()?;
        let log = File::new(&format!("{name}.log"));
        let arguments = ["--firmware", path, "--kernel", path, "--initrd", path, "--rsi-log", log.text()?];
        let (found, printed) = Typed::new(&[&arguments, more].concat())?.end()?;
        ensure!(found == Some(status), "{name}: status {found:?}\n{printed}");
        let told = printed.lines().find_map(|line| line.strip_prefix("the realm did not power off: "));
        match why {
            Some(why) => ensure!(told.is_some_and(|told| told.starts_with(why)), "{name}: {told:?}\n{printed}"),
            None => ensure!(told.is_none(), "{name}: {told:?}\n{printed}"),
        }
    }
    Ok(())
}
