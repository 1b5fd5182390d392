//! What the tests stand on: a client of the API, a real sshd, the program without anything of the
//! machine's configuration.
#![allow(dead_code, unused_imports, reason = "the tests use more of it")]

#[path = "../../tests/it/harness/app.rs"]
pub mod app;
#[path = "../../tests/it/harness/client.rs"]
pub mod client;
#[path = "../../tests/it/harness/process.rs"]
pub mod process;
#[path = "../../tests/it/harness/sshd.rs"]
pub mod sshd;
#[path = "../../tests/it/harness/users.rs"]
pub mod users;

use sshd::{Builder, Sshd};

/// An sshd whose scripts find no home, so that nothing in the user's `.bashrc` is measured: bash
/// reads it for each command over SSH.
pub fn sshd() -> Builder {
    Sshd::builder().line("SetEnv HOME=/nonexistent")
}
