//! The pages, in a browser and without one.

pub mod account;
mod approvals;
mod browser;
mod data;
mod every_page;
mod forms;
mod home;
mod identities;
mod instances;
mod journey;
mod kept;
mod languages;
mod lists;
mod login;
mod new_task;
mod output;
mod pages;
mod pinned;
mod results;
pub mod routes;
mod scopes;
mod secrets;
mod sentences;
pub mod visitor;
mod watching;
