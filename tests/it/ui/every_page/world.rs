//! A server with something of everything on it, and the looks at it that are worth taking.

use crate::harness::app::App;
use crate::harness::people::Person;
use crate::harness::sshd::{self, Kind, Sshd};
use crate::security::second_factor;
use crate::ui::visitor::Visitor;
use serde_json::{Value, json};
use std::net::Ipv4Addr;

/// What somebody does on a page once it is open.
#[derive(Clone)]
pub enum Step {
    Fill(&'static str, String),
    Click(&'static str),
    /// Ends the session that the browser is in, as if its time were over.
    LogOut,
    /// Types the code that an authenticator with the secret on the page would show.
    Code,
}

/// A page as somebody sees it.
pub struct Look {
    /// What its pictures are called.
    pub name: &'static str,
    /// As src/ui/mod.rs has it.
    pub route: &'static str,
    pub path: String,
    pub steps: Vec<Step>,
}

fn look(name: &'static str, route: &'static str, path: impl Into<String>) -> Look {
    Look {
        name,
        route,
        path: path.into(),
        steps: Vec::new(),
    }
}

impl Look {
    fn fill(mut self, css: &'static str, text: impl Into<String>) -> Self {
        self.steps.push(Step::Fill(css, text.into()));
        self
    }

    fn click(mut self, css: &'static str) -> Self {
        self.steps.push(Step::Click(css));
        self
    }

    fn log_out(mut self) -> Self {
        self.steps.push(Step::LogOut);
        self
    }

    fn code(mut self) -> Self {
        self.steps.push(Step::Code);
        self
    }
}

/// The server, a machine, and what was done with them.
pub struct World {
    pub app: App,
    _machines: [Sshd; 2],
    machine: i64,
    guarded: i64,
    unreviewed: i64,
    good: i64,
    bad: i64,
    refused: i64,
    unreached: i64,
    running: i64,
    undecided: i64,
    key: i64,
    user: i64,
    /// Needs a code beside the password.
    coded: Person,
    /// Have to set up a second factor at the next login; one for each language.
    codeless: [Person; 2],
}

/// A script whose output has colours, long lines and both streams.
fn roll_out(state: &str, rc: i32) -> String {
    format!(
        "#!/bin/sh\n# Rolls out release 4.2\nset -u\nprintf '\\033[1mRelease 4.2\\033[0m to \\033[36mweb-1 web-2 web-3\\033[0m\\n'\nfor n in 0 1 2 3 4 5 6 7; do printf \"\\033[3${{n}}mcolour $n\\033[0m \\033[9${{n}}mbright\\033[0m \\033[4${{n}}mground\\033[0m \\033[7mturned\\033[0m\\n\"; done\nprintf '\\033[38;5;208mwarning:\\033[0m disk at 91 %%\\n' >&2\nseq -f 'copied file %03.0f' 40\nprintf 'not UTF-8: \\377\\376, a NUL: \\000, and a bell: \\007\\n'\necho \"health: {state}\"\n[ {rc} = 0 ] || printf '\\033[31merror:\\033[0m web-2 does not answer on port 443\\n' >&2\nexit {rc}\n"
    )
}

impl World {
    pub async fn new() -> Self {
        let sshd = Sshd::start();
        let unknown = Sshd::builder().address(Ipv4Addr::new(127, 0, 0, 2)).start();
        let key: String = wsexec::domain::random_bytes::<32>()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let app = App::builder()
            .identity(sshd.identity())
            .env("WSEXEC_MASTER_KEY", key)
            .config("[ssh]\nhost_keys = \"strict\"\nconnect_timeout = 2\n[auth]\nsecond_factor = [\"runner\"]")
            .start()
            .await;
        let made = async |path: &str, noun: &str, body: Value| {
            let reply = app.client().post(path, &body).await;
            assert_eq!(reply.status, 201, "{}", reply.text());
            reply.json()[noun]["id"].as_i64().expect("an id")
        };
        let instance = async |body: Value| made("/wsexec/instances", "instance", body).await;
        let machine = instance(json!({
            "ip": "127.0.0.1", "port": sshd.port(), "tag": "Web server, Paris", "labels": {"env": "prod", "role": "web"},
        }))
        .await;
        let guarded = instance(json!({
            "ip": "localhost", "port": sshd.port(), "tag": "The database: each task needs a second person", "approval": true, "labels": {"env": "prod"},
        }))
        .await;
        let unreviewed = instance(json!({"ip": "127.0.0.2", "port": unknown.port()})).await;
        let lost = instance(
            json!({"ip": "db-2.invalid", "tag": "Reached through the web server", "jump": machine}),
        )
        .await;
        instance(json!({"ip": "192.0.2.17", "tag": "Switched off until spring", "state": "DEACTIVATE", "mode": "detached"})).await;
        let key = sshd::fingerprint(&sshd.host_key(Kind::Ed25519));
        for instance in [machine, guarded] {
            let path = format!("/wsexec/instances/{instance}");
            let login = json!({"user": sshd::user()});
            app.client().post(&format!("{path}/check"), &login).await;
            let approve = json!({"action": "approve", "fingerprint": key});
            let reply = app
                .client()
                .put(&format!("{path}/host_key"), &approve)
                .await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }

        let identity = async |body: Value| made("/wsexec/identities", "identity", body).await;
        let key = identity(json!({"name": "deploy-key", "kind": "ssh_key", "scope": ["deploy@web-*", "*@env=prod"]})).await;
        identity(json!({"name": "sudo-web", "kind": "become_password", "value": "correct horse battery"})).await;
        identity(json!({"name": "api-token", "kind": "secret", "value": "correct horse staple"}))
            .await;

        let olga = Person::add(
            &app,
            "olga",
            json!({"role": "operator", "scope": ["deploy@web-*", "*@env=prod", "!root@*"]}),
        )
        .await;
        olga.token(
            &app,
            json!({"name": "nightly", "role": "runner", "expires_in": 864_000}),
        )
        .await;
        let gone = Person::add(&app, "gone", json!({"role": "viewer"})).await;
        gone.change(&app, json!({"disabled": true})).await;
        let coded = Person::add(&app, "tess", json!({"role": "viewer"})).await;
        Visitor::of(&app).log_in("olga", &olga.password, "/").await;
        set_up_code(&app, &coded).await;
        let runner = json!({"role": "runner"});
        let codeless = [
            Person::add(&app, "rene", runner.clone()).await,
            Person::add(&app, "ruth", runner).await,
        ];

        let run = async |name: &str, instance: i64, script: &str| {
            let task = app.post_task(json!({
                "name": name, "tag": "Every night at two", "instance": instance, "user": sshd::user(),
                "script": script, "env": {"TARGET": "web"}, "timeout": 3600, "retries": 2, "retry_delay": 0,
            }));
            task.await["id"].as_i64().expect("an id")
        };
        let good = run("Roll out 4.2", machine, &roll_out("good", 0)).await;
        app.wait_ended(good).await;
        let bad = run("Roll out 4.2", machine, &roll_out("lost", 4)).await;
        let refused = run("Look at the disks", unreviewed, "df -h").await;
        let running = run(
            "Copy the archive",
            machine,
            "for n in 1 2 3 4 5 6 7 8; do echo part $n of 40; done; sleep 600",
        )
        .await;
        let unreached = run("Vacuum the database", lost, "vacuumdb --all").await;
        // Nobody decides about their own.
        let otto = Person::add(&app, "otto", json!({"role": "operator"})).await;
        let task = json!({
            "name": "Drop the old schema", "instance": guarded, "user": sshd::user(),
            "script": "psql -c 'drop schema old cascade'",
        });
        let reply = otto.client(&app).post("/wsexec/tasks", &task).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        let undecided = reply.json()["task"]["id"].as_i64().expect("an id");
        for id in [bad, refused, unreached] {
            app.wait_ended(id).await;
        }
        app.wait_until(running, |it| {
            it["stdout"]
                .as_str()
                .is_some_and(|it| it.contains("part 8"))
        })
        .await;
        Self {
            app,
            _machines: [sshd, unknown],
            machine,
            guarded,
            unreviewed,
            good,
            bad,
            refused,
            unreached,
            running,
            undecided,
            key,
            user: olga.id,
            coded,
            codeless,
        }
    }

    /// What is there before a login; `tongue` tells two who look apart.
    pub fn outside(&self, tongue: usize) -> Vec<Look> {
        let login = |name, route, person: &Person| {
            look(name, route, "/login")
                .fill("#name", &person.name)
                .fill("#password", &person.password)
                .click("main button")
        };
        let new = &self.codeless[tongue];
        vec![
            look("login", "/login", "/login"),
            look("login-refused", "/login", "/login")
                .fill("#name", "admin")
                .fill("#password", "not this one")
                .click("main button"),
            look(
                "login-openid",
                "/login/openid/callback",
                "/login/openid/callback?error=access_denied",
            ),
            login("login-code", "/login/code", &self.coded),
            login("login-second-factor", "/login/second_factor", new),
            login("recovery-codes", "/login/second_factor", new).code(),
        ]
    }

    /// What an admin sees.
    pub fn inside(&self, tongue: usize) -> Vec<Look> {
        let Self {
            machine,
            guarded,
            unreviewed,
            good,
            bad,
            refused,
            unreached,
            running,
            undecided,
            key,
            user,
            ..
        } = self;
        let mut looks = vec![
            look("overview", "/", "/"),
            look("not-found", "/tasks/:id", "/tasks/987654"),
            look("confirm", "/confirm", "/confirm?next=/users&sent=yes"),
            look("audit", "/audit", "/audit"),
            look("audit-none", "/audit", "/audit?by=nobody"),
            look("account", "/account", "/account"),
            look("token-new", "/account/tokens/new", "/account/tokens/new"),
            look(
                "token-refused",
                "/account/tokens/new",
                "/account/tokens/new",
            )
            .fill("#name", "ci")
            .fill("#expires", "9999")
            .click("main form .actions button"),
            look("token-made", "/account/tokens/new", "/account/tokens/new")
                .fill("#name", format!("ci {tongue}"))
                .click("main form .actions button"),
            look(
                "second-factor",
                "/account/second_factor",
                "/account/second_factor",
            ),
            look("users", "/users", "/users"),
            look("users-none", "/users", "/users?q=zzz"),
            look("user-new", "/users/new", "/users/new"),
            look("user-refused", "/users/new", "/users/new")
                .fill("#name", "olga")
                .fill("#scope", "nonsense")
                .fill("#password", "correct horse battery staple")
                .click("main form .actions button"),
            look("user", "/users/:id", format!("/users/{user}")),
            look("identities", "/identities", "/identities"),
            look("identity-new", "/identities/new", "/identities/new"),
            look("identity", "/identities/:id", format!("/identities/{key}")),
            look(
                "identity-edit",
                "/identities/:id/edit",
                format!("/identities/{key}/edit"),
            ),
            look("tasks", "/tasks", "/tasks"),
            look(
                "tasks-narrowed",
                "/tasks",
                "/tasks?q=4.2&state=DONE&limit=1",
            ),
            look("tasks-none", "/tasks", "/tasks?q=zzz"),
            look(
                "task-new",
                "/tasks/new",
                format!("/tasks/new?instance={machine}"),
            ),
            look("task-again", "/tasks/new", format!("/tasks/new?from={bad}")),
            look(
                "task-refused",
                "/tasks/new",
                format!("/tasks/new?from={bad}"),
            )
            .fill("#timeout", "soon")
            .click("form.wide .actions button"),
            look(
                "task-review",
                "/tasks/new",
                format!("/tasks/new?from={bad}"),
            )
            .click("form.wide .actions button"),
            look(
                "task-unclear",
                "/tasks/new",
                format!("/tasks/new?from={bad}"),
            )
            .fill("#instance", "env=prod")
            .click("form.wide .actions button"),
            look(
                "tasks-bulk",
                "/tasks/bulk",
                format!("/tasks/bulk?do=cancel&id={running}&id={good}"),
            ),
            look("task", "/tasks/:id", format!("/tasks/{bad}")),
            look(
                "task-together",
                "/tasks/:id",
                format!("/tasks/{bad}?view=together"),
            ),
            look(
                "task-search",
                "/tasks/:id",
                format!("/tasks/{bad}?view=apart&q=file%2002&line=25"),
            ),
            look("task-running", "/tasks/:id", format!("/tasks/{running}")),
            look(
                "task-refused-key",
                "/tasks/:id",
                format!("/tasks/{refused}"),
            ),
            look(
                "task-undecided",
                "/tasks/:id",
                format!("/tasks/{undecided}"),
            ),
            look(
                "task-amend",
                "/tasks/:id/amend",
                format!("/tasks/{bad}/amend"),
            ),
            look(
                "task-amend-refused",
                "/tasks/:id/amend",
                format!("/tasks/{bad}/amend"),
            )
            .fill("#rc", "four")
            .click("form.wide .actions button"),
            look(
                "task-unreached",
                "/tasks/:id",
                format!("/tasks/{unreached}"),
            ),
            look(
                "diff",
                "/tasks/:id/diff",
                format!("/tasks/{bad}/diff?with={good}"),
            ),
            look(
                "diff-none",
                "/tasks/:id/diff",
                format!("/tasks/{good}/diff"),
            ),
            look("instances", "/instances", "/instances"),
            look("instances-none", "/instances", "/instances?q=zzz"),
            look("instance-new", "/instances/new", "/instances/new"),
            look("instance-refused", "/instances/new", "/instances/new")
                .fill("#ip", "no host")
                .fill("#port", "70000")
                .click("form.wide .actions button"),
            look(
                "instance",
                "/instances/:id",
                format!("/instances/{machine}"),
            ),
            look(
                "instance-review",
                "/instances/:id",
                format!("/instances/{unreviewed}"),
            ),
            look(
                "instance-edit",
                "/instances/:id/edit",
                format!("/instances/{guarded}/edit"),
            ),
            look(
                "instance-check",
                "/instances/:id",
                format!("/instances/{unreviewed}"),
            )
            .fill("#check-user", sshd::user())
            .click("#check button"),
            look(
                "instances-bulk",
                "/instances/bulk",
                format!("/instances/bulk?do=activate&id={machine}&id=5"),
            ),
        ];
        // What one has begun the other finds begun.
        let begun = look(
            "second-factor-begun",
            "/account/second_factor",
            "/account/second_factor",
        );
        looks.push(match tongue {
            0 => begun.click("form[action$='begin'] button"),
            _ => begun,
        });
        looks.push(
            look(
                "instances-bulk-done",
                "/instances/bulk",
                format!(
                    "/instances/bulk?do={}&id=5&id={unreviewed}",
                    ["activate", "deactivate"][tongue]
                ),
            )
            .click("main form button"),
        );
        // Nobody is logged in behind this one.
        let form = format!("/tasks/new?from={bad}");
        let kept = look("kept", "/tasks/new", form).log_out();
        looks.push(kept.click("form.wide .actions button"));
        looks
    }
}

/// Sets up a second factor at the pages.
async fn set_up_code(app: &App, person: &Person) {
    let mut visitor = Visitor::of(app);
    let reply = visitor.log_in(&person.name, &person.password, "/").await;
    assert_eq!(reply.status, 303, "{}", reply.text());
    visitor.submit("/account/second_factor/begin", &[]).await;
    let secret = second_factor::told(&visitor.read("/account/second_factor").await);
    let code = second_factor::code(&secret, 0);
    let reply = visitor
        .submit("/account/second_factor", &[("code", &code)])
        .await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}
