//! Semihosting (Arm semihosting specification 2.0): the option string, the payload files, the
//! log, the exit status.

#![expect(unsafe_code, reason = "the HLT that calls the debugger")]

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::arch::asm;

const SYS_OPEN: u64 = 0x01;
const SYS_CLOSE: u64 = 0x02;
const SYS_WRITE0: u64 = 0x04;
const SYS_READ: u64 = 0x06;
const SYS_FLEN: u64 = 0x0c;
const SYS_GET_CMDLINE: u64 = 0x15;
const SYS_EXIT_EXTENDED: u64 = 0x20;
const APPLICATION_EXIT: u64 = 0x2_0026;

fn call(operation: u64, parameter: u64) -> u64 {
    let result: u64;
    // SAFETY: QEMU's semihosting reads and writes only what the parameter block names, and the
    // callers of this private function name their own memory or pages of the realm.
    unsafe {
        asm!(
            "hlt #0xf000",
            inlateout("x0") operation => result,
            in("x1") parameter,
            options(nostack),
        );
    }
    result
}

fn block<const N: usize>(operation: u64, parameters: &[u64; N]) -> u64 {
    call(operation, parameters.as_ptr() as u64)
}

/// Writes to the semihosting console, which the machine can send to a channel of its own.
pub fn write(text: &str) {
    let mut bytes: Vec<u8> = text.bytes().collect();
    bytes.push(0);
    call(SYS_WRITE0, bytes.as_ptr() as u64);
}

/// The option string.
pub fn command_line() -> String {
    let mut buffer = vec![0_u8; 8192];
    let parameters = [buffer.as_mut_ptr() as u64, buffer.len() as u64];
    if block(SYS_GET_CMDLINE, &parameters) != 0 {
        return String::new();
    }
    let end = buffer.iter().position(|byte| *byte == 0).unwrap_or(0);
    buffer.truncate(end);
    String::from_utf8(buffer).unwrap_or_default()
}

/// Ends QEMU with an exit status.
pub fn exit(status: u64) -> ! {
    block(SYS_EXIT_EXTENDED, &[APPLICATION_EXIT, status]);
    loop {
        super::regs::wfi();
    }
}

/// A file of the machine that runs QEMU, open for reading.
pub struct File {
    handle: u64,
    /// Length in bytes.
    pub len: u64,
}

impl File {
    /// Opens it; none when it cannot be opened.
    pub fn open(path: &str) -> Option<Self> {
        let mut name: Vec<u8> = path.bytes().collect();
        name.push(0);
        const READ_BINARY: u64 = 1;
        let parameters = [name.as_ptr() as u64, READ_BINARY, path.len() as u64];
        let handle = block(SYS_OPEN, &parameters);
        if handle == u64::MAX {
            return None;
        }
        let len = block(SYS_FLEN, &[handle]);
        (len != u64::MAX).then_some(Self { handle, len })
    }

    /// Reads the next bytes; false when they are not all there.
    pub fn read(&mut self, buffer: &mut [u8]) -> bool {
        let parameters = [self.handle, buffer.as_mut_ptr() as u64, buffer.len() as u64];
        block(SYS_READ, &parameters) == 0
    }
}

impl Drop for File {
    fn drop(&mut self) {
        block(SYS_CLOSE, &[self.handle]);
    }
}
