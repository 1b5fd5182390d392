//! The pages of identities: what is secret goes in and is never seen again.

use super::account::age_confirmations;
use super::visitor::Visitor;
use crate::harness::app::App;

async fn app() -> App {
    let key = wsexec::vault::generate();
    let builder = App::builder().env("WSEXEC_MASTER_KEY", key.expose());
    builder.start().await
}

#[tokio::test]
async fn an_identity_is_made_shown_by_its_public_half_and_removed_on_pages() {
    let app = app().await;
    let visitor = Visitor::logged_in(&app).await;
    assert!(visitor.read("/").await.contains("href=\"/identities\""));
    let fields = [
        ("name", "deploy"),
        ("kind", "ssh_key"),
        ("scope", "deploy@web-*"),
    ];
    let made = visitor.submit("/identities/new", &fields).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let path = made.header("location").to_owned();
    let page = visitor.read(&path).await;
    assert!(
        page.contains("ssh-ed25519 ") && page.contains("SHA256:"),
        "{page}"
    );
    assert!(!page.contains("PRIVATE KEY"), "{page}");

    let value = wsexec::domain::random_token().expose().to_owned();
    let wrong = [("name", "two words"), ("kind", "secret"), ("value", &value)];
    let refused = visitor.submit("/identities/new", &wrong).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains("two words"));
    assert!(!refused.text().contains(&value));
    let right = [("name", "prod-db"), ("kind", "secret"), ("value", &value)];
    let made = visitor.submit("/identities/new", &right).await;
    assert_eq!(made.status, 303, "{}", made.text());
    let one = visitor.read(made.header("location")).await;
    let shown = one + visitor.read("/identities").await.as_str();
    assert!(shown.contains("prod-db") && !shown.contains(&value));

    age_confirmations(&app);
    let act = format!("{path}/delete");
    let asked = visitor.submit(&act, &[("version", "1")]).await;
    let to_confirm = format!("/confirm?next={}&sent=yes", path.replace('/', "%2F"));
    assert_eq!(
        (asked.status, asked.header("location")),
        (303, to_confirm.as_str())
    );
    let proof = [("password", app.admin_password()), ("next", &path)];
    assert_eq!(visitor.submit("/confirm", &proof).await.status, 303);
    let removed = visitor.submit(&act, &[("version", "1")]).await;
    assert_eq!(removed.header("location"), "/identities");
    assert_eq!(visitor.get(&path).await.status, 404);
}
