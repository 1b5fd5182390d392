//! Requests that somebody was made to send without wanting it.

use crate::harness::app::App;
use crate::harness::client::send;
use crate::ui::visitor::Visitor;
use reqwest::Method;
use serde_json::json;
use std::path::Path;

/// The routes of the pages, as their source has them, with an id of something in each.
fn routes(method: &str) -> Vec<String> {
    let source = include_str!("../../../src/ui/mod.rs");
    let code: String = source.split_whitespace().collect::<Vec<_>>().join("");
    let found: Vec<String> = code
        .split(".at(\"")
        .skip(1)
        .filter_map(|route| {
            let (path, handlers) = route.split_once('"')?;
            let takes = handlers.contains(&format!("{method}("));
            takes.then(|| path.replace(":id", "1").replace(":name", "x"))
        })
        .collect();
    assert!(found.len() > 5, "{found:?}");
    found
}

/// Those that are for somebody who is not logged in yet, too.
fn is_for_anybody(path: &str) -> bool {
    path.starts_with("/login") || path == "/language"
}

#[tokio::test]
async fn every_form_of_a_session_is_refused_without_its_token() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let other = Visitor::logged_in(&app).await;
    let own = visitor.form_token();
    let almost = format!(
        "{}{}",
        &own[..42],
        if own.ends_with('A') { 'B' } else { 'A' }
    );
    for path in routes("post") {
        if is_for_anybody(&path) {
            continue;
        }
        for token in ["", "x", &almost, other.form_token()] {
            let fields = [("form_token", token), ("key", "k")];
            let reply = visitor.submit_bare(visitor.origin(), &path, &fields).await;
            assert_eq!(reply.status, 403, "{path} {token}: {}", reply.text());
            assert!(reply.text().contains("reload the page"), "{path}");
        }
        let reply = visitor.submit_bare(visitor.origin(), &path, &[]).await;
        assert_eq!(reply.status, 403, "{path}");
    }
    visitor.read("/tasks").await;
}

#[tokio::test]
async fn no_page_takes_a_form_that_does_not_prove_where_it_comes_from() {
    let app = App::start().await;
    for path in routes("post") {
        let request = app.anonymous().request(Method::POST, &path);
        let request = request
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("name=admin&password={}", app.admin_password()));
        let reply = send(request).await;
        assert_eq!(reply.status, 403, "{path}: {}", reply.text());
        assert_eq!(reply.header("set-cookie"), "");
    }
}

#[tokio::test]
async fn what_a_foreign_site_sends_is_refused_whatever_the_credentials() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let instance = json!({"ip": "192.0.2.66", "port": 22});
    let credentials = |request: reqwest::RequestBuilder, kind: &str| match kind {
        "basic" => request.basic_auth("admin", Some(app.admin_password())),
        "bearer" => request.bearer_auth("wsx_whatever"),
        "session" => request.header("Cookie", visitor.cookie()),
        _ => request,
    };
    for kind in ["basic", "bearer", "session", "none"] {
        for header in [
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-site"),
            ("Origin", "https://evil.example"),
            ("Origin", "null"),
        ] {
            for method in [Method::POST, Method::PUT, Method::DELETE] {
                let request = app
                    .anonymous()
                    .request(method.clone(), "/wsexec/instances")
                    .header(header.0, header.1)
                    .json(&instance);
                let reply = send(credentials(request, kind)).await;
                assert_eq!(reply.status, 403, "{kind} {method} {header:?}");
            }
        }
    }
    let list = app.client().get("/wsexec/instances").await.json();
    assert_eq!(list["instances"], json!([]));
}

#[tokio::test]
async fn the_api_takes_no_form_and_no_text() {
    let app = App::start().await;
    let visitor = Visitor::logged_in(&app).await;
    let body = "{\"ip\": \"192.0.2.66\"}";
    for kind in [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "text/plain",
        "text/json",
        "",
    ] {
        let request = app
            .anonymous()
            .request(Method::POST, "/wsexec/instances")
            .header("Cookie", visitor.cookie())
            .header("Origin", visitor.origin())
            .header("Content-Type", kind)
            .body(body);
        let reply = send(request).await;
        assert_eq!(reply.status, 415, "{kind}: {}", reply.text());
    }
}

#[tokio::test]
async fn no_page_ever_answers_with_a_challenge() {
    let app = App::start().await;
    let visitor = Visitor::of(&app);
    let client = app.anonymous();
    for path in routes("get").into_iter().chain(["/nowhere".to_owned()]) {
        for reply in [visitor.get(&path).await, client.get(&path).await] {
            assert!(!reply.headers.contains_key("www-authenticate"), "{path}");
        }
    }
    for path in routes("post") {
        let reply = visitor
            .submit(&path, &[("name", "x"), ("password", "y")])
            .await;
        assert!(!reply.headers.contains_key("www-authenticate"), "{path}");
        assert_ne!(reply.status, 200, "{path}");
    }
}

#[test]
fn every_form_in_the_templates_carries_the_token() {
    fn visit(directory: &Path, look: &mut impl FnMut(&Path, &str)) {
        for entry in std::fs::read_dir(directory).expect("templates can be read") {
            let path = entry.expect("templates can be read").path();
            if path.is_dir() {
                visit(&path, look);
            } else {
                look(&path, &std::fs::read_to_string(&path).expect("text"));
            }
        }
    }
    let mut forms = 0;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("templates");
    visit(&root, &mut |path, text| {
        for form in text.split("<form ").skip(1) {
            let form = form.split("</form>").next().unwrap_or_default();
            let action = form.split("action=\"").nth(1).unwrap_or_default();
            let action = action.split('"').next().unwrap_or_default();
            if !form.contains("method=\"post\"") || is_for_anybody(action) {
                continue;
            }
            forms += 1;
            let held = form.contains("{% include \"components/form_token.html\" %}");
            assert!(held, "{}: {form}", path.display());
        }
    });
    assert!(forms > 8, "{forms}");
}
