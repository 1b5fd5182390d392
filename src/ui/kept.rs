//! What somebody typed into a form that could not be acted on because of who sent it: their login
//! is over, or they have to confirm who they are. It is shown, and can be sent from there.

use super::filters;
use super::form;
use super::page::{self, Section, Shell};
use crate::domain::{Error, Kind};
use crate::http::{self, Sent};
use askama::Template;
use poem::{Response, Result};

/// Fields that nobody typed.
const HIDDEN: [&str; 7] = ["dropped", "key", "next", "pick", "sent", "step", "version"];

#[derive(Template)]
#[template(path = "pages/kept.html")]
struct KeptPage {
    shell: Shell,
    kind: Kind,
    path: String,
    /// Names and values of its fields.
    fields: Vec<(String, String)>,
    /// The names of the secrets among them, which were dropped.
    dropped: String,
}

impl KeptPage {
    /// What somebody typed.
    fn typed(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.fields.iter();
        fields
            .filter(|(name, value)| !HIDDEN.contains(&name.as_str()) && !value.is_empty())
            .map(|(name, value)| (form::label(name), value.as_str()))
    }
}

/// What is wrong with a secret that was typed, was dropped, and is not there again.
pub fn is_missing(dropped: &str, typed: &str) -> Option<&'static str> {
    (!dropped.is_empty() && typed.is_empty()).then_some("has to be typed again: it was not kept")
}

/// The page that shows a form again; none where the error is another, or nothing was typed.
pub fn page(sent: &Sent, error: &Error) -> Option<Result<Response>> {
    let shell = match (&sent.actor, error.kind()) {
        (None, Kind::Unauthenticated) => Shell::outside(),
        (Some(actor), Kind::Unconfirmed) => Shell::of(actor, Section::Outside),
        (Some(actor), Kind::Forbidden) if !sent.is_verified() => Shell::of(actor, Section::Outside),
        _ => return None,
    };
    let (fields, dropped) = sent.fields();
    let page = KeptPage {
        shell,
        kind: error.kind(),
        path: sent.path.clone(),
        fields,
        dropped: dropped.join(" "),
    };
    page.typed().next()?;
    Some(page::html_with(http::status(error.kind()), &page))
}
