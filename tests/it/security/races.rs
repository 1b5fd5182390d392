//! Requests in flight against the end of what they are made with.

use crate::harness::app::App;
use crate::harness::client::{Client, Reply};
use crate::harness::people::Person;
use serde_json::json;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::task::JoinSet;

/// Races in all: one is a request in flight while what it was made with ends.
const RACES: usize = 10_000;
/// Requests that race against one end.
const AT_ONCE: usize = 100;

/// How it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Token,
    Session,
    LogOut,
    Disable,
    Narrow,
    Demote,
    Password,
    Remove,
}

const ENDS: [End; 8] = [
    End::Token,
    End::Session,
    End::LogOut,
    End::Disable,
    End::Narrow,
    End::Demote,
    End::Password,
    End::Remove,
];

/// What one heat of races saw.
#[derive(Default)]
struct Seen {
    served: AtomicUsize,
    refused: AtomicUsize,
}

/// With which logins the user's requests are made, and the act that ends them.
struct Heat {
    end: End,
    ann: Person,
    clients: Vec<Client>,
    token: i64,
    session: i64,
    in_session: Client,
}

impl Heat {
    async fn new(app: &App, end: End, number: usize) -> Self {
        let new = json!({"role": "operator"});
        let ann = Person::add(app, &format!("ann-{number}"), new).await;
        let (token, by_token) = ann.token(app, json!({"name": "t"})).await;
        let (session, in_session) = ann.session(app).await;
        let clients = match end {
            End::Token => vec![by_token],
            End::Session | End::LogOut => vec![in_session.clone()],
            _ => vec![by_token, in_session.clone(), ann.client(app)],
        };
        // What is refused counts as a guess: each heat has a network of its own.
        let network = Ipv4Addr::from(0x7f01_0000 + u32::try_from(number).expect("few"));
        let clients = clients.into_iter().map(|it| it.from(network.into()));
        let clients = clients.collect();
        Self {
            end,
            ann,
            clients,
            token,
            session,
            in_session,
        }
    }

    async fn finish(&self, admin: &Client) -> Reply {
        let user = format!("/wsexec/users/{}", self.ann.id);
        let session = format!("/wsexec/sessions/{}", self.session);
        match self.end {
            End::Token => {
                admin
                    .delete(&format!("/wsexec/tokens/{}", self.token))
                    .await
            }
            End::Session => admin.delete(&session).await,
            End::LogOut => self.in_session.delete(&session).await,
            End::Disable => admin.put(&user, &json!({"disabled": true})).await,
            End::Narrow => {
                admin
                    .put(&user, &json!({"scope": ["nobody@nowhere"]}))
                    .await
            }
            End::Demote => admin.put(&user, &json!({"role": "viewer"})).await,
            End::Password => {
                let new = json!({"password": "what it is from now on"});
                admin.put(&user, &new).await
            }
            End::Remove => admin.delete(&user).await,
        }
    }

    /// Whether what was allowed before may not be answered so any more.
    fn refused(&self, place: usize, reply: &Reply) -> bool {
        match (self.end, place) {
            // A token does what its owner still may; a password goes on with less.
            (End::Password, 0) => true,
            (End::Narrow | End::Demote, 0 | 2) => reply.status == 403,
            // Refused so often by now that it is told to wait.
            _ => matches!(reply.status, 401 | 429),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_served_after_the_end_of_what_it_was_asked_with() {
    let app = App::builder()
        .config("[log]\nlevel = \"warn\"")
        .start()
        .await;
    let admin = app.client();
    let heats = RACES / AT_ONCE;
    let mut raced = 0;
    let (mut served, mut refused) = (0, 0);
    for number in 0..heats {
        let heat = Heat::new(&app, ENDS[number % ENDS.len()], number).await;
        let heat = Arc::new(heat);
        let seen = Arc::new(Seen::default());
        let mut racers = JoinSet::new();
        let mut finish = None;
        for racer in 0..AT_ONCE {
            // Among them at another place each time.
            if racer == number * 37 % AT_ONCE {
                let (heat, admin) = (heat.clone(), admin.clone());
                finish = Some(tokio::spawn(async move { heat.finish(&admin).await }));
            }
            let client = heat.clients[racer % heat.clients.len()].clone();
            let seen = seen.clone();
            let tag = format!("{number}-{racer}");
            racers.spawn(async move {
                let new = json!({"ip": "web", "tag": tag});
                let reply = client.post("/wsexec/instances", &new).await;
                match reply.status {
                    201 => seen.served.fetch_add(1, Ordering::SeqCst),
                    401 | 403 | 429 => seen.refused.fetch_add(1, Ordering::SeqCst),
                    other => panic!("{other}: {}", reply.text()),
                };
            });
        }
        let reply = finish.expect("it was begun").await.expect("no panic");
        assert_eq!(reply.status, 200, "{:?}: {}", heat.end, reply.text());
        // A token outlives a password, by design: it is no race.
        let outlives = heat.end == End::Password;
        let written = tags(&admin, number).await;
        // What is sent from now on is refused, whatever it is.
        for (place, client) in heat.clients.iter().enumerate() {
            let new = json!({"ip": "web", "tag": format!("{number}-late")});
            let late = client.post("/wsexec/instances", &new).await;
            assert!(
                heat.refused(place, &late),
                "{:?}: {}",
                heat.end,
                late.status
            );
        }
        while let Some(ended) = racers.join_next().await {
            ended.expect("no panic");
        }
        if !outlives {
            let late: Vec<_> = tags(&admin, number)
                .await
                .difference(&written)
                .cloned()
                .collect();
            assert!(
                late.is_empty(),
                "{:?}: written after its end: {late:?}",
                heat.end
            );
        }
        raced += AT_ONCE;
        served += seen.served.load(Ordering::SeqCst);
        refused += seen.refused.load(Ordering::SeqCst);
    }
    println!("{raced} races: {served} requests were served before the end, {refused} refused");
    assert_eq!(raced, RACES);
    assert!(
        refused > RACES / 4,
        "these were no races: {refused} refused"
    );
}

/// What was written in this heat.
async fn tags(admin: &Client, number: usize) -> BTreeSet<String> {
    let reply = admin
        .get(&format!(
            "/wsexec/instances?q={number}-&order=desc&limit=1000"
        ))
        .await;
    let own = format!("{number}-");
    let listed = reply.json();
    let tags = listed["instances"].as_array().expect("a list").iter();
    tags.map(|it| it["tag"].as_str().unwrap_or_default())
        .filter(|tag| tag.starts_with(&own))
        .map(str::to_owned)
        .collect()
}
