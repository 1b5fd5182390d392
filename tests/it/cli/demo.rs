//! `wsexec demo`
