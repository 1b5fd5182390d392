//! Scrapers of `/metrics` that ask and never read, or a byte now and then.

use crate::harness::app::App;
use crate::harness::client::Client;
use crate::harness::slow::{Slow, p99};
use std::time::{Duration, Instant};

const SCRAPERS: usize = 50;
const PATIENCE: u64 = 3;
const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn scrapers_that_hang_cost_their_connections_alone_and_lose_those() {
    let config = format!("[http]\nhead_timeout = {PATIENCE}\nwrite_timeout = {PATIENCE}");
    let app = App::builder().config(&config).start().await;
    let client = app.client();
    assert_eq!(figures(&client).await, 200);
    let (before, resident) = (app.open_files(), app.rss_kib());
    let login = ("admin", app.admin_password());
    let slow = Slow::new(app.address(), &app.certificate(), login, "/metrics");
    let began = Instant::now();
    let scrapers = slow.readers(SCRAPERS);
    let (mut most, mut times) = (before, Vec::new());
    while most < before + SCRAPERS || app.open_files() > before + 2 {
        let asked = Instant::now();
        assert_eq!(figures(&client).await, 200);
        times.push(asked.elapsed());
        most = most.max(app.open_files());
        assert!(
            began.elapsed() < LIMIT,
            "{} of {most}, {before}",
            app.open_files()
        );
    }
    let more = app.rss_kib().saturating_sub(resident) / 1024;
    println!(
        "figure: {SCRAPERS} scrapers that hang: gone after {:?}, {more} MiB more, p99 of another one {:?}",
        began.elapsed(),
        p99(times)
    );
    assert!(more < 32, "{more} MiB more");
    drop(scrapers);
}

async fn figures(client: &Client) -> u16 {
    client.get("/metrics").await.status
}
