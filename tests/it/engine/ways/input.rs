//! The standard input of a script, and its terminal.

use super::{on, reason, run};
use crate::harness::app::App;
use crate::harness::sshd::Sshd;
use base64::Engine as _;
use serde_json::json;
use sha2::{Digest, Sha256};

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
