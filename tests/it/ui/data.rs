//! Every page with no data, one of each, many, the longest and the most hostile.

use super::routes::routes;
use super::visitor::{Visitor, hidden};
use crate::harness::app::App;
use crate::harness::people::Person;
use crate::harness::sshd::{self, Sshd};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What a page without output may have, in bytes.
const LARGEST: usize = 50_000;

/// What a test puts on a server.
struct Given {
    app: App,
    sshd: Sshd,
    visitor: Visitor,
    tasks: Vec<i64>,
    instances: Vec<i64>,
    identities: Vec<i64>,
    users: Vec<i64>,
}

impl Given {
    async fn nothing() -> Self {
        let sshd = Sshd::start();
        let key = wsexec::vault::generate().expose().to_owned();
        let app = App::builder()
            .identity(sshd.identity())
            .env("WSEXEC_MASTER_KEY", key)
            .start()
            .await;
        let visitor = Visitor::logged_in(&app).await;
        Self {
            visitor,
            app,
            sshd,
            tasks: Vec::new(),
            instances: Vec::new(),
            identities: Vec::new(),
            users: vec![1],
        }
    }

    async fn make(&self, path: &str, noun: &str, body: &Value) -> i64 {
        let reply = self.app.client().post(path, body).await;
        assert_eq!(reply.status, 201, "{body:#}: {}", reply.text());
        reply.json()[noun]["id"].as_i64().expect("an id")
    }

    async fn instance(&mut self, body: Value) -> i64 {
        let id = self.make("/wsexec/instances", "instance", &body).await;
        self.instances.push(id);
        id
    }

    /// One that scripts run on.
    async fn machine(&mut self, mut body: Value) -> i64 {
        body["ip"] = "127.0.0.1".into();
        body["port"] = self.sshd.port().into();
        self.instance(body).await
    }

    async fn task(&mut self, mut body: Value) -> i64 {
        body["user"] = sshd::user().into();
        let id = self.make("/wsexec/tasks", "task", &body).await;
        self.tasks.push(id);
        id
    }

    async fn identity(&mut self, mut body: Value) {
        body["value"] = wsexec::domain::random_token().expose().into();
        body["kind"] = "secret".into();
        let id = self.make("/wsexec/identities", "identity", &body).await;
        self.identities.push(id);
    }

    async fn user(&mut self, name: &str, more: Value) {
        let person = Person::add(&self.app, name, more).await;
        self.users.push(person.id);
    }

    /// Each page there is with this data: the route, and the address.
    fn pages(&self) -> Vec<(&'static str, String)> {
        let mut pages: Vec<(&'static str, String)> = [
            ("/", "/"),
            ("/account", "/account"),
            ("/account/tokens/new", "/account/tokens/new"),
            ("/account/second_factor", "/account/second_factor"),
            ("/audit", "/audit"),
            ("/audit", "/audit?by=nobody"),
            ("/confirm", "/confirm?next=/"),
            ("/users", "/users"),
            ("/users", "/users?q=zzz"),
            ("/users/new", "/users/new"),
            ("/tasks", "/tasks"),
            ("/tasks", "/tasks?q=zzz"),
            ("/tasks", "/tasks?order=asc&state=DONE"),
            ("/tasks/new", "/tasks/new"),
            ("/instances", "/instances"),
            ("/instances", "/instances?q=zzz"),
            ("/instances/new", "/instances/new"),
            ("/identities", "/identities"),
            ("/identities", "/identities?q=zzz"),
            ("/identities/new", "/identities/new"),
        ]
        .map(|(route, path)| (route, path.to_owned()))
        .into();
        for id in self.users.iter().rev().take(2) {
            pages.push(("/users/:id", format!("/users/{id}")));
        }
        for id in self.tasks.iter().take(2) {
            pages.push(("/tasks/:id", format!("/tasks/{id}?output=none")));
            pages.push(("/tasks/:id/amend", format!("/tasks/{id}/amend")));
            pages.push(("/tasks/:id/diff", format!("/tasks/{id}/diff")));
            pages.push(("/tasks/new", format!("/tasks/new?from={id}")));
            pages.push(("/tasks/bulk", format!("/tasks/bulk?do=rerun&id={id}")));
        }
        for id in self.instances.iter().take(2) {
            pages.push(("/instances/:id", format!("/instances/{id}")));
            pages.push(("/instances/:id/edit", format!("/instances/{id}/edit")));
            pages.push(("/tasks/new", format!("/tasks/new?instance={id}")));
            let bulk = format!("/instances/bulk?do=deactivate&id={id}");
            pages.push(("/instances/bulk", bulk));
        }
        for id in self.identities.iter().take(2) {
            pages.push(("/identities/:id", format!("/identities/{id}")));
            pages.push(("/identities/:id/edit", format!("/identities/{id}/edit")));
        }
        pages
    }

