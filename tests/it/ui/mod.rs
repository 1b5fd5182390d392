//! The pages, in a browser and without one.

pub mod account;
mod approvals;
mod browser;
mod every_page;
mod forms;
mod home;
mod identities;
mod journey;
mod languages;
mod lists;
mod login;
mod output;
mod pages;
pub mod routes;
mod scopes;
mod secrets;
pub mod visitor;
mod watching;
