//! WSEXEC: a hardened, HTTPS-first service that runs scripts on remote machines over SSH.
//!
//! # What holds everywhere
//!
//! - A 201 means that the task is on disk. It is claimed in the store before anything is sent to a
//!   machine, so that it starts at most once; it ends once, and what is known of it is kept.
//! - The database is the truth. What the engine holds in memory is derived from it.
//! - Nothing reaches the store or the engine but through a use case of [`service`], and each of
//!   those takes the [`service::Actor`] that asks.
//! - No machine is trusted before its host key was verified. No queue is unbounded, no wait is
//!   without a deadline.
//!
//! # The modules in reading order
//!
//! [`domain`] (what the words mean), [`config`], [`store`] (SQLite), [`vault`] (secrets at rest),
//! [`ssh`] (thrussh), [`engine`]
//! (claims, runs, records), [`auth`] (passwords, caches, throttling), [`tls`], [`service`] (the
//! use cases), [`http`] (what both front ends share), [`api`] (JSON), [`ui`] (pages), [`app`]
//! (puts the parts together), [`cli`] (one file for each subcommand). Beside them stands
//! `failpoint`: where tests have the program killed.

#![forbid(unsafe_code)]

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod config;
pub mod domain;
pub mod engine;
mod failpoint;
pub mod http;
pub mod service;
pub mod ssh;
pub mod store;
pub mod tls;
pub mod ui;
pub mod vault;
