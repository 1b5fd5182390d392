//! Both languages are whole: what the source says on pages, outside of templates, is in the
//! catalogue.

use super::languages::{catalogue, root};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Where what is said on pages is made.
const SAYING: [&str; 9] = [
    "domain", "service", "ui", "http", "engine", "ssh", "auth", "vault", "store",
];

/// What only a log, a command or a shell gets to see.
const NEVER_ON_A_PAGE: [&str; 22] = [
    "{NAME}={together}.{wrap}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={AGE}",
    "{name}={value}; Path=/; Secure; HttpOnly{more}",
    "must have a tty",
    "may not run",
    "there is no ID token",
    "No requests to the OpenID provider: {why}.",
    "there is no certificate in it",
    "{VARIABLE}: is no key: {SHAPE}",
    "The key file {} {why}.",
    "holds no key: {SHAPE}",
    "cannot be read: {e}",
    "is no regular file",
    "belongs to another user",
    "is open to others: chmod 600 it",
    "Cannot make the key file {}: {e}.",
    "cannot use the data directory {dir}: {cause}",
    "cannot use the anchor of the audit trail {path}: {cause}",
    "there is no audit trail yet: it begins when `wsexec serve` starts",
    "cannot open the store: {0}",
    "{variable}: the {why}",
    "The {why}.",
    "{undecided} IS NOT ?2 {order}",
];

/// The literals of a source file that people may come to read, as they are at run time.
fn sentences(source: &str) -> Vec<String> {
    let code = source
        .split("#[cfg(test)]\nmod ")
        .next()
        .unwrap_or_default();
    let mut code: String = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .map(|line| format!("{line}\n"))
        .collect();
    // What goes to the log, or says what cannot be.
    for call in [
        "warn!(",
        "info!(",
        "debug!(",
        "trace!(",
        "error!(",
        "unreachable!(",
        "expect(",
        "internal(",
    ] {
        while let Some(at) = code.find(call) {
            let end = end_of_call(&code[at + call.len()..]);
            code.replace_range(at..at + call.len() + end, "");
        }
    }
    let mut found = Vec::new();
    let mut rest = code.as_str();
    while let Some((before, after)) = rest.split_once('"') {
        if before.ends_with('\'') {
            rest = after;
            continue;
        }
        let mut text = String::new();
        let mut chars = after.char_indices().peekable();
        let mut end = after.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => match chars.next() {
                    // A line that goes on below.
                    Some((_, '\n')) => while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {},
                    Some((_, c @ ('"' | '\\' | '\''))) => text.push(c),
                    Some((_, c)) => text.extend(['\\', c]),
                    None => {}
                },
                c => text.push(c),
            }
        }
        found.push(text);
        rest = &after[end..];
    }
    found.retain(|text| is_sentence(text));
    found
}

/// Where the parenthesis closes that is open.
fn end_of_call(code: &str) -> usize {
    let (mut depth, mut quoted, mut escaped) = (1, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    code.len()
}

/// A sentence, or what follows the name of a field in one.
fn is_sentence(text: &str) -> bool {
    let values = text
        .split('{')
        .map(|it| it.split_once('}').map_or(it, |(_, text)| text));
    let own: String = values.collect();
    let letters = |word: &str| word.chars().filter(|c| c.is_alphabetic()).count();
    let words = own.split_whitespace().filter(|word| letters(word) > 1);
    let first = text.split(' ').next().unwrap_or_default();
    let follows = [
        "must", "is", "has", "have", "may", "can", "cannot", "there", "be", "was", "belongs",
        "holds", "needs",
    ];
    let begins = text.starts_with(|c: char| c.is_uppercase() || c == '{');
    let ends = text.ends_with(['.', '!', '?', ':', '}']);
    let query = ["SELECT", "ORDER", "INSERT", "UPDATE", "DELETE"].contains(&first);
    let follows = follows.contains(&first) && text.contains(' ');
    !query && (follows || (words.count() > 1 && begins && ends))
}

#[test]
fn what_other_modules_say_on_pages_is_in_the_catalogue() {
    let known: BTreeSet<String> = catalogue().into_iter().map(|(key, _)| key).collect();
    let (mut missing, mut said) = (Vec::new(), BTreeSet::new());
    let mut next: Vec<PathBuf> = SAYING
        .iter()
        .map(|it| root().join("src").join(it))
        .collect();
    while let Some(directory) = next.pop() {
        for entry in fs::read_dir(directory).expect("the source can be read") {
            let path = entry.expect("the source can be read").path();
            if path.is_dir() {
                next.push(path);
                continue;
            }
            let is_of_a_build = !path.ends_with("fuzzing.rs");
            if path.extension().is_none_or(|it| it != "rs") || !is_of_a_build {
                continue;
            }
            let text = fs::read_to_string(&path).expect("source is text");
            for sentence in sentences(&text) {
                if !known.contains(&sentence) && !NEVER_ON_A_PAGE.contains(&&*sentence) {
                    missing.push(format!("{}: {sentence:?}", path.display()));
                }
                said.insert(sentence);
            }
        }
    }
    assert!(
        missing.is_empty(),
        "fr.po has nothing for\n{}\n",
        missing.join("\n")
    );
    assert!(said.len() > 350, "only {} sentences were found", said.len());
}
