//! The pages, in a browser and without one.

mod account;
mod browser;
mod forms;
mod identities;
mod login;
mod pages;
mod secrets;
pub mod visitor;
