//! Virtual machines for `cargo xtask run`, `cargo xtask bench` and the QEMU tests.
//!
//! A [`Machine`] describes what to start, a [`Vm`] is one that runs: its console is captured, it
//! has a deadline, and nothing of it is left when it goes out of scope.

pub mod broken;
pub mod checks;
pub mod disk;
pub mod entropy;
pub mod machine;
pub mod network;
pub mod running;
pub mod symbolize;
pub mod workspace;

pub use checks::{Checks, End, Verdict};
pub use machine::Machine;
pub use running::{Finished, Vm};
