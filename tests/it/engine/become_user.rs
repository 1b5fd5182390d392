//! Scripts that become another user, by the machine's own sudo and doas.

use super::secrets::identity;
use super::{cancel, located, on, runs, wait_for};
use crate::harness::app::App;
use crate::harness::people::Person;
use crate::harness::sshd::Sshd;
use crate::harness::users::{User, throwaway_user};
use serde_json::{Value, json};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use wsexec::domain::{Become, BecomeMethod, Launch};
use wsexec::ssh::{Connector, Target};

const PASSWORD: &str = "correct horse 'battery' \"staple\" é";

/// A file that sudo or doas reads, gone when this is dropped.
struct Rules(PathBuf);

impl Rules {
    /// What sudoers is to say beside what it says.
    fn sudoers(user: &User, rules: &str) -> Self {
        // sudo leaves out names with a dot: until it is whole.
        let path = PathBuf::from("/etc/sudoers.d").join(&user.name);
        let unfinished = path.with_extension("new");
        let text: String = rules
            .lines()
            .map(|rule| format!("{}\n", rule.trim().replace("USER", &user.name)))
            .collect();
        fs::write(&unfinished, text).expect("root may");
        fs::set_permissions(&unfinished, Permissions::from_mode(0o440)).unwrap();
        fs::rename(unfinished, &path).unwrap();
        Self(path)
    }

    /// The whole of doas.conf. None where the machine has one of its own.
    fn doas(rules: &str) -> Option<Self> {
        let path = PathBuf::from("/etc/doas.conf");
        if path.exists() {
            eprintln!("skipped: this machine has a doas.conf of its own");
            return None;
        }
        fs::write(&path, rules).expect("root may");
        Some(Self(path))
    }
}

impl Drop for Rules {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A machine where a new user logs in, who may do with sudo what the rules say.
struct Machine {
    app: App,
    sshd: Sshd,
    instance: i64,
    _rules: Rules,
}

impl Machine {
    async fn with(rules: &str) -> Option<Self> {
        Self::by(rules, App::builder()).await
    }

    /// With a master key, so that it can keep identities.
    async fn with_vault(rules: &str) -> Option<Self> {
        let key = wsexec::vault::generate();
        Self::by(rules, App::builder().env("WSEXEC_MASTER_KEY", key.expose())).await
    }

