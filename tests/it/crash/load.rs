//! Clients that post without a pause, over whatever becomes of the server, and what has to hold of
//! all that they posted.

use crate::harness::app::App;
use crate::harness::client::Client;
use crate::harness::sshd::{Sshd, user};
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long after a start nothing may be CURRENT any more that was before it, with what was still
/// waiting.
const SETTLED: Duration = Duration::from_secs(60);
/// How long a client waits that got no answer, or was told to try again.
const AGAIN: Duration = Duration::from_millis(20);

/// Clients that post one task after the other, each when the one before has ended, with a key for
/// each task and as often as it takes to get a 201. Every third task is detached.
pub struct Load {
    door: watch::Sender<Client>,
    over: CancellationToken,
    clients: JoinSet<Vec<Posted>>,
    ran: PathBuf,
}

/// A task that was acknowledged.
struct Posted {
    name: String,
    /// What each 201 for it said it was.
    ids: Vec<i64>,
}

/// What was found of all that was posted.
#[derive(Debug, Default)]
pub struct Figures {
    pub acknowledged: usize,
    /// Acknowledged, and not in the list.
    lost: usize,
    /// Ran more than once, or are two tasks for one key.
    twice: usize,
    /// Ended as run, and never were.
    never_ran: usize,
    /// Ran, and are not in the list.
    unknown: usize,
    /// Ended as run, and say something else than they wrote.
    wrong_output: usize,
    /// Still CURRENT or INIT a minute after the last start.
    left: usize,
    /// Ended as nothing that a kill explains, in their own words.
    strange: Vec<String>,
    outcomes: BTreeMap<String, usize>,
}

impl Load {
    /// So many clients at this server, whose tasks note on this machine that they ran.
    pub fn start(app: &App, sshd: &Sshd, instance: i64, clients: usize) -> Self {
        let (door, _) = watch::channel(app.client());
        let mut load = Self {
            door,
            over: CancellationToken::new(),
            clients: JoinSet::new(),
            ran: sshd.dir().join(format!("ran.{}", unique())),
        };
        for number in 0..clients {
            let client = Poster {
                door: load.door.subscribe(),
                over: load.over.clone(),
                ran: load.ran.clone(),
                name: format!("{}-{number}", unique()),
                instance,
                waits: number % 2 == 0,
            };
            load.clients.spawn(client.post_all());
        }
        load
    }

    /// The server is another one now.
    pub fn moved(&self, app: &App) {
        self.door.send_replace(app.client());
    }

    /// Lets each client have the answer it waits for, and looks at all that they posted once it
    /// has ended. The server runs, since `started`.
    pub async fn settle(mut self, app: &App, started: Instant) -> Figures {
        self.over.cancel();
        let mut posted = Vec::new();
        while let Some(some) = self.clients.join_next().await {
            posted.extend(some.expect("a client"));
        }
        let mut left = unended(&app.client()).await.len();
        while left > 0 && started.elapsed() < SETTLED {
            sleep(Duration::from_millis(100)).await;
            left = unended(&app.client()).await.len();
        }
        let list = app.client().get("/wsexec/tasks").await.json();
        let list = list["tasks"].as_array().expect("a list").clone();
        let mut ran: HashMap<String, usize> = HashMap::new();
        for name in std::fs::read_to_string(&self.ran)
            .unwrap_or_default()
            .lines()
        {
            *ran.entry(name.to_owned()).or_default() += 1;
        }
        let mut figures = Figures {
            acknowledged: posted.len(),
            left,
            ..Figures::default()
        };
        figures.look_at(&posted, &list, &ran);
        figures
    }
}

impl Figures {
    fn look_at(&mut self, posted: &[Posted], list: &[Value], ran: &HashMap<String, usize>) {
        let mut listed: HashMap<&str, Vec<&Value>> = HashMap::new();
        for task in list {
            let name = task["name"].as_str().expect("a name");
            listed.entry(name).or_default().push(task);
        }
        self.twice += ran.values().filter(|times| **times > 1).count();
        let is_listed = |name: &&String| listed.contains_key(name.as_str());
        self.unknown += ran.keys().filter(|name| !is_listed(name)).count();
        for Posted { name, ids } in posted {
            let [task] = listed.get(name.as_str()).map_or(&[][..], Vec::as_slice) else {
                match listed.contains_key(name.as_str()) {
                    true => self.twice += 1,
                    false => self.lost += 1,
                }
                continue;
            };
            if ids.iter().any(|id| task["id"] != *id) {
                self.lost += 1;
            }
            self.judge(task, name, ran.contains_key(name));
        }
    }

