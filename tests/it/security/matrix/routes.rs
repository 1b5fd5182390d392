//! The routes of the API.

use super::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

fn nothing(_: &Object) -> Value {
    Value::Null
}

fn rows() -> Vec<Row<Value>> {
    use Noun::{Identity, Instance, Nothing, Session, Task, Token, User};
    let reads = [
        "/wsexec/tasks/{id}",
        "/wsexec/tasks/{id}/attempts",
        "/wsexec/tasks/{id}/stdout",
        "/wsexec/tasks/{id}/stderr",
        "/wsexec/tasks/{id}/output",
        "/wsexec/tasks/{id}/events",
    ];
    let mut rows: Vec<_> = reads
        .into_iter()
        .map(|path| row(("get", path), Task, (ALL, ALL), 200, nothing))
        .collect();
    let new_task: fn(&Object) -> Value =
        |it| json!({"name": "n", "script": "true", "user": "deploy", "instance": it.instance});
    rows.extend([
        row(("get", "/wsexec/tasks"), Nothing, (ALL, ALL), 200, nothing),
        row(
            ("post", "/wsexec/tasks"),
            Instance,
            (RUN, RUN),
            201,
            new_task,
        ),
        row(
            ("put", "/wsexec/tasks"),
            Task,
            (RUN, MANAGE),
            200,
            |it| json!({"id": it.id, "tag": "t"}),
        ),
        row(
            ("put", "/wsexec/tasks/{id}"),
            Task,
            (RUN, MANAGE),
            200,
            |_| json!({"tag": "t"}),
        ),
        row(
            ("delete", "/wsexec/tasks/{id}"),
            Task,
            (RUN, MANAGE),
            200,
            nothing,
        ),
        row(
            ("get", "/wsexec/instances"),
            Nothing,
            (ALL, ALL),
            200,
            nothing,
        ),
        row(
            ("post", "/wsexec/instances"),
            Nothing,
            (MANAGE, MANAGE),
            201,
            |it| json!({"ip": format!("web-{}.example", it.n)}),
        ),
        row(
            ("put", "/wsexec/instances"),
            Instance,
            (MANAGE, MANAGE),
            200,
            |it| json!({"id": it.id, "tag": "t"}),
        ),
        row(
            ("get", "/wsexec/instances/{id}"),
            Instance,
            (ALL, ALL),
            200,
            nothing,
        ),
        row(
            ("put", "/wsexec/instances/{id}"),
            Instance,
            (MANAGE, MANAGE),
            200,
            |_| json!({"tag": "t"}),
        ),
        row(
            ("delete", "/wsexec/instances/{id}"),
            Instance,
            (MANAGE, MANAGE),
            200,
            nothing,
        ),
        row(
            ("get", "/wsexec/instances/{id}/host_key"),
            Instance,
            (ALL, ALL),
            200,
            nothing,
        ),
        // Nothing was shown that could be approved.
        row(
            ("put", "/wsexec/instances/{id}/host_key"),
            Instance,
            (MANAGE, MANAGE),
            409,
            |_| json!({"action": "approve", "fingerprint": format!("SHA256:{}", "A".repeat(43))}),
        ),
        row(
            ("post", "/wsexec/instances/{id}/check"),
            Instance,
            (RUN, RUN),
            200,
            |_| json!({"user": "deploy"}),
        ),
    ]);
    let admin =
        |method, path, noun, status, body| row((method, path), noun, (ADMIN, ADMIN), status, body);
    let own =
        |method, path, noun, status, body| row((method, path), noun, (ALL, ADMIN), status, body);
    let new_user: fn(&Object) -> Value =
        |it| json!({"name": format!("new-{}", it.n), "role": "viewer"});
    let new_token: fn(&Object) -> Value =
        |it| json!({"name": format!("new-{}", it.n), "role": "viewer", "expires_in": 3600});
    rows.extend([
        admin("get", "/wsexec/audit", Nothing, 200, nothing),
        admin("get", "/wsexec/users", Nothing, 200, nothing),
        admin("post", "/wsexec/users", Nothing, 201, new_user),
        admin("get", "/wsexec/users/{id}", User, 200, nothing),
        admin(
            "put",
            "/wsexec/users/{id}",
            User,
            200,
            |_| json!({"disabled": true}),
        ),
        admin("delete", "/wsexec/users/{id}", User, 200, nothing),
        row(
            ("get", "/wsexec/users/me"),
            Nothing,
            (ALL, ALL),
            200,
            nothing,
        ),
        // It is not the password: who may change it hears that.
        row(
            ("put", "/wsexec/users/me/password"),
            Nothing,
            (ALL, ALL),
            400,
            |_| json!({"old": "another one", "new": "correct horse battery staple"}),
        ),
        row(("get", "/wsexec/tokens"), Nothing, (ALL, ALL), 200, nothing),
        row(
            ("post", "/wsexec/tokens"),
            Nothing,
            (ALL, ALL),
            201,
            new_token,
        ),
        own("get", "/wsexec/tokens/{id}", Token, 200, nothing),
        own("delete", "/wsexec/tokens/{id}", Token, 200, nothing),
        row(
            ("get", "/wsexec/sessions"),
            Nothing,
            (ALL, ALL),
            200,
            nothing,
        ),
        own("delete", "/wsexec/sessions/{id}", Session, 200, nothing),
        row(
            ("get", "/wsexec/identities"),
            Nothing,
            (MANAGE, MANAGE),
            200,
            nothing,
        ),
        row(
            ("get", "/wsexec/identities/{id}"),
            Identity,
            (MANAGE, MANAGE),
            200,
            nothing,
        ),
        admin(
            "post",
            "/wsexec/identities",
            Nothing,
            201,
            |it| json!({"name": format!("new-{}", it.n), "kind": "ssh_key"}),
        ),
        admin(
            "put",
            "/wsexec/identities/{id}",
            Identity,
            200,
            |_| json!({"scope": ["*@web-*"]}),
        ),
        admin("delete", "/wsexec/identities/{id}", Identity, 200, nothing),
    ]);
    // None of these tasks needs anybody.
    rows.extend([
        row(
            ("get", "/wsexec/tasks/{id}/approval"),
            Task,
            (ALL, ALL),
            404,
            nothing,
        ),
        row(
            ("put", "/wsexec/tasks/{id}/approval"),
            Task,
            (MANAGE, MANAGE),
            409,
            |_| json!({"decision": "approve"}),
        ),
    ]);
    rows
}

