//! The ways on machines that are not as usual.

use super::{assert_start_failed, is_empty, on, reason, run};
use crate::harness::app::App;
use crate::harness::dropbear::Dropbear;
use crate::harness::small_disk::SmallDisk;
use crate::harness::sshd::{Kind, Sshd, user};
use serde_json::{Value, json};

#[tokio::test]
async fn dropbear_takes_every_way_too() {
    let dropbear = Dropbear::start(&[Kind::Ed25519]);
    let app = App::builder().identity(dropbear.identity()).start().await;
    let instance = app.declare("127.0.0.1", dropbear.port()).await;
    let run = async |script: &str, mut task: Value| {
        task["name"] = json!("test");
        task["instance"] = json!(instance);
        task["user"] = json!(user());
        task["script"] = json!(script);
        let id = app.post_task(task).await["id"].as_i64().expect("an id");
        app.wait_ended(id).await
    };
    let input = "0123456789abcde\n".repeat(1 << 16);
    let way = json!({"env": {"A": "'b'"}, "cwd": "/", "stdin": input, "interpreter": "python3"});
    let script = "import os, sys\nprint(os.environ['A'], os.getcwd())\nsys.stdout.write(sys.stdin.read())\nsys.exit(3)";
    let task = run(script, way).await;
    assert!(
        task["stdout"] == format!("'b' /\n{input}"),
        "{}",
        task["stdout_bytes"]
    );
    assert_eq!((&task["rc"], &task["stderr"]), (&json!(3), &json!("")));
    let script = "test -t 0 && test -t 1 && test -t 2 && cat && printf 'a\\r\\n\\003' >&2";
    let task = run(script, json!({"pty": true})).await;
    assert_eq!(
        (&task["stdout"], &task["stderr"]),
        (&json!("a\r\n\u{3}"), &json!("")),
        "{task:#}"
    );
}

#[tokio::test]
async fn what_a_login_shell_prints_on_its_start_is_kept_and_does_no_harm() {
    for (shell, file) in [
        ("/usr/bin/zsh", ".zshenv"),
        ("/bin/bash", ".bashrc"),
        ("/usr/bin/tcsh", ".tcshrc"),
    ] {
        let sshd = Sshd::builder().login_shell(shell).start();
        std::fs::write(
            sshd.dir().join(file),
            "echo welcome\n/bin/sh -c 'printf unfinished >&2'\n",
        )
        .unwrap();
        let (app, instance) = on(&sshd, App::builder()).await;
        let task = run(
            &app,
            &sshd,
            instance,
            "cat; echo end",
            json!({"stdin": "in\n"}),
        )
        .await;
        let (stdout, stderr) = (
            task["stdout"].as_str().unwrap(),
            task["stderr"].as_str().unwrap(),
        );
        assert!(
            stdout.starts_with("welcome\n") && stdout.ends_with("in\nend\n"),
            "{shell}: {task:#}"
        );
        assert_eq!(stderr.replace("unfinished", ""), "", "{shell}");
        assert!(stderr.starts_with("unfinished"), "{shell}");
    }
}

#[tokio::test]
async fn where_no_shell_comes_the_reason_repeats_what_did() {
    let sshd = Sshd::builder()
        .line("ForceCommand echo only backups here; exit 3")
        .start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let task = run(
        &app,
        &sshd,
        instance,
        "echo no",
        json!({"env": {"A": "secret"}}),
    )
    .await;
    assert_start_failed(
        &task,
        "ForceCommand in sshd_config), ended with exit code 3",
    );
    assert!(
        reason(&task).ends_with("It printed: only backups here"),
        "{task:#}"
    );
    // Bounded, and nothing was sent to what is no shell of ours.
    let sshd = Sshd::builder().line("ForceCommand cat").start();
    let config = "[ssh]\nstart_timeout = 1";
    let (app, instance) = on(&sshd, App::builder().config(config)).await;
    let task = run(
        &app,
        &sshd,
        instance,
        "echo no",
        json!({"env": {"A": "secret"}}),
    )
    .await;
    assert_start_failed(&task, "did nothing of it within 1 s");
    assert!(!task.to_string().contains("It printed"), "{task:#}");
}

#[tokio::test]
async fn a_machine_that_cannot_keep_the_script_says_why() {
    let sshd = Sshd::builder()
        .line("SetEnv TMPDIR=/dev/null/tmp XDG_STATE_HOME=/dev/null/state")
        .start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let task = run(
        &app,
        &sshd,
        instance,
        "echo no",
        json!({"interpreter": "sh"}),
    )
    .await;
    assert_start_failed(&task, "could not keep the script in a private file");
    assert!(reason(&task).contains("Not a directory"), "{task:#}");
    let task = run(&app, &sshd, instance, "echo yes", json!({"cwd": "/"})).await;
    assert_eq!(task["stdout"], "yes\n");
}

#[tokio::test]
async fn a_full_disk_on_the_machine_is_told_in_its_own_words() {
    let sshd = Sshd::start();
    let Some(full) = SmallDisk::mount(&sshd.dir().join("full"), 64) else {
        return;
    };
    let (app, instance) = on(&sshd, App::builder()).await;
    let way = json!({"interpreter": "sh", "stdin": "x".repeat(1 << 20)});
    let script = format!("echo no # {}", "x".repeat(500_000));
    std::fs::create_dir(sshd.dir().join(".local")).unwrap();
    std::os::unix::fs::symlink(full.path(), sshd.dir().join(".local/state")).unwrap();
    let task = run(&app, &sshd, instance, &script, way).await;
    assert_start_failed(&task, "No space left on device");
    assert!(is_empty(&full.path().join("wsexec")));
}
