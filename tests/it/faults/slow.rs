//! Many clients that are slow on purpose, all at once.

use crate::engine::on;
use crate::harness::app::App;
use crate::harness::effort::effort;
use crate::harness::slow::{Kind, Slow, p99, raise_descriptors};
use crate::harness::sshd::{Sshd, user};
use std::time::{Duration, Instant};

/// Seconds that the server lets each of them.
const PATIENCE: u64 = 8;
/// What else a busy machine may take.
const SLACK: Duration = Duration::from_secs(40);
/// What a server opens meanwhile that has nothing to do with them.
const OTHERS: usize = 8;

#[tokio::test]
async fn slow_clients_are_all_closed_in_time_and_everybody_else_is_answered_meanwhile() {
    raise_descriptors();
    let of_each = effort(25, 500);
    let count = of_each * Kind::ALL.len();
    let sshd = Sshd::start();
    let config = format!(
        "[http]\nhandshake_timeout = {PATIENCE}\nhead_timeout = {PATIENCE}\nbody_timeout = {PATIENCE}\n\
         write_timeout = {PATIENCE}\n[log]\nlevel = \"info\""
    );
    let (app, instance) = on(&sshd, App::builder().config(&config)).await;
    let script = "head -c 12000000 /dev/zero | tr '\\0' x";
    let task = app.run(instance, &user(), script).await;
    assert_eq!(task["stdout_bytes"], 12_000_000, "{}", task["reason"]);
    let path = format!("/wsexec/tasks/{}/stdout", task["id"]);
    let client = app.client();
    let me = async || {
        let began = Instant::now();
        let reply = client.get("/wsexec/users/me").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        began.elapsed()
    };
    me().await;
    let before = app.open_files();

    let login = ("admin", app.admin_password());
    let slow = Slow::new(app.address(), &app.certificate(), login, &path);
    let began = Instant::now();
    // Those that read nothing are held to the end: it is the server that has to let go.
    let crowd = slow.crowd(of_each);
    let (mut times, mut most) = (Vec::new(), before);
    loop {
        times.push(me().await);
        let open = app.open_files();
        most = most.max(open);
        if most >= before + count / 2 && open <= before + OTHERS {
            break;
        }
        let limit = Duration::from_secs(2 * PATIENCE) + SLACK;
        assert!(
            began.elapsed() < limit,
            "{open} of {most} files are open, {before} before"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (answers, resident) = (times.len(), app.rss_kib() / 1024);
    println!(
        "figure: {count} slow clients: {} files open at the most, {before} before, all closed after {:?}; {answers} \
         answers meanwhile, p99 {:?}; {resident} MiB",
        most,
        began.elapsed(),
        p99(times)
    );
    assert!(most >= before + count / 2, "they were there at once");
    drop(crowd);
}
