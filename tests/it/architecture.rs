//! Who may import whom, held against the `use` lines and every other path in `src`.

use std::fs;
use std::path::Path;

/// A module, and what of this crate it may name besides itself.
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    // Names places in the code, for tests, and nothing else.
    ("failpoint", &[]),
    ("config", &["domain"]),
    ("store", &["domain", "config", "failpoint"]),
    ("ssh", &["domain", "config", "failpoint"]),
    ("auth", &["domain", "config"]),
    ("tls", &["domain", "config"]),
    ("vault", &["domain", "config"]),
    (
        "engine",
        &["domain", "store", "ssh", "config", "vault", "failpoint"],
    ),
    (
        "service",
        &["domain", "store", "auth", "engine", "vault", "failpoint"],
    ),
    ("http", &["domain", "service", "config"]),
    ("api", &["domain", "service", "http"]),
    ("ui", &["domain", "service", "http"]),
    (
        "app",
        &[
            "domain",
            "config",
            "store",
            "ssh",
            "auth",
            "tls",
            "engine",
            "service",
            "http",
            "api",
            "ui",
            "vault",
            "failpoint",
        ],
    ),
    (
        "cli",
        &["app", "config", "service", "domain", "tls", "vault"],
    ),
    (
        "main",
        &["cli", "app", "config", "service", "domain", "tls", "vault"],
    ),
];

/// A library, and the one module that may name it.
const OWNERS: &[(&str, &str)] = &[
    ("rusqlite", "store"),
    ("thrussh", "ssh"),
    ("thrussh_keys", "ssh"),
    ("russh", "ssh"),
    ("poem_openapi", "api"),
    ("askama", "ui"),
    ("argon2", "auth"),
    ("totp_rs", "auth"),
    ("openidconnect", "auth"),
    ("qrcodegen", "ui"),
    ("polib", "ui"),
    ("flate2", "ui"),
    ("accept_language", "http"),
    ("zxcvbn", "auth"),
    ("rustls", "tls"),
    ("tokio_rustls", "tls"),
    ("rcgen", "tls"),
    ("x509_parser", "tls"),
    ("instant_acme", "tls"),
    ("clap", "cli"),
];

#[test]
fn modules_use_only_what_the_table_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    visit(&root, &mut |path, text| {
        let file = path.strip_prefix(&root).expect("below src");
        found.extend(breaches(&file.to_string_lossy(), text));
    });
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn visit(directory: &Path, look: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(directory).expect("src can be read") {
        let path = entry.expect("src can be read").path();
        if path.is_dir() {
            visit(&path, look);
        } else if path.extension().is_some_and(|e| e == "rs") {
            look(&path, &fs::read_to_string(&path).expect("source is text"));
        }
    }
}

/// What a file breaks, one line each. `file` is relative to `src`.
fn breaches(file: &str, text: &str) -> Vec<String> {
    let parts: Vec<&str> = file.trim_end_matches(".rs").split('/').collect();
    let module = parts[0];
    if module == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == module) else {
        return vec![format!("src/{file}: {module} is not in the table")];
    };
    // How many `super::` lead to the root of the crate.
    let depth = parts.iter().filter(|part| **part != "mod").count();
    let code = without_comments(text);
    let mut found = Vec::new();
    for (at, used) in uses(&code, depth) {
        let is_module = MAY_USE.iter().any(|(name, _)| *name == used);
        if is_module && used != module && !allowed.contains(&used) {
            let line = line_of(&code, at);
            found.push(format!("src/{file}:{line}: {module} may not use {used}"));
        }
    }
    for (library, owner) in OWNERS.iter().filter(|(_, owner)| *owner != module) {
        for at in names(&code, library) {
            let line = line_of(&code, at);
            found.push(format!("src/{file}:{line}: {library} is for {owner} alone"));
        }
    }
    found
}

/// Lines keep their numbers; whole-line comments lose their text.
fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| {
            if line.trim_start().starts_with("//") {
                ""
            } else {
                line
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// The first-level modules that are named, with where.
fn uses(code: &str, depth: usize) -> Vec<(usize, &str)> {
    let from_root = "super::".repeat(depth);
    ["crate::", "wsexec::", &from_root]
        .iter()
        .flat_map(|prefix| {
            starts(code, prefix)
                .map(move |at| at + prefix.len())
                .flat_map(|at| heads(code, at))
        })
        .collect()
}

/// Where a word begins that is not the end of a longer one or of a longer path, nor a text.
fn starts<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(|at| {
        !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '"')
    })
}

