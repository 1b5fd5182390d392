use super::body::{Out, Streamed, written};
use super::login::Login;
use super::param::{Header, Id, Int, Query};
use super::refusal::{Answer, List, header};
use super::rows::{Rows, Source, link_to_next};
use super::word::{OneOf, Word};
use super::{Limit, Tag};
use crate::domain::{AuditFilter, AuditRecord, Order, Page, Result};
use crate::http::BaseUrl;
use crate::service::{Actor, Service};
use poem::http::Uri;
use poem::{Body, IntoResponse, Response};
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use poem_openapi::types::{ParseFromJSON, ParseResult, ToJSON, Type};
use poem_openapi::{ApiResponse, Object, OpenApi};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The routes of the audit trail.
pub struct Audit(pub Service);

/// Seconds since 1970.
type Seconds = Int<0, { i64::MAX }>;

const LINES: &str = "application/x-ndjson";

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Audit")]
impl Audit {
    /// List the audit trail
    ///
    /// Ascending by number, all of it where there is no `limit`. Every parameter narrows the list.
    /// With `format=jsonl`, or `Accept: application/x-ndjson`, each record is a line of its own:
    /// what comes without another filter can be verified by `wsexec audit verify --file`.
    #[oai(
        path = "/audit",
        method = "get",
        operation_id = "listAudit",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER 'https://localhost:8443/wsexec/audit?order=desc&limit=100'\""
        )
    )]
    #[allow(
        clippy::too_many_arguments,
        reason = "the document is made from the arguments, one for each parameter"
    )]
    async fn list(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        uri: &Uri,
        /// At most so many.
        limit: Query<Limit>,
        /// Only numbers above this one.
        after: Query<Id>,
        /// Only numbers below this one.
        before: Query<Id>,
        /// By number, which way; `asc` unless given.
        order: Query<OneOf<Order>>,
        /// Only by this name.
        by: Query<String>,
        /// Only this act, such as `task.create`; with `*` at the end all that begin so.
        action: Query<String>,
        /// Only on this object, such as `instance/3`.
        object: Query<String>,
        /// Not before this time, Unix seconds.
        since: Query<Seconds>,
        /// Before this time, Unix seconds.
        until: Query<Seconds>,
        /// `json`, or `jsonl` for a line each; `json` unless the header Accept says otherwise.
        format: Query<OneOf<Format>>,
        /// `application/x-ndjson` for a line each.
        #[oai(name = "Accept")]
        accept: Header<String>,
    ) -> Answer<Records, List> {
        let page = super::page(limit, after, before, order);
        let filter = AuditFilter {
            by: by.0,
            action: action.0,
            object: object.0,
            since: since.0.map(|it| it.0),
            until: until.0.map(|it| it.0),
        };
        let source = AuditRows {
            service: self.0.clone(),
            actor,
            filter,
        };
        let rows = Rows::open(source, page).await?;
        let target = format!("{base}/wsexec/audit");
        let link = rows
            .more_after
            .map(|last| link_to_next(&target, uri, page.order, last));
        let records = match Format::wanted(format.0, accept.0.as_deref()) {
            Format::Json => Records(written(|out| write_all(rows, out)).await?, false, link),
            Format::Jsonl => Records(written(|out| write_lines(rows, out)).await?, true, link),
        };
        Ok(records)
    }
}

struct AuditRows {
    service: Service,
    actor: Actor,
    filter: AuditFilter,
}

impl Source for AuditRows {
    type Row = AuditRecord;

    async fn batch(&self, page: Page) -> Result<Vec<AuditRecord>> {
        self.service.audit(&self.actor, &self.filter, page).await
    }

    fn id(record: &AuditRecord) -> i64 {
        record.n
    }
}

async fn write_all(mut rows: Rows<AuditRows>, mut out: Out) -> Result<()> {
    out.text("{\"audit\":[").await?;
    let mut separator = "";
    while let Some(record) = rows.next().await? {
        out.text(separator).await?;
        out.text(&audit_line(&record)).await?;
        separator = ",";
    }
    out.text("]}\n").await?;
    out.finish().await
}

async fn write_lines(mut rows: Rows<AuditRows>, mut out: Out) -> Result<()> {
    while let Some(record) = rows.next().await? {
        out.text(&audit_line(&record)).await?;
        out.text("\n").await?;
    }
    out.finish().await
}

/// How the records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Jsonl,
}

impl Word for Format {
    const NAME: &'static str = "Format";
    const ALL: &'static [Self] = &[Self::Json, Self::Jsonl];

    fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonl => "jsonl",
        }
    }
}

impl Format {
    fn wanted(asked: Option<OneOf<Self>>, accept: Option<&str>) -> Self {
        let accepts_lines = accept.is_some_and(|accept| {
            let kinds = accept.split(',').map(|kind| kind.split(';').next());
            kinds.flatten().any(|kind| kind.trim() == LINES)
        });
        match asked {
            Some(OneOf(format)) => format,
            None if accepts_lines => Self::Jsonl,
            None => Self::Json,
        }
    }
}

/// Records as one document or as lines, with the link to the page that follows.
struct Records(Body, bool, Option<String>);

