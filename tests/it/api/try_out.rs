//! Swagger UI in a real browser, under its policy.

use super::super::harness::app::App;
use super::super::harness::browser::Browser;

/// How often the policy of the page refused something.
const VIOLATIONS: &str = "
    const seen = new ReportingObserver(() => {}, { types: ['csp-violation'], buffered: true });
    seen.observe();
    return seen.takeRecords().length;";

#[tokio::test]
async fn authorize_and_try_it_out_work_and_the_policy_refuses_nothing() {
    let app = App::start().await;
    let browser = Browser::of(&app).await;
    browser.open("/docs").await;
    browser.wait_text(".title", "WSEXEC").await;
    browser.click(".btn.authorize").await;
    let login = ".modal-ux .auth-container";
    browser
        .fill(&format!("{login} input[type=text]"), "admin")
        .await;
    browser
        .fill(
            &format!("{login} input[type=password]"),
            app.admin_password(),
        )
        .await;
    browser.click(&format!("{login} button.authorize")).await;
    browser.click(".modal-ux .btn-done").await;

    let operation = "#operations-Instances-declareInstance";
    browser
        .click(&format!("{operation} .opblock-summary-control"))
        .await;
    browser.click(&format!("{operation} .try-out__btn")).await;
    browser.click(&format!("{operation} .execute")).await;
    let status = format!("{operation} .live-responses-table tbody .response-col_status");
    browser.wait_text(&status, "201").await;
    assert_eq!(browser.eval(VIOLATIONS).await, 0);

    let foreign = "document.body.append(Object.assign(document.createElement('script'),
        { textContent: 'window.foreign = true' }));";
    browser.eval(foreign).await;
    assert!(browser.eval("return window.foreign").await.is_null());
    assert_eq!(browser.eval(VIOLATIONS).await, 1, "it would have been seen");
}
