//! The command line: the built program as a person or a script starts it.

mod certs;
mod check;
mod demo;
mod run;
mod secrets;
mod serve;
mod usage;
mod user;
