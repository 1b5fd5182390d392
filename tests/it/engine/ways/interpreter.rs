//! Scripts in a language of their own.

use super::{
    assert_start_failed, cancel, is_empty, on, post, reason, run, wait_for, wait_for_file,
};
use crate::harness::app::App;
use crate::harness::sshd::Sshd;
use serde_json::json;

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
    wait_for(|| is_empty(&kept), "the removal of the script's file").await;
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
    wait_for(|| is_empty(&kept), "the removal of the script's file").await;
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
    wait_for(|| is_empty(&kept), "the removal of the script's file").await;
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
    wait_for(|| is_empty(&kept), "the removal of the scripts' files").await;
}
