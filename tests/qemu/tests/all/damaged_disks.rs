//! Disks that are damaged, each in its way: an error that says what is wrong, then the next boot option, and nothing on
//! the disk is changed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use qemu_tests::scratch::Scratch;
use qemu_tests::{STOP_LIMIT, machine, present, run};
use vm::disk::{BLOCK, GPT_ENTRIES, START, Volume, mbr_entry};
use vm::workspace;

const LOADER: &[u8; 11] = b"BOOTAA64EFI";

fn flip(mut disk: Vec<u8>, at: usize) -> Result<Vec<u8>> {
    *disk.get_mut(at).context("beyond the disk")? ^= 1;
    Ok(disk)
}

/// Where a field of the loader's headers is.
fn pe_field(loader: &[u8], offset: usize) -> Result<usize> {
    let at = loader.get(0x3c..0x40).and_then(|bytes| bytes.first_chunk()).context("no PE file")?;
    Ok(u32::from_le_bytes(*at) as usize + offset)
}

/// The disks, each with what is said of it, if it has a file system at all.
fn disks(loader: &[u8]) -> Result<Vec<(Vec<u8>, Option<&'static str>)>> {
    let whole = Volume::new(loader)?;
    let cut = Volume::new(loader.get(..700).context("a short program")?)?;
    let machine = flip(loader.to_vec(), pe_field(loader, 4)?)?;
    // SizeOfHeaders, beyond the file.
    let headers = flip(loader.to_vec(), pe_field(loader, 24 + 63)?)?;
    let backup = cut.on_gpt().len() - BLOCK;
    // The loader's one cluster comes again and again.
    let circle = whole.clone().loops(LOADER)?;
    // So does that of the folder that it should be in, where no entry is the last.
    let mut folder = whole.clone().loops(b"EFI        ")?;
    for slot in (0..16).rev() {
        folder = folder.entry(b".          ", slot, 0, &[0xe5])?;
    }
    // An extended partition whose chain comes back to itself.
    let mut chain = Volume::new(&[])?.on_mbr()?;
    mbr_entry(&mut chain, 0, 1, 0x0f, START as u32 + 8192, 32);
    mbr_entry(&mut chain, (START + 8192) * BLOCK, 1, 0x05, 0, 32);
    Ok(vec![
        // The first header is damaged, so the backup counts; the loader is cut off.
        (flip(cut.on_gpt(), BLOCK + 60)?, Some("PE image is truncated")),
        // The same with the entries of the first; the loader is for another machine.
        (flip(Volume::new(&machine)?.on_gpt(), 2 * BLOCK + GPT_ENTRIES)?, Some("PE image is for machine")),
        // Both headers are.
        (flip(flip(whole.on_gpt(), BLOCK + 60)?, backup + 60)?, None),
        (Volume::new(&headers)?.on_gpt(), Some("SizeOfHeaders")),
        (Volume::new(&[])?.on_gpt(), Some("MZ signature missing")),
        (circle.clone().on_gpt(), Some("PE section")),
        (circle.entry(LOADER, 0, 28, &[0xff; 4])?.on_gpt(), Some("Volume Corrupt")),
        (folder.on_gpt(), Some("Volume Corrupt")),
        (chain, Some("MZ signature missing")),
    ])
}

/// Of all these disks none boots; the CD behind them does.
#[test]
fn the_next_option_boots_and_nothing_is_lost() -> Result<()> {
    let program = workspace::uefi_walk();
    present(&program)?;
    let loader = fs::read(&program)?;
    let scratch = Scratch::new()?;
    let mut machine = machine();
    let mut files: Vec<(PathBuf, Vec<u8>)> = Vec::new();
    let mut said = Vec::new();
    for (number, (disk, why)) in disks(&loader)?.into_iter().enumerate() {
        let file = scratch.file(&format!("{number}.img"), &disk)?;
        machine = machine
            .args(["-drive", &format!("if=none,id=disk{number},format=raw,file={}", file.display())])
            .args(["-device", &format!("virtio-blk-pci,drive=disk{number},addr={:#x}", number + 2)]);
        files.push((file, disk));
        said.extend(why);
    }
    let cd = Volume::new(&loader)?.on_cd();
    let file = scratch.file("cd.iso", &cd)?;
    machine = machine
        .args(["-drive", &format!("if=none,id=cd,format=raw,media=cdrom,file={}", file.display())])
        .args(["-device", "virtio-scsi-pci,addr=0x1e", "-device", "scsi-cd,drive=cd"]);
    files.push((file, cd));
    let finished = run(&machine, STOP_LIMIT)?;
    let mut lines = finished.console.lines().filter(|line| line.contains("file system "));
    for (number, why) in (1..).zip(said) {
        let line = lines.next().unwrap_or_default();
        let named = line.contains(&format!("file system {number}: ")) && line.contains(why);
        ensure!(named, "{}{number}: no {why:?} in {line:?}", finished.report());
    }
    ensure!(finished.console.contains("uefi-walk: ") && lines.next().is_none(), "{}", finished.report());
    for (file, before) in files {
        ensure!(fs::read(&file)? == before, "{} was changed", file.display());
    }
    Ok(())
}
