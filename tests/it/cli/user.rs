use crate::harness::app::{App, Process};
use crate::harness::process::Said;
use std::process::Command;

async fn user(app: &App, arguments: &[&str], input: &str) -> Said {
    Process::spawn_with(app.command().arg("user").args(arguments), input.as_bytes())
        .said()
        .await
}

async fn status(app: &App, name: &str, password: &str) -> u16 {
    app.as_user(name, password)
        .get("/wsexec/instances")
        .await
        .status
}

#[tokio::test]
async fn a_running_server_sees_a_change_at_the_next_request() {
    let app = App::start().await;
    let said = user(&app, &["add", "alice", "--password-stdin"], "first\n").await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(status(&app, "alice", "first").await, 200);

    let said = user(&app, &["passwd", "alice", "--password-stdin"], "second").await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(status(&app, "alice", "second").await, 200);
    assert_eq!(status(&app, "alice", "first").await, 401);

    let said = user(&app, &["list"], "").await;
    assert_eq!(said.text(), "admin\tadmin\nalice\tadmin\n");

    assert_eq!(user(&app, &["remove", "alice"], "").await.code, Some(0));
    assert_eq!(status(&app, "alice", "second").await, 401);
}

#[tokio::test]
async fn one_line_end_is_dropped_and_no_more() {
    let app = App::start().await;
    let said = user(&app, &["add", "alice", "--password-stdin"], " spaces \n").await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(status(&app, "alice", " spaces ").await, 200);
    let said = user(&app, &["add", "bob", "--password-stdin"], "two\n\n").await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("control"), "{}", said.stderr);
}

#[tokio::test]
async fn the_first_password_goes_when_it_is_changed() {
    let app = App::start().await;
    let file = app.data().join("admin-password");
    assert!(file.exists());
    let said = user(&app, &["passwd", "admin", "--password-stdin"], "mine\n").await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(!file.exists());
    assert_eq!(status(&app, "admin", "mine").await, 200);
    assert_eq!(status(&app, "admin", app.admin_password()).await, 401);
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let app = App::start().await;
    for (arguments, input, words) in [
        (&["add", "admin", "--password-stdin"][..], "x", "admin"),
        (&["add", "a:b", "--password-stdin"], "x", "letters"),
        (&["add", "bob", "--password-stdin"], "", "empty"),
        (
            &["passwd", "nobody", "--password-stdin"],
            "x",
            "no such user",
        ),
        (&["remove", "nobody"], "", "no such user"),
        (&["list", "--data", "elsewhere"], "", "elsewhere"),
    ] {
        let said = user(&app, arguments, input).await;
        assert_eq!(said.code, Some(1), "{arguments:?}");
        assert!(said.stderr.starts_with("wsexec: "), "{}", said.stderr);
        assert!(
            said.stderr.contains(words),
            "{arguments:?}: {}",
            said.stderr
        );
    }
    assert!(!app.path("elsewhere").exists());
}

#[tokio::test]
async fn without_a_terminal_a_password_is_not_asked_for() {
    let app = App::start().await;
    let inner = app.command();
    let mut command = Command::new("setsid");
    command
        .arg("--wait")
        .arg(inner.get_program())
        .args(["user", "add", "alice"])
        .current_dir(app.path(""));
    let said = Process::spawn(&mut command).said().await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("--password-stdin"), "{}", said.stderr);
}

#[tokio::test]
async fn users_can_be_added_before_the_first_start() {
    let app = App::start().await;
    let said = user(
        &app,
        &["add", "alice", "--password-stdin", "--data", "other"],
        "secret",
    )
    .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = user(&app, &["list", "--data", "other"], "").await;
    assert_eq!(said.text(), "alice\tadmin\n");
}
