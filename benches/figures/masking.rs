//! (f) Much output of one script, while secrets are looked for in it and while there is none.

use super::harness;
use super::harness::client::Client;
use super::report::{Row, median, span};
use super::server::{self, Server, wait_for};
use serde_json::json;
use std::io::Write as _;
use std::time::Instant;

const BYTES: u64 = 1 << 30;
/// Lines as a log has them: zeros would be too easy for what looks for text.
const SCRIPT: &str = "yes '2026-11-24 12:00:00 INFO  [web-3] GET /orders/4711?page=2 200 in 3.7 ms, \
    session c2Vzc2lvbi00NzExLTAwOA, etag 9f86d081884c7d65' | head -c 1073741824";
const SECRETS: usize = 50;
const ROUNDS: usize = 4;

/// A server with an instance.
struct Side {
    server: Server,
    client: Client,
    instance: i64,
}

pub async fn measure() -> Vec<Row> {
    let sshd = harness::sshd().start();
    let mut key = tempfile::NamedTempFile::new().expect("a file for its owner alone");
    key.write_all(wsexec::vault::generate().expose().as_bytes())
        .expect("a master key");
    let config = format!("[secrets]\nmaster_key_file = {:?}\n", key.path());
    let side = async |config: &str| {
        let server = Server::start(config, Some(&sshd.identity()));
        let client = server.client();
        let instance = server.declare_sshd(&client, &sshd).await;
        Side {
            server,
            client,
            instance,
        }
    };
    let (without, with) = (side("").await, side(&config).await);
    for number in 0..SECRETS {
        let value = wsexec::domain::random_token();
        let new =
            json!({"name": format!("it-{number}"), "kind": "secret", "value": value.expose()});
        let reply = with.client.post("/wsexec/identities", &new).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let script = format!("echo {}", value.expose());
        let id = server::post(&with.client, with.instance, &script).await;
        let task = wait_for(&with.client, id, &["DONE", "ABORT"]).await;
        assert_eq!(task["masked"], 1, "{task:#}");
    }
    println!("(f) MB/s of 1 GiB of text (processor seconds): no secret, {SECRETS} secrets");
    let (mut rates, mut ratios) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Each goes first in its turn.
        let mut of = [(0.0, 0.0); 2];
        for at in [round % 2, 1 - round % 2] {
            of[at] = [&without, &with][at].rate().await;
        }
        let [(plain, plain_cpu), (masked, masked_cpu)] = of;
        println!("    {plain:5.0} ({plain_cpu:4.1} s) {masked:5.0} ({masked_cpu:4.1} s)");
        ratios.push(masked / plain);
        rates.push(masked);
    }
    let ((low, high), (least, most)) = (span(&rates), span(&ratios));
    let (rate, ratio) = (median(rates), median(ratios));
    vec![Row {
        figure: "f  1 GiB in which 50 secrets are looked for",
        goal: "200 MB/s",
        seen: format!(
            "{rate:.0} MB/s ({low:.0} to {high:.0}); {ratio:.2} ({least:.2} to {most:.2}) of it without secrets"
        ),
        met: rate >= 200.0,
    }]
}

impl Side {
    /// 10^6 bytes per second, and the seconds of processor time that the server took.
    async fn rate(&self) -> (f64, f64) {
        let (began, cpu) = (Instant::now(), super::memory::cpu_ms(self.server.pid()));
        let id = server::post(&self.client, self.instance, SCRIPT).await;
        let task = wait_for(&self.client, id, &["DONE", "ABORT"]).await;
        let seconds = began.elapsed().as_secs_f64();
        assert_eq!(task["state"], "DONE", "{task:#}");
        assert_eq!(task["stdout_bytes"], BYTES, "{task:#}");
        let cpu = super::memory::cpu_ms(self.server.pid()) - cpu;
        (BYTES as f64 / 1e6 / seconds, cpu / 1e3)
    }
}