    /// Looks at every page, in both languages.
    async fn look(&self, most: usize) {
        for (_, path) in self.pages() {
            for language in ["en", "fr"] {
                let request = self.visitor.request(reqwest::Method::GET, &path);
                let reply = request.header("Accept-Language", language).send().await;
                let reply = reply.expect("it is answered");
                assert_eq!(reply.status(), 200, "{path}");
                let page = reply.text().await.expect("text");
                assert!(page.len() < most, "{path}: {} bytes", page.len());
                sound(&path, &page);
            }
        }
    }
}

/// The values of an attribute in a page.
fn attributes<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!(" {name}=\"");
    let values = page.split(begin.as_str()).skip(1);
    values.filter_map(|rest| rest.split('"').next()).collect()
}

/// A page without what is in its fields.
fn without_fields(page: &str) -> String {
    let mut texts = page.split("<textarea");
    let mut shown = texts.next().unwrap_or_default().to_owned();
    shown.extend(
        texts
            .filter_map(|it| it.split_once("</textarea>"))
            .map(|it| it.1),
    );
    let mut values = shown.split(" value=\"");
    let begin = values.next().unwrap_or_default().to_owned();
    values.fold(begin, |all, it| {
        all + it.split_once('"').map_or("", |it| it.1)
    })
}

