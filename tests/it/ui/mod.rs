//! The pages, in a browser and without one.

pub mod account;
mod approvals;
mod browser;
mod forms;
mod home;
mod identities;
mod languages;
mod lists;
mod login;
mod output;
mod pages;
mod scopes;
mod secrets;
pub mod visitor;
mod watching;
