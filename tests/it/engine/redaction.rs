//! Secrets in what scripts write: masked before anything is stored or shown.

use super::secrets::identity;
use crate::harness::app::App;
use crate::harness::sshd::Sshd;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use serde_json::json;

async fn with(sshd: &Sshd, value: &str) -> (App, i64) {
    let key = wsexec::vault::generate();
    let builder = App::builder().identity(sshd.identity());
    let builder = builder.env("WSEXEC_MASTER_KEY", key.expose());
    let app = builder.start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    identity(
        &app,
        json!({"name": "it", "kind": "secret", "value": value}),
    )
    .await;
    (app, instance)
}

fn secret() -> String {
    format!("planted/{}", wsexec::domain::random_token().expose())
}

#[tokio::test]
async fn a_secret_is_masked_in_every_spelling_attached_and_detached() {
    let (sshd, value) = (Sshd::start(), secret());
    let (app, instance) = with(&sshd, &value).await;
    let hex: String = value.bytes().map(|b| format!("{b:02x}")).collect();
    let mut spellings = vec![value.clone(), hex.to_uppercase(), hex];
    for before in ["", "a", "ab"] {
        spellings.push(STANDARD.encode(format!("{before}{value}")));
        spellings.push(URL_SAFE.encode(format!("{before}{value}!")));
    }
    let echoes: String = spellings
        .iter()
        .map(|it| format!("echo 'x{it}y'; "))
        .collect();
    for mode in ["attached", "detached"] {
        // The script itself is not output: it comes from a file there.
        let file = sshd.dir().join("script");
        std::fs::write(&file, format!("{echoes} {{ {echoes} }} >&2")).unwrap();
        let task = app
            .post_task(json!({
                "name": "t", "instance": instance, "user": sshd.user(), "mode": mode,
                "script": format!("sh {}", file.display()),
            }))
            .await;
        let task = app.wait_ended(task["id"].as_i64().unwrap()).await;
        assert_eq!(task["rc"], 0, "{task:#}");
        assert_eq!(task["masked"], 2 * spellings.len(), "{task:#}");
        for stream in ["stdout", "stderr"] {
            let text = task[stream].as_str().unwrap();
            assert_eq!(text.matches("[masked").count(), spellings.len(), "{text}");
            assert!(text.matches('x').count() >= spellings.len(), "{text}");
            for spelling in &spellings {
                assert!(!text.contains(&spelling[4..24]), "{mode}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_secret_in_two_halves_is_masked_and_live_output_is_not_held_for_long() {
    let (sshd, value) = (Sshd::start(), secret());
    let (app, instance) = with(&sshd, &value).await;
    let (first, second) = value.split_at(11);
    for mode in ["attached", "detached"] {
        // What only looks like its beginning goes on while the script still runs.
        let script = format!(
            "printf 'a %s' '{first}'; sleep 0.2; printf '%s b ' '{second}'; printf '%s' '{first}'; sleep 600"
        );
        let task = json!({
            "name": "t", "instance": instance, "user": sshd.user(), "script": script, "mode": mode,
        });
        let id = app.post_task(task).await["id"].as_i64().unwrap();
        let shown = |task: &serde_json::Value| {
            task["stdout"]
                .as_str()
                .is_some_and(|it| it.ends_with(first))
        };
        let task = app.wait_until(id, shown).await;
        let dots = ".".repeat(value.len() - "[masked]".len());
        assert_eq!(
            task["stdout"],
            format!("a [masked{dots}] b {first}"),
            "{mode}"
        );
        assert_eq!(task["masked"], 1);
        super::cancel(&app, id).await;
        app.wait_ended(id).await;
    }
}

#[tokio::test]
async fn a_secret_of_another_process_is_masked_too() {
    let (sshd, value) = (Sshd::start(), secret());
    let (app, instance) = with(&sshd, "another secret").await;
    let mut command = app.command();
    command.args(["identity", "add", "late", "--kind", "secret", "--data"]);
    command.arg(app.data());
    let said = crate::harness::app::Process::spawn_with(&mut command, value.as_bytes());
    let said = said.said().await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let begun = std::time::Instant::now();
    loop {
        let task = app
            .run(instance, &sshd.user(), &format!("echo {value}"))
            .await;
        if task["masked"] == 1 {
            break;
        }
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(20),
            "{task:#}"
        );
    }
}

/// A secret that can be a host's name, and a login user's.
fn name_like() -> String {
    let digits = wsexec::domain::random_bytes::<12>();
    let digits = digits.map(|byte| format!("{byte:02x}"));
    format!("planted-{}", digits.concat())
}

fn assert_masked(text: &serde_json::Value, value: &str) {
    let text = text.to_string();
    assert!(
        text.contains("[masked") && !text.contains(&value[8..]),
        "{text}"
    );
}

async fn health(app: &App, instance: i64) -> serde_json::Value {
    let path = format!("/wsexec/instances/{instance}");
    app.client().get(&path).await.json()["instance"]["health"].clone()
}

async fn check(app: &App, instance: i64, user: &str) -> serde_json::Value {
    let path = format!("/wsexec/instances/{instance}/check");
    let reply = app.client().post(&path, &json!({"user": user})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["check"].clone()
}

#[tokio::test]
async fn a_secret_that_a_machine_prints_instead_of_running_anything_is_masked_in_reason_check_and_log()
 {
    let value = name_like();
    let force = format!("ForceCommand echo closed, and the password is {value}");
    let sshd = Sshd::builder().line(force).start();
    let (app, instance) = with(&sshd, &value).await;
    for mode in ["attached", "detached"] {
        let task = app
            .post_task(json!({
                "name": "t", "instance": instance, "user": sshd.user(), "mode": mode, "script": "true",
                // What is put around the script is what the machine does not run.
                "env": {"A": "b"},
            }))
            .await;
        let task = app.wait_ended(task["id"].as_i64().unwrap()).await;
        assert_eq!(task["outcome"], "start_failed", "{task:#}");
        assert!(
            task["reason"]
                .as_str()
                .unwrap()
                .contains("closed, and the password is"),
            "{task:#}"
        );
        assert_masked(&task["reason"], &value);
    }
    let found = check(&app, instance, &sshd.user()).await;
    assert_eq!(found["ok"], false);
    assert_masked(&found["steps"], &value);
    assert!(!app.stderr().contains(&value));
}

#[tokio::test]
async fn a_password_that_is_typed_for_the_user_or_the_host_is_masked_in_last_error_and_attempts() {
    let (sshd, value) = (Sshd::start(), name_like());
    let (app, instance) = with(&sshd, &value).await;
    let task = app.run(instance, &value, "true").await;
    assert_eq!(task["outcome"], "auth_failed", "{task:#}");
    assert_masked(&task["reason"], &value);
    assert_masked(&health(&app, instance).await["last_error"], &value);
    assert_masked(&check(&app, instance, &value).await["steps"], &value);

    let nowhere = app.declare(&format!("{value}.invalid"), 22).await;
    let task = app
        .post_task(json!({
            "name": "t", "instance": nowhere, "user": sshd.user(), "script": "true",
            "retries": 1, "retry_delay": 0,
        }))
        .await;
    let id = task["id"].as_i64().unwrap();
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["outcome"], &task["attempt"]),
        (&json!("unreachable"), &json!(2)),
        "{task:#}"
    );
    assert_masked(&task["reason"], &value);
    let path = format!("/wsexec/tasks/{id}/attempts");
    let attempts = app.client().get(&path).await.json();
    assert_masked(&attempts["attempts"][0]["reason"], &value);
    assert_masked(&health(&app, nowhere).await["last_error"], &value);
}

#[tokio::test]
async fn a_secret_that_a_machine_prints_when_a_run_is_tidied_away_is_masked_in_the_log() {
    let value = name_like();
    let dir = tempfile::tempdir().unwrap();
    let flag = dir.path().join("closed");
    let command = dir.path().join("command");
    let text = format!(
        "#!/bin/sh\nif [ -d '{0}' ] && ! mkdir '{0}/collected' 2>/dev/null; then echo 'closed {value}'; exit 1; fi\nexec sh -c \"$SSH_ORIGINAL_COMMAND\"\n",
        flag.display()
    );
    std::fs::write(&command, text).unwrap();
    let force = format!("ForceCommand sh {}", command.display());
    let sshd = Sshd::builder().line(force).start();
    let (app, instance) = with(&sshd, &value).await;
    let task = app
        .post_task(json!({
            "name": "t", "instance": instance, "user": sshd.user(), "mode": "detached",
            // Behind its end one more command is let in, which collects it.
            "script": format!("echo begun; sleep 2; mkdir '{}'", flag.display()),
        }))
        .await;
    let task = app.wait_ended(task["id"].as_i64().unwrap()).await;
    assert_eq!(task["rc"], 0, "{task:#}");
    let said = "cannot remove what a detached run left";
    super::wait_for(|| app.stderr().contains(said), "the word of it in the log").await;
    let log = app.stderr();
    let line = log.lines().find(|line| line.contains(said)).unwrap();
    assert!(line.contains("[masked") && !log.contains(&value), "{line}");
}
