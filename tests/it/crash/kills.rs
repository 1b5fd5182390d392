//! Kills at random instants.

use super::load::Load;
use crate::harness::app::App;
use crate::harness::dice::Dice;
use crate::harness::effort::effort;
use crate::harness::sshd::Sshd;
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// The longest that a server lives, in ms.
const LIFE: i64 = 700;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_at_random_under_load_loses_nothing_and_runs_nothing_twice() {
    let kills = effort(50, 1000);
    let mut dice = Dice::any();
    let sshd = Sshd::start();
    let builder = App::builder()
        .config("[engine]\nmax_per_instance = 6\n[log]\nlevel = \"warn\"")
        .identity(sshd.identity());
    let mut app = builder.start().await;
    let instance = app.declare("127.0.0.1", sshd.port()).await;
    let load = Load::start(&app, &sshd, instance, 12);
    let mut started = Instant::now();
    for _ in 0..kills {
        sleep(Duration::from_millis(dice.below(LIFE).unsigned_abs())).await;
        app.kill9().await;
        started = Instant::now();
        app.start_again().await;
        load.moved(&app);
    }
    let figures = load.settle(&app, started).await;
    println!("figure: {kills} kills at random: {figures}");
    figures.assert_right();
    let audit = app
        .command()
        .args(["audit", "verify", "--data"])
        .arg(app.data())
        .output();
    assert!(audit.expect("it runs").status.success());
}
