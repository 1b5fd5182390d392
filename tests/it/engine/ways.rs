//! The ways to run a script: its environment, directory, interpreter, input, terminal.

use super::{cancel, on, wait_for_file};
use crate::harness::app::App;
use crate::harness::dropbear::Dropbear;
use crate::harness::sshd::{Kind, Sshd};
use base64::Engine as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Runs a script that is to be run in some way, and gives the ended task.
async fn run(app: &App, sshd: &Sshd, instance: i64, script: &str, way: Value) -> Value {
    let id = post(app, sshd, instance, script, way).await;
    app.wait_ended(id).await
}

async fn post(app: &App, sshd: &Sshd, instance: i64, script: &str, way: Value) -> i64 {
    let mut task =
        json!({"name": "test", "instance": instance, "user": sshd.user(), "script": script});
    for (member, value) in way.as_object().expect("an object") {
        task[member] = value.clone();
    }
    app.post_task(task).await["id"].as_i64().expect("an id")
}

fn reason(task: &Value) -> &str {
    task["reason"].as_str().unwrap_or_default()
}

fn assert_start_failed(task: &Value, because: &str) {
    assert_eq!(task["outcome"], "start_failed", "{task:#}");
    assert!(reason(task).contains(because), "{task:#}");
}

/// Whether any process shows this among its arguments.
fn shows(secret: &str) -> bool {
    super::runs(secret)
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

/// Bytes that no text has, and that are not all the same.
fn bytes(length: usize) -> Vec<u8> {
    (0..length as u32)
        .map(|i| (i.wrapping_mul(i) >> 5) as u8)
        .collect()
}

#[tokio::test]
async fn stdin_arrives_byte_for_byte_while_output_flows() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    for (length, interpreter) in [(16 << 20, json!(null)), (1 << 20, json!("sh"))] {
        let input = bytes(length);
        let encoded = base64::engine::general_purpose::STANDARD.encode(&input);
        let way = json!({"stdin_base64": encoded, "interpreter": interpreter});
        let task = run(&app, &sshd, instance, "tee /dev/stderr; exit 3", way).await;
        assert_eq!(
            (&task["rc"], &task["stdin_bytes"]),
            (&json!(3), &json!(length))
        );
        for stream in ["stdout", "stderr"] {
            let path = format!("/wsexec/tasks/{}/{stream}", task["id"]);
            let output = app.client().get(&path).await.body;
            assert!(
                Sha256::digest(&output) == Sha256::digest(&input),
                "{} bytes of {stream}",
                output.len()
            );
        }
    }
}

#[tokio::test]
async fn stdin_ends_and_a_script_that_does_not_read_it_ends_too() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let task = run(
        &app,
        &sshd,
        instance,
        "cat; echo end",
        json!({"stdin": "one\n# two"}),
    )
    .await;
    assert_eq!(task["stdout"], "one\n# twoend\n");
    let way = json!({"stdin": "x".repeat(8 << 20)});
    let task = run(&app, &sshd, instance, "head -c 3; exit 5", way).await;
    assert_eq!((&task["rc"], &task["stdout"]), (&json!(5), &json!("xxx")));
}

#[tokio::test]
async fn an_interpreter_reads_the_script_whatever_it_holds() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let script = "import sys, os, stat\nprint('a\\'b', \"c\\\"d\", '''e`f$(g)!\\\\''', 'é')\n\
                  here = os.stat(__file__), os.stat(os.path.dirname(__file__))\n\
                  print(*(oct(stat.S_IMODE(of.st_mode)) for of in here), sys.stdin.read(), sys.flags.dont_write_bytecode)\n\
                  print(os.path.dirname(os.path.dirname(__file__)), file=sys.stderr)\nsys.exit(143)";
    let way = json!({"interpreter": "python3 -B", "stdin": "input"});
    let task = run(&app, &sshd, instance, script, way).await;
    assert_eq!(
        task["stdout"], "a'b c\"d e`f$(g)!\\ é\n0o600 0o700 input 1\n",
        "{task:#}"
    );
    assert_eq!(
        (&task["rc"], &task["outcome"]),
        (&json!(143), &json!("exited"))
    );
    let kept = sshd.dir().join(".local/state/wsexec");
    assert_eq!(task["stderr"], format!("{}\n", kept.display()));
    super::wait_for(|| is_empty(&kept), "the removal of the script's file").await;
}

fn is_empty(directory: &std::path::Path) -> bool {
    std::fs::read_dir(directory).unwrap().next().is_none()
}

#[tokio::test]
async fn an_interpreted_script_is_as_long_as_it_likes() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[http]\nbody_limit = 8388608")).await;
    let line = "echo 'é' >/dev/null # \"\n";
    let script = format!(
        "{}echo end; tail -c 9 \"$0\"",
        line.repeat((4 << 20) / line.len() - 1)
    );
    let task = run(
        &app,
        &sshd,
        instance,
        &script,
        json!({"interpreter": "dash"}),
    )
    .await;
    assert_eq!(
        (&task["stdout"], &task["rc"]),
        (&json!("end\n-c 9 \"$0\""), &json!(0)),
        "{}",
        reason(&task)
    );
}