impl IntoResponse for Records {
    fn into_response(self) -> Response {
        let Self(body, lines, link) = self;
        let mut response = match lines {
            true => Response::builder().content_type(LINES).body(body),
            false => Streamed::<AuditAnswer>::new(body).into_response(),
        };
        if let Some(link) = link.and_then(|link| link.parse().ok()) {
            response.headers_mut().insert("Link", link);
        }
        response
    }
}

impl ApiResponse for Records {
    fn meta() -> MetaResponses {
        let content = |content_type, schema| MetaMediaType {
            content_type,
            schema,
        };
        let line = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
        let next = "The page that follows, with `rel=\"next\"`, where there is one.";
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The records that were asked for.",
                status: Some(200),
                status_range: None,
                content: vec![
                    content("application/json", AuditAnswer::schema_ref()),
                    content(LINES, line),
                ],
                headers: vec![header::<String>("Link", next)],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        AuditAnswer::register(registry);
    }
}

/// The audit trail.
#[derive(Object)]
struct AuditAnswer {
    /// The records.
    audit: Vec<AuditRecordJson>,
}

/// One act on record.
#[derive(Object, Serialize, Deserialize)]
#[oai(rename = "AuditRecord")]
struct AuditRecordJson {
    /// Its number: they begin at 1 and none is left out.
    n: i64,
    /// When, Unix seconds.
    at: i64,
    /// Who: a login name, `local` for the command line, `wsexec` for the server itself; empty where
    /// nobody was logged in.
    by: String,
    /// By what means, such as `session/3`.
    via: String,
    /// From where.
    from: String,
    /// What was done, such as `task.create`.
    action: String,
    /// To what, such as `instance/3`.
    object: String,
    /// How many such acts this stands for: refusals that repeat are counted together.
    count: i64,
    /// What more there is to tell.
    detail: Detail,
    /// The MAC over all of this and the MAC of the record before, hexadecimal.
    mac: String,
}

/// JSON as it stands in the record, since the MAC is over that text.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Detail(Box<RawValue>);

impl Detail {
    /// What is no JSON was put there by somebody else: it is shown as a text.
    fn new(text: &str) -> Self {
        let is_line = !text.contains(['\n', '\r']);
        let raw = RawValue::from_string(text.to_owned()).ok();
        let quoted = || serde_json::value::to_raw_value(text).unwrap_or_default();
        Self(raw.filter(|_| is_line).unwrap_or_else(quoted))
    }

    fn text(&self) -> String {
        let raw = self.0.get();
        serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned())
    }
}

impl Type for Detail {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        "AuditDetail".into()
    }

    fn schema_ref() -> MetaSchemaRef {
        MetaSchemaRef::Inline(Box::new(MetaSchema::new("object")))
    }

    fn as_raw_value(&self) -> Option<&Self> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Detail {
    fn to_json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(self.0.get()).ok()
    }
}

impl ParseFromJSON for Detail {
    fn parse_from_json(value: Option<serde_json::Value>) -> ParseResult<Self> {
        Ok(Self::new(&value.unwrap_or_default().to_string()))
    }
}

/// A record as one line of JSON, without the line end.
pub fn audit_line(it: &AuditRecord) -> String {
    let json = AuditRecordJson {
        n: it.n,
        at: it.at,
        by: it.by.clone(),
        via: it.via.clone(),
        from: it.from.clone(),
        action: it.action.clone(),
        object: it.object.clone(),
        count: it.count,
        detail: Detail::new(&it.detail),
        mac: it.mac.iter().map(|byte| format!("{byte:02x}")).collect(),
    };
    serde_json::to_string(&json).unwrap_or_default()
}

/// Reads what [`audit_line`] wrote.
///
/// # Errors
/// The sentence that says what is wrong.
pub fn audit_record(line: &str) -> Result<AuditRecord, String> {
    let it: AuditRecordJson = serde_json::from_str(line).map_err(|e| e.to_string())?;
    let byte = |at: usize| u8::from_str_radix(it.mac.get(at..at + 2)?, 16).ok();
    let mac: Option<Vec<u8>> = (0..it.mac.len()).step_by(2).map(byte).collect();
    Ok(AuditRecord {
        n: it.n,
        at: it.at,
        by: it.by,
        via: it.via,
        from: it.from,
        action: it.action,
        object: it.object,
        count: it.count,
        detail: it.detail.text(),
        mac: mac.ok_or("`mac` is not hexadecimal")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_holds_a_record_to_the_letter_whatever_it_says() {
        for detail in [
            r#"{"b":1,"a":"\u0041\/","n":1.50}"#,
            "no JSON\n\u{202e}",
            "",
        ] {
            let it = AuditRecord {
                n: 7,
                at: -1,
                by: "a\n\u{1b}".into(),
                via: "session/3".into(),
                from: "::1".into(),
                action: "login".into(),
                object: "user/1".into(),
                count: 1,
                detail: detail.into(),
                mac: vec![0, 255],
            };
            let line = audit_line(&it);
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(audit_record(&line).unwrap(), it);
        }
        assert!(audit_record("{}").is_err());
    }
}
