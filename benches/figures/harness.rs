//! What the tests stand on: a client of the API, a real sshd, the program without anything of the
//! machine's configuration.
#![allow(dead_code, reason = "the tests use more of it")]

#[path = "../../tests/it/harness/app.rs"]
pub mod app;
#[path = "../../tests/it/harness/client.rs"]
pub mod client;
#[path = "../../tests/it/harness/sshd.rs"]
pub mod sshd;
