//! The pages for people: askama templates over the same use cases as the API.
//!
//! Every page is a typed struct with a template of the same noun. A page works without
//! JavaScript; `static/live.js` adds live output and local times. No page loads anything that is
//! not ours, and none has an inline script or style: the content security policy forbids both.

mod account;
mod assets;
mod audit;
mod bulk;
mod chart;
mod confirm;
mod errors;
mod filters;
mod form;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod home;
mod identities;
mod instances;
mod kept;
mod language;
mod login;
mod output;
mod page;
mod paging;
mod qr;
mod tasks;
mod terminal;
mod users;

use crate::service::Service;
use poem::{EndpointExt, IntoEndpoint, Route, get, post};

/// Everything under `/` that is a page, a form's target or one of their static files.
pub fn routes(service: Service) -> impl IntoEndpoint {
    Route::new()
        .at("/", get(home::overview))
        .at("/login", get(login::form).post(login::log_in))
        .at(
            "/login/code",
            get(login::code::form).post(login::code::finish),
        )
        .at(
            "/login/second_factor",
            get(login::code::form).post(login::code::enrol),
        )
        .at("/login/openid", get(login::openid::begin))
        .at("/login/openid/callback", get(login::openid::callback))
        .at("/logout", post(login::log_out))
        .at("/confirm", get(confirm::form).post(confirm::confirm))
        .at("/account", get(account::show))
        .at("/account/password", post(account::change))
        .at("/account/end_session", post(account::end_session))
        .at("/account/end_others", post(account::end_others))
        .at(
            "/account/tokens/new",
            get(account::blank).post(account::create),
        )
        .at("/account/revoke_token", post(account::revoke))
        .at(
            "/account/second_factor",
            get(account::setup).post(account::confirm),
        )
        .at("/account/second_factor/begin", post(account::begin))
        .at("/account/second_factor/codes", post(account::renew))
        .at("/account/second_factor/remove", post(account::remove))
        .at("/users", get(users::index))
        .at("/users/new", get(users::blank).post(users::create))
        .at("/users/:id", get(users::detail).post(users::save))
        .at("/users/:id/password", post(users::set_password))
        .at(
            "/users/:id/second_factor_off",
            post(users::remove_second_factor),
        )
        .at("/users/:id/end_session", post(users::end_session))
        .at("/users/:id/revoke_token", post(users::revoke_token))
        .at("/users/:id/delete", post(users::delete))
        .at("/tasks", get(tasks::index))
        .at("/tasks/new", get(tasks::blank).post(tasks::create))
        .at(
            "/tasks/bulk",
            get(tasks::ask_bulk).post(tasks::carry_out_bulk),
        )
        .at("/tasks/:id", get(tasks::detail))
        .at("/tasks/:id/events", get(output::follow))
        .at("/tasks/:id/diff", get(tasks::compare))
        .at("/tasks/:id/cancel", post(tasks::cancel))
        .at(
            "/tasks/:id/amend",
            get(tasks::amendable).post(tasks::save_amended),
        )
        .at("/tasks/:id/approval", post(tasks::decide))
        .at("/tasks/:id/pin", post(tasks::pin))
        .at("/tasks/:id/rerun", post(tasks::rerun))
        .at("/tasks/:id/delete", post(tasks::delete))
        .at("/instances", get(instances::index))
        .at(
            "/instances/new",
            get(instances::blank).post(instances::create),
        )
        .at(
            "/instances/bulk",
            get(instances::ask_bulk).post(instances::carry_out_bulk),
        )
        .at("/instances/:id", get(instances::detail))
        .at(
            "/instances/:id/edit",
            get(instances::edit).post(instances::save),
        )
        .at("/instances/:id/state", post(instances::set_state))
        .at("/instances/:id/host_key", post(instances::decide))
        .at("/instances/:id/check", post(instances::try_out))
        .at("/instances/:id/delete", post(instances::delete))
        .at("/identities", get(identities::index))
        .at(
            "/identities/new",
            get(identities::blank).post(identities::create),
        )
        .at("/identities/:id", get(identities::detail))
        .at(
            "/identities/:id/edit",
            get(identities::edit).post(identities::save),
        )
        .at("/identities/:id/delete", post(identities::delete))
        .at("/audit", get(audit::index))
        .at("/language", post(language::choose))
        .at("/static/:name", get(assets::serve))
        .around(errors::as_pages)
        .around(language::chosen)
        .data(service)
}
