//! The pages and what their forms are sent to.

use super::*;
use crate::ui::routes::routes;
use std::collections::BTreeSet;

type Fields = Vec<(&'static str, String)>;

/// What anybody may ask for, and what is tested apart, as it is about the login itself.
const OPEN: &[&str] = &[
    "get /login",
    "post /login",
    "get /login/code",
    "post /login/code",
    "get /login/second_factor",
    "post /login/second_factor",
    "get /login/openid",
    "get /login/openid/callback",
    "post /logout",
    "post /language",
    "get /static/:name",
];

fn none(_: &Object) -> Fields {
    Vec::new()
}

fn key() -> (&'static str, String) {
    ("key", wsexec::domain::random_token().expose().to_owned())
}

fn pages() -> Vec<Row<Fields>> {
    use Noun::{Identity, Instance, Nothing, Session, Task, Token, User};
    let show = |path, noun, who| row(("get", path), noun, (who, who), 200, none);
    vec![
        show("/", Nothing, ALL),
        show("/confirm", Nothing, ALL),
        show("/audit", Nothing, ADMIN),
        show("/account", Nothing, ALL),
        show("/account/tokens/new", Nothing, ALL),
        show("/account/second_factor", Nothing, ALL),
        show("/users", Nothing, ADMIN),
        show("/users/new", Nothing, ADMIN),
        show("/users/:id", User, ADMIN),
        // It is not the password: who has an account hears that.
        row(
            ("post", "/account/password"),
            Nothing,
            (ALL, ALL),
            400,
            |_| {
                let new = "correct horse battery staple";
                vec![
                    ("old", "another one".into()),
                    ("new", new.into()),
                    ("again", new.into()),
                ]
            },
        ),
        row(
            ("post", "/account/end_session"),
            Session,
            (ALL, ADMIN),
            303,
            |it| vec![("id", it.id.to_string())],
        ),
        row(
            ("post", "/account/end_others"),
            Nothing,
            (ALL, ALL),
            303,
            none,
        ),
        row(
            ("post", "/account/tokens/new"),
            Nothing,
            (ALL, ALL),
            200,
            |it| {
                vec![
                    ("name", format!("new-{}", it.n)),
                    ("role", "viewer".into()),
                    ("days", "1".into()),
                ]
            },
        ),
        row(
            ("post", "/account/revoke_token"),
            Token,
            (ALL, ADMIN),
            303,
            |it| vec![("id", it.id.to_string())],
        ),
        // There is none to remove.
        row(
            ("post", "/account/second_factor/remove"),
            Nothing,
            (ALL, ALL),
            409,
            none,
        ),
        row(
            ("post", "/account/second_factor/begin"),
            Nothing,
            (ALL, ALL),
            303,
            none,
        ),
        row(
            ("post", "/account/second_factor"),
            Nothing,
            (ALL, ALL),
            400,
            |_| vec![("code", "abc".into())],
        ),
        // There is none to renew or remove.
        row(
            ("post", "/account/second_factor/codes"),
            Nothing,
            (ALL, ALL),
            409,
            none,
        ),
        row(("post", "/users/new"), Nothing, (ADMIN, ADMIN), 303, |it| {
            vec![("name", format!("new-{}", it.n)), ("role", "viewer".into())]
        }),
        row(("post", "/users/:id"), User, (ADMIN, ADMIN), 303, |_| {
            vec![("role", "runner".into()), ("version", "1".into())]
        }),
        row(
            ("post", "/users/:id/password"),
            User,
            (ADMIN, ADMIN),
            303,
            |_| {
                vec![
                    ("password", "correct horse battery staple".into()),
                    ("version", "1".into()),
                ]
            },
        ),
        row(
            ("post", "/users/:id/second_factor_off"),
            User,
            (ADMIN, ADMIN),
            409,
            none,
        ),
        // There is no such one, for nobody.
        row(
            ("post", "/users/:id/end_session"),
            User,
            (ALL, ALL),
            404,
            |_| vec![("id", "987654".into())],
        ),
        row(
            ("post", "/users/:id/revoke_token"),
            User,
            (ALL, ALL),
            404,
            |_| vec![("id", "987654".into())],
        ),
        row(
            ("post", "/users/:id/delete"),
            User,
            (ADMIN, ADMIN),
            303,
            |_| vec![("version", "1".into())],
        ),
        show("/identities", Nothing, MANAGE),
        show("/identities/new", Nothing, ADMIN),
        show("/identities/:id", Identity, MANAGE),
        row(
            ("post", "/identities/new"),
            Nothing,
            (ADMIN, ADMIN),
            303,
            |it| {
                vec![
                    ("name", format!("page-{}", it.n)),
                    ("kind", "ssh_key".into()),
                ]
            },
        ),
        row(
            ("get", "/identities/:id/edit"),
            Identity,
            (ADMIN, ADMIN),
            200,
            none,
        ),
        row(
            ("post", "/identities/:id/edit"),
            Identity,
            (ADMIN, ADMIN),
            303,
            |_| vec![("version", "1".into()), ("scope", "deploy@*".into())],
        ),
        row(
            ("post", "/identities/:id/delete"),
            Identity,
            (ADMIN, ADMIN),
            303,
            |_| vec![("version", "1".into())],
        ),
        show("/tasks", Nothing, ALL),
        show("/tasks/new", Nothing, RUN),
        // What each of many things comes to is in the answer: lists.rs looks at that.
        row(
            ("get", "/tasks/bulk?do=cancel"),
            Nothing,
            (RUN, RUN),
            200,
            none,
        ),
        row(("post", "/tasks/bulk"), Nothing, (RUN, RUN), 200, |_| {
            vec![key(), ("do", "cancel".into()), ("id", "987654".into())]
        }),
        row(
            ("get", "/instances/bulk?do=deactivate"),
            Nothing,
            (MANAGE, MANAGE),
            200,
            none,
        ),
        row(
            ("post", "/instances/bulk"),
            Nothing,
            (MANAGE, MANAGE),
            200,
            |_| vec![("do", "deactivate".into()), ("id", "987654".into())],
        ),
        show("/tasks/:id", Task, ALL),
        row(("get", "/tasks/:id/amend"), Task, (RUN, MANAGE), 200, none),
        row(
            ("post", "/tasks/:id/amend"),
            Task,
            (RUN, MANAGE),
            // The form's version is that of no task.
            412,
            |_| vec![("name", "n".into()), ("rc", "0".into())],
        ),
        show("/tasks/:id/events", Task, ALL),
        show("/tasks/:id/diff", Task, ALL),
        show("/instances", Nothing, ALL),
        show("/instances/new", Nothing, MANAGE),
        show("/instances/:id", Instance, ALL),
        show("/instances/:id/edit", Instance, MANAGE),
        // The password is not the one: who has a session hears that.
        row(("post", "/confirm"), Nothing, (ALL, ALL), 400, |_| {
            vec![("password", "another one".into()), ("next", "/".into())]
        }),
        row(("post", "/tasks/new"), Instance, (RUN, RUN), 303, |it| {
            vec![
                key(),
                ("name", "n".into()),
                ("script", "true".into()),
                ("user", "deploy".into()),
                ("instance", it.instance.to_string()),
            ]
        }),
        row(
            ("post", "/tasks/:id/cancel"),
            Task,
            (RUN, MANAGE),
            303,
            none,
        ),
        row(
            ("post", "/tasks/:id/approval"),
            Task,
            (MANAGE, MANAGE),
            // The form's version is that of no task.
            412,
            |_| vec![("decision", "approve".into())],
        ),
        row(("post", "/tasks/:id/pin"), Task, (RUN, MANAGE), 303, |_| {
            vec![("pinned", "true".into())]
        }),
        row(("post", "/tasks/:id/rerun"), Task, (RUN, RUN), 303, |_| {
            vec![key()]
        }),
        row(
            ("post", "/tasks/:id/delete"),
            Task,
            (RUN, MANAGE),
            // The form's version is that of no task.
            412,
            none,
        ),
        row(
            ("post", "/instances/new"),
            Nothing,
            (MANAGE, MANAGE),
            303,
            |it| {
                vec![
                    key(),
                    ("ip", format!("web-{}.example", it.n)),
                    ("state", "ACTIVE".into()),
                ]
            },
        ),
        row(
            ("post", "/instances/:id/edit"),
            Instance,
            (MANAGE, MANAGE),
            303,
            |it| {
                vec![
                    ("version", "1".into()),
                    ("ip", format!("web-{}.example", it.n)),
                    ("state", "ACTIVE".into()),
                ]
            },
        ),
        row(
            ("post", "/instances/:id/state"),
            Instance,
            (MANAGE, MANAGE),
            303,
            |_| vec![("version", "1".into()), ("state", "DEACTIVATE".into())],
        ),
        // Nothing was shown that could be approved.
        row(
            ("post", "/instances/:id/host_key"),
            Instance,
            (MANAGE, MANAGE),
            409,
            |_| {
                vec![
                    ("action", "approve".into()),
                    ("fingerprint", format!("SHA256:{}", "A".repeat(43))),
                    ("version", "1".into()),
                ]
            },
        ),
        row(
            ("post", "/instances/:id/check"),
            Instance,
            (RUN, RUN),
            200,
            |_| vec![("user", "deploy".into())],
        ),
        row(
            ("post", "/instances/:id/delete"),
            Instance,
            (MANAGE, MANAGE),
            303,
            |_| vec![("version", "1".into())],
        ),
    ]
}

async fn ask(visitor: &Visitor, page: &Row<Fields>, object: &Object) -> Reply {
    let path = page.path.replace(":id", &object.id.to_string());
    if page.method == "get" {
        return visitor.get(&path).await;
    }
    let fields = (page.sent)(object);
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    visitor.submit(&path, &fields).await
}

#[tokio::test]
async fn every_page_answers_each_role_as_the_table_says() {
    let mut world = World::new().await;
    let stranger = Visitor::of(&world.app);
    let mut visitors = Vec::new();
    for (role, password) in ROLES.iter().zip(&world.passwords) {
        let mut visitor = Visitor::of(&world.app);
        let reply = visitor.log_in(role, password, "/").await;
        assert_eq!(reply.status, 303, "{role}: {}", reply.text());
        visitors.push(visitor);
    }
    let mut wrong = Vec::new();
    for page in pages() {
        for place in [Place::Own, Place::Others, Place::Hidden] {
            for (role, visitor) in ROLES.into_iter().zip(&visitors) {
                let object = world.object(page.noun, place, role).await;
                let name = format!("{} {} as {role} on {place:?}", page.method, page.path);
                let reply = ask(&stranger, &page, &object).await;
                let led = reply.status == 303 && reply.header("location").starts_with("/login");
                // What was typed into a form is kept for the next login.
                let kept = page.method == "post" && reply.status == 401;
                if !led && !kept && reply.status != 403 {
                    wrong.push(format!("{name} without a login: {}", reply.status));
                }
                let expected = page.expected(place, role);
                let reply = ask(visitor, &page, &object).await;
                if !expected.contains(&reply.status) {
                    wrong.push(format!("{name}: {} instead of {expected:?}", reply.status));
                }
                assert_eq!(reply.header("www-authenticate"), "", "{name}");
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_page_has_a_row() {
    let told: BTreeSet<_> = pages()
        .iter()
        .map(|page| (page.method, page.path.split('?').next().unwrap_or_default()))
        .map(|(method, path)| format!("{method} {path}"))
        .chain(OPEN.iter().map(|open| (*open).to_owned()))
        .collect();
    assert_eq!(routes(), told);
}