    async fn by(rules: &str, builder: crate::harness::app::Builder) -> Option<Self> {
        let user = throwaway_user("/bin/bash")?;
        user.set_password(PASSWORD);
        let rules = Rules::sudoers(&user, rules);
        let sshd = Sshd::builder().user(user).start();
        for (name, text, mode) in [
            ("right", PASSWORD, 0o600),
            ("wrong", "no", 0o600),
            ("open", PASSWORD, 0o644),
        ] {
            let path = sshd.dir().join(name);
            fs::write(&path, format!("{text}\n")).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        let dir = sshd.dir().display();
        let password = |name: &str, file: &str, host: &str| {
            format!("[ssh.become_passwords.{name}]\nfile = '{dir}/{file}'\nhosts = ['{host}']\n")
        };
        let here = format!("[127.0.0.*]:{}", sshd.port());
        let config = [
            password("right", "right", &here),
            password("wrong", "wrong", &here),
            password("open", "open", &here),
            password("elsewhere", "right", "127.0.0.1"),
        ]
        .concat();
        let (app, instance) = on(&sshd, builder.config(&config)).await;
        Some(Self {
            app,
            sshd,
            instance,
            _rules: rules,
        })
    }

    async fn run(&self, script: &str, way: Value) -> Value {
        run(&self.app, &self.sshd, self.instance, script, way).await
    }
}

async fn run(app: &App, sshd: &Sshd, instance: i64, script: &str, way: Value) -> Value {
    let mut task =
        json!({"name": "test", "instance": instance, "user": sshd.user(), "script": script});
    for (member, value) in way.as_object().expect("an object") {
        task[member] = value.clone();
    }
    let id = app.post_task(task).await["id"].as_i64().expect("an id");
    app.wait_ended(id).await
}

fn assert_refused(task: &Value, because: &str) {
    assert_eq!(task["outcome"], "start_failed", "{task:#}");
    assert!(
        task["reason"].as_str().unwrap().contains(because),
        "{task:#}"
    );
    assert_eq!((&task["stdout"], &task["stderr"]), (&json!(""), &json!("")));
}

#[tokio::test]
async fn root_becomes_another_user() {
    let Some(user) = throwaway_user("/usr/sbin/nologin") else {
        return;
    };
    let sshd = Sshd::start();
    let (app, instance) = on(&sshd, App::builder()).await;
    let way = json!({
        "become": {"method": "sudo", "user": user.name}, "stdin": "in\0put", "env": {"A": "'$(id)'\n"},
    });
    let script = "id -un; pwd; echo \"$HOME\" \"$A\"; cat; echo error >&2; exit 9";
    let task = run(&app, &sshd, instance, script, way).await;
    let home = user.home().display();
    let expected = format!("{}\n{home}\n{home} '$(id)'\n\nin\0put", user.name);
    assert_eq!(
        (&task["stdout"], &task["stderr"]),
        (&json!(expected), &json!("error\n")),
        "{task:#}"
    );
    assert_eq!(task["rc"], 9);
    let way = json!({"become": {"user": user.name}, "interpreter": "python3", "env": {"LC_ALL": "C.UTF-8"}});
    let script = "import os; print(os.getuid() != 0, os.environ['LC_ALL'], __file__.startswith(os.environ['HOME']))";
    let task = run(&app, &sshd, instance, script, way).await;
    assert_eq!(task["stdout"], "True C.UTF-8 True\n", "{task:#}");
}

#[tokio::test]
async fn large_input_and_output_go_through_sudo_byte_for_byte() {
    for terminal in ["use_pty", "!use_pty"] {
        let rules = format!("Defaults:USER {terminal}\nUSER ALL=(ALL) NOPASSWD: ALL");
        let Some(machine) = Machine::with(&rules).await else {
            return;
        };
        let input = "0123456789abcde\n".repeat(1 << 18);
        let way = json!({"become": {"user": "root"}, "stdin": input});
        let task = machine.run("cat; echo error >&2", way).await;
        assert!(
            task["stdout"] == input,
            "{terminal}: {}",
            task["stdout_bytes"]
        );
        assert_eq!(
            (&task["stderr"], &task["rc"]),
            (&json!("error\n"), &json!(0))
        );
        let task = machine
            .run("kill -TERM $$", json!({"become": {"user": "root"}}))
            .await;
        assert_eq!(
            (&task["outcome"], &task["signal"]),
            (&json!("signalled"), &json!("TERM")),
            "{terminal}"
        );
    }
}

#[tokio::test]
async fn sudo_gets_its_password_and_nobody_else_does() {
    let Some(machine) =
        Machine::with("Defaults:USER lecture=always, timestamp_timeout=0\nUSER ALL=(ALL) ALL")
            .await
    else {
        return;
    };
    for pty in [false, true] {
        let way = json!({
            "become": {"user": "root", "password": "right"}, "pty": pty, "env": {"KEPT": "yes"},
        });
        let script =
            "id -un; echo $KEPT; cat; tr '\\0' '\\n' < /proc/self/environ | grep -a ^LC_; exit 6";
        let task = machine.run(script, way).await;
        assert_eq!(
            (&task["stdout"], &task["stderr"]),
            (&json!("root\nyes\n"), &json!("")),
            "{task:#}"
        );
        assert_eq!(task["rc"], 6);
    }
    let said = machine.app.stderr();
    assert!(!said.contains("battery"));
    for entry in fs::read_dir(machine.app.data()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs::read(&path).unwrap_or_default();
        assert!(
            !bytes.windows(7).any(|part| part == b"battery"),
            "{}",
            path.display()
        );
    }
}

#[tokio::test]
async fn what_sudo_refuses_is_told_with_what_to_do() {
    let Some(machine) = Machine::with("USER ALL=(root) ALL").await else {
        return;
    };
    let become_user =
        |user: &str, password: Value| json!({"become": {"user": user, "password": password}});
    let refusals = [
        (
            become_user("root", json!("wrong")),
            "did not take the password that ssh.become_passwords.wrong refers to",
        ),
        (
            become_user("root", json!(null)),
            "sudo on the machine asks for a password to become root. Name one",
        ),
        (
            become_user("root", json!("missing")),
            "ssh.become_passwords.missing is not configured",
        ),
        (become_user("root", json!("open")), "chmod 600"),
        (
            become_user("root", json!("elsewhere")),
            "ssh.become_passwords.elsewhere is not for [127.0.0.1]:",
        ),
        (
            become_user("no-such-user", json!("right")),
            "sudo on the machine knows no user no-such-user",
        ),
        (
            become_user("daemon", json!("right")),
            "does not let the login's user run /bin/sh as daemon",
        ),
    ];
    for (way, because) in refusals {
        let task = machine.run("echo no", way).await;
        assert_refused(&task, because);
    }
    // What was refused is not remembered: the next one goes.
    let task = machine
        .run("id -un", become_user("root", json!("right")))
        .await;
    assert_eq!(task["stdout"], "root\n", "{task:#}");
}

#[tokio::test]
async fn users_that_sudo_does_not_know_and_terminals_that_it_wants_are_told() {
    let Some(machine) = Machine::with("# USER may nothing").await else {
        return;
    };
    let way = json!({"become": {"user": "root", "password": "right"}});
    assert_refused(
        &machine.run("echo no", way).await,
        "does not let the login's user run /bin/sh as root",
    );
    drop(machine);
    let Some(machine) =
        Machine::with("Defaults:USER requiretty\nUSER ALL=(ALL) NOPASSWD: ALL").await
    else {
        return;
    };
    let task = machine
        .run("echo no", json!({"become": {"user": "root"}}))
        .await;
    assert_refused(&task, "give the task pty");
    let task = machine
        .run("id -un", json!({"become": {"user": "root"}, "pty": true}))
        .await;
    assert_eq!(task["stdout"], "root\n", "{task:#}");
}

#[tokio::test]
async fn doas_does_as_well_where_it_asks_for_no_password() {
    let Some(machine) = Machine::with("# no sudo for USER").await else {
        return;
    };
    let user = machine.sshd.user();
    let Some(_rules) = Rules::doas(&format!(
        "permit nopass {user} as daemon\npermit {user} as games\n"
    )) else {
        return;
    };
    let become_user =
        |user: &str| json!({"become": {"method": "doas", "user": user}, "stdin": "input"});
    let task = machine
        .run("id -un; cat; exit 2", become_user("daemon"))
        .await;
    assert_eq!(
        (&task["stdout"], &task["rc"]),
        (&json!("daemon\ninput"), &json!(2)),
        "{task:#}"
    );
    // A user without a home that it may write to.
    let way = json!({"become": {"method": "doas", "user": "daemon"}, "interpreter": "sh -e"});
    let task = machine
        .run("cd /; echo \"$0 $(id -un)\"; false; echo no", way)
        .await;
    let stdout = task["stdout"].as_str().unwrap();
    assert!(
        stdout.ends_with("/script daemon\n") && task["rc"] == 1,
        "{task:#}"
    );
    let file = std::path::Path::new(stdout.split(' ').next().unwrap());
    super::wait_for(
        || !file.parent().unwrap().exists(),
        "the removal of the script's file",
    )
    .await;
    let refusals = [
        (
            "games",
            "doas on the machine asks for a password to become games",
        ),
        (
            "root",
            "doas on the machine does not let the login's user run /bin/sh as root",
        ),
        (
            "no-such-user",
            "doas on the machine knows no user no-such-user",
        ),
    ];
    for (user, because) in refusals {
        assert_refused(&machine.run("echo no", become_user(user)).await, because);
    }
}

#[tokio::test]
async fn the_process_that_leads_the_scripts_session_is_told() {
    for terminal in ["use_pty", "!use_pty"] {
        let rules = format!("Defaults:USER {terminal}\nUSER ALL=(ALL) NOPASSWD: ALL");
        let Some(machine) = Machine::with(&rules).await else {
            return;
        };
        let sshd = &machine.sshd;
        let target = Target {
            user: sshd.user(),
            ..crate::ssh::target(sshd)
        };
        let connector = Connector::new(&crate::ssh::config(sshd));
        let become_user = Become {
            method: BecomeMethod::Sudo,
            user: "root".into(),
            password: None,
        };
        for (become_user, pty) in [
            (None, false),
            (None, true),
            (Some(&become_user), false),
            (Some(&become_user), true),
        ] {
            let mut session = connector.connect(&target).await.unwrap();
            let command = wsexec::ssh::Command {
                script: "read -r stat < /proc/$$/stat; set -- ${stat##*) }; echo $4".into(),
                launch: Launch {
                    env: vec![("A".into(), "b".into())],
                    become_user: become_user.cloned(),
                    pty,
                    ..Launch::default()
                },
                password: None,
                secrets: Vec::new(),
                stdin: None,
            };
            let mut running = session.start(&command).await.unwrap();
            let told = running.process().cloned().unwrap();
            let ran = crate::ssh::drain(&mut running).await;
            let session = String::from_utf8(ran.stdout).unwrap();
            assert_eq!(
                format!("{}\n", told.pid),
                session,
                "{terminal} {become_user:?}"
            );
            let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
            assert_eq!(told.boot, boot.trim_end());
            let port = format!(" {}", sshd.port());
            assert!(told.connection.unwrap().ends_with(&port));
        }
    }
}

/// Runs a script as root that does not mind TERM, until it is known where.
async fn deaf_as_root(machine: &Machine, marker: &str) -> i64 {
    let script = format!("trap '' TERM; sleep {marker} | sleep {marker}; sleep {marker}");
    let task = json!({
        "name": "test", "instance": machine.instance, "user": machine.sshd.user(), "script": script,
        "become": {"user": "root", "password": "right"},
    });
    let id = machine.app.post_task(task).await["id"].as_i64().unwrap();
    located(&machine.app, id).await;
    wait_for(|| runs(&format!("sleep\0{marker}")), "the script").await;
    id
}

#[tokio::test]
async fn what_runs_as_another_user_is_ended_by_that_user() {
    // With use_pty a script's session is not the login's.
    for (defaults, marker) in [("!use_pty", "87301"), ("use_pty", "87302")] {
        let rules = format!("Defaults:USER {defaults}\nUSER ALL=(ALL) ALL");
        let Some(machine) = Machine::with(&rules).await else {
            return;
        };
        let id = deaf_as_root(&machine, marker).await;
        cancel(&machine.app, id).await;
        let task = machine.app.wait_ended(id).await;
        assert_eq!(
            task["reason"], "Cancelled on request. Nothing of its session is left on the instance.",
            "{defaults}"
        );
        assert!(!runs(&format!("sleep\0{marker}")), "{defaults}");
    }
}

#[tokio::test]
async fn after_a_crash_what_runs_as_another_user_is_ended_by_that_user() {
    let rules = "Defaults:USER use_pty\nUSER ALL=(ALL) ALL";
    let Some(mut machine) = Machine::with(rules).await else {
        return;
    };
    let id = deaf_as_root(&machine, "87303").await;
    cancel(&machine.app, id).await;
    machine.app.kill9().await;
    assert!(runs("sleep\x0087303"));
    machine.app.restart().await;
    let task = machine.app.wait_ended(id).await;
    assert_eq!(task["outcome"], "cancelled", "{task:#}");
    assert!(!runs("sleep\x0087303"), "{task:#}");
}

const ASKS: &str = "Defaults:USER timestamp_timeout=0\nUSER ALL=(ALL) ALL";

#[tokio::test]
async fn a_password_of_an_identity_is_for_its_users_machines_and_callers_alone() {
    let Some(machine) = Machine::with_vault(ASKS).await else {
        return;
    };
    let (app, user) = (&machine.app, machine.sshd.user());
    // The server's own choice among the keys is the one on record after a first run.
    machine.run("true", json!({})).await;
    let path = format!("/wsexec/instances/{}", machine.instance);
    let seen = app.client().get(&path).await.json();
    let key = seen["instance"]["host_key"]["fingerprint"].clone();
    let other = format!("SHA256:{}", "A".repeat(43));
    for (name, scope, host_keys) in [
        (
            "both",
            format!("{user}@#{}", machine.instance),
            vec![other.as_str().into(), key],
        ),
        ("other-key", "*@*".into(), vec![json!(other)]),
        ("other-user", "nobody@*".into(), vec![]),
    ] {
        let new = json!({
            "name": name, "kind": "become_password", "value": PASSWORD, "scope": [scope], "host_keys": host_keys,
        });
        identity(app, new).await;
    }
    let become_root = |password: &str| json!({"become": {"user": "root", "password": password}});
    for mode in ["attached", "detached"] {
        let mut way = become_root("both");
        way["mode"] = mode.into();
        let task = machine.run("id -un", way).await;
        assert_eq!(task["stdout"], "root\n", "{mode}: {task:#}");
        for (name, because) in [
            (
                "other-key",
                "The identity other-key is not for this machine",
            ),
            ("other-user", "its scope does not hold that"),
        ] {
            let mut way = become_root(name);
            way["mode"] = mode.into();
            assert_refused(&machine.run("echo no", way).await, because);
        }
    }
    // The caller's scope stands before all of it.
    for (name, scope, status) in [
        ("inside", format!("{user}@*"), 201),
        ("beside", "nobody@*".into(), 403),
    ] {
        let more = json!({"role": "runner", "scope": [scope]});
        let client = Person::add(app, name, more).await.client(app);
        let mut task = become_root("both");
        task["name"] = "test".into();
        task["instance"] = machine.instance.into();
        task["user"] = user.clone().into();
        task["script"] = "id -un".into();
        let reply = client.post("/wsexec/tasks", &task).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
        if status == 201 {
            let id = reply.json()["task"]["id"].as_i64().unwrap();
            assert_eq!(app.wait_ended(id).await["stdout"], "root\n");
        }
    }
}

#[tokio::test]
async fn a_script_behind_sudos_password_has_its_secrets_and_its_input() {
    let Some(machine) = Machine::with_vault(ASKS).await else {
        return;
    };
    let value = "a secret 'of' \"root's\"";
    identity(
        &machine.app,
        json!({"name": "pw", "kind": "become_password", "value": PASSWORD}),
    )
    .await;
    identity(
        &machine.app,
        json!({"name": "it", "kind": "secret", "value": value}),
    )
    .await;
    let script = "id -un; wc -c < \"$IT_FILE\"; wc -c < \"$IT_FILE\"; cat; cat \"$IT_FILE\"";
    for mode in ["attached", "detached"] {
        for interpreter in [json!(null), json!("sh")] {
            let mut way = json!({
                "become": {"user": "root", "password": "pw"}, "secrets": {"IT": "it"}, "mode": mode,
                "stdin": "input\n",
            });
            if !interpreter.is_null() {
                way["interpreter"] = interpreter.clone();
            }
            let task = machine.run(script, way).await;
            let length = value.len();
            let dots = ".".repeat(length - "[masked]".len());
            let expected = format!("root\n{length}\n{length}\ninput\n[masked{dots}]");
            assert_eq!(task["stdout"], expected, "{mode} {interpreter}: {task:#}");
            assert_eq!((&task["masked"], &task["stderr"]), (&json!(1), &json!("")));
        }
    }
}

#[tokio::test]
async fn a_secret_that_sudo_prints_is_masked_in_the_reason_and_in_a_check() {
    let secret = "planted0 secret of sudo";
    let rules = format!(
        "Defaults:USER passwd_tries=1, badpass_message=\"no\", authfail_message=\"refused: {secret}\"\n\
         USER ALL=(ALL) ALL"
    );
    let Some(machine) = Machine::with_vault(&rules).await else {
        return;
    };
    identity(
        &machine.app,
        json!({"name": "said", "kind": "secret", "value": secret}),
    )
    .await;
    let become_root = json!({"user": "root", "password": "wrong"});
    let mask = format!(
        "refused: [masked{}]",
        ".".repeat(secret.len() - "[masked]".len())
    );
    for mode in ["attached", "detached"] {
        let task = machine
            .run("true", json!({"become": become_root, "mode": mode}))
            .await;
        assert_refused(&task, &mask);
    }
    let path = format!("/wsexec/instances/{}/check", machine.instance);
    let body = json!({"user": machine.sshd.user(), "become": become_root});
    let found = machine.app.client().post(&path, &body).await.text();
    assert!(found.contains(&mask) && !found.contains(secret), "{found}");
    assert!(!machine.app.stderr().contains(secret));
}
