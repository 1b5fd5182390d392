//! What the tests stand on: the built program on a free port, a client for it, a real sshd, an
//! SSH server that misbehaves, a browser.

pub mod app;
pub mod browser;
pub mod cable;
pub mod certificates;
pub mod client;
pub mod dice;
pub mod door;
pub mod dropbear;
pub mod effort;
pub mod npm;
pub mod openid;
pub mod people;
pub mod planted;
pub mod process;
pub mod scripted;
pub mod small_disk;
pub mod sshd;
pub mod users;
