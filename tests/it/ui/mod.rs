//! The pages, in a browser and without one.

mod account;
mod browser;
mod forms;
mod home;
mod identities;
mod languages;
mod lists;
mod login;
mod pages;
pub mod visitor;
