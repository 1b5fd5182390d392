//! The command line: the built program as a person or a script starts it.

mod audit;
mod backup;
mod certs;
mod check;
mod demo;
mod run;
mod secrets;
mod serve;
mod terminal;
mod token;
mod usage;
mod user;
