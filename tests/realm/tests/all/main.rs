//! Every test that starts a realm.

mod commands;
mod conformance;
mod disks;
mod efi;
mod ends;
mod firmware;
mod hostile;
mod kvmtool;
mod linux;
mod matrix;
mod misbehaviour;
mod rim;
mod rmm;
