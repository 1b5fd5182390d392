//! What every page has, and how it becomes a response.

use super::assets;
use super::language::Language;
use crate::domain::Error;
use crate::http::FORM_TOKEN;
use crate::service::{Action, Actor};
use askama::Template;
use poem::http::{StatusCode, header};
use poem::{Response, Result};

/// Where in the service a page stands; the navigation marks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// The overview.
    Home,
    /// Tasks.
    Tasks,
    /// Instances.
    Instances,
    /// The audit trail.
    Audit,
    /// What is somebody's own: password, sessions, tokens.
    Account,
    /// Users.
    Users,
    /// Identities.
    Identities,
    /// Neither: login and errors.
    Outside,
}

/// What `base.html` needs from each page.
pub struct Shell {
    /// The login name of whoever looks at it, where that is known.
    pub user: Option<String>,
    /// Whether they manage users.
    pub manages_users: bool,
    /// Where it stands.
    pub section: Section,
    /// Whether they may read the audit trail.
    pub reads_audit: bool,
    /// Whether they may see which identities there are.
    pub reads_identities: bool,
    /// What each of its forms carries; empty where nobody is logged in.
    pub form_token: String,
}

impl Shell {
    /// A page for somebody who is logged in.
    pub fn of(actor: &Actor, section: Section) -> Self {
        Self {
            user: Some(actor.name().to_owned()),
            manages_users: actor.may(Action::ManageUsers),
            section,
            reads_audit: actor.may(Action::ReadAudit),
            reads_identities: actor.may(Action::ReadIdentities),
            form_token: actor
                .form_token()
                .map_or_else(String::new, |it| it.expose().to_owned()),
        }
    }

    /// A page for anybody.
    pub fn outside() -> Self {
        Self {
            user: None,
            manages_users: false,
            section: Section::Outside,
            reads_audit: false,
            reads_identities: false,
            form_token: String::new(),
        }
    }

    /// The language that it is in.
    pub fn language(&self) -> Language {
        Language::current()
    }

    /// The hidden field that `form_token` goes into.
    pub fn field(&self) -> &'static str {
        FORM_TOKEN
    }

    /// The style sheet's address.
    pub fn style(&self) -> &str {
        assets::STYLE.url()
    }

    /// The script's address.
    pub fn script(&self) -> &str {
        assets::SCRIPT.url()
    }

    /// The icon's address.
    pub fn icon(&self) -> &str {
        assets::ICON.url()
    }

    /// `page` where this is that section, for `aria-current`.
    pub fn current(&self, section: Section) -> &'static str {
        if self.section == section {
            "page"
        } else {
            "false"
        }
    }
}

/// A page with 200.
///
/// # Errors
/// `Internal` where the template fails.
pub fn html(page: &impl Template) -> Result<Response> {
    html_with(StatusCode::OK, page)
}

/// A page with a status. It is never kept by a cache: it shows what only its reader may see, and
/// a form that comes back with the Back button needs a new key.
///
/// # Errors
/// `Internal` where the template fails.
pub fn html_with(status: StatusCode, page: &impl Template) -> Result<Response> {
    let body = page.render().map_err(Error::internal)?;
    Ok(Response::builder()
        .status(status)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_LANGUAGE, Language::current().tag())
        .content_type("text/html; charset=utf-8")
        .body(body))
}

/// 303: the next request is a GET of that path, so that a reload posts nothing twice.
pub fn see(path: impl AsRef<str>) -> Response {
    Response::builder()
        .status(StatusCode::SEE_OTHER)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::LOCATION, path.as_ref())
        .finish()
}
