//! The lists, filters and pages that are asked for.

use super::harness::client::{Client, send};
use super::harness::sshd::user;
use super::report::median;
use reqwest::Method;
use std::time::Instant;

const TIMES: usize = 15;

/// What is asked, as whom, and how long it took.
pub struct Seen {
    pub who: &'static str,
    pub path: String,
    pub middle: f64,
    pub most: f64,
}

/// Lists of the API, by somebody who sees everything. `last` is the last task's id.
pub fn of_the_api(last: i64) -> Vec<String> {
    let me = user();
    let (middle, run) = (last / 2, last * 3 / 4);
    let narrowed = [
        "order=desc".to_owned(),
        format!("after={middle}"),
        format!("before={middle}&order=desc"),
        "state=DONE".to_owned(),
        "state=ABORT&order=desc".to_owned(),
        "state=CURRENT".to_owned(),
        "state=INIT".to_owned(),
        "instance=7".to_owned(),
        "instance=999999".to_owned(),
        format!("user={me}"),
        "user=nobody-there".to_owned(),
        "tag=Every+night".to_owned(),
        "tag=none".to_owned(),
        "name=Nightly+backup+12&order=desc".to_owned(),
        "name=none".to_owned(),
        "approval=approved".to_owned(),
        // Several at once: some have many in common, some none.
        format!("state=ABORT&user={me}"),
        "state=ABORT&instance=7".to_owned(),
        "state=ABORT&instance=51&order=desc".to_owned(),
        "state=DONE&name=Nightly+backup+13&instance=14".to_owned(),
        "state=ABORT&name=Nightly+backup+13".to_owned(),
        format!("user={me}&tag=Every+night&state=INIT"),
        "state=ABORT&tag=none".to_owned(),
        // A text: all have it, few, one, none.
        "q=backup".to_owned(),
        "q=volume+77,".to_owned(),
        format!("q=run+{run}"),
        format!("q=run+{run}&order=desc"),
        "q=nothing".to_owned(),
        "q=nothing&order=desc".to_owned(),
        "q=Zz".to_owned(),
        "q=~".to_owned(),
        "q=figure&order=desc".to_owned(),
        "q=nothing&state=DONE".to_owned(),
        "q=backup&state=INIT".to_owned(),
        format!("q=volume&state=ABORT&user={me}&order=desc"),
    ];
    let tasks = narrowed
        .iter()
        .map(|it| format!("/wsexec/tasks?limit=50&{it}"));
    let others = [
        "/wsexec/tasks?limit=500&output=none".to_owned(),
        "/wsexec/instances?limit=50&order=desc".to_owned(),
        "/wsexec/instances?limit=50&q=rack+39".to_owned(),
        "/wsexec/instances?limit=50&q=nothing".to_owned(),
        "/wsexec/instances?limit=50&tag=none".to_owned(),
        "/wsexec/audit?limit=50&order=desc".to_owned(),
    ];
    tasks.chain(others).collect()
}

/// Lists by somebody whose scope holds few, or none.
pub const IN_A_SCOPE: [&str; 6] = [
    "/wsexec/tasks?limit=50",
    "/wsexec/tasks?limit=50&order=desc",
    "/wsexec/tasks?limit=50&q=backup",
    "/wsexec/tasks?limit=50&state=ABORT&order=desc",
    "/wsexec/tasks?limit=50&tag=Every+night&before=300000&order=desc",
    "/wsexec/instances?limit=50",
];

/// Who looks at pages.
pub const PAGE: &str = "page";

/// Pages for people.
pub const PAGES: [&str; 7] = [
    "/",
    "/tasks",
    "/tasks?before=300000",
    "/tasks?state=ABORT",
    "/tasks?q=nothing",
    "/tasks?q=volume+77,",
    "/instances?q=rack",
];

pub async fn look(client: &Client, who: &'static str, paths: &[String]) -> Vec<Seen> {
    let mut all = Vec::new();
    for path in paths {
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let request = client.request(Method::GET, path);
            let request = match who {
                PAGE => request.header("accept", "text/html"),
                _ => request,
            };
            let began = Instant::now();
            let reply = send(request).await;
            times.push(began.elapsed().as_secs_f64() * 1e3);
            assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        }
        let most = times.iter().copied().fold(0.0, f64::max);
        all.push(Seen {
            who,
            path: path.clone(),
            middle: median(times),
            most,
        });
    }
    all
}