/// The identifier at this place, or each first one of a group in braces.
fn heads(code: &str, at: usize) -> Vec<(usize, &str)> {
    if !code[at..].starts_with('{') {
        return vec![(at, identifier(&code[at..]))];
    }
    let mut found = Vec::new();
    let (mut nested, mut expected) = (0, false);
    for (offset, c) in code[at..].char_indices() {
        match c {
            '{' => {
                nested += 1;
                expected = nested == 1;
            }
            '}' => nested -= 1,
            ',' => expected = nested == 1,
            _ if expected && !c.is_whitespace() => {
                found.push((at + offset, identifier(&code[at + offset..])));
                expected = false;
            }
            _ => {}
        }
        if nested == 0 {
            break;
        }
    }
    found
}

fn identifier(code: &str) -> &str {
    let end = code
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(code.len());
    &code[..end]
}

/// Where a library is named: in a path, or by a `use` of the library itself.
fn names<'a>(code: &'a str, library: &'a str) -> impl Iterator<Item = usize> + 'a {
    starts(code, library).filter(move |at| {
        let after = &code[at + library.len()..];
        let imported = code[..*at].ends_with("use ") && after.starts_with([';', ' ']);
        after.starts_with("::") || imported
    })
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Holds what `deny.toml` says of two faults in the XML parser that poem-openapi brings.
#[test]
fn no_payload_is_xml() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    visit(&root, &mut |path, text| {
        let code = without_comments(text);
        let found = starts(&code, "Xml")
            .chain(code.match_indices("::Xml").map(|(at, _)| at))
            .next();
        assert!(found.is_none(), "{} names Xml", path.display());
    });
}

/// A form is read by `http::Form`, which there is none of without its token.
#[test]
fn no_page_reads_a_form_that_nobody_verified() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ui");
    visit(&root, &mut |path, text| {
        let code = without_comments(text);
        for import in code.split("poem::").skip(1) {
            let import = import.split(';').next().unwrap_or_default();
            let named = ["Form", "Multipart", "RequestBody", "Body"];
            let mut words = import.split(|c: char| !c.is_alphanumeric() && c != '_');
            let found = words.find(|word| named.contains(word));
            assert!(found.is_none(), "{}: poem::{import}", path.display());
        }
    });
}

#[test]
fn a_breach_is_found_in_every_form_and_told_with_its_line() {
    for (file, code, expected) in [
        (
            "store/tasks.rs",
            "\nuse crate::ssh::Session;",
            "src/store/tasks.rs:2: store may not use ssh",
        ),
        (
            "domain/mod.rs",
            "use crate::{\n    config::Config,\n    domain,\n};",
            "src/domain/mod.rs:2: domain may not use config",
        ),
        (
            "api/mod.rs",
            "fn f() -> crate::ui::Page {}",
            "src/api/mod.rs:1: api may not use ui",
        ),
        (
            "ui/tasks.rs",
            "use super::super::api;",
            "src/ui/tasks.rs:1: ui may not use api",
        ),
        (
            "main.rs",
            "fn main() { wsexec::store::open() }",
            "src/main.rs:1: main may not use store",
        ),
        (
            "service/users.rs",
            "let c: rusqlite::Connection;",
            "src/service/users.rs:1: rusqlite is for store alone",
        ),
        (
            "rest/mod.rs",
            "",
            "src/rest/mod.rs: rest is not in the table",
        ),
    ] {
        assert_eq!(breaches(file, code), [expected]);
    }
}

#[test]
fn what_is_allowed_is_no_breach() {
    for (file, code) in [
        (
            "store/tasks.rs",
            "use crate::{domain::{Task, ssh}, config};",
        ),
        ("store/tasks.rs", "use super::{ssh, tls};"),
        ("store/tasks.rs", "use rusqlite::Connection;\n// crate::ssh"),
        (
            "http/stack.rs",
            "use crate::service::Service; use poem::http::uri;",
        ),
        ("app/mod.rs", "let name = \"thrussh\";"),
        ("lib.rs", "pub mod store;"),
    ] {
        assert_eq!(breaches(file, code), Vec::<String>::new(), "{code}");
    }
}
