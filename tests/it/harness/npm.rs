//! Packages of npm that tests need, in the versions that a lock file of the tests pins.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Exit code of the script that fetches them, where they cannot be had.
const UNAVAILABLE: i32 = 69;

/// Where the packages of a directory of the tests are installed. None where they cannot be had,
/// which is said on stderr: what is then `untested`.
pub fn packages(directory: &str, name: &str, untested: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = Command::new(root.join("scripts/npm_packages"))
        .args([directory, name, untested])
        .output()
        .expect("the script runs");
    if said.status.code() == Some(UNAVAILABLE) {
        eprintln!("{}", String::from_utf8_lossy(&said.stderr));
        return None;
    }
    assert!(said.status.success(), "{said:?}");
    let path = String::from_utf8(said.stdout).expect("a path");
    Some(path.trim().into())
}
