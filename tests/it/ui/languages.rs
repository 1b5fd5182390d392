//! Both languages are whole: what templates say is in the catalogue, and what the catalogue has
//! somebody says.

use super::visitor::Visitor;
use crate::harness::app::App;
use crate::harness::client::{Reply, send};
use crate::harness::sshd::{self, Sshd};
use reqwest::{Method, RequestBuilder};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Words that are the same everywhere.
const SAME: &[&str] = &[
    "WSEXEC",
    "API",
    "curl",
    "wsexec.crt",
    "UTC",
    "env=prod",
    "host_key",
    "instance/1",
    "INIT",
    "CURRENT",
    "DONE",
    "ABORT",
    "ACTIVE",
    "DEACTIVATE",
    "rc",
    "stdout",
    "stderr",
    "attached",
    "detached",
    "sudo",
    "doas",
    "python3",
    "SHA256",
    "DB_PASSWORD",
    "ms",
    "wsexec/tasks?limit=10",
    "printf",
    "cacert",
    "WSEXEC_TOKEN",
    "Bearer",
    "Authorization",
    "ssh_key",
    "become_password",
    "secret",
];

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn templates() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let (base, mut next) = (root().join("templates"), vec![root().join("templates")]);
    while let Some(directory) = next.pop() {
        for entry in fs::read_dir(directory).expect("templates can be read") {
            let path = entry.expect("templates can be read").path();
            if path.is_dir() {
                next.push(path);
            } else {
                let name = path.strip_prefix(&base).expect("below templates");
                let text = fs::read_to_string(&path).expect("templates are text");
                found.push((name.to_string_lossy().into_owned(), text));
            }
        }
    }
    found
}

/// The parts of a template that askama reads, and the text of which all of them are cut out.
fn parts(template: &str) -> (Vec<&str>, String) {
    let (mut code, mut text, mut rest) = (Vec::new(), String::new(), template);
    while let Some(at) = rest.find(['{']) {
        let close = match rest.as_bytes().get(at + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => "#}",
            _ => {
                text.push_str(&rest[..=at]);
                rest = &rest[at + 1..];
                continue;
            }
        };
        text.push_str(&rest[..at]);
        text.push('\u{1}');
        let end = rest[at..].find(close).expect("askama has read it") + at;
        code.push(&rest[at + 2..end]);
        rest = &rest[end + 2..];
    }
    text.push_str(rest);
    (code, text)
}

/// The string literals of an expression, each with what follows it.
fn literals(code: &str) -> Vec<(String, &str)> {
    let (mut found, mut rest) = (Vec::new(), code);
    while let Some((_, after)) = rest.split_once('"') {
        let Some(end) = after.find('"') else { break };
        found.push((after[..end].to_owned(), &after[end + 1..]));
        rest = &after[end + 1..];
    }
    found
}

/// The keys that a template asks the catalogue for: `"…"|t`, the two of `plural`, and the labels
/// that it hands to a macro.
fn keys(template: &str) -> BTreeSet<String> {
    let (code, _) = parts(template);
    let mut keys = BTreeSet::new();
    for part in code {
        let call = part
            .trim_start_matches('-')
            .trim_start()
            .starts_with("call ");
        for (text, after) in literals(part) {
            // The catalogue is keyed by the plural of two.
            let is_one = part.contains("|plural(\"") && after.starts_with(", \"");
            if is_one {
                continue;
            }
            let asked = after
                .strip_prefix("|t")
                .is_some_and(|it| !it.starts_with(|c: char| c.is_alphanumeric() || c == '_'));
            let label = call && text.starts_with(|c: char| c.is_uppercase());
            let counted = part.contains("|plural(") && text.contains("{}");
            if asked || label || counted {
                keys.insert(text);
            }
        }
    }
    keys
}

/// The words of a template that stand there for readers and that no catalogue is asked for.
fn bare_words(template: &str) -> Vec<String> {
    let (_, text) = parts(template);
    let mut found = Vec::new();
    let (mut shown, mut rest) = (String::new(), text.as_str());
    while let Some((before, after)) = rest.split_once('<') {
        shown.push_str(before);
        shown.push(' ');
        let end = after.find('>').expect("tags are closed");
        let tag = &after[..end];
        for attribute in [
            "aria-label=\"",
            "title=\"",
            "placeholder=\"",
            "alt=\"",
            "data-label=\"",
        ] {
            if let Some((_, value)) = tag.split_once(attribute) {
                shown.push_str(value.split('"').next().unwrap_or_default());
                shown.push(' ');
            }
        }
        rest = &after[end + 1..];
        // Code is the same in every language.
        for element in ["code", "script", "style"] {
            if tag.split([' ', '\n']).next() == Some(element)
                && let Some((_, after)) = rest.split_once(&format!("</{element}>"))
            {
                rest = after;
            }
        }
    }
    shown.push_str(rest);
    // A macro that gives attributes.
    while let Some(at) = shown.find("=\"") {
        let start = shown[..at].rfind(' ').map_or(0, |space| space + 1);
        let end = shown[at + 2..].find('"').map_or(at + 2, |end| at + 3 + end);
        shown.replace_range(start..end, "");
    }
    for word in shown.split(|c: char| c.is_whitespace() || c == '\u{1}') {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        let entity = word.starts_with('&') || word == "nbsp";
        let letters = word.chars().filter(|c| c.is_alphabetic()).count();
        if letters > 1 && !entity && !SAME.contains(&word) {
            found.push(word.to_owned());
        }
    }
    found
}

