use crate::harness::app::{App, Process};
use crate::harness::process::Said;
use std::fs;
use std::os::unix::fs::PermissionsExt;

async fn audit(app: &App, arguments: &[&str]) -> Said {
    Process::spawn(app.command().arg("audit").args(arguments))
        .said()
        .await
}

/// What a start on the data directory of a stopped app comes to that is refused.
async fn refused_start(app: &App) -> String {
    let said = Process::spawn(app.command().args(["serve", "--listen", "127.0.0.1:0"]))
        .said()
        .await;
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    said.stderr
}

#[tokio::test]
async fn a_trail_is_verified_beside_a_server_and_after_one() {
    let mut app = App::start().await;
    app.declare("127.0.0.1", 1).await;
    for running in [true, false] {
        if !running {
            app.stop().await;
        }
        let said = audit(&app, &["verify"]).await;
        assert_eq!(said.code, Some(0), "{}{}", said.text(), said.stderr);
        assert!(said.text().starts_with("ok "), "{}", said.text());
        assert!(said.text().contains("The anchor knows"), "{}", said.text());
    }
    fs::remove_file(app.data().join("audit.anchor")).unwrap();
    let said = audit(&app, &["verify"]).await;
    assert_eq!(said.code, Some(0));
    assert!(
        said.text().contains("There is no anchor"),
        "{}",
        said.text()
    );
    assert!(
        !app.data().join("audit.anchor").exists(),
        "it makes nothing"
    );
}

#[tokio::test]
async fn an_export_is_json_lines_that_can_be_verified_by_themselves() {
    let app = App::start().await;
    app.declare("127.0.0.1", 1).await;
    let said = audit(&app, &["export"]).await;
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let text = said.text();
    let lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let acts: Vec<_> = lines
        .iter()
        .map(|it| it["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        acts,
        ["server.start", "user.create", "login", "instance.create"]
    );
    let verify = |text: String| {
        fs::write(app.path("export"), text).unwrap();
        audit(&app, &["verify", "--file", "export"])
    };
    let said = verify(text.clone()).await;
    assert_eq!(said.code, Some(0), "{}", said.text());
    // A part of it, too; but none that was changed, or lacks one in the middle.
    let part: String = text.split_inclusive('\n').skip(2).collect();
    let said = verify(part).await;
    assert_eq!(said.code, Some(0), "{}", said.text());
    assert!(said.text().contains("before record 3"), "{}", said.text());
    let said = verify(text.replace("instance.create", "instance.remove")).await;
    assert_eq!(said.code, Some(1));
    assert!(said.text().contains("FAIL record 4"), "{}", said.text());
    let lacking: Vec<&str> = text
        .lines()
        .enumerate()
        .filter(|(at, _)| *at != 1)
        .map(|it| it.1)
        .collect();
    let said = verify(lacking.join("\n")).await;
    assert!(
        said.text().contains("FAIL record 2 is missing"),
        "{}",
        said.text()
    );
    let said = verify("nonsense".into()).await;
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("line 1"), "{}", said.stderr);

    let said = audit(
        &app,
        &[
            "export",
            "--action",
            "user.*",
            "--since",
            "2020-01-01T00:00:00Z",
        ],
    )
    .await;
    assert_eq!(said.text().lines().count(), 1, "{}", said.text());
    let said = audit(&app, &["export", "--until", "1577836800"]).await;
    assert_eq!(said.text(), "");
}

#[tokio::test]
async fn a_server_does_not_start_without_the_key_of_its_trail() {
    let mut app = App::start().await;
    app.stop().await;
    let key = app.data().join("audit.key");
    let away = app.path("key-elsewhere");
    fs::rename(&key, &away).unwrap();
    let told = refused_start(&app).await;
    assert!(told.contains("audit.key_file"), "{told}");
    assert!(!key.exists(), "no new one was made");
    fs::write(&key, "another key, as long as it has to be").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let told = refused_start(&app).await;
    assert!(told.contains("not what was written"), "{told}");
    fs::rename(&away, &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let told = refused_start(&app).await;
    assert!(told.contains("chmod 600"), "{told}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    app.restart().await;
}

#[tokio::test]
async fn key_and_anchor_can_lie_elsewhere() {
    let elsewhere = tempfile::tempdir().unwrap();
    let place = |name: &str| elsewhere.path().join(name);
    let mut app = App::builder()
        .config(&format!(
            "[audit]\nkey_file = {:?}\nanchor_file = {:?}",
            place("key"),
            place("anchor")
        ))
        .start()
        .await;
    app.stop().await;
    assert!(place("key").exists() && place("anchor").exists());
    assert!(!app.data().join("audit.key").exists());
    let said = audit(&app, &["verify"]).await;
    assert_eq!(said.code, Some(0), "{}", said.text());

    // What systemd hands over counts where no file is configured.
    let credentials = tempfile::tempdir().unwrap();
    fs::copy(place("key"), credentials.path().join("wsexec-audit-key")).unwrap();
    let mut command = app.command();
    fs::write(app.path("empty.toml"), "").unwrap();
    command
        .args(["audit", "verify", "--config", "empty.toml"])
        .env("CREDENTIALS_DIRECTORY", credentials.path());
    let said = Process::spawn(&mut command).said().await;
    assert_eq!(said.code, Some(0), "{}{}", said.text(), said.stderr);
}

#[tokio::test]
async fn a_store_that_is_older_than_its_anchor_is_refused_until_the_anchor_is_moved_away() {
    let mut app = App::start().await;
    app.stop().await;
    let (store, anchor) = (
        app.data().join("wsexec.db"),
        app.data().join("audit.anchor"),
    );
    let old = fs::read(&store).unwrap();
    app.restart().await;
    app.declare("127.0.0.1", 1).await;
    app.stop().await;
    fs::write(&store, old).unwrap();
    let told = refused_start(&app).await;
    assert!(told.contains("the anchor knows record"), "{told}");
    assert!(told.contains("move the anchor"), "{told}");
    let said = audit(&app, &["verify"]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.text().contains("is gone"), "{}", said.text());

    fs::rename(&anchor, app.path("old-anchor")).unwrap();
    app.restart().await;
    app.wait_stderr("has no anchor").await;
    let said = audit(&app, &["export", "--action", "audit.anchor"]).await;
    assert_eq!(said.text().lines().count(), 1, "{}", said.text());
    assert_eq!(audit(&app, &["verify"]).await.code, Some(0));
}

#[tokio::test]
async fn commands_beside_a_server_move_the_anchor_forwards_alone() {
    let app = App::start().await;
    for number in 0..3 {
        let mut command = app.command();
        command.args(["user", "add", &format!("user{number}"), "--password-stdin"]);
        let said = Process::spawn_with(&mut command, b"a long enough passphrase 17")
            .said()
            .await;
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        app.declare("127.0.0.1", number + 1).await;
        let said = audit(&app, &["verify"]).await;
        assert_eq!(said.code, Some(0), "{}", said.text());
        let (ok, anchored) = said
            .text()
            .split_once(" records")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let count = ok.strip_prefix("ok ").unwrap();
        assert!(
            anchored.contains(&format!("The anchor knows {count} of them")),
            "{}",
            said.text()
        );
    }
}
