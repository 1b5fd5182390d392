use crate::harness::app::{App, Process};
use crate::harness::process::Said;
use std::process::Command;

const LONG: &str = "long enough, and no word";

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
    let said = user(
        &app,
        &["add", "alice", "--password-stdin"],
        "first of the two\n",
    )
    .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(status(&app, "alice", "first of the two").await, 200);

    let said = user(
        &app,
        &["passwd", "alice", "--password-stdin"],
        "the second password",
    )
    .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(status(&app, "alice", "the second password").await, 200);
    assert_eq!(status(&app, "alice", "first of the two").await, 401);

    let said = user(&app, &["list"], "").await;
    assert_eq!(
        said.text(),
        "admin\tadmin\t*@*\tactive\nalice\tadmin\t*@*\tactive\n"
    );

    assert_eq!(user(&app, &["remove", "alice"], "").await.code, Some(0));
    assert_eq!(status(&app, "alice", "the second password").await, 401);
}

#[tokio::test]
async fn one_line_end_is_dropped_and_no_more() {
    let app = App::start().await;
    let said = user(
        &app,
        &["add", "alice", "--password-stdin"],
        " three spaces, inside too \n",
    )
    .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert_eq!(
        status(&app, "alice", " three spaces, inside too ").await,
        200
    );
    let said = user(
        &app,
        &["add", "bob", "--password-stdin"],
        "two line ends here\n\n",
    )
    .await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("control"), "{}", said.stderr);
}

#[tokio::test]
async fn the_first_password_goes_when_it_is_changed() {
    let app = App::start().await;
    let file = app.data().join("admin-password");
    assert!(file.exists());
    let said = user(
        &app,
        &["passwd", "admin", "--password-stdin"],
        "mine it is, from now on\n",
    )
    .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(!file.exists());
    assert_eq!(status(&app, "admin", "mine it is, from now on").await, 200);
    assert_eq!(status(&app, "admin", app.admin_password()).await, 401);
}

#[tokio::test]
async fn what_cannot_be_done_is_said() {
    let app = App::start().await;
    for (arguments, input, words) in [
        (&["add", "admin", "--password-stdin"][..], LONG, "admin"),
        (&["add", "a:b", "--password-stdin"], LONG, "letters"),
        (&["add", "bob", "--password-stdin"], "", "12 to 256"),
        (
            &["add", "bob", "--password-stdin"],
            "eleven char",
            "12 to 256",
        ),
        (
            &["add", "bob", "--password-stdin"],
            "password123456",
            "easy to guess",
        ),
        (
            &["add", "robert", "--password-stdin"],
            "robertwsexec",
            "easy to guess",
        ),
        (
            &["passwd", "nobody", "--password-stdin"],
            LONG,
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
        "hidden between others",
    )
    .await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let said = user(&app, &["list", "--data", "other"], "").await;
    assert_eq!(said.text(), "alice\tadmin\t*@*\tactive\n");
}
