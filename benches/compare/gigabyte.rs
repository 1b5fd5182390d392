//! (d) 1 GiB of output from one script.

use super::harness;
use super::harness::sshd::user;
use super::peers::{Ground, Work, run};
use super::report::{Row, median, span};
use super::server::{self, Server, wait_for};
use std::process::Stdio;
use std::time::Instant;
use tokio::process::Command;

const BYTES: u64 = 1 << 30;
const SCRIPT: &str = "head -c 1073741824 /dev/zero";
const ROUNDS: usize = 2;
/// A peer that has taken so many seconds is not measured again.
const ENOUGH: f64 = 20.0;

const SSH: &str = "d  1 GiB, against ssh to /dev/null";
const LIBRARIES: [(&str, &str); 2] = [
    (
        "d  1 GiB, against asyncssh, which counts it",
        "asyncssh_loop.py",
    ),
    (
        "d  1 GiB, against paramiko, which counts it",
        "paramiko_threads.py",
    ),
];

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let server = Server::start("", Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, &sshd).await;
    let hosts = vec!["127.0.0.1".to_owned()];
    let ground = Ground::new(&sshd, &hosts);
    let work = Work {
        hosts,
        kept: false,
        script: SCRIPT,
    };
    let first = server::post(&client, instance, "true").await;
    wait_for(&client, first, &["DONE"]).await;

    let (mut ours, mut ssh) = (Vec::new(), Vec::new());
    let mut libraries: [Result<Vec<f64>, String>; 2] = [Ok(Vec::new()), Ok(Vec::new())];
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let id = server::post(&client, instance, SCRIPT).await;
        let task = wait_for(&client, id, &["DONE", "ABORT"]).await;
        assert_eq!(task["stdout_bytes"], BYTES, "{task:#}");
        ours.push(began.elapsed().as_secs_f64());
        ssh.push(through_ssh(&ground).await);
        for ((_, script), seen) in LIBRARIES.iter().zip(&mut libraries) {
            let Ok(seconds) = seen else { continue };
            if seconds.iter().sum::<f64>() > ENOUGH {
                continue;
            }
            match run(ground.library(script, 1, &work)).await {
                Ok((_, told)) if told.first() == Some(&(BYTES as f64)) => {
                    seconds.extend(told.get(1));
                }
                Ok(_) => *seen = Err("not all of it came".to_owned()),
                Err(why) => *seen = Err(why),
            }
        }
    }
    let mut rows = vec![row(SSH, &ours, &ssh)];
    for ((figure, _), seen) in LIBRARIES.into_iter().zip(libraries) {
        rows.push(match seen {
            Ok(seconds) => row(figure, &ours, &seconds),
            Err(why) => Row {
                figure,
                goal: "stated",
                seen: why,
                met: false,
            },
        });
    }
    rows
}

fn row(figure: &'static str, our: &[f64], their: &[f64]) -> Row {
    let rate = |seconds: f64| BYTES as f64 / 1e6 / seconds;
    let ((fast, slow), (their_fast, their_slow)) = (span(our), span(their));
    let (us, them) = (median(our.to_vec()), median(their.to_vec()));
    println!(
        "(d) MB/s: wsexec {:.0}, {figure}: {:.0}",
        rate(us),
        rate(them)
    );
    Row {
        figure,
        goal: "stated",
        seen: format!(
            "{:.2} ({:.2} to {:.2}); {:.0} MB/s of {:.0} MB/s",
            them / us,
            their_fast / slow,
            their_slow / fast,
            rate(us),
            rate(them)
        ),
        met: true,
    }
}

async fn through_ssh(ground: &Ground) -> f64 {
    let began = Instant::now();
    let status = Command::new("ssh")
        .args(ground.ssh_options())
        .args(["-l", &user(), "127.0.0.1", SCRIPT])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status()
        .await
        .expect("ssh is installed");
    assert!(status.success());
    began.elapsed().as_secs_f64()
}
