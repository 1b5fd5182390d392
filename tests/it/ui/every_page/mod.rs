//! Every page as people see it: with a browser that looks for barriers and keeps pictures.

mod eye;
mod world;

use crate::harness::browser::Browser;
use crate::security::second_factor;
use crate::ui::routes::routes;
use eye::Eye;
use std::collections::BTreeSet;
use world::{Look, Step, World};

/// What is asked for by pages and is none.
const NO_PAGES: &[&str] = &[
    "get /login/openid",
    "get /static/:name",
    "get /tasks/:id/events",
];

/// Opens a page and does what is to be done there.
async fn take(browser: &Browser, look: &Look) {
    browser.open(&look.path).await;
    for step in &look.steps {
        match step {
            Step::Fill(css, text) => browser.fill(css, text).await,
            Step::Click(css) => browser.press(css).await,
            Step::LogOut => browser.forget_session().await,
            Step::Code => {
                let secret = browser.content("#secret").await;
                let code = second_factor::code(&secret, 0);
                browser.fill("#code", &code).await;
                browser.press("main form .actions button").await;
            }
        }
    }
}

/// All looks in one language, as the browser chooses it for somebody who has chosen none.
async fn walk(world: &World, tongue: usize) -> Vec<String> {
    let language = ["en", "fr"][tongue];
    let browser = Browser::of(&world.app).await;
    let Some(mut eye) = Eye::of(&browser, language).await else {
        return Vec::new();
    };
    let speak = async || {
        browser.open("/login").await;
        browser
            .press(&format!("footer button[value={language}]"))
            .await;
    };
    for look in world.outside(tongue) {
        browser.forget().await;
        speak().await;
        take(&browser, &look).await;
        eye.looks(look.name).await;
    }
    browser.forget().await;
    speak().await;
    browser.log_in(&world.app).await;
    for look in world.inside(tongue) {
        take(&browser, &look).await;
        eye.looks(look.name).await;
    }
    eye.sees_barriers().await;
    eye.found
}

/// A new page without a look fails.
fn assert_none_is_left_out(world: &World) {
    let looks = world.outside(0).into_iter().chain(world.inside(0));
    let looks: BTreeSet<_> = looks
        .map(|look| format!("get {}", look.route))
        .chain(NO_PAGES.iter().map(|it| (*it).to_owned()))
        .collect();
    let mut pages = routes();
    pages.retain(|it| it.starts_with("get "));
    assert_eq!(pages, looks);
}

#[tokio::test]
async fn no_page_has_a_barrier_in_any_mode_width_or_language() {
    let world = World::new().await;
    assert_none_is_left_out(&world);
    let (english, french) = tokio::join!(walk(&world, 0), walk(&world, 1));
    let found = [english, french].concat();
    assert!(
        found.is_empty(),
        "{} barriers:\n{}",
        found.len(),
        found.join("\n")
    );
}
