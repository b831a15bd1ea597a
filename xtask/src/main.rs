//! Build, run, test and measure realmfw.
fn main() {}
