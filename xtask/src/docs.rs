//! `docs/uefi.md` names tests that exist, and has a row for each service; the commands that pages show are understood.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::Parser;
use vm::workspace;

use crate::Cli;

/// The members of EFI_BOOT_SERVICES and EFI_RUNTIME_SERVICES (UEFI 2.11, sections 4.4 and 4.5).
const SERVICES: &str = "RaiseTPL RestoreTPL AllocatePages FreePages GetMemoryMap AllocatePool FreePool CreateEvent \
    SetTimer WaitForEvent SignalEvent CloseEvent CheckEvent InstallProtocolInterface ReinstallProtocolInterface \
    UninstallProtocolInterface HandleProtocol RegisterProtocolNotify LocateHandle LocateDevicePath \
    InstallConfigurationTable LoadImage StartImage Exit UnloadImage ExitBootServices GetNextMonotonicCount Stall \
    SetWatchdogTimer ConnectController DisconnectController OpenProtocol CloseProtocol OpenProtocolInformation \
    ProtocolsPerHandle LocateHandleBuffer LocateProtocol InstallMultipleProtocolInterfaces \
    UninstallMultipleProtocolInterfaces CalculateCrc32 CopyMem SetMem CreateEventEx GetTime SetTime GetWakeupTime \
    SetWakeupTime SetVirtualAddressMap ConvertPointer GetVariable GetNextVariableName SetVariable \
    GetNextHighMonotonicCount ResetSystem UpdateCapsule QueryCapsuleCapabilities QueryVariableInfo";

/// The text of all source files below a folder of the workspace.
fn sources(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &fs::read_to_string(&path).unwrap();
        }
    }
    text
}

fn exists(test: &str) -> bool {
    let root = workspace::root();
    let (kind, name) = test.split_once(':').unwrap();
    let function = |folder: &str, name: &str| {
        let (file, name) = name.rsplit_once("::").unwrap();
        let file = if folder.is_empty() { root.join(file) } else { root.join(folder).join(format!("{file}.rs")) };
        // The second form is that of the macros that make tests.
        fs::read_to_string(file)
            .is_ok_and(|text| text.contains(&format!("fn {name}(")) || text.contains(&format!("    {name}: ")))
    };
    match kind {
        "check" => sources(&root.join("tests/efi-check/src")).contains(&format!("\"{name}")),
        "walk" => sources(&root.join("tests/uefi-walk/src")).contains(&format!("\"{name}")),
        "qemu" => function("tests/qemu/tests/all", name),
        "realm" => function("tests/realm/tests/all", name),
        "unit" => function("", name),
        _ => false,
    }
}

fn page() -> String {
    fs::read_to_string(workspace::root().join("docs/uefi.md")).unwrap()
}

/// The tests that a text names, in backticks.
fn named(text: &str) -> BTreeSet<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|name| name.contains(':') && !name.ends_with(":NAME") && !name.ends_with("::NAME")).collect()
}

#[test]
fn each_test_that_is_named_exists() {
    let page = page();
    let tests = named(&page);
    assert!(tests.len() > 100, "only {} tests are named", tests.len());
    let missing: Vec<_> = tests.iter().filter(|test| !exists(test)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    for invented in ["check:NoSuchService", "qemu:efi::no_such_test", "unit:xtask/src/docs.rs::no_such", "other:x"] {
        assert!(!exists(invented), "{invented}");
    }
}

#[test]
fn each_service_has_its_row() {
    let page = page();
    for service in SERVICES.split_whitespace() {
        let row = format!("| {service} | ");
        assert_eq!(page.lines().filter(|line| line.starts_with(&row)).count(), 1, "{service}");
    }
}

#[test]
fn what_is_done_has_a_test_and_what_is_absent_a_reason() {
    for line in page().lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, what, state, tests, _] = cells[..] else { continue };
        assert!(!state.starts_with("done") || !named(tests).is_empty(), "{what} is done by no test");
        assert!(!state.starts_with("absent") || state.contains(':') || state.contains(','), "{what} is absent: why?");
    }
}

/// The words of a command as a shell has them, up to a comment.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        // What is quoted is one word.
        if index % 2 == 1 {
            words.push(part.to_owned());
            continue;
        }
        let (part, rest) = part.split_once(" #").map_or((part, None), |(part, rest)| (part, Some(rest)));
        words.extend(part.split_whitespace().map(str::to_owned));
        if rest.is_some() {
            break;
        }
    }
    words
}

/// The commands of this program in the blocks and in the text of a page.
fn commands(page: &str) -> Vec<String> {
    let lines = page.lines().filter(|line| line.starts_with("cargo xtask ")).map(str::to_owned);
    let quoted = page.lines().flat_map(|line| line.split('`').skip(1).step_by(2).collect::<Vec<_>>());
    lines.chain(quoted.filter(|text| text.starts_with("cargo xtask ")).map(str::to_owned)).collect()
}

#[test]
fn each_command_that_a_page_shows_is_understood() {
    let understood = |command: &str| {
        // A page has LOADER for any of them.
        let words = words(command).into_iter().skip(1).map(|word| if word == "LOADER" { "uki".into() } else { word });
        Cli::try_parse_from(words).map(drop)
    };
    let root = workspace::root();
    let mut count = 0;
    for name in ["README.md", "docs/model-rmm.md", "docs/performance.md", "docs/uefi.md"] {
        let page = fs::read_to_string(root.join(name)).unwrap();
        for command in commands(&page) {
            count += 1;
            if let Err(error) = understood(&command) {
                panic!("{name}: {command}: {error}");
            }
        }
    }
    assert!(count > 15, "only {count} commands were found");
    understood("cargo xtask run --realm --direct-kernel --headless").unwrap();
    assert!(understood("cargo xtask run --direct-kernel --no-such-option").is_err());
    assert!(understood("cargo xtask run --plain --rsi-log log").is_err());
}