/// The catalogue's keys with what stands for them; the plural form where there are two.
pub fn catalogue() -> Vec<(String, Vec<String>)> {
    let text = fs::read_to_string(root().join("src/ui/language/fr.po")).expect("there is fr.po");
    let mut entries: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        let Some((head, quoted)) = line.split_once(" \"") else {
            continue;
        };
        let value = quoted.strip_suffix('"').expect("a line of gettext");
        let value = value.replace("\\\"", "\"").replace("\\n", "\n");
        match head {
            "msgid" => entries.push((value, Vec::new())),
            "msgid_plural" => {
                let last = entries.last_mut().expect("after msgid");
                last.0 = value;
            }
            _ if head.starts_with("msgstr") => {
                let last = entries.last_mut().expect("after msgid");
                last.1.push(value);
            }
            _ => {}
        }
    }
    entries.retain(|(key, _)| !key.is_empty());
    entries
}

#[test]
fn every_text_of_a_template_is_in_the_catalogue() {
    let known: BTreeSet<String> = catalogue().into_iter().map(|(key, _)| key).collect();
    let mut wrong = Vec::new();
    for (name, template) in templates() {
        let missing = keys(&template).into_iter();
        let missing = missing.filter(|key| !known.contains(key));
        wrong.extend(missing.map(|key| format!("{name}: fr.po has nothing for {key:?}")));
        let bare = bare_words(&template).into_iter();
        wrong.extend(bare.map(|word| format!("{name}: {word:?} is in no language")));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn each_translation_is_there_once_and_takes_the_values_of_its_key() {
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (key, theirs) in catalogue() {
        let values = |text: &str| text.matches('{').count();
        for translation in &theirs {
            if translation.is_empty() || values(translation) != values(&key) {
                wrong.push(format!("{key:?} is not translated by {translation:?}"));
            }
        }
        if !seen.insert(key.clone()) {
            wrong.push(format!("{key:?} is there twice"));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[tokio::test]
async fn the_reader_chooses_the_language_and_else_the_browser_does() {
    let app = App::builder().start().await;
    let heading = |reply: &Reply| {
        let page = reply.text();
        let french = page.contains("<html lang=\"fr\">") && page.contains("<h1>Introuvable</h1>");
        let english = page.contains("<html lang=\"en\">") && page.contains("<h1>Not found</h1>");
        assert_ne!(french, english, "{page}");
        assert_eq!(
            reply.header("content-language"),
            if french { "fr" } else { "en" }
        );
        french
    };
    let read = async |headers: &[(&str, &str)]| {
        let request = app.anonymous().request(Method::GET, "/nowhere");
        let request = request.header("accept", "text/html");
        let with = |it: RequestBuilder, (name, value): &(&str, &str)| it.header(*name, *value);
        send(headers.iter().fold(request, with)).await
    };
    assert!(!heading(&read(&[]).await));
    assert!(!heading(
        &read(&[("accept-language", "de-DE,de;q=0.9,en;q=0.5,fr;q=0.1")]).await
    ));
    assert!(heading(
        &read(&[("accept-language", "fr-CA,fr;q=0.9,en;q=0.8")]).await
    ));
    let chosen = ("cookie", "__Host-wsexec-language=en");
    assert!(!heading(&read(&[("accept-language", "fr"), chosen]).await));
    // What is none of ours counts for nothing.
    let none = ("cookie", "__Host-wsexec-language=\"><script>");
    assert!(heading(&read(&[("accept-language", "fr"), none]).await));

    let visitor = Visitor::of(&app);
    let choose = async |tag| visitor.submit("/language", &[("language", tag)]).await;
    let chosen = choose("fr").await;
    assert_eq!((chosen.status, chosen.header("location")), (303, "/"));
    let cookie = chosen.header("set-cookie");
    assert!(
        cookie.starts_with("__Host-wsexec-language=fr; Path=/; Secure;"),
        "{cookie}"
    );
    assert_eq!(choose("tlh").await.status, 400);
}

#[tokio::test]
async fn a_reader_of_french_reads_reasons_and_findings_in_french() {
    let sshd = Sshd::start();
    let app = App::builder()
        .identity(sshd.identity())
        .config("[ssh]\nhost_keys = \"strict\"")
        .start()
        .await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let task = app.run(instance, &sshd::user(), "true").await;
    let visitor = Visitor::logged_in(&app).await;
    let read = async |request: RequestBuilder| {
        let reply = send(request.header("accept-language", "fr")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text()
    };
    let page = read(visitor.request(Method::GET, &format!("/tasks/{}", task["id"]))).await;
    for part in [
        "La clé d’hôte de [127.0.0.1]:",
        "n’est pas approuvée",
        "Comparez cette empreinte",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = read(visitor.request(Method::GET, &format!("/instances/{instance}"))).await;
    assert!(page.contains("n’est pas approuvée"), "{page}");
    let form = [
        ("user", sshd::user()),
        ("form_token", visitor.form_token().to_owned()),
    ];
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .finish();
    let check = visitor.request(Method::POST, &format!("/instances/{instance}/check"));
    let check = check
        .header("origin", visitor.origin())
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form);
    let page = read(check).await;
    assert!(page.contains("<strong>Comparez cette empreinte"), "{page}");
    assert!(
        page.contains("Elle accepte les connexions et parle SSH."),
        "{page}"
    );
    assert!(
        !page.contains("The ") && !page.contains("Not tried"),
        "{page}"
    );
}
