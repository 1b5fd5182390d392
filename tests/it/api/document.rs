//! `/openapi.json` and `/docs`.

use super::super::harness::app::App;
use openapiv3::{OpenAPI, Operation, ReferenceOr};
use std::collections::HashSet;
use std::path::Path;

/// Every route of the contract.
const ROUTES: [(&str, &str); 41] = [
    ("get", "/wsexec/identities"),
    ("post", "/wsexec/identities"),
    ("get", "/wsexec/identities/{id}"),
    ("put", "/wsexec/identities/{id}"),
    ("delete", "/wsexec/identities/{id}"),
    ("get", "/wsexec/audit"),
    ("get", "/wsexec/tasks/{id}/approval"),
    ("put", "/wsexec/tasks/{id}/approval"),
    ("get", "/wsexec/tasks/{id}/attempts"),
    ("get", "/wsexec/tasks"),
    ("post", "/wsexec/tasks"),
    ("put", "/wsexec/tasks"),
    ("get", "/wsexec/tasks/{id}"),
    ("put", "/wsexec/tasks/{id}"),
    ("delete", "/wsexec/tasks/{id}"),
    ("get", "/wsexec/tasks/{id}/stdout"),
    ("get", "/wsexec/tasks/{id}/stderr"),
    ("get", "/wsexec/tasks/{id}/output"),
    ("get", "/wsexec/tasks/{id}/events"),
    ("get", "/wsexec/instances"),
    ("post", "/wsexec/instances"),
    ("put", "/wsexec/instances"),
    ("get", "/wsexec/instances/{id}"),
    ("put", "/wsexec/instances/{id}"),
    ("delete", "/wsexec/instances/{id}"),
    ("get", "/wsexec/instances/{id}/host_key"),
    ("put", "/wsexec/instances/{id}/host_key"),
    ("post", "/wsexec/instances/{id}/check"),
    ("get", "/wsexec/users"),
    ("post", "/wsexec/users"),
    ("get", "/wsexec/users/me"),
    ("put", "/wsexec/users/me/password"),
    ("get", "/wsexec/users/{id}"),
    ("put", "/wsexec/users/{id}"),
    ("delete", "/wsexec/users/{id}"),
    ("get", "/wsexec/tokens"),
    ("post", "/wsexec/tokens"),
    ("get", "/wsexec/tokens/{id}"),
    ("delete", "/wsexec/tokens/{id}"),
    ("get", "/wsexec/sessions"),
    ("delete", "/wsexec/sessions/{id}"),
];

async fn document() -> String {
    let app = App::start().await;
    let reply = app.anonymous().get("/openapi.json").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/json");
    assert!(
        !reply.text().contains(&app.url()),
        "nothing of the deployment"
    );
    reply.text()
}

/// Compared as JSON: the order of an example's members depends on what else is built.
/// With `UPDATE_SNAPSHOTS` in the environment the new document is kept instead.
#[tokio::test]
async fn the_document_is_the_one_that_was_agreed_on() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/api/openapi.json");
    let now = document().await;
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let agreed = std::fs::read_to_string(&file).unwrap_or_default();
    let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default();
    assert!(
        parse(&now) == parse(&agreed),
        "the document has changed; if that is meant, run this with UPDATE_SNAPSHOTS=1"
    );
}

#[tokio::test]
async fn every_operation_of_the_contract_is_described_in_full() {
    let text = document().await;
    let document: OpenAPI = serde_json::from_str(&text).expect("valid OpenAPI 3.0");
    let mut found = HashSet::new();
    let mut ids = HashSet::new();
    for (path, method, operation) in document.operations() {
        found.insert((method, path));
        check(operation, &format!("{method} {path}"));
        assert!(ids.insert(operation.operation_id.clone()), "{path}");
    }
    assert_eq!(found, HashSet::from(ROUTES));
    let components = document.components.expect("components");
    assert!(components.security_schemes.contains_key("basic"));
    assert!(components.security_schemes.contains_key("bearer"));
    assert_references(&serde_json::from_str(&text).unwrap(), &components);
    for body in [
        "NewTask",
        "TaskChange",
        "NewInstance",
        "InstanceChange",
        "HostKeyChange",
        "NewCheck",
        "NewUser",
        "UserChange",
        "PasswordChange",
        "NewToken",
        "User",
        "Token",
        "Session",
        "Task",
        "Instance",
    ] {
        let ReferenceOr::Item(schema) = &components.schemas[body] else {
            panic!("{body}");
        };
        let example = schema.schema_data.example.as_ref().expect(body);
        assert!(example.is_object(), "{body}");
    }
}

fn check(operation: &Operation, name: &str) {
    assert!(operation.operation_id.is_some(), "{name}");
    assert!(operation.summary.is_some(), "{name}");
    assert_eq!(operation.tags.len(), 1, "{name}");
    assert!(
        operation.extensions.contains_key("x-code-samples"),
        "{name}"
    );
    let security = operation.security.as_ref().expect(name);
    assert!(
        security.iter().any(|one| one.contains_key("basic")),
        "{name}"
    );
    let mut statuses = HashSet::new();
    for (status, response) in &operation.responses.responses {
        let ReferenceOr::Item(response) = response else {
            panic!("{name}");
        };
        assert!(!response.description.is_empty(), "{name} {status}");
        let status: u16 = status.to_string().parse().unwrap();
        if status >= 400 {
            assert!(
                response.content.contains_key("application/problem+json"),
                "{name} {status}"
            );
        } else if status != 204 {
            assert!(!response.content.is_empty(), "{name} {status}");
        }
        statuses.insert(status);
    }
    for status in [400, 401, 403, 429, 500, 503] {
        assert!(statuses.contains(&status), "{name} {status}");
    }
    for parameter in &operation.parameters {
        let ReferenceOr::Item(parameter) = parameter else {
            panic!("{name}");
        };
        assert!(
            parameter.parameter_data_ref().description.is_some(),
            "{name}"
        );
    }
}

/// Whatever is referred to is there.
fn assert_references(value: &serde_json::Value, components: &openapiv3::Components) {
    match value {
        serde_json::Value::Object(members) => {
            if let Some(to) = members.get("$ref").and_then(|to| to.as_str()) {
                let name = to.strip_prefix("#/components/schemas/").expect(to);
                assert!(components.schemas.contains_key(name), "{to}");
            }
            for member in members.values() {
                assert_references(member, components);
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                assert_references(item, components);
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn swagger_ui_needs_no_login_and_no_other_host_and_its_policy_allows_just_its_own_parts() {
    let app = App::start().await;
    let page = app.anonymous().get("/docs").await;
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").to_owned();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(policy.matches("'sha256-").count(), 3, "{policy}");
    let html = page.text();
    assert!(html.contains("SwaggerUIBundle"));
    assert!(!html.contains("<script src") && !html.contains("<link"));
}
