//! What is fuzzed: each target gives bytes that nobody chose to what reads foreign bytes, and holds
//! what has to be true whatever they are. The rules stand beside what they are about; `scripts/fuzz`
//! looks for bytes that break one.

use crate::{api, auth, config, domain, engine, http, service, ssh, ui};

/// A target.
#[derive(Debug)]
pub struct Target {
    /// What it is called; its corpus is `tests/fuzz/corpus/NAME`.
    pub name: &'static str,
    /// Panics where a rule is broken.
    pub run: fn(&[u8]),
    /// Whether a library may panic, as it does so where nothing of ours ends with it.
    pub forgives: bool,
}

const fn target(name: &'static str, run: fn(&[u8])) -> Target {
    Target {
        name,
        run,
        forgives: false,
    }
}

/// All of them.
pub const TARGETS: [Target; 8] = [
    target("bodies", api::fuzzing::body),
    target("config", config::fuzzing::file),
    target("keys", ssh::fuzzing::key),
    target("known_hosts", ssh::fuzzing::known_hosts),
    target("output", output),
    target("parameters", parameters),
    target("remote", ssh::fuzzing::remote),
    Target {
        forgives: true,
        ..target("ssh", ssh::fuzzing::server)
    },
];

/// What a script writes, on its way to a page.
fn output(data: &[u8]) {
    service::fuzzing::text(data);
    engine::fuzzing::secrets(data);
    ui::fuzzing::output(data);
}

/// What a request says beside its body. The first byte chooses what the rest is.
fn parameters(data: &[u8]) {
    let rules = [
        api::fuzzing::range,
        api::fuzzing::condition,
        api::fuzzing::query,
        service::fuzzing::places,
        http::fuzzing::cookies,
        http::fuzzing::credentials,
        auth::fuzzing::token,
        auth::fuzzing::ticket,
        domain::fuzzing::scopes,
        domain::fuzzing::pattern,
    ];
    let (choice, rest) = domain::fuzzing::first(data);
    rules[usize::from(choice) % rules.len()](rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    #[test]
    fn nothing_in_the_corpus_breaks_a_rule() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
        for target in TARGETS {
            let files = fs::read_dir(corpus.join(target.name)).expect("it has a corpus");
            for file in files {
                let path = file.expect("it can be read").path();
                let data = fs::read(&path).expect("it can be read");
                println!("{}", path.display());
                (target.run)(&data);
            }
        }
    }
}
