//! The tests that go through the front door: HTTPS, the command line, a browser, against a real
//! sshd. One binary, so that it links once.

mod api;
mod architecture;
mod cli;
mod crash;
mod documents;
mod engine;
mod harness;
mod security;
mod ssh;
mod ui;
