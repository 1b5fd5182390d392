//! The pages, in a browser and without one.

mod account;
mod browser;
mod forms;
mod identities;
mod languages;
mod login;
mod output;
mod pages;
pub mod visitor;
