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