#[tokio::test]
async fn an_interpreted_script_that_a_signal_ends_is_told_as_such_and_leaves_nothing() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 5")).await;
    let kept = sshd.dir().join(".local/state/wsexec");
    let task = run(
        &app,
        &sshd,
        instance,
        "kill -KILL $$",
        json!({"interpreter": "sh"}),
    )
    .await;
    assert_eq!(
        (&task["outcome"], &task["signal"]),
        (&json!("signalled"), &json!("KILL"))
    );
    super::wait_for(|| is_empty(&kept), "the removal of the script's file").await;
    let begun = sshd.dir().join("begun");
    let script = format!(
        "import time\nopen('{}', 'w')\ntime.sleep(600)",
        begun.display()
    );
    let id = post(
        &app,
        &sshd,
        instance,
        &script,
        json!({"interpreter": "python3"}),
    )
    .await;
    wait_for_file(&begun).await;
    cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    assert_eq!(
        (&task["outcome"], &task["signal"]),
        (&json!("cancelled"), &json!("TERM"))
    );
    assert!(
        reason(&task).contains("Nothing of its session is left"),
        "{task:#}"
    );
    super::wait_for(|| is_empty(&kept), "the removal of the script's file").await;
}

#[tokio::test]
async fn the_first_line_names_the_interpreter() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let scripts = [
        ("#!/usr/bin/perl -w\nprint \"perl $^W\\n\";", "perl 1\n"),
        ("#! /bin/sh\necho \"sh $1 ${0##*/}\"", "sh  script\n"),
        (
            "#!/usr/bin/env -S python3 -B\nimport sys; print(sys.flags.dont_write_bytecode)",
            "1\n",
        ),
        ("#!/bin/echo one two  three\n", "one two  three"),
    ];
    for (script, expected) in scripts {
        let task = run(&app, &sshd, instance, script, json!({"interpreter": "#!"})).await;
        let stdout = task["stdout"].as_str().unwrap();
        assert!(stdout.starts_with(expected), "{task:#}");
        assert_eq!(task["rc"], 0);
    }
    let task = run(
        &app,
        &sshd,
        instance,
        "echo no",
        json!({"interpreter": "#!"}),
    )
    .await;
    assert_start_failed(
        &task,
        "does not begin with a line that names its interpreter",
    );
}

#[tokio::test]
async fn an_interpreter_that_is_not_there_is_named() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let missing = [
        (
            "nosuchthing -x",
            "echo no",
            "The interpreter nosuchthing is not there",
        ),
        (
            "/usr/bin/env nosuchthing",
            "echo no",
            "The interpreter nosuchthing is not there",
        ),
        (
            "/opt/no'such",
            "echo no",
            "The interpreter /opt/no'such is not there",
        ),
        (
            "#!",
            "#!/bin/nosuch\r\necho no",
            "The interpreter /bin/nosuch",
        ),
    ];
    for (interpreter, script, because) in missing {
        let task = run(
            &app,
            &sshd,
            instance,
            script,
            json!({"interpreter": interpreter}),
        )
        .await;
        assert_start_failed(&task, because);
        assert_eq!((&task["stdout"], &task["stderr"]), (&json!(""), &json!("")));
    }
    let kept = sshd.dir().join(".local/state/wsexec");
    super::wait_for(|| is_empty(&kept), "the removal of the scripts' files").await;
}

#[tokio::test]
async fn a_terminal_changes_no_byte_and_nobody_types_at_it() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let long = "x".repeat(100_000);
    let script = format!(
        "test -t 0 && test -t 1 && test -t 2 && echo terminal; echo error >&2; cat; read line || echo nothing; \
         printf '\\r\\n\\003\\004\\t'; printf %s {long} | wc -c; exit 4"
    );
    for interpreter in [json!(null), json!("sh")] {
        let way = json!({"pty": true, "interpreter": interpreter, "env": {"A": "\u{3}\u{4}\u{11}\u{13}\r"}});
        let task = run(&app, &sshd, instance, &script, way).await;
        assert_eq!(
            task["stdout"],
            "terminal\nerror\nnothing\n\r\n\u{3}\u{4}\t100000\n",
            "{}",
            reason(&task)
        );
        assert_eq!((&task["stderr"], &task["rc"]), (&json!(""), &json!(4)));
    }
}

#[tokio::test]
async fn dropbear_takes_every_way_too() {
    let dropbear = Dropbear::start(&[Kind::Ed25519]);
    let app = App::builder().identity(dropbear.identity()).start().await;
    let instance = app.declare("127.0.0.1", dropbear.port()).await;
    let run = async |script: &str, mut task: Value| {
        task["name"] = json!("test");
        task["instance"] = json!(instance);
        task["user"] = json!(crate::harness::sshd::user());
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
    let Some(full) = Full::mount(&sshd.dir().join("full")) else {
        return;
    };
    let (app, instance) = on(&sshd, App::builder()).await;
    let way = json!({"interpreter": "sh", "stdin": "x".repeat(1 << 20)});
    let script = format!("echo no # {}", "x".repeat(500_000));
    std::fs::create_dir(sshd.dir().join(".local")).unwrap();
    std::os::unix::fs::symlink(&full.0, sshd.dir().join(".local/state")).unwrap();
    let task = run(&app, &sshd, instance, &script, way).await;
    assert_start_failed(&task, "No space left on device");
    assert!(is_empty(&full.0.join("wsexec")));
}

/// A file system of 64 KiB.
struct Full(std::path::PathBuf);

impl Full {
    fn mount(at: &std::path::Path) -> Option<Self> {
        std::fs::create_dir(at).unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "none"])
            .arg(at)
            .output();
        if !mount.is_ok_and(|output| output.status.success()) {
            eprintln!(
                "skipped: only root, and not in every container, can mount a small file system"
            );
            return None;
        }
        Some(Self(at.to_owned()))
    }
}

impl Drop for Full {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}
