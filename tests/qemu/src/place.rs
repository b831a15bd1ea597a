//! Starting the firmware elsewhere than in ROM, by QEMU's generic loader.

use std::path::{Path, PathBuf};

use anyhow::Result;
use vm::{Machine, workspace};

use crate::run_qemu;
use crate::scratch::Scratch;

/// Where RAM begins on `virt`. QEMU puts the device tree there when there is firmware.
pub const RAM: u64 = 0x4000_0000;

/// Puts a file into memory.
pub fn load(machine: Machine, file: &Path, address: u64) -> Machine {
    machine.arg("-device").arg(format!("loader,file={},addr={address:#x},force-raw=on", file.display()))
}

/// Puts a file into memory, and has the first CPU begin with its first byte.
pub fn enter(machine: Machine, file: &Path, address: u64) -> Machine {
    machine.arg("-device").arg(format!("loader,file={},addr={address:#x},force-raw=on,cpu-num=0", file.display()))
}

/// A ROM in which nothing can run: with it, QEMU gives kernel and initrd to fw_cfg, as it does for
/// firmware, and a start at the reset address would be seen.
pub fn empty_rom(scratch: &Scratch) -> Result<PathBuf> {
    // Zero is the undefined instruction.
    scratch.file("empty.rom", [0; 64])
}

/// Has the firmware start at `address` with x0 as given. Without x0 it is zero, as after a reset.
pub fn firmware_at(machine: Machine, scratch: &Scratch, address: u64, x0: Option<u64>) -> Result<Machine> {
    match x0 {
        Some(x0) => image_at(machine, scratch, &workspace::image(), address, x0, &[]),
        None => Ok(enter(machine.firmware(empty_rom(scratch)?), &workspace::image(), address)),
    }
}

/// Has `image` start at `address` with x0 as given, after words were stored to registers of devices.
pub fn image_at(
    machine: Machine,
    scratch: &Scratch,
    image: &Path,
    address: u64,
    x0: u64,
    registers: &[(u64, u32)],
) -> Result<Machine> {
    let stub = scratch.file("stub.bin", jump(address, x0, registers))?;
    let machine = load(machine.firmware(empty_rom(scratch)?), image, address);
    Ok(enter(machine, &stub, STUB))
}

/// A machine that has RAM at 0, where `image` runs, and its PL011 at 0xff00_0000.
pub fn versal(scratch: &Scratch, image: &Path) -> Result<Machine> {
    const LOADED: u64 = 0x1000_0000;
    let length = usize::try_from(std::fs::metadata(image)?.len())?;
    let stub = scratch.file("stub.bin", copy_to_zero(LOADED, length))?;
    let machine = Machine::new().machine("xlnx-versal-virt").cpu("cortex-a72").cpus(4).memory_mib(1024).kernel(stub);
    Ok(load(machine, image, LOADED))
}

/// Where the stub is put: out of the way of image and tree.
const STUB: u64 = 0x4f00_0000;

/// Code that copies the image to address 0, from where it must have been loaded to `from`, and enters it with x0 as
/// it stands.
fn copy_to_zero(from: u64, length: usize) -> Vec<u8> {
    // MOVZ x1, #from >> 16, LSL #16; MOVZ x3, #end >> 16, LSL #16; MOV x2, xzr; then 16 bytes at a time until x1
    // reaches x3: LDP x4, x5, [x1], #16; STP x4, x5, [x2], #16; CMP x1, x3; B.LO; then BR xzr by way of x6.
    let end = (from + length as u64).next_multiple_of(1 << 16);
    let half = |address: u64| ((address >> 16) & 0xffff) as u32;
    let code = [
        0xd2a0_0001 | half(from) << 5,
        0xd2a0_0003 | half(end) << 5,
        0xaa1f_03e2,
        0xa8c1_1424,
        0xa881_1444,
        0xeb03_003f,
        0x54ff_ffa3,
        0xd503_3f9f,
        0xd508_751f,
        0xd503_3fdf,
        0xaa1f_03e6,
        0xd61f_00c0_u32,
    ];
    code.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Code that stores words to registers of devices, loads x0 and branches to an address, all below 1 << 48. It switches to
/// the other stack pointer first, as a loader may have.
fn jump(address: u64, x0: u64, registers: &[(u64, u32)]) -> Vec<u8> {
    // MSR SPSel, #0.
    let mut code = vec![0xd500_40bf];
    let load = |code: &mut Vec<u32>, register: u32, value: u64| {
        // MOVZ, then MOVK with a shift of 16 and 32 (Arm ARM, C6.2).
        for (opcode, shift) in [(0xd280_0000_u32, 0), (0xf2a0_0000, 16), (0xf2c0_0000, 32)] {
            let half = ((value >> shift) & 0xffff) as u32;
            code.push(opcode | half << 5 | register);
        }
    };
    for (register, value) in registers {
        load(&mut code, 1, *register);
        load(&mut code, 2, (*value).into());
        // STR w2, [x1].
        code.push(0xb900_0022);
    }
    load(&mut code, 0, x0);
    load(&mut code, 4, address);
    // BR x4.
    code.push(0xd61f_0080);
    code.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// The device tree that QEMU makes for a machine with firmware.
pub fn device_tree(machine: &str, memory_mib: u64, scratch: &Scratch) -> Result<Vec<u8>> {
    let path = scratch.path("machine.dtb");
    let rom = empty_rom(scratch)?.display().to_string();
    run_qemu(&[
        // A network card would want an option ROM, which comes in a package of its own.
        "-nodefaults",
        "-machine",
        &format!("{machine},dumpdtb={}", path.display()),
        "-cpu",
        "max",
        "-m",
        &format!("{memory_mib}M"),
        "-display",
        "none",
        "-bios",
        &rom,
    ])?;
    let mut tree = std::fs::read(path)?;
    // QEMU leaves room behind the tree; totalsize (at 4, big-endian) covers it.
    tree.truncate(1 << 20);
    Ok(tree)
}

/// Replaces the only occurrence of some bytes by as many others.
pub fn replace(tree: &mut [u8], old: &[u8], new: &[u8]) -> usize {
    assert_eq!(old.len(), new.len());
    let mut replaced = 0;
    let mut at = 0;
    while let Some(place) = tree.get_mut(at..at + old.len()) {
        if place == old {
            place.copy_from_slice(new);
            replaced += 1;
        }
        at += 1;
    }
    replaced
}
