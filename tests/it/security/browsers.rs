//! What another site cannot make a browser do, and what every answer tells it.

use crate::harness::app::App;
use crate::harness::client::{Reply, send};
use reqwest::Method;

async fn ask(app: &App, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = app.anonymous().request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request).await
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_the_security_headers() {
    let app = App::start().await;
    for (method, path) in [
        (Method::GET, "/healthz"),
        (Method::GET, "/readyz"),
        (Method::DELETE, "/healthz"),
        (Method::GET, "/wsexec/tasks"),
        (Method::GET, "/nowhere"),
        (Method::GET, "/openapi.json"),
        (Method::GET, "/docs"),
        (Method::GET, "/login"),
        (Method::PATCH, "/docs"),
    ] {
        let reply = ask(&app, method.clone(), path, &[("X-Request-Id", "mine")]).await;
        let what = format!("{method} {path}: {:?}", reply.headers);
        assert_eq!(reply.header("x-content-type-options"), "nosniff", "{what}");
        assert_eq!(reply.header("referrer-policy"), "same-origin", "{what}");
        assert_eq!(reply.header("cross-origin-opener-policy"), "same-origin");
        assert_eq!(reply.header("cross-origin-resource-policy"), "same-origin");
        assert!(!reply.header("cache-control").is_empty(), "{what}");
        let policy = reply.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{what}");
        assert!(policy.contains("frame-ancestors 'none'"), "{what}");
        assert!(!policy.contains("unsafe"), "{what}");
        let id = reply.header("x-request-id");
        assert!(id.len() == 16 && id != "mine", "{what}");
        assert!(!reply.headers.contains_key("server"), "{what}");
        let cors = reply
            .headers
            .keys()
            .any(|k| k.as_str().starts_with("access-control"));
        assert!(!cors, "{what}");
    }
}

#[tokio::test]
async fn an_unsafe_method_from_another_site_is_403() {
    let app = App::start().await;
    let own = app.url();
    let elsewhere = [
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "anything"),
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", "https://127.0.0.1:1"),
    ];
    for header in elsewhere {
        for path in ["/wsexec/tasks", "/login"] {
            let reply = ask(&app, Method::POST, path, &[header]).await;
            assert_eq!(reply.status, 403, "{header:?} {path}");
        }
        let reply = ask(&app, Method::GET, "/healthz", &[header]).await;
        assert_eq!(reply.status, 200, "{header:?}");
    }
    let both = [
        ("Sec-Fetch-Site", "same-origin"),
        ("Origin", "https://evil.example"),
    ];
    assert_eq!(
        ask(&app, Method::POST, "/wsexec/tasks", &both).await.status,
        403
    );
    for own in [
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Site", "none"),
        ("Origin", &*own),
    ] {
        let reply = ask(&app, Method::POST, "/wsexec/tasks", &[own]).await;
        assert_eq!(reply.status, 401, "{own:?}");
    }
}

#[tokio::test]
async fn a_cookie_without_a_proof_of_where_it_comes_from_is_403() {
    let app = App::start().await;
    let cookie = ("Cookie", "other=1; __Host-wsexec=whatever");
    for path in ["/wsexec/tasks", "/logout"] {
        assert_eq!(
            ask(&app, Method::POST, path, &[cookie]).await.status,
            403,
            "{path}"
        );
    }
    let proven = [cookie, ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(
        ask(&app, Method::POST, "/wsexec/tasks", &proven)
            .await
            .status,
        401
    );
}

#[tokio::test]
async fn no_browser_is_ever_asked_to_keep_a_password() {
    let app = App::start().await;
    let reply = ask(&app, Method::GET, "/wsexec/tasks", &[]).await;
    assert_eq!(reply.status, 401);
    assert_eq!(
        reply.header("www-authenticate"),
        "Basic realm=\"wsexec\", charset=\"UTF-8\""
    );
    for site in ["same-origin", "cross-site", "none"] {
        let reply = ask(
            &app,
            Method::GET,
            "/wsexec/tasks",
            &[("Sec-Fetch-Site", site)],
        )
        .await;
        assert_eq!(reply.status, 401);
        assert!(!reply.headers.contains_key("www-authenticate"), "{site}");
    }
}