async fn ask(client: &Client, row: &Row<Value>, object: &Object) -> Reply {
    let path = row.path.replace("{id}", &object.id.to_string());
    let method = Method::from_bytes(row.method.to_uppercase().as_bytes()).expect("a method");
    let request = client.request(method, &path);
    let body = (row.sent)(object);
    send(if body.is_null() {
        request
    } else {
        request.json(&body)
    })
    .await
}

#[tokio::test]
async fn every_route_answers_each_role_as_the_table_says() {
    let mut world = World::new().await;
    let mut wrong = Vec::new();
    for row in rows() {
        for place in [Place::Own, Place::Others, Place::Hidden] {
            for role in ROLES {
                let object = world.object(row.noun, place, role).await;
                let name = format!("{} {} as {role} on {place:?}", row.method, row.path);
                let expected = row.expected(place, role);
                let none = ask(&world.app.anonymous(), &row, &object).await;
                if none.status != 401 {
                    wrong.push(format!("{name} without a login: {}", none.status));
                }
                let reply = ask(&world.client(role), &row, &object).await;
                if !expected.contains(&reply.status) {
                    wrong.push(format!("{name}: {} instead of {expected:?}", reply.status));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_route_of_the_document_has_a_row() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/api/openapi.json");
    let text = std::fs::read_to_string(file).expect("the snapshot");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let mut routes = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            routes.insert(format!("{method} {path}"));
        }
    }
    let told: BTreeSet<_> = rows()
        .iter()
        .map(|row| format!("{} {}", row.method, row.path))
        .collect();
    assert_eq!(routes, told);
}