/// What holds for every page, whatever is on it.
fn sound(path: &str, page: &str) {
    let mut ids = BTreeSet::new();
    for id in attributes(page, "id") {
        assert!(ids.insert(id), "{path}: the id {id} is there twice");
    }
    for reference in ["for", "aria-labelledby", "aria-describedby", "list"] {
        for id in attributes(page, reference)
            .iter()
            .flat_map(|it| it.split(' '))
        {
            assert!(ids.contains(id), "{path}: {reference}={id} leads nowhere");
        }
    }
    let mut open = Vec::new();
    for tag in page.split('<').skip(1) {
        let name = tag.split([' ', '>', '\n']).next().unwrap_or_default();
        let void = [
            "!doctype", "meta", "link", "input", "br", "hr", "img", "path", "rect", "line", "use",
            "circle", "col", "polyline",
        ];
        if let Some(closed) = name.strip_prefix('/') {
            let last = open.pop();
            assert_eq!(last, Some(closed), "{path}: </{closed}> in {open:?}");
        } else if !void.contains(&name)
            && !tag.split('>').next().is_some_and(|it| it.ends_with('/'))
        {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{path}: {open:?} is never closed");
    assert!(page.contains("<h1>") && page.contains("</html>"), "{path}");
    // A field holds what was typed, to the letter; elsewhere nothing turns or hides text.
    let shown = without_fields(page);
    for sign in ['\u{202e}', '\u{2066}', '\u{0}', '\u{7}'] {
        assert!(!shown.contains(sign), "{path} shows {sign:?}");
    }
    assert!(
        !page.contains("<script>") && !page.contains("<img"),
        "{path}"
    );
}

#[tokio::test]
async fn with_nothing_there_each_page_says_what_to_do_first() {
    let given = Given::nothing().await;
    given.look(LARGEST).await;
    for (path, first) in [
        ("/tasks", "href=\"/tasks/new\""),
        ("/instances", "href=\"/instances/new\""),
        ("/identities", "href=\"/identities/new\""),
        ("/tasks/new", "href=\"/instances/new\""),
        ("/", "href=\"/instances/new\""),
    ] {
        assert!(given.visitor.read(path).await.contains(first), "{path}");
    }
}

#[tokio::test]
async fn every_page_is_sound_with_one_of_each() {
    let mut given = Given::nothing().await;
    let machine = given.machine(json!({"tag": "one"})).await;
    let task = json!({"name": "one", "instance": machine, "script": "echo one"});
    let id = given.task(task).await;
    given.app.wait_ended(id).await;
    given.identity(json!({"name": "one"})).await;
    given.user("one", json!({"role": "viewer"})).await;
    let seen: BTreeSet<_> = given
        .pages()
        .iter()
        .map(|it| format!("get {}", it.0))
        .collect();
    let apart = [
        "get /login",
        "get /login/code",
        "get /login/second_factor",
        "get /login/openid",
        "get /login/openid/callback",
        "get /static/:name",
        "get /tasks/:id/events",
    ];
    let all = routes().into_iter().filter(|it| it.starts_with("get "));
    let all: BTreeSet<_> = all.filter(|it| !apart.contains(&it.as_str())).collect();
    assert_eq!(seen, all, "each page is looked at");
    given.look(LARGEST).await;
}

#[tokio::test]
async fn every_page_is_sound_with_many_of_each() {
    let mut given = Given::nothing().await;
    let machine = given.machine(json!({"tag": "the first"})).await;
    for n in 0..110 {
        let tag = format!("Server {n} in rack {}", n % 7);
        let other = json!({"ip": format!("10.0.0.{n}"), "tag": tag, "labels": {"env": "prod"}});
        given.instance(other).await;
    }
    for n in 0..110 {
        let name = format!("Nightly backup {n}");
        let task =
            json!({"name": name, "tag": "Every night", "instance": machine, "script": "true"});
        given.task(task).await;
    }
    for n in 0..60 {
        let rules: Vec<String> = (0..3)
            .map(|rule| format!("deploy@web-{n}-{rule}"))
            .collect();
        given
            .identity(json!({"name": format!("identity-{n}"), "scope": rules}))
            .await;
    }
    for n in 0..20 {
        given
            .user(&format!("user-{n}"), json!({"role": "viewer"}))
            .await;
    }
    for id in given.tasks.clone() {
        given.app.wait_ended(id).await;
    }
    given.look(LARGEST).await;
    // Cursors lead over all of them once.
    let mut next = Some("/tasks".to_owned());
    let mut seen = BTreeMap::new();
    while let Some(path) = next.take() {
        let page = given.visitor.read(&path).await;
        for link in attributes(&page, "href") {
            if let Some(id) = link
                .strip_prefix("/tasks/")
                .and_then(|it| it.parse::<i64>().ok())
            {
                *seen.entry(id).or_insert(0) += 1;
            }
        }
        next = page.split("rel=\"next\" href=\"").nth(1).map(|rest| {
            rest.split('"')
                .next()
                .unwrap_or_default()
                .replace("&#38;", "&")
        });
    }
    assert_eq!(seen.len(), given.tasks.len());
}

#[tokio::test]
async fn every_page_is_sound_with_the_longest_there_can_be() {
    let mut given = Given::nothing().await;
    let long = |n: usize| "é".repeat(n);
    let labels: BTreeMap<String, String> = (0..16)
        .map(|n| (format!("{n:02}{}", "k".repeat(61)), "v".repeat(255)))
        .collect();
    let machine = given
        .machine(json!({"tag": long(4_000), "labels": labels}))
        .await;
    let host = format!("{0}.{0}.{0}.invalid", "h".repeat(60));
    given
        .instance(json!({"ip": host, "tag": long(4_000), "port": 65535}))
        .await;
    let env: BTreeMap<String, String> = (0..60)
        .map(|n| (format!("{}{n}", "N".repeat(60)), "w".repeat(1_000)))
        .collect();
    let script = format!("#{}\necho {}\n", long(40_000), "x".repeat(30_000));
    let task = json!({
        "name": long(255), "tag": long(4_000), "instance": machine, "script": script, "env": env,
        "cwd": "/tmp", "timeout": 600, "retries": 1,
    });
    let id = given.task(task).await;
    given.app.wait_ended(id).await;
    let rules: Vec<String> = (0..60)
        .map(|n| format!("{}{n}@{}", "l".repeat(30), "i".repeat(400)))
        .collect();
    given
        .identity(json!({"name": "i".repeat(64), "scope": rules}))
        .await;
    given
        .user(&"u".repeat(64), json!({"role": "viewer", "scope": rules}))
        .await;
    given.look(2_000_000).await;
}

#[tokio::test]
async fn every_page_is_sound_with_what_wants_to_break_it() {
    let mut given = Given::nothing().await;
    let evil = "</title></textarea></pre><script>alert(1)</script><img src=x onerror=alert(2)>\"'{{7*7}}&amp;\u{202e}\u{2066}\u{fffe}\u{1f600}";
    let machine = given.machine(json!({"tag": evil})).await;
    let script = format!("#{evil}\nprintf '%s' '</pre><script>alert(3)</script>'");
    let task = json!({
        "name": evil, "tag": evil, "instance": machine, "script": script,
        "env": {"EVIL": evil}, "cwd": format!("/nowhere/{evil}"),
    });
    let id = given.task(task).await;
    let ended = given.app.wait_ended(id).await;
    assert_eq!(ended["state"], "ABORT", "{ended:#}");
    given
        .identity(json!({"name": "prod.db-1_x", "scope": ["*@env=prod"]}))
        .await;
    given
        .user(
            "a.b-c_d",
            json!({"role": "viewer", "scope": ["!root@*", "*@*"]}),
        )
        .await;
    given.look(LARGEST).await;
    for path in [
        "/tasks?q=%3Cscript%3Ealert(1)%3C/script%3E%22",
        "/tasks?name=%E2%80%AE",
        "/instances?q=%22%3E%3Cimg%20src=x%3E",
        "/audit?object=%22%3E%3Cscript%3E",
        "/users?q='%20or%201=1",
    ] {
        sound(path, &given.visitor.read(path).await);
    }
    // The form comes back with all of it, and the review shows it.
    let form = given.visitor.read("/tasks/new").await;
    let fields = [
        ("key", &*hidden(&form, "key")),
        ("instance", evil),
        ("user", evil),
        ("name", evil),
        ("script", evil),
        ("step", "review"),
    ];
    sound(
        "/tasks/new",
        &given.visitor.submit("/tasks/new", &fields).await.text(),
    );
    let id = machine.to_string();
    let mut fields = fields;
    (fields[1].1, fields[2].1) = (&id, "nobody");
    let review = given.visitor.submit("/tasks/new", &fields).await.text();
    assert!(review.contains("id=\"review\""), "{review}");
    sound("the review", &review);
}
