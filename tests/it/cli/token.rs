//! Tokens, sessions and rights on the command line, beside a running server.

use crate::harness::app::{App, Process};
use crate::harness::people::{Person, viewer};
use crate::harness::process::Said;
use crate::harness::sshd::{self, Sshd};
use serde_json::json;

async fn wsexec(app: &App, arguments: &[&str]) -> Said {
    Process::spawn(app.command().args(arguments)).said().await
}

async fn done(app: &App, arguments: &[&str]) -> String {
    let said = wsexec(app, arguments).await;
    assert_eq!(said.code, Some(0), "{arguments:?}: {}", said.stderr);
    said.text()
}

#[tokio::test]
async fn a_token_of_the_command_line_counts_at_once_and_until_it_is_revoked() {
    let app = App::start().await;
    Person::add(
        &app,
        "ann",
        json!({"role": "runner", "scope": ["deploy@web-*"]}),
    )
    .await;
    let token = done(
        &app,
        &[
            "token", "create", "ann", "ci", "--role", "viewer", "--days", "2",
        ],
    )
    .await;
    let client = app.with_header("Authorization", &format!("Bearer {}", token.trim_end()));
    let me = client.get("/wsexec/users/me").await.json()["user"].clone();
    assert_eq!(
        (&me["name"], &me["role"]),
        (&json!("ann"), &json!("viewer"))
    );
    let listed = done(&app, &["token", "list", "ann"]).await;
    assert!(listed.starts_with("1\tann\tci\tviewer\t*@*\t"), "{listed}");
    assert!(!listed.contains(token.trim_end()));
    for (arguments, words) in [
        (
            &["token", "create", "ann", "t", "--role", "admin"][..],
            "no wider",
        ),
        (
            &["token", "create", "ann", "t", "--scope", "root@*"],
            "no wider",
        ),
        (&["token", "create", "bob", "t"], "no such user"),
        (&["token", "revoke", "9"], "no such token"),
        (&["session", "end", "9"], "no such session"),
    ] {
        let said = wsexec(&app, arguments).await;
        assert_eq!(said.code, Some(1), "{arguments:?}");
        assert!(
            said.stderr.contains(words),
            "{arguments:?}: {}",
            said.stderr
        );
    }
    done(&app, &["token", "revoke", "1"]).await;
    assert_eq!(client.get("/wsexec/users/me").await.status, 401);
}

#[tokio::test]
async fn what_a_user_may_do_changes_under_a_running_server() {
    let app = App::start().await;
    let ann = Person::add(&app, "ann", viewer()).await;
    let (id, session) = ann.session(&app).await;
    let listed = done(&app, &["session", "list", "ann"]).await;
    assert!(
        listed.starts_with(&format!("{id}\tann\tpassword\t")),
        "{listed}"
    );
    done(&app, &["session", "end", &id.to_string()]).await;
    assert_eq!(session.get("/wsexec/users/me").await.status, 401);

    let role = [
        "--role",
        "runner",
        "--scope",
        "deploy@web-*",
        "--scope",
        "!root@*",
    ];
    done(&app, &[&["user", "change", "ann"][..], &role].concat()).await;
    let me = ann.client(&app).get("/wsexec/users/me").await.json()["user"].clone();
    assert_eq!(me["role"], "runner");
    assert_eq!(me["scopes"], json!([["deploy@web-*", "!root@*"]]));
    done(&app, &["user", "change", "ann", "--disable"]).await;
    assert_eq!(ann.client(&app).get("/wsexec/users/me").await.status, 401);
    let listed = done(&app, &["user", "list"]).await;
    assert!(
        listed.contains("ann\trunner\tdeploy@web-* !root@*\tdisabled\n"),
        "{listed}"
    );
    done(
        &app,
        &["user", "change", "ann", "--enable", "--scope", "*@*"],
    )
    .await;
    let me = ann.client(&app).get("/wsexec/users/me").await.json()["user"].clone();
    assert_eq!(me["scopes"], json!([]));
    let said = wsexec(&app, &["user", "change", "admin", "--disable"]).await;
    assert!(said.stderr.contains("last admin"), "{}", said.stderr);
}

#[tokio::test]
async fn run_logs_in_with_a_token() {
    let sshd = Sshd::start();
    let app = App::builder().identity(sshd.identity()).start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let token = done(&app, &["token", "create", "admin", "run"]).await;
    let mut command = app.command();
    command
        .env("WSEXEC_TOKEN", token.trim_end())
        .args([
            "run",
            "-t",
            &app.address().to_string(),
            "-i",
            &instance.to_string(),
        ])
        .args([
            "-u",
            &sshd::user(),
            "-c",
            "echo by token; exit 3",
            "--cacert",
        ])
        .arg(app.certificate());
    let said = Process::spawn(&mut command).said().await;
    assert_eq!(
        (said.code, &*said.text()),
        (Some(3), "by token\n"),
        "{}",
        said.stderr
    );
}
