//! Tests that measure their process get one of their own.

use std::{env, process::Command};

const OWN: &str = "FANLIGHT_TEST_OWN_PROCESS";

/// Runs the test with this path (such as `turn::relays_work`) once more, in a process that runs no other test. Returns
/// `true` in that process, and `false` in the first one when the test has passed there. Panics if it failed.
pub fn in_own_process(test: &str) -> bool {
    if env::var_os(OWN).is_some() {
        return true;
    }
    let program = env::current_exe().unwrap();
    let words = [test, "--exact", "--nocapture", "--test-threads=1"];
    let ended = Command::new(program).args(words).env(OWN, "1").output().unwrap();
    let [out, err] = [&ended.stdout, &ended.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert!(
        ended.status.success() && out.contains("test result: ok. 1 passed"),
        "{test}: {}\n{out}\n{err}",
        ended.status
    );
    false
}
