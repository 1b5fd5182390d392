//! The sweep of what earlier runs left on a machine.

use super::{directories, on, post, state_directory, wait_for, wait_for_file};
use crate::harness::app::App;
use crate::harness::cable::Cable;
use crate::harness::sshd::Sshd;
use std::fs;
use std::process::Command;
use std::time::SystemTime;

#[tokio::test]
async fn what_is_old_and_still_to_be_taken_is_not_swept() {
    let sshd = Sshd::start();
    let mut cable = Cable::to(sshd.address()).await;
    let app = App::builder().identity(sshd.identity()).start().await;
    let far = app.declare("127.0.0.1", cable.port()).await;
    let near = app.declare("127.0.0.1", sshd.port()).await;
    let gate = sshd.dir().join("gate");
    let script = format!(
        "echo one; until test -e {}; do sleep 0.05; done; echo two",
        gate.display()
    );
    let first = post(&app, far, &script).await;
    app.wait_until(first, |task| task["stdout"] == "one\n")
        .await;
    cable.cut().await;
    fs::write(gate, "").unwrap();
    let done = state_directory(&sshd)
        .join(&directories(&sshd)[0])
        .join("run/done");
    wait_for_file(&done).await;
    let long_ago = SystemTime::now() - std::time::Duration::from_secs(20 * 24 * 60 * 60);
    let file = fs::File::options().write(true).open(&done).unwrap();
    file.set_modified(long_ago).unwrap();
    let other = post(&app, near, "true").await;
    assert_eq!(app.wait_ended(other).await["rc"], 0);
    cable.mend().await;
    assert_eq!(app.wait_ended(first).await["stdout"], "one\ntwo\n");
}

#[tokio::test]
async fn old_directories_of_this_server_are_swept_and_no_others() {
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let gate = sshd.dir().join("gate");
    let script = format!(
        "echo one; until test -e {}; do sleep 0.05; done",
        gate.display()
    );
    let first = post(&app, instance, &script).await;
    app.wait_until(first, |task| task["stdout"] == "one\n")
        .await;
    let runs = directories(&sshd);
    let store = &runs[0][..36];
    let old = |name: &str, over: bool, days: u32| {
        let run = state_directory(&sshd).join(name).join("run");
        fs::create_dir_all(&run).unwrap();
        let aged = if over {
            run.join("done")
        } else {
            state_directory(&sshd).join(name)
        };
        if over {
            fs::write(&aged, "").unwrap();
        }
        let date = format!("{days} days ago");
        let touched = Command::new("touch")
            .arg("-d")
            .arg(date)
            .arg(&aged)
            .status();
        assert!(touched.unwrap().success());
    };
    old(&format!("{store}-over-long-ago"), true, 8);
    old(&format!("{store}-over-lately"), true, 3);
    old(&format!("{store}-abandoned-long-ago"), false, 31);
    old(&format!("{store}-abandoned-lately"), false, 20);
    old("another-store-over-long-ago", true, 100);
    let second = post(&app, instance, "true").await;
    assert_eq!(app.wait_ended(second).await["rc"], 0);
    let expected = [
        "another-store-over-long-ago".to_owned(),
        format!("{store}-abandoned-lately"),
        format!("{store}-over-lately"),
        runs[0].clone(),
    ];
    let left = || {
        directories(&sshd)
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
    };
    wait_for(|| left() == expected.iter().cloned().collect(), "the sweep").await;
    fs::write(gate, "").unwrap();
    assert_eq!(app.wait_ended(first).await["rc"], 0);
}
