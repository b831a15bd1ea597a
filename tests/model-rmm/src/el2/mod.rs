//! RMM and host at EL2.
//!
//! `entry` (assembly) takes each exit from the realm to `exit`, which hands it on: `abort` for
//! stage 2, `calls` for SMC, `traps` for system registers, `gic` for interrupts. `state` is what
//! they share: the realm (RMM) and `host` (memory and devices). `boot` makes the realm.
//!
//! EL2 runs with its MMU off: QEMU has no caches, and the code is compiled for strict alignment.

mod abort;
mod boot;
mod calls;
mod cpu;
mod entry;
mod exit;
mod fw_cfg;
mod gic;
mod host;
mod log;
mod mmio;
mod phys;
mod pool;
mod regs;
mod semihosting;
mod stage2;
mod state;
mod traps;
mod uart;
