//! What `docs/security.md` says, held against the tests and files that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PAGE: &str = include_str!("../../docs/security.md");

#[test]
fn each_test_that_the_security_page_names_is_there() {
    let tests = tests();
    let named = named(PAGE);
    assert!(named.len() > 50, "{named:?}");
    let missing: Vec<_> = named
        .iter()
        .filter(|name| !tests.contains(**name))
        .collect();
    assert!(missing.is_empty(), "no such test: {missing:#?}");
}

#[test]
fn each_file_that_the_security_page_names_is_there() {
    let directories = [".ci/", "docs/", "scripts/", "src/", "tests/"];
    let missing: Vec<_> = quoted(PAGE)
        .filter(|text| {
            directories
                .iter()
                .any(|directory| text.starts_with(directory))
        })
        .filter(|file| !root().join(file).exists())
        .collect();
    assert!(missing.is_empty(), "no such file: {missing:#?}");
}

/// OWASP ASVS 5.0.0: each section, and the numbers of its requirements of levels 1 and 2.
const REQUIREMENTS: &[(&str, &[u8])] = &[
    ("V1.1", &[1, 2]),
    ("V1.2", &[1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ("V1.3", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ("V1.4", &[1, 2, 3]),
    ("V1.5", &[1, 2]),
    ("V2.1", &[1, 2, 3]),
    ("V2.2", &[1, 2, 3]),
    ("V2.3", &[1, 2, 3, 4]),
    ("V2.4", &[1]),
    ("V3.2", &[1, 2]),
    ("V3.3", &[1, 2, 3, 4]),
    ("V3.4", &[1, 2, 3, 4, 5, 6]),
    ("V3.5", &[1, 2, 3, 4, 5]),
    ("V3.7", &[1, 2]),
    ("V4.1", &[1, 2, 3]),
    ("V4.2", &[1]),
    ("V4.3", &[1, 2]),
    ("V4.4", &[1, 2, 3, 4]),
    ("V5.1", &[1]),
    ("V5.2", &[1, 2, 3]),
    ("V5.3", &[1, 2]),
    ("V5.4", &[1, 2, 3]),
    ("V6.1", &[1, 2, 3]),
    ("V6.2", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ("V6.3", &[1, 2, 3, 4]),
    ("V6.4", &[1, 2, 3, 4]),
    ("V6.5", &[1, 2, 3, 4, 5]),
    ("V6.6", &[1, 2, 3]),
    ("V6.8", &[1, 2, 3, 4]),
    ("V7.1", &[1, 2, 3]),
    ("V7.2", &[1, 2, 3, 4]),
    ("V7.3", &[1, 2]),
    ("V7.4", &[1, 2, 3, 4, 5]),
    ("V7.5", &[1, 2]),
    ("V7.6", &[1, 2]),
    ("V8.1", &[1, 2]),
    ("V8.2", &[1, 2, 3]),
    ("V8.3", &[1]),
    ("V8.4", &[1]),
    ("V9.1", &[1, 2, 3]),
    ("V9.2", &[1, 2, 3, 4]),
    ("V10.1", &[1, 2]),
    ("V10.2", &[1, 2]),
    ("V10.3", &[1, 2, 3, 4]),
    ("V10.4", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ("V10.5", &[1, 2, 3, 4, 5]),
    ("V10.6", &[1, 2]),
    ("V10.7", &[1, 2, 3]),
    ("V11.1", &[1, 2]),
    ("V11.2", &[1, 2, 3]),
    ("V11.3", &[1, 2, 3]),
    ("V11.4", &[1, 2, 3, 4]),
    ("V11.5", &[1]),
    ("V11.6", &[1]),
    ("V12.1", &[1, 2, 3]),
    ("V12.2", &[1, 2]),
    ("V12.3", &[1, 2, 3, 4]),
    ("V13.1", &[1]),
    ("V13.2", &[1, 2, 3, 4, 5]),
    ("V13.3", &[1, 2]),
    ("V13.4", &[1, 2, 3, 4, 5]),
    ("V14.1", &[1, 2]),
    ("V14.2", &[1, 2, 3, 4]),
    ("V14.3", &[1, 2, 3]),
    ("V15.1", &[1, 2, 3]),
    ("V15.2", &[1, 2, 3]),
    ("V15.3", &[1, 2, 3, 4, 5, 6, 7]),
    ("V16.1", &[1]),
    ("V16.2", &[1, 2, 3, 4, 5]),
    ("V16.3", &[1, 2, 3, 4]),
    ("V16.4", &[1, 2, 3]),
    ("V16.5", &[1, 2, 3]),
    ("V17.1", &[1]),
    ("V17.2", &[1, 2, 3, 4]),
    ("V17.3", &[1, 2]),
];

#[test]
fn each_requirement_of_levels_1_and_2_is_spoken_of() {
    let mut missing = Vec::new();
    for (section, numbers) in REQUIREMENTS {
        for number in *numbers {
            let id = format!("{section}.{number}");
            let chapter = section.split('.').next().expect("a chapter");
            if ![&id, *section, chapter].iter().any(|id| begins_a_row(id)) {
                missing.push(id);
            }
        }
    }
    assert!(missing.is_empty(), "not a word of {missing:?}");
}

fn begins_a_row(id: &str) -> bool {
    PAGE.lines().any(|line| {
        let row = line.strip_prefix("| ");
        row.is_some_and(|row| row.starts_with(&format!("{id} ")))
    })
}

/// The paths of tests: words between backticks that are joined by `::`.
fn named(page: &str) -> BTreeSet<&str> {
    let is_path = |text: &&str| {
        text.contains("::")
            && text.split("::").all(|word| {
                !word.is_empty()
                    && word
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
            })
    };
    quoted(page).filter(is_path).collect()
}

/// What stands between backticks.
fn quoted(page: &str) -> impl Iterator<Item = &str> {
    page.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All tests by the paths that `cargo test` shows, without the name of the binary.
fn tests() -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for base in [root().join("tests/it"), root().join("src")] {
        let mut files = Vec::new();
        sources(&base, &mut files);
        for file in files {
            let path = file.strip_prefix(&base).expect("below it");
            let text = fs::read_to_string(&file).expect("source is text");
            all.extend(tests_in(&module(path), &text));
        }
    }
    all
}

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("it can be read") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// `security/tls.rs` is `security::tls::`, `api/mod.rs` is `api::`.
fn module(file: &Path) -> String {
    let file = file.with_extension("");
    let words = file.iter().filter_map(|word| word.to_str());
    let words = words.filter(|word| !["mod", "lib", "main"].contains(word));
    words.map(|word| format!("{word}::")).collect()
}

fn tests_in(module: &str, text: &str) -> Vec<String> {
    let mut inner = String::new();
    let mut is_test = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let code = line.trim_start();
        if let Some(name) = line.strip_prefix("mod ").and_then(|l| l.strip_suffix(" {")) {
            inner = format!("{name}::");
        } else if line == "}" && !inner.is_empty() {
            inner.clear();
        } else if code.starts_with("#[test]") || code.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(at) = code.find("fn ").filter(|_| is_test) {
            let name = code[at + 3..].split(['(', '<']).next().unwrap_or_default();
            found.push(format!("{module}{inner}{name}"));
            is_test = false;
        }
    }
    found
}

#[test]
fn tests_are_found_by_their_paths() {
    let text = "#[test]\nfn one() {}\nfn none() {}\n#[cfg(test)]\nmod tests {\n    \
        #[tokio::test(flavor = \"x\")]\n    #[ignore]\n    async fn two() {\n    }\n}\n#[test]\nfn three() {}";
    let found = tests_in(&module(Path::new("ssh/mod.rs")), text);
    assert_eq!(found, ["ssh::one", "ssh::tests::two", "ssh::three"]);
    let page = "see `a::b_2` and `A::b`, `a: b` or\n`c`, `x::` `d::e::f`";
    assert_eq!(
        named(page).into_iter().collect::<Vec<_>>(),
        ["a::b_2", "d::e::f"]
    );
}

/// The unit for systemd gives the service no more than it needs.
#[test]
fn the_unit_for_systemd_exposes_little() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/wsexec.service");
    let analyzed = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", "--threshold=20"])
        .arg(&unit)
        .output()
        .expect("systemd-analyze is installed");
    let told = String::from_utf8_lossy(&analyzed.stdout).into_owned();
    assert!(analyzed.status.success(), "{told}");
    assert!(told.contains("Overall exposure level"), "{told}");
}

/// The values of an instruction in the container file, in their order.
fn instructions<'a>(file: &'a str, name: &str) -> Vec<&'a str> {
    let lines = file.lines().filter_map(|line| line.split_once(' '));
    let named = lines.filter(|(word, _)| *word == name);
    named.map(|(_, value)| value).collect()
}

#[test]
fn the_container_file_takes_what_is_there_and_runs_as_nobody_in_particular() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a file");
    let file = read("docs/Containerfile");
    let mut bases = instructions(&file, "FROM").into_iter();
    // The release of Debian that it is built on is the one that it runs on.
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let rust = manifest["package"]["rust-version"].as_str().expect("text");
    let build = format!("docker.io/library/rust:{rust}-bookworm AS build");
    assert_eq!(bases.next(), Some(build.as_str()));
    assert_eq!(bases.next(), Some("docker.io/library/debian:bookworm-slim"));
    assert_eq!(bases.next(), None);

    let mut copied = BTreeSet::new();
    for line in instructions(&file, "COPY") {
        let mut words: Vec<_> = line.split(' ').collect();
        words.pop().expect("where it goes");
        if words[0] == "--from=build" {
            assert_eq!(words[1..], ["/src/target/release/wsexec"], "{line}");
        } else {
            copied.extend(words);
        }
    }
    let missing: Vec<_> = copied
        .iter()
        .filter(|it| !root().join(it).exists())
        .collect();
    assert!(missing.is_empty(), "no such file: {missing:?}");
    for needed in ["Cargo.lock", "src", "static", "templates"] {
        assert!(copied.contains(needed), "{needed} is not copied");
    }
    for private in [".", "./", "certs", "data"] {
        assert!(
            !copied.contains(private),
            "{private} would get into a layer"
        );
    }
    assert_eq!(instructions(&file, "USER"), ["10001:10001"]);
    assert!(
        instructions(&file, "ADD").is_empty(),
        "nothing is downloaded"
    );
    assert!(
        instructions(&file, "ARG").is_empty(),
        "it would stay in the history"
    );
}

/// The figures that a text names.
fn figures(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let figures = words.filter(|it| it.starts_with("wsexec_"));
    figures
        .map(|it| it.trim_end_matches("_bucket").to_owned())
        .collect()
}

/// The page, the dashboard and the program know the same figures.
#[test]
fn each_figure_is_told_drawn_and_counted() {
    let read = |path: &str| fs::read_to_string(root().join(path)).expect("a file");
    let told = figures(&read("docs/metrics.md"));
    let dashboard = read("docs/grafana.json");
    let _: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    assert_eq!(figures(&dashboard), told);
    assert_eq!(figures(&read("src/app/metrics.rs")), told);
}
