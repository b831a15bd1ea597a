//! A realm that checks the RMM it runs under.
//!
//! It starts at any address with the device tree in x0 or at the start of RAM, uses nothing but
//! RSI, PSCI and a UART in the unprotected half, and prints one line for each rule it checks:
//! `PASS <rule>` or `FAIL <rule>: <what>`. The last line counts them; then it powers off.
//!
//! Each rule names its place in the specification: DEN0137 (RMM), DEN0022 (PSCI), DEN0028
//! (SMCCC), DEN0148 (RHI).

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod access;
#[cfg(target_os = "none")]
mod checks;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod cpu;
#[cfg(target_os = "none")]
mod machine;
#[cfg(target_os = "none")]
mod start;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("realm-conformance runs in a realm, for instance in the model RMM");
    std::process::exit(2);
}
