use crate::harness::app::{App, Process, program};
use crate::harness::process::Said;
use crate::harness::sshd::{Kind, keygen};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use tempfile::TempDir;

async fn check(home: &TempDir, arguments: &[&str]) -> Said {
    Process::spawn(program(home.path()).arg("check").args(arguments))
        .said()
        .await
}

#[tokio::test]
async fn all_is_well_where_everything_can_be_made_and_nothing_is_made() {
    let home = TempDir::new().unwrap();
    keygen(&home.path().join("key"), Kind::Ed25519, "RFC4716", "");
    let said = check(&home, &["--ssh-identity", "key"]).await;
    assert_eq!(said.code, Some(0), "{}", said.text());
    assert_eq!(said.text().lines().count(), 4);
    assert!(said.text().lines().all(|l| l.starts_with("ok ")));
    assert_eq!(
        fs::read_dir(home.path()).unwrap().count(),
        2,
        "the key pair"
    );
}

#[tokio::test]
async fn what_is_not_usable_is_said_with_what_to_do() {
    let home = TempDir::new().unwrap();
    let said = check(&home, &[]).await;
    assert_eq!(said.code, Some(1));
    assert!(said.text().contains("FAIL ssh identities: no key"));

    fs::create_dir(home.path().join("certs")).unwrap();
    fs::write(home.path().join("certs/wsexec.crt"), "nothing").unwrap();
    fs::create_dir(home.path().join("data")).unwrap();
    fs::set_permissions(home.path().join("data"), Permissions::from_mode(0o755)).unwrap();
    fs::write(home.path().join("data/wsexec.db"), "nothing").unwrap();
    let said = check(&home, &[]).await;
    assert!(
        said.text().contains("FAIL certificate: "),
        "{}",
        said.text()
    );
    assert!(said.text().contains("FAIL store: "), "{}", said.text());

    for (text, told) in [
        ("nothing = 1", "unknown key `nothing`"),
        (
            "[retention]\nmax_age = 0",
            "retention.max_age: 0 would keep",
        ),
        (
            "[[retention.rules]]\nlabel = \"env = prod\"",
            "retention.rules.label: \"env \" is no key of a label",
        ),
    ] {
        fs::write(home.path().join("wsexec.toml"), text).unwrap();
        let said = check(&home, &[]).await;
        assert_eq!(said.code, Some(1));
        let line = said.text();
        assert!(line.starts_with("FAIL config: "), "{line}");
        assert!(line.contains(told), "{line}");
    }
}

#[tokio::test]
async fn it_works_beside_a_server_and_after_one_and_changes_nothing() {
    let mut app = App::start().await;
    keygen(&app.path("key"), Kind::Ed25519, "RFC4716", "");
    for running in [true, false] {
        if !running {
            app.stop().await;
        }
        let before = listing(&app);
        let said = Process::spawn(app.command().args(["check", "--ssh-identity", "key"]))
            .said()
            .await;
        assert_eq!(said.code, Some(0), "{}", said.text());
        assert!(said.text().contains("SHA-256"), "{}", said.text());
        assert_eq!(listing(&app), before);
    }
}

fn listing(app: &App) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(app.data())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
