//! The environment and the directory of a script.

use super::{assert_start_failed, on, post, run, runs, wait_for_file};
use crate::harness::app::App;
use crate::harness::sshd::Sshd;
use serde_json::{Value, json};

/// Whether any process shows this among its arguments.
fn shows(secret: &str) -> bool {
    runs(secret)
}

const AWKWARD: [(&str, &str); 6] = [
    ("QUOTES", r#"a'b"c`d"#),
    ("MULTILINE", "one\ntwo\n"),
    ("UTF8", "é ü 漢 🦀"),
    ("SUBSTITUTED", "$(touch /tmp/wsexec-never) ${HOME} %s \\n"),
    ("BLANK", "  two  blanks  "),
    ("EMPTY", ""),
];

#[tokio::test]
async fn the_environment_arrives_whatever_it_holds_and_whatever_the_login_shell() {
    for shell in [
        "/bin/dash",
        "/bin/bash",
        "/usr/bin/zsh",
        "/usr/bin/fish",
        "/usr/bin/tcsh",
    ] {
        let sshd = Sshd::builder()
            .login_shell(shell)
            .line("AcceptEnv none")
            .start();
        let (app, instance) = on(&sshd, App::builder()).await;
        let mut env: Value = AWKWARD
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect::<serde_json::Map<_, _>>()
            .into();
        // fish takes UTF-8 from its environment only where a language that is installed says so.
        env["LC_ALL"] = json!("C.UTF-8");
        let names: Vec<_> = AWKWARD.iter().map(|(name, _)| *name).collect();
        let script = format!("env printenv -0 {}", names.join(" "));
        let task = run(&app, &sshd, instance, &script, json!({"env": env})).await;
        let expected: String = AWKWARD
            .iter()
            .map(|(_, value)| format!("{value}\0"))
            .collect();
        assert_eq!(task["stdout"], expected, "{shell}: {task:#}");
        assert_eq!(task["stderr"], "", "{shell}");
    }
}

#[tokio::test]
async fn no_list_of_processes_shows_the_environment_or_the_script() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let begun = sshd.dir().join("begun");
    for interpreter in [json!(null), json!("sh")] {
        let secret = format!("s3cret-{}", sshd.port());
        let script = format!(
            "touch {0}; until ! test -e {0}; do sleep 0.05; done; echo \"$SECRET\"",
            begun.display()
        );
        let way = json!({"env": {"SECRET": secret}, "interpreter": interpreter});
        let id = post(&app, &sshd, instance, &script, way).await;
        wait_for_file(&begun).await;
        assert!(!shows(&secret));
        std::fs::remove_file(&begun).unwrap();
        assert_eq!(app.wait_ended(id).await["stdout"], format!("{secret}\n"));
    }
}

#[tokio::test]
async fn a_script_starts_in_its_directory() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let directory = sshd.dir().join("-a 'directory'");
    std::fs::create_dir(&directory).unwrap();
    let from_home = format!("../../../../..{}", directory.display());
    for cwd in [directory.to_str().unwrap(), &from_home] {
        let task = run(&app, &sshd, instance, "pwd -P", json!({"cwd": cwd})).await;
        let real = directory.canonicalize().unwrap();
        assert_eq!(task["stdout"], format!("{}\n", real.display()), "{task:#}");
    }
}

#[tokio::test]
async fn a_directory_that_is_not_there_is_named() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let task = run(
        &app,
        &sshd,
        instance,
        "echo no",
        json!({"cwd": "/nowhere/at all"}),
    )
    .await;
    assert_start_failed(&task, "The directory /nowhere/at all is not there");
    assert_eq!((&task["stdout"], &task["stderr"]), (&json!(""), &json!("")));
}