    /// A task that nothing was sent for, or whose end nobody heard, may be `lost`, and nothing
    /// else; a detached one is found again.
    fn judge(&mut self, task: &Value, name: &str, ran: bool) {
        let outcome = task["outcome"].as_str().unwrap_or("none").to_owned();
        let reason = task["reason"].as_str().unwrap_or_default();
        match outcome.as_str() {
            "exited" => {
                self.never_ran += usize::from(!ran);
                let right = task["stdout"] == format!("{name}\n") && task["rc"] == 0;
                self.wrong_output += usize::from(!right);
            }
            "lost"
                if task["mode"] == "attached"
                    && reason.starts_with("The server stopped without recording the end") => {}
            _ => self.strange.push(format!("{task}")),
        }
        *self.outcomes.entry(outcome).or_default() += 1;
    }

    /// Nothing is wrong.
    pub fn assert_right(&self) {
        let wrong = [
            self.lost,
            self.twice,
            self.never_ran,
            self.unknown,
            self.wrong_output,
            self.left,
        ];
        assert_eq!(wrong, [0; 6], "{self:#?}");
        assert!(self.strange.is_empty(), "{self:#?}");
        assert!(self.acknowledged > 0);
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "{} lost of {} acknowledged, {} twice, {} left CURRENT or INIT, {:?}",
            self.lost, self.acknowledged, self.twice, self.left, self.outcomes
        )
    }
}

/// One client.
struct Poster {
    door: watch::Receiver<Client>,
    over: CancellationToken,
    ran: PathBuf,
    name: String,
    instance: i64,
    /// Whether it asks to be answered when the task has ended.
    waits: bool,
}

impl Poster {
    async fn post_all(self) -> Vec<Posted> {
        let mut posted = Vec::new();
        while !self.over.is_cancelled() {
            let number = posted.len();
            let name = format!("{}-{number}", self.name);
            let ids = self.post(&name, number).await;
            self.wait(ids[0]).await;
            posted.push(Posted { name, ids });
        }
        posted
    }

    /// Posts until there is an answer, and now and then once more.
    async fn post(&self, name: &str, number: usize) -> Vec<i64> {
        let pause = ["0", "0.5"][number % 2];
        // The line is one write to a file that is opened to append.
        let script = format!(
            "echo {name} >> {}; echo {name}; sleep {pause}",
            self.ran.display()
        );
        let mode = if number % 3 == 2 {
            "detached"
        } else {
            "attached"
        };
        let task = json!({
            "name": name, "instance": self.instance, "user": user(), "script": script, "mode": mode,
        });
        let path = format!("/wsexec/tasks?wait={}", if self.waits { 5 } else { 0 });
        let wanted = if number % 5 == 4 { 2 } else { 1 };
        let mut ids = Vec::new();
        while ids.len() < wanted {
            let client = self.door.borrow().clone();
            let request = client
                .request(Method::POST, &path)
                .header("Idempotency-Key", name)
                .json(&task);
            match request.send().await {
                Ok(answer) if answer.status() == 201 => {
                    let location = answer.headers()["location"].to_str().expect("text");
                    let id = location.rsplit('/').next().expect("an id");
                    ids.push(id.parse().expect("an id"));
                }
                Ok(answer) if [429, 503].contains(&answer.status().as_u16()) => {
                    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
                    sleep(AGAIN).await;
                }
                Ok(answer) => panic!("{} {:?}", answer.status(), answer.text().await),
                Err(_) => sleep(AGAIN).await,
            }
        }
        ids
    }

    async fn wait(&self, id: i64) {
        while !self.over.is_cancelled() {
            let client = self.door.borrow().clone();
            let request = client.request(Method::GET, &format!("/wsexec/tasks/{id}?wait=5"));
            let state = match request.send().await {
                Ok(answer) if answer.status() == 200 => answer.json::<Value>().await.ok(),
                _ => None,
            };
            match state.as_ref().and_then(|it| it["task"]["state"].as_str()) {
                Some("DONE" | "ABORT") => return,
                Some(_) => {}
                None => sleep(AGAIN).await,
            }
        }
    }
}

/// The tasks that wait and run.
pub async fn unended(client: &Client) -> Vec<i64> {
    let mut unended = Vec::new();
    for state in ["INIT", "CURRENT"] {
        let path = format!("/wsexec/tasks?output=none&state={state}");
        let list = client.get(&path).await.json();
        let tasks = list["tasks"].as_array().expect("a list");
        unended.extend(tasks.iter().map(|it| it["id"].as_i64().expect("an id")));
    }
    unended
}

fn unique() -> String {
    let [a, b, c, d] = wsexec::domain::random_bytes();
    format!("{:08x}", u32::from_ne_bytes([a, b, c, d]))
}
