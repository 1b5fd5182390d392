//! A first day: from an empty server to the first scripts, in a real browser and on a real machine.

use crate::harness::app::App;
use crate::harness::browser::Browser;
use crate::harness::sshd::{self, Kind, Sshd};
use std::path::Path;

/// Somebody at a browser that has JavaScript or not.
struct Newcomer {
    browser: Browser,
    javascript: bool,
}

impl Newcomer {
    async fn at(app: &App, javascript: bool) -> Self {
        let browser = Browser::of(app).await;
        if !javascript {
            browser.without_javascript().await;
        }
        Self {
            browser,
            javascript,
        }
    }

    /// Waits until the page shows this. Only without JavaScript it is loaded anew for that.
    async fn sees(&self, css: &str, part: &str) {
        let there = async || {
            let there = self.browser.text(css).await.contains(part);
            if !there && !self.javascript {
                self.browser.reload().await;
            }
            there
        };
        self.browser.wait_for(part, there).await;
    }

    /// Waits for an element in the same way.
    async fn finds(&self, css: &str) {
        let there = async || {
            let there = self.browser.has(css).await;
            if !there && !self.javascript {
                self.browser.reload().await;
            }
            there
        };
        self.browser.wait_for(css, there).await;
    }

    /// Fills in the form of a new task and lets it run: gives the path of the task.
    async fn runs(&self, name: &str, script: &str) -> String {
        self.browser.fill("#user", &sshd::user()).await;
        self.browser.fill("#name", name).await;
        self.browser.fill("#script", script).await;
        self.browser.click("form.wide .actions button").await;
        self.browser.wait_element("#review").await;
        assert_eq!(self.browser.content("pre.script").await, script);
        self.browser.click("#run").await;
        self.browser.wait_element("#facts").await;
        self.browser.path().await
    }
}

async fn a_first_day(javascript: bool) {
    let sshd = Sshd::start();
    let app = App::builder()
        .identity(sshd.identity())
        .argument("--ssh-host-keys")
        .argument("strict")
        .start()
        .await;
    let gate = app.path("gate");
    let one = Newcomer::at(&app, javascript).await;
    let browser = &one.browser;

    // What is asked for comes after the login.
    browser.open("/instances").await;
    assert_eq!(browser.path().await, "/login");
    browser.open("/").await;
    browser.fill("#name", "admin").await;
    browser.fill("#password", app.admin_password()).await;
    browser.click("main button").await;
    browser.wait_element(".begin").await;

    browser.click(".begin a[href='/instances/new']").await;
    browser.fill("#ip", "127.0.0.1").await;
    browser.fill("#port", &sshd.port().to_string()).await;
    browser.click("form.wide .actions button").await;
    browser.wait_text("h1", "127.0.0.1").await;
    let instance = browser.path().await;

    // The machine shows its key, and nothing runs there before somebody has said that it is the one.
    browser.fill("#check-user", &sshd::user()).await;
    browser.click("#check button").await;
    browser.wait_text("main table", "SHA256:").await;
    browser.open(&instance).await;
    let key = sshd::fingerprint(&sshd.host_key(Kind::Ed25519));
    browser.wait_text("#host-key", &key).await;
    browser
        .click("#host-key form:has([value='approve']) button")
        .await;
    browser.wait_element("#host-key .badge.good").await;

    browser.click("a[href^='/tasks/new?instance=']").await;
    let script = format!(
        "echo begun; until test -e '{gate}'; do test -d '{home}' || exit; sleep 0.05; done; echo over; exit 3",
        gate = gate.display(),
        home = gate.parent().unwrap_or(Path::new("/")).display(),
    );
    let watched = one.runs("nightly report", &script).await;
    one.sees("#stdout", "begun").await;
    one.finds("#facts[data-state=CURRENT]").await;
    std::fs::write(&gate, "").unwrap();
    one.sees("#stdout", "over").await;
    one.finds("#facts[data-state=DONE]").await;
    assert!(browser.text("#facts .badge").await.contains("rc 3"));
    // Only a script knows the reader's zone.
    assert_ne!(
        browser.text("#facts time").await.contains("UTC"),
        javascript
    );

    browser.open("/tasks/new").await;
    browser
        .fill("#instance", &format!("127.0.0.1:{}", sshd.port()))
        .await;
    one.runs("too long", "echo sleeping; sleep 600").await;
    one.sees("#stdout", "sleeping").await;
    browser.click("#cancel").await;
    one.finds("#facts[data-state=ABORT]").await;

    browser.open(&watched).await;
    browser.click("#rerun").await;
    browser
        .wait_for("a task of its own", async || {
            browser.path().await != watched && browser.has("#facts").await
        })
        .await;
    one.finds("#facts[data-state=DONE]").await;
    let again = browser.path().await;
    one.sees("#stdout", "over").await;

    browser.click("nav a[href='/tasks']").await;
    browser.fill("#q", "nightly").await;
    browser.click("form.filter .actions button").await;
    browser
        .wait_for("what matches, the latest first", async || {
            let links = "return [...document.querySelectorAll('td.main a')].map(it => it.getAttribute('href'))";
            browser.eval(links).await == serde_json::json!([again, watched])
        })
        .await;
    browser.click("td.main a").await;
    browser.wait_text("h1", "nightly report").await;
    assert_eq!(browser.path().await, again);

    browser.click("footer button[value=fr]").await;
    browser.wait_text(".top nav", "Tâches").await;
    assert_eq!(browser.path().await, again);
    browser.click(".who button").await;
    browser.wait_element("form[action='/login']").await;
    browser.open("/tasks").await;
    assert_eq!(browser.path().await, "/login");
}

#[tokio::test]
async fn a_newcomer_gets_from_an_empty_server_to_scripts_that_run() {
    a_first_day(true).await;
}

#[tokio::test]
async fn the_same_goes_without_javascript() {
    a_first_day(false).await;
}
