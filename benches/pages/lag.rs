//! (b) From the moment that a script prints a line until a watcher of its page has it.

use super::harness;
use super::harness::client::Client;
use super::report::Row;
use super::server::{self, Server, wait_for};
use reqwest::Method;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::task::JoinSet;

const WATCHERS: usize = 50;
/// 10,000 lines a second for 20 s, each with the time at which it is printed.
const SCRIPT: &str = r#"exec perl -MTime::HiRes=time,sleep -e '
    my $begin = time;
    for my $round (1 .. 2000) {
        my $lines = "";
        $lines .= sprintf("T%.6f line %d of a log, as long as they are\n", time, $_) for 1 .. 100;
        syswrite(STDOUT, $lines);
        my $left = $begin + $round * 0.01 - time;
        sleep($left) if $left > 0;
    }'"#;
const LINES: usize = 200_000;

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let server = Server::start("", Some(&sshd.identity()));
    let client = server.client();
    let instance = server.declare_sshd(&client, &sshd).await;
    let cpu = super::harness::memory::cpu_ms(server.pid());
    let cookie = server.session("admin", &server.password()).await;
    let id = server::post(&client, instance, SCRIPT).await;
    wait_for(&client, id, &["CURRENT"]).await;
    let mut watchers = JoinSet::new();
    for _ in 0..WATCHERS {
        watchers.spawn(watch(server.browser(&cookie), id));
    }
    let mut lags = Vec::new();
    while let Some(seen) = watchers.join_next().await {
        lags.extend(seen.expect("it watches to the end"));
    }
    let task = wait_for(&client, id, &["DONE"]).await;
    assert_eq!(task["rc"], 0, "{task:#}");
    let cpu = super::harness::memory::cpu_ms(server.pid()) - cpu;
    lags.sort_by(f64::total_cmp);
    let at = |share: f64| lags[((lags.len() - 1) as f64 * share) as usize];
    println!(
        "(b) {WATCHERS} watchers of {LINES} lines in 20 s: {} events in all, lag {:.0} ms, p99 {:.0} ms, most {:.0} ms; {:.1} s of processor time in the server",
        lags.len(),
        at(0.5),
        at(0.99),
        at(1.0),
        cpu / 1e3
    );
    vec![Row {
        figure: "b  output lag, 50 watchers, 10,000 lines a second",
        goal: "under 500 ms",
        seen: format!(
            "{:.0} ms, p99 {:.0} ms, at most {:.0} ms",
            at(0.5),
            at(0.99),
            at(1.0)
        ),
        met: at(1.0) < 500.0,
    }]
}

/// The lag of each piece that comes, in ms, by the oldest line in it.
async fn watch(client: Client, id: i64) -> Vec<f64> {
    let path = format!("/tasks/{id}/events?view=apart");
    let request = client.request(Method::GET, &path);
    let mut reply = request.send().await.expect("it is answered");
    assert_eq!(reply.status(), 200);
    let mut lags = Vec::new();
    let mut begun = false;
    while let Some(chunk) = reply.chunk().await.expect("it goes on") {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let text = String::from_utf8_lossy(&chunk);
        if text.contains("event: end") {
            break;
        }
        let line = text.split('T').skip(1).find_map(|rest| {
            let time = rest.get(..17)?;
            time.contains('.')
                .then(|| time.parse::<f64>().ok())
                .flatten()
        });
        // What was printed before the watch began is late of course.
        let Some(line) = line else { continue };
        if begun {
            lags.push((now.as_secs_f64() - line) * 1e3);
        }
        begun = true;
    }
    lags
}
