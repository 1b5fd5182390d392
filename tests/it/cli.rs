//! The command line: the built program as a person or a script starts it.

mod audit;
mod backup;
mod certs;
mod check;
mod demo;
mod generate;
mod run;
mod secrets;
mod serve;
mod status;
mod terminal;
mod token;
mod upgrades;
mod usage;
mod user;
