use super::param::Value;
use super::wire::TaskJson;
use crate::domain::{Error, Result, Stream};
use crate::http::server_sent;
use crate::service::{EventId, Events, TaskEvent};
use bytes::Bytes;
use futures_util::stream;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use serde::Serialize;
use std::time::Duration;

/// How long a stream is silent before it says that it is there: below the 15 s that are promised.
const SILENCE: Duration = Duration::from_secs(10);

/// Server-sent events, or the answer that there are no more.
pub struct EventStream(Response);

impl EventStream {
    /// What happens to a task, as it happens; nothing where all was told.
    pub fn new(events: Option<Events>, base: String) -> Self {
        let Some(events) = events else {
            return Self(Response::builder().status(StatusCode::NO_CONTENT).finish());
        };
        let told = stream::try_unfold((events, base), |(mut events, base)| async move {
            let chunk = match tokio::time::timeout(SILENCE, events.next()).await {
                Err(_) => Bytes::from_static(b":\n\n"),
                Ok(event) => match event? {
                    Some(event) => told(event, &base)?.into(),
                    None => return Ok(None),
                },
            };
            Ok::<_, Error>(Some((chunk, (events, base))))
        });
        Self(server_sent(told))
    }
}

#[derive(Serialize)]
struct Text {
    offset: u64,
    text: String,
}

#[derive(Serialize)]
struct LeftOut {
    stream: &'static str,
    offset: u64,
    length: u64,
}

/// The event as it is sent. JSON holds no line end, so that `data` is one line.
fn told(event: TaskEvent, base: &str) -> Result<String> {
    let (id, name, data) = match event {
        TaskEvent::Output {
            stream,
            offset,
            text,
            id,
        } => (id, stream.as_str(), json(&Text { offset, text })),
        TaskEvent::Gap {
            stream,
            offset,
            length,
            id,
        } => (id, "gap", json(&left_out(stream, offset, length))),
        TaskEvent::End(task) => (EventId::End, "end", json(&TaskJson::new(&task, base))),
    };
    Ok(format!("id: {id}\nevent: {name}\ndata: {}\n\n", data?))
}

fn left_out(stream: Stream, offset: u64, length: u64) -> LeftOut {
    LeftOut {
        stream: stream.as_str(),
        offset,
        length,
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(Error::internal)
}

impl Value for EventId {
    fn schema() -> MetaSchema {
        MetaSchema::new("string")
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.parse()
            .map_err(|()| "must be the id of an event that was sent".into())
    }
}

impl IntoResponse for EventStream {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for EventStream {
    fn meta() -> MetaResponses {
        let schema = MetaSchema {
            example: Some(
                "id: 3-0\nevent: stdout\ndata: {\"offset\":0,\"text\":\"OK\\n\"}\n\n".into(),
            ),
            ..MetaSchema::new("string")
        };
        let response = |status, description, content| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content,
            headers: Vec::new(),
        };
        let events = MetaMediaType {
            content_type: "text/event-stream",
            schema: MetaSchemaRef::Inline(Box::new(schema)),
        };
        MetaResponses {
            responses: vec![
                response(200, "The events, as they happen.", vec![events]),
                response(204, "All was told.", Vec::new()),
            ],
        }
    }

    fn register(_registry: &mut Registry) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json_whatever_the_script_wrote() {
        let event = TaskEvent::Output {
            stream: Stream::Stderr,
            offset: 7,
            text: "a\r\n\ndata: x\u{2028}\"".into(),
            id: EventId::At {
                stdout: 0,
                stderr: 21,
            },
        };
        assert_eq!(
            told(event, "").unwrap(),
            "id: 0-21\nevent: stderr\ndata: {\"offset\":7,\"text\":\"a\\r\\n\\ndata: x\u{2028}\\\"\"}\n\n"
        );
    }
}
