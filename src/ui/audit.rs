//! The audit trail: who did what.

use crate::domain::{AuditFilter, AuditRecord, Error, Order, Page, Result as Outcome};
use crate::http::{BaseUrl, Caller};
use crate::service::Service;
use crate::ui::curl::Curl;
use crate::ui::filters;
use crate::ui::page::{self, Section, Shell};
use askama::Template;
use poem::web::{Data, Query};
use poem::{Response, Result, handler};
use serde::Deserialize;
use time::Date;
use time::macros::format_description;
use url::form_urlencoded::Serializer;

const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "pages/audit/list.html")]
struct ListPage {
    shell: Shell,
    records: Vec<AuditRecord>,
    asked: Asked,
    newer: Option<String>,
    older: Option<String>,
    curl: Curl,
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
    before: String,
    after: String,
}

impl Asked {
    fn is_narrowed(&self) -> bool {
        self.narrowing().next().is_some()
    }

    fn narrowing(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("by", &self.by),
            ("action", &self.action),
            ("object", &self.object),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let given = all.into_iter().filter(|(_, value)| !value.is_empty());
        given.map(|(name, value)| (name, value.as_str()))
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

    /// One record more than is shown, to know whether there are more. A page of newer records is
    /// read from its old end.
    fn page(&self) -> Outcome<Page> {
        let after = number("after", &self.after)?;
        Ok(Page {
            limit: Some(ROWS + 1),
            before: number("before", &self.before)?,
            after,
            order: match after {
                Some(_) => Order::Asc,
                None => Order::Desc,
            },
        })
    }

    fn link(&self, cursor: &str, n: i64) -> String {
        let mut query = Serializer::new(String::new());
        query.extend_pairs(self.narrowing());
        format!(
            "/audit?{}",
            query.append_pair(cursor, &n.to_string()).finish()
        )
    }

    /// The same as lines, from the API.
    fn api(&self, filter: &AuditFilter) -> String {
        let mut query = Serializer::new(String::new());
        let times = |name: &str| name != "since" && name != "until";
        query.extend_pairs(self.narrowing().filter(|(name, _)| times(name)));
        for (name, at) in [("since", filter.since), ("until", filter.until)] {
            query.extend_pairs(at.map(|at| (name, at.to_string())));
        }
        query.append_pair("format", "jsonl");
        format!("/wsexec/audit?{}", query.finish())
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

fn number(name: &'static str, text: &str) -> Outcome<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.trim().parse();
    number
        .map(Some)
        .map_err(|_| Error::field(name, "must be a number"))
}

#[handler]
pub async fn index(
    Caller(actor): Caller,
    BaseUrl(base): BaseUrl,
    Data(service): Data<&Service>,
    Query(asked): Query<Asked>,
) -> Result<Response> {
    let (page, filter) = (asked.page()?, asked.filter()?);
    let mut records = service.audit(&actor, &filter, page).await?;
    let more = records.len() > ROWS as usize;
    records.truncate(ROWS as usize);
    let upwards = page.order == Order::Asc;
    if upwards {
        records.reverse();
    }
    let (newer, older) = match upwards {
        true => (more, true),
        false => (page.before.is_some(), more),
    };
    let (newest, oldest) = (
        records.first().map(|it| it.n),
        records.last().map(|it| it.n),
    );
    page::html(&ListPage {
        shell: Shell::of(&actor, Section::Audit),
        newer: newest.filter(|_| newer).map(|n| asked.link("after", n)),
        older: oldest.filter(|_| older).map(|n| asked.link("before", n)),
        curl: Curl::get(&base, actor.name(), asked.api(&filter)),
        records,
        asked,
    })
}
