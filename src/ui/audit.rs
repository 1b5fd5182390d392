//! The audit trail: who did what.

use crate::domain::{AuditFilter, AuditRecord, Error, Order, Result as Outcome};
use crate::http::{BaseUrl, Caller};
use crate::service::Service;
use crate::ui::filters;
use crate::ui::page::{self, Section, Shell};
use crate::ui::paging::{Address, Cursor, Paged};
use crate::ui::terminal::Terminal;
use askama::Template;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde::Deserialize;
use time::Date;
use time::macros::format_description;
use url::form_urlencoded::Serializer;

#[derive(Template)]
#[template(path = "pages/audit/list.html")]
struct ListPage {
    shell: Shell,
    paged: Paged<AuditRecord>,
    asked: Asked,
    terminal: Terminal,
}

impl ListPage {
    /// The page of what a record is about, where there is one or was.
    fn place(object: &str) -> Option<String> {
        let (noun, id) = object.split_once('/')?;
        let id: i64 = id.parse().ok()?;
        let list = match noun {
            "identity" => "identities",
            "instance" => "instances",
            "task" => "tasks",
            "user" => "users",
            _ => return None,
        };
        Some(format!("/{list}/{id}"))
    }
}

/// What the address asks for, as it was typed.
#[derive(Deserialize, Default)]
#[serde(default)]
pub struct Asked {
    by: String,
    action: String,
    object: String,
    since: String,
    until: String,
    #[serde(flatten)]
    cursor: Cursor,
}

impl Asked {
    fn is_narrowed(&self) -> bool {
        self.narrowing().iter().any(|(_, value)| !value.is_empty())
    }

    fn narrowing(&self) -> [(&'static str, &String); 5] {
        [
            ("by", &self.by),
            ("action", &self.action),
            ("object", &self.object),
            ("since", &self.since),
            ("until", &self.until),
        ]
    }

    fn address(&self) -> Address {
        let order = ("order", self.cursor.order());
        Address::new("/audit", self.narrowing().into_iter().chain([order]))
    }

    fn filter(&self) -> Outcome<AuditFilter> {
        let text = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        Ok(AuditFilter {
            by: text(&self.by),
            action: text(&self.action),
            object: text(&self.object),
            since: day("since", &self.since)?,
            until: day("until", &self.until)?,
        })
    }

    /// The same as lines, from the API.
    fn api(&self, filter: &AuditFilter) -> String {
        let mut query = Serializer::new(String::new());
        let said = |(name, value): &(&str, &String)| {
            !matches!(*name, "since" | "until") && !value.is_empty()
        };
        query.extend_pairs(self.narrowing().into_iter().filter(said));
        for (name, at) in [("since", filter.since), ("until", filter.until)] {
            query.extend_pairs(at.map(|at| (name, at.to_string())));
        }
        query.append_pair("format", "jsonl");
        format!("/wsexec/audit?{}", query.finish())
    }

    /// The same from the data directory.
    fn words(&self, filter: &AuditFilter) -> Vec<String> {
        let text = [
            ("--by", filter.by.clone()),
            ("--action", filter.action.clone()),
            ("--object", filter.object.clone()),
            ("--since", filter.since.map(|at| at.to_string())),
            ("--until", filter.until.map(|at| at.to_string())),
        ];
        let given = text
            .into_iter()
            .filter_map(|(name, value)| Some([name.to_owned(), value?]));
        ["audit".to_owned(), "export".to_owned()]
            .into_iter()
            .chain(given.flatten())
            .collect()
    }
}

/// The begin of a day, as a browser sends it.
fn day(name: &'static str, text: &str) -> Outcome<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    Date::parse(text, format_description!("[year]-[month]-[day]"))
        .map(|day| Some(day.midnight().assume_utc().unix_timestamp()))
        .map_err(|_| Error::field(name, "must be a day such as 2026-01-31"))
}

#[handler]
pub async fn index(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let turn = asked.cursor.turn(Order::Desc)?;
    let (page, filter) = (turn.page()?, asked.filter()?);
    let records = service.audit(&actor, &filter, page).await?;
    page::html(&ListPage {
        shell: Shell::of(&actor, Section::Audit),
        paged: turn.paged(records, &asked.address(), |it| it.n.to_string()),
        terminal: Terminal::of(&base, &actor)
            .get("Export these records", asked.api(&filter))
            .or_there(asked.words(&filter))
            .or_there(["audit", "verify"]),
        asked,
    })
}
