use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use poem::endpoint::{self, BoxEndpoint};
use poem::http::header::CONTENT_SECURITY_POLICY;
use poem::{EndpointExt, Response, get};
use sha2::{Digest, Sha256};

/// The document with the bounds of integers as integers: poem-openapi writes them as `1.0`, which
/// strict readers refuse.
pub fn tidy(document: &str) -> String {
    let is_bound = |line: &str| {
        let line = line.trim_start();
        line.starts_with("\"minimum\":") || line.starts_with("\"maximum\":")
    };
    let mut tidy = String::with_capacity(document.len());
    for line in document.lines() {
        match is_bound(line) {
            true => tidy.push_str(&line.replacen(".0", "", 1)),
            false => tidy.push_str(line),
        }
        tidy.push('\n');
    }
    tidy
}

/// `/openapi.json`: made once.
pub fn json(document: String) -> BoxEndpoint<'static> {
    fixed("application/json", None, document)
}

/// `/docs`: Swagger UI as poem-openapi bundles it, with the document inside, so that it works
/// without any other host. Its policy allows just the scripts and the style that stand in it, and
/// requests to this server.
pub fn page(html: String) -> BoxEndpoint<'static> {
    let policy = policy(&html);
    let html = format!("<!DOCTYPE html>{html}");
    fixed("text/html; charset=utf-8", Some(policy), html)
}

fn fixed(
    content_type: &'static str,
    policy: Option<String>,
    content: String,
) -> BoxEndpoint<'static> {
    let content = Bytes::from(content);
    let answer = move |_| {
        let mut response = Response::builder().content_type(content_type);
        if let Some(policy) = &policy {
            response = response.header(CONTENT_SECURITY_POLICY, policy);
        }
        response.body(content.clone())
    };
    get(endpoint::make_sync(answer)).boxed()
}

/// The icons of Swagger UI are `data:` images. Nothing else is relaxed.
fn policy(html: &str) -> String {
    format!(
        "default-src 'none'; script-src {}; style-src {}; img-src data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hashes(html, "script"),
        hashes(html, "style"),
    )
}

/// The hash sources of the inline elements of one kind (CSP level 3, section 2.3.1).
fn hashes(html: &str, element: &str) -> String {
    let (open, close) = (format!("<{element}"), format!("</{element}>"));
    let mut sources = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once(&open) {
        let Some((_, inside)) = after.split_once('>') else {
            break;
        };
        let Some((content, after)) = inside.split_once(&close) else {
            break;
        };
        let hash = STANDARD.encode(Sha256::digest(content.as_bytes()));
        sources.push(format!("'sha256-{hash}'"));
        rest = after;
    }
    sources.join(" ")
}
