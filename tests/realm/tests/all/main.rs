//! Every test that starts a realm.

mod commands;
mod conformance;
mod devices;
mod disks;
mod efi;
mod ends;
mod faults;
mod firmware;
mod hostile;
mod kvmtool;
mod linux;
mod matrix;
mod memory;
mod misbehaviour;
mod network;
mod rim;
mod rmm;
mod shared;
