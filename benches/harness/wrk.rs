//! Load by `wrk`, which Debian has: HTTP/1.1 over kept-alive TLS connections.

use super::app::DEADLINE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::timeout;

/// What to send, as a Lua script for wrk begins.
pub struct Load<'a> {
    pub url: String,
    pub connections: usize,
    pub seconds: u64,
    /// Name and password.
    pub login: (&'a str, &'a str),
    /// A JSON body makes it a POST.
    pub body: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// Answers of 2xx and 3xx.
    pub good: u64,
    pub per_second: f64,
    pub p99_ms: f64,
    /// Other answers, and connections that failed.
    pub bad: u64,
}

/// Prints one line of JSON at the end.
const DONE: &str = r#"
done = function(s, latency)
    local e = s.errors
    io.write(string.format('\n{"requests":%d,"us":%d,"status":%d,"broken":%d,"p99":%f}\n', s.requests,
        s.duration, e.status, e.connect + e.read + e.write + e.timeout, latency:percentile(99.0)))
end
"#;

impl Load<'_> {
    /// Runs it. The script is written to a file in `dir`, which others cannot read: it holds a
    /// password.
    pub async fn run(&self, dir: &Path) -> Seen {
        let login = STANDARD.encode(format!("{}:{}", self.login.0, self.login.1));
        let mut script = format!("wrk.headers[\"Authorization\"] = \"Basic {login}\"\n");
        if let Some(body) = &self.body {
            script.push_str(
                "wrk.method = \"POST\"\nwrk.headers[\"Content-Type\"] = \"application/json\"\n",
            );
            script.push_str(&format!("wrk.body = [==[{body}]==]\n"));
        }
        script.push_str(DONE);
        let file = dir.join("load.lua");
        std::fs::write(&file, script).expect("a script for wrk");
        let run = Command::new("wrk")
            .args(["--threads", "1", "--timeout", "30s", "--connections"])
            .arg(self.connections.to_string())
            .arg("--duration")
            .arg(format!("{}s", self.seconds))
            .arg("--script")
            .arg(&file)
            .arg(&self.url)
            .kill_on_drop(true)
            .output();
        let limit = Duration::from_secs(self.seconds) + DEADLINE;
        let output = timeout(limit, run).await.expect("wrk ends");
        let output = output.expect("wrk is installed (apt install wrk)");
        let text = String::from_utf8_lossy(&output.stdout);
        let seen: Value = text
            .lines()
            .find(|line| line.starts_with('{'))
            .and_then(|line| serde_json::from_str(line).ok())
            .unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
        let number = |name: &str| seen[name].as_f64().expect("a number");
        let good = number("requests") - number("status");
        Seen {
            good: good as u64,
            per_second: good / (number("us") / 1e6),
            p99_ms: number("p99") / 1e3,
            bad: (number("status") + number("broken")) as u64,
        }
    }
}
