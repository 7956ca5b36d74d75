//! A session store that two processes use at once, and one whose disk is full.

use std::process::Command;

use alloy_primitives::U256;

use crate::devnet::{Devnet, QUORATE};
use crate::stderr;

#[test]
fn two_processes_share_a_store_and_a_full_disk_loses_nothing() {
    let devnet = Devnet::start();
    let policies = devnet.limitless_policies();
    devnet.answer(&["session", "create", policies.to_str().unwrap(), "--key", "store", "--yes"]);
    let mint = ["session", "use", devnet.nft(), "safeMint(address to)", devnet.account(), "--again"];

    let both = [(); 2].map(|()| devnet.at_work(&mut Command::new(QUORATE)).args(mint).spawn().unwrap());
    for one in both {
        let used = one.wait_with_output().unwrap();
        assert!(used.status.success(), "{}", stderr(&used));
    }
    assert_eq!(devnet.tokens_of_account(), U256::from(2), "each call is an operation of its own");

    // What is not written down is not sent: whatever fails for want of space has minted nothing.
    let (mut minted, mut refused) = (2, 0);
    for kib in [16, 33, 48, 56, 64, 128] {
        // No file gets longer than this; the signal that would end the program is ignored, as writes then fail.
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
        let mut shell = Command::new("bash");
        let used = devnet.at_work(shell.args(["-c", &script, "bash", QUORATE]).args(mint)).output().unwrap();
        match used.status.code() {
            Some(0) => minted += 1,
            Some(1) => {
                assert!(stderr(&used).contains("is there space left on its disk?"), "{}", stderr(&used));
                refused += 1;
            }
            _ => panic!("{kib} KiB: {:?}, {}", used.status, stderr(&used)),
        }
        assert_eq!(devnet.tokens_of_account(), U256::from(minted), "{kib} KiB: {}", stderr(&used));
    }
    assert!(refused >= 2 && minted >= 3, "{refused} refused, {minted} minted");
    assert_eq!(devnet.statuses(), ["active"]);
    assert!(devnet.quorate(&mint).status.success());
}
