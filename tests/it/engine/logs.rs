use super::{on, wait_for};
use crate::harness::app::App;
use crate::harness::sshd::{Sshd, user};

#[tokio::test]
async fn the_log_has_a_line_for_a_task_and_never_its_script_output_or_what_ssh_would_tell() {
    let sshd = Sshd::start();
    let builder = App::builder()
        .config("[log]\nlevel = \"debug\"\nformat = \"json\"")
        .env("RUST_LOG", "trace");
    let (app, instance) = on(&sshd, builder).await;
    let script = format!("echo says-$((40 + 2))-{}", sshd.port());
    let task = app.run(instance, &user(), &script).await;
    assert_eq!(task["stdout"], format!("says-42-{}\n", sshd.port()));
    wait_for(|| app.stderr().contains("task ended"), "the line").await;
    let log = app.stderr();
    let lines: Vec<serde_json::Value> = log
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    let ended = lines.iter().find(|line| line["message"] == "task ended");
    let fields = ended.expect("a line for the task");
    assert_eq!((&fields["task"], &fields["rc"]), (&task["id"], &0.into()));
    assert!(fields["duration_ms"].is_u64());
    for secret in ["says-", app.admin_password(), "PRIVATE KEY"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    let tells = |line: &&serde_json::Value| {
        let target = line["target"].as_str().unwrap_or_default();
        target.starts_with("thrussh") || target.starts_with("cryptovec")
    };
    assert_eq!(lines.iter().find(tells), None, "the SSH library is heard");
}
