//! The firmware launched as kvmtool does it: x0 = DTB, a 16550, no fw_cfg.

use std::time::Duration;

use anyhow::{Result, ensure};
use realm_vm::{Realm, end};
use vm::workspace;

#[test]
fn the_console_is_the_16550() -> Result<()> {
    let ended = Realm::kvmtool(workspace::image()).run(Duration::from_secs(60))?;
    ensure!(ended.status() == Some(end::OFF), ended.report());
    for said in [": realm, RSI 1.1, IPA width 33", "nothing to boot: no kernel"] {
        ensure!(ended.finished.console.contains(said), "{}the console has no {said:?}", ended.report());
    }
    Ok(())
}
