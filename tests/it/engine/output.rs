use super::{on, post};
use crate::harness::app::App;
use crate::harness::sshd::{Sshd, user};
use serde_json::json;

#[tokio::test]
async fn output_is_kept_byte_for_byte_and_apart() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let script = "printf 'a\\000\\377\\351b'; printf 'problem\\n' >&2; exit 7";
    let task = app.run(instance, &user(), script).await;
    assert_eq!((&task["state"], &task["rc"]), (&json!("DONE"), &json!(7)));
    assert_eq!(task["stdout"], "a\0\u{fffd}\u{fffd}b");
    assert_eq!(
        (&task["stderr"], &task["stdout_bytes"]),
        (&json!("problem\n"), &json!(5))
    );
    let raw = app
        .client()
        .get(&format!("/wsexec/tasks/{}/stdout", task["id"]))
        .await;
    assert_eq!(raw.body, b"a\0\xff\xe9b");
}

#[tokio::test]
async fn past_the_limit_the_head_and_the_tail_are_kept_and_the_gap_is_told() {
    let sshd = Sshd::start();
    let (app, instance) = on(
        &sshd,
        App::builder().config("[engine]\noutput_limit = 10000"),
    )
    .await;
    // 6 bytes a line, numbered, so that every byte of it is known.
    let task = app
        .run(instance, &user(), "seq -w 10000 99999; echo end >&2")
        .await;
    let all: String = (10_000..=99_999).map(|n| format!("{n}\n")).collect();
    assert_eq!(task["stdout_bytes"], all.len());
    assert_eq!(
        task["stdout_gap"],
        json!({"offset": 5000, "length": all.len() - 10_000})
    );
    let kept = format!("{}{}", &all[..5000], &all[all.len() - 5000..]);
    assert_eq!(task["stdout"], kept);
    assert_eq!(
        (&task["stderr"], &task["stderr_gap"]),
        (&json!("end\n"), &json!(null))
    );
    let raw = app
        .client()
        .get(&format!("/wsexec/tasks/{}/stdout", task["id"]))
        .await;
    assert_eq!(raw.body, kept.as_bytes());
    assert_eq!(
        raw.header("wsexec-gap"),
        format!("5000,{}", all.len() - 10_000)
    );
}

#[tokio::test]
async fn a_gap_is_told_by_where_it_lies_in_the_body_that_is_read() {
    let sshd = Sshd::start();
    let config = "[engine]\noutput_limit = 10000";
    let (app, instance) = on(&sshd, App::builder().config(config)).await;
    // 3 bytes of stderr, then too much of stdout, then 4 more bytes of stderr.
    let script = "echo ab >&2; sleep 0.3; seq -w 10000 99999; sleep 0.3; echo end >&2";
    let task = app.run(instance, &user(), script).await;
    let both = format!("/wsexec/tasks/{}/output", task["id"]);
    let both = app.client().get(&both).await;
    let out = task["stdout"].as_str().unwrap();
    assert_eq!(both.text(), format!("ab\n{out}end\n"));
    assert_eq!(
        both.header("wsexec-gap"),
        format!("5003,{}", task["stdout_gap"]["length"])
    );
}

#[tokio::test]
async fn a_running_flood_is_shown_with_its_head_and_its_tail() {
    let sshd = Sshd::start();
    let config = "[engine]\ncancel_grace = 1\noutput_limit = 1048576";
    let (app, instance) = on(&sshd, App::builder().config(config)).await;
    let id = post(&app, instance, "yes").await;
    app.wait_until(id, |task| !task["stdout_gap"].is_null())
        .await;
    for _ in 0..5 {
        let task = app.wait_until(id, |_| true).await;
        let left_out = task["stdout_gap"]["length"].as_u64().unwrap();
        let kept = task["stdout_bytes"].as_u64().unwrap() - left_out;
        assert_eq!(task["stdout"].as_str().unwrap().len() as u64, kept);
    }
    super::cancel(&app, id).await;
    app.wait_ended(id).await;
}

#[tokio::test]
async fn output_that_is_not_waited_for_is_told_as_such() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let task = app
        .run(instance, &user(), "sleep 8 & echo first; exit 2")
        .await;
    assert_eq!(
        (&task["rc"], &task["stdout"]),
        (&json!(2), &json!("first\n"))
    );
    let reason = task["reason"].as_str().unwrap();
    assert!(reason.contains("left behind"), "{reason}");
}

#[tokio::test]
async fn both_streams_can_be_read_in_the_order_they_came() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let script = "for n in 1 2 3 4 5; do echo out $n; sleep 0.1; echo err $n >&2; sleep 0.1; done";
    let task = app.run(instance, &user(), script).await;
    let both = app
        .client()
        .get(&format!("/wsexec/tasks/{}/output", task["id"]))
        .await;
    let expected: String = (1..=5).map(|n| format!("out {n}\nerr {n}\n")).collect();
    assert_eq!(both.text(), expected);
}

#[tokio::test]
async fn output_can_be_read_within_a_second_while_the_script_runs() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder().config("[engine]\ncancel_grace = 1")).await;
    let id = post(&app, instance, "while :; do date +%s%N; sleep 0.01; done").await;
    app.wait_until(id, |task| task["stdout_bytes"].as_u64() > Some(0))
        .await;
    // What is shown is never older than a second, and a margin for a busy machine.
    let seen = app
        .wait_until(id, |task| {
            task["stdout"]
                .as_str()
                .is_some_and(|out| out.lines().count() > 3)
        })
        .await;
    let last: u128 = seen["stdout"]
        .as_str()
        .unwrap()
        .lines()
        .rev()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos();
    assert!(
        now - last < 3_000_000_000,
        "{} ms old",
        (now - last) / 1_000_000
    );
    super::cancel(&app, id).await;
    app.wait_ended(id).await;
}

#[tokio::test]
async fn a_flood_is_taken_in_little_memory_and_cancelled() {
    let sshd = Sshd::start();
    let config = "[engine]\ncancel_grace = 1\noutput_limit = 1048576";
    let (app, instance) = on(&sshd, App::builder().config(config)).await;
    let id = post(&app, instance, "yes").await;
    app.wait_until(id, |task| task["stdout_bytes"].as_u64() > Some(8 << 20))
        .await;
    super::cancel(&app, id).await;
    let task = app.wait_ended(id).await;
    assert_eq!(task["outcome"], "cancelled");
    assert_eq!(task["stdout"].as_str().unwrap().len(), 1 << 20);
    assert!(app.rss_kib() < 128 * 1024, "{} KiB", app.rss_kib());
}

#[tokio::test]
async fn new_tasks_are_refused_before_the_disk_is_full() {
    let sshd = Sshd::start();
    let (app, instance) = on(
        &sshd,
        App::builder().config("[store]\nmin_free = 1099511627776"),
    )
    .await;
    let task = json!({"name": "n", "instance": instance, "user": user(), "script": "true"});
    let reply = app.client().post("/wsexec/tasks", &task).await;
    assert_eq!(reply.status, 503);
    assert!(!reply.header("retry-after").is_empty());
    assert_eq!(app.client().get("/wsexec/tasks").await.status, 200);
}
