//! The language of a page.
//!
//! As with gettext, what the program says in English is the key to what a catalogue (`fr.po`) has
//! for it: in templates `{{ "Overview"|t }}`. What other modules say – errors, reasons, findings –
//! stays English everywhere but on a page, and is found in the catalogue as it comes, with the
//! values that were filled in. `tests/it/ui/languages.rs` holds that nothing is missing.

mod catalogue;
mod text;

pub use text::{Text, counted, of, sentence};

use super::login::local;
use super::page;
use crate::domain::{Error, Result as Outcome};
use crate::http::{self, OpenForm};
use poem::http::header;
use poem::{Endpoint, IntoResponse, Request, Response, Result, handler};
use serde::Deserialize;
use std::sync::Arc;

tokio::task_local! {
    static CURRENT: Language;
}

/// What a page can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// What the program itself speaks.
    English,
    /// `fr.po`.
    French,
}

impl Language {
    /// Each of them, in the order in which they are offered.
    pub const ALL: [Self; 2] = [Self::English, Self::French];

    /// The tag of BCP 47, for `lang`.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::French => "fr",
        }
    }

    /// What those who speak it call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::French => "Français",
        }
    }

    /// Has all that is written by a future be in this language.
    pub async fn speak<F: Future>(self, written: F) -> F::Output {
        CURRENT.scope(self, written).await
    }

    fn of_tag(tag: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.tag() == tag)
    }

    /// The language of the page that is being made.
    pub fn current() -> Self {
        CURRENT.try_with(|it| *it).unwrap_or(Self::English)
    }
}

/// Has all that is written for a request be in the language that its reader wants.
pub async fn chosen<E: Endpoint>(pages: Arc<E>, request: Request) -> Result<Response> {
    let wanted = http::languages(&request);
    let language = wanted.iter().find_map(|tag| Language::of_tag(tag));
    let answer = async { Ok(pages.call(request).await?.into_response()) };
    language.unwrap_or(Language::English).speak(answer).await
}

/// The form of the footer.
#[derive(Deserialize)]
pub struct Choice {
    language: String,
}

/// Remembers a choice, and goes back to the page that it was made on.
#[handler]
pub async fn choose(request: &Request, OpenForm(typed): OpenForm<Choice>) -> Result<Response> {
    let language = asked_for(&typed.language)?;
    let mut response = page::see(local(&page_before(request)));
    http::set_language(&mut response, language.tag());
    Ok(response)
}

fn asked_for(tag: &str) -> Outcome<Language> {
    let unknown = || Error::field("language", "must be en or fr");
    Language::of_tag(tag).ok_or_else(unknown)
}

/// The path that the form stood on: browsers say it to the site that it belongs to.
fn page_before(request: &Request) -> String {
    let referer = request.header(header::REFERER).unwrap_or_default();
    match url::Url::parse(referer) {
        Ok(url) => match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        },
        Err(_) => "/".to_owned(),
    }
}
