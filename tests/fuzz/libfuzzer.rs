//! libFuzzer around one target of `wsexec::fuzzing`, which `WSEXEC_FUZZ` names; see scripts/fuzz.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::panic;
use std::sync::OnceLock;
use wsexec::fuzzing::{TARGETS, Target};

static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(
    init: {
        let name = std::env::var("WSEXEC_FUZZ").unwrap_or_default();
        let target = TARGETS.iter().find(|target| target.name == name);
        let Some(target) = target else {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            eprintln!("WSEXEC_FUZZ has to be one of: {}", names.join(", "));
            std::process::exit(2);
        };
        let _ = TARGET.set(target);
        if target.forgives {
            forgive();
        }
    },
    |data: &[u8]| {
        if let Some(target) = TARGET.get() {
            (target.run)(data);
        }
    }
);

/// From now on a panic ends the program where it is in a file of ours; in a library's it is left to
/// whoever has to hold it. libFuzzer's own hook, which is replaced, ends it always.
fn forgive() {
    panic::set_hook(Box::new(|panicked| {
        let ours = panicked
            .location()
            .is_none_or(|it| !it.file().starts_with('/'));
        if ours {
            eprintln!("{panicked}");
            std::process::abort();
        }
    }));
}
