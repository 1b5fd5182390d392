//! `wsexec identity` and `wsexec secrets`, on a data directory and beside a running server.

use crate::harness::app::{App, Process};
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// The configuration that names these key files.
fn config(app: &App, current: &str, previous: &[&str]) -> PathBuf {
    let path = |name: &str| app.path(name).display().to_string();
    let previous: Vec<_> = previous.iter().map(|it| path(it)).collect();
    let text = format!(
        "[secrets]\nmaster_key_file = {:?}\nprevious_key_files = {previous:?}\n",
        path(current)
    );
    let file = app.path(&format!("{current}.toml"));
    fs::write(&file, text).unwrap();
    file
}

/// What a command said, and its exit code.
async fn say(
    app: &App,
    arguments: &[&str],
    config: Option<&PathBuf>,
    stdin: &str,
) -> (i32, String) {
    let mut command = app.command();
    command.args(arguments);
    if let Some(config) = config {
        command
            .arg("--config")
            .arg(config)
            .arg("--data")
            .arg(app.data());
    }
    let said = Process::spawn_with(&mut command, stdin.as_bytes())
        .said()
        .await;
    (
        said.code.unwrap_or(-1),
        format!("{}{}", String::from_utf8_lossy(&said.stdout), said.stderr),
    )
}

#[tokio::test]
async fn secrets_go_from_one_master_key_to_the_next_also_after_a_kill() {
    let app = App::start().await;
    for key in ["old", "new"] {
        let path = app.path(key).display().to_string();
        let (code, said) = say(&app, &["secrets", "init", &path], None, "").await;
        assert_eq!(code, 0, "{said}");
        let (code, said) = say(&app, &["secrets", "init", &path], None, "").await;
        assert_eq!(code, 1, "it is not replaced: {said}");
    }
    let before = config(&app, "old", &[]);
    for n in 0..3 {
        let name = format!("s{n}");
        let add = ["identity", "add", &name, "--kind", "secret"];
        let (code, said) = say(&app, &add, Some(&before), "correct horse\n").await;
        assert_eq!(code, 0, "{said}");
    }
    let (code, line) = say(&app, &["identity", "generate", "k"], Some(&before), "").await;
    assert!(code == 0 && line.starts_with("ssh-ed25519 "), "{line}");
    let (_, listed) = say(&app, &["identity", "list"], Some(&before), "").await;
    assert!(
        listed.contains("s0\tsecret") && !listed.contains("horse"),
        "{listed}"
    );

    let without = config(&app, "new", &[]);
    let (code, said) = say(&app, &["secrets", "check"], Some(&without), "").await;
    assert!(code == 1 && said.contains("not known here"), "{said}");
    let both = config(&app, "new", &["old"]);
    // Interrupted at any time, every value opens.
    for wait in [0, 5, 20, 40] {
        let mut command = app.command();
        command.args(["secrets", "rekey", "--config"]).arg(&both);
        command.arg("--data").arg(app.data());
        let mut child = command.spawn().unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(wait)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        let (code, said) = say(&app, &["secrets", "check"], Some(&both), "").await;
        assert_eq!(code, 0, "{said}");
    }
    let (code, said) = say(&app, &["secrets", "rekey"], Some(&both), "").await;
    assert!(code == 0 && said.contains("of no use any more"), "{said}");
    let only = config(&app, "new", &[]);
    let (code, said) = say(&app, &["secrets", "check"], Some(&only), "").await;
    assert!(code == 0 && said.contains("(current): 4 values"), "{said}");
    let (code, said) = say(&app, &["identity", "remove", "s0"], Some(&only), "").await;
    assert_eq!(code, 0, "{said}");
    let left = app.client().get("/wsexec/identities").await.json();
    assert_eq!(left["identities"].as_array().unwrap().len(), 3);
    assert_ne!(left, json!(null));
}
