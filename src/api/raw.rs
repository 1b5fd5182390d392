use super::body::opened;
use super::param::Header;
use super::range::{ByteRange, Unsatisfiable};
use super::refusal::header;
use crate::domain::{Error, Gap, Kind, Mode, Result, Stream, Task};
use crate::service::{OutputReader, View};
use bytes::Bytes;
use futures_util::stream;
use poem::http::StatusCode;
use poem::{IntoResponse, Response, ResponseBuilder};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{
    MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry,
};
use std::ops::Range;

/// Kept bytes, whole or a range of them.
pub struct RawBytes(Response);

/// What part of the bytes a request asks for.
pub struct Wanted {
    /// Its `Range`.
    pub range: Header<ByteRange>,
    /// Its `If-Range`: the range counts only while this is the `ETag`.
    pub if_range: Header<String>,
}

impl RawBytes {
    /// The answer, with its first bytes read.
    ///
    /// # Errors
    /// `RangeNotSatisfiable`, or where the output cannot be read.
    pub async fn open(reader: OutputReader, view: View, wanted: Wanted) -> poem::Result<Self> {
        let task = reader.task().clone();
        let tag = tag(&task, view);
        let head = head(&task, view, &reader.gaps().await?);
        // While the tail of a running task moves, there is no telling which bytes a range means.
        let Some(length) = reader.kept() else {
            let body = opened(chunks(reader, None)).await?;
            return Ok(Self(head.body(body)));
        };
        let part = match wanted.part(&tag, length) {
            Ok(part) => part,
            Err(Unsatisfiable) => return Err(unsatisfiable(length)),
        };
        let status = match part {
            Some(_) => StatusCode::PARTIAL_CONTENT,
            None => StatusCode::OK,
        };
        let range = part.clone().unwrap_or(0..length);
        let mut response = head
            .status(status)
            .header("Content-Length", range.end - range.start)
            .header("Accept-Ranges", "bytes")
            .header("ETag", tag);
        if let Some(part) = part {
            let (first, last) = (part.start, part.end - 1);
            response = response.header("Content-Range", format!("bytes {first}-{last}/{length}"));
        }
        let body = opened(chunks(reader, Some(range))).await?;
        Ok(Self(response.body(body)))
    }
}

/// What holds for the whole and for a range.
fn head(task: &Task, view: View, gaps: &[Gap]) -> ResponseBuilder {
    let name = format!("task-{}-{}.txt", task.id, name(view));
    // The bytes are somebody else's: a browser saves them and never shows them as a page.
    let mut response = Response::builder()
        .content_type("application/octet-stream")
        .header(
            "Content-Security-Policy",
            "default-src 'none'; sandbox; frame-ancestors 'none'",
        )
        .header(
            "Content-Disposition",
            format!("attachment; filename=\"{name}\""),
        );
    // How both streams lie within each other is known only where they came over one connection.
    if view == View::Both && task.mode == Mode::Detached {
        response = response.header("Wsexec-Order", "approximate");
    }
    for gap in gaps {
        response = response.header("Wsexec-Gap", format!("{},{}", gap.offset, gap.length));
    }
    response
}

impl Wanted {
    fn part(&self, tag: &str, length: u64) -> Result<Option<Range<u64>>, Unsatisfiable> {
        let is_current = self.if_range.0.as_ref().is_none_or(|given| given == tag);
        match self.range.0 {
            Some(range) if is_current => range.within(length),
            _ => Ok(None),
        }
    }
}

fn unsatisfiable(length: u64) -> poem::Error {
    let error = Error::new(
        Kind::RangeNotSatisfiable,
        format!("There are {length} bytes, and none where the range is."),
    );
    let mut response = poem::Error::from(error).into_response();
    let range = format!("bytes */{length}");
    if let Ok(range) = range.parse() {
        response.headers_mut().insert("Content-Range", range);
    }
    poem::Error::from_response(response)
}

/// What is kept of a stream is told by how many bytes came and how many of them are kept.
fn tag(task: &Task, view: View) -> String {
    let tag = |stream| {
        let info = task.stream(stream);
        format!("{}-{}", info.bytes, info.kept())
    };
    match view {
        View::One(stream) => format!("\"{}\"", tag(stream)),
        View::Both => format!("\"{}-{}\"", tag(Stream::Stdout), tag(Stream::Stderr)),
    }
}

fn name(view: View) -> &'static str {
    match view {
        View::One(stream) => stream.as_str(),
        View::Both => "output",
    }
}

fn chunks(
    mut reader: OutputReader,
    range: Option<Range<u64>>,
) -> impl futures_util::Stream<Item = Result<Bytes>> + Send {
    reader.skip(range.as_ref().map_or(0, |range| range.start));
    let left = range.map(|range| range.end - range.start);
    stream::try_unfold((reader, left), |(mut reader, left)| async move {
        if left == Some(0) {
            return Ok(None);
        }
        match (reader.next().await?, left) {
            (Some(mut chunk), Some(left)) => {
                chunk.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                let left = left - chunk.len() as u64;
                Ok(Some((chunk, (reader, Some(left)))))
            }
            (Some(chunk), None) => Ok(Some((chunk, (reader, None)))),
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Error::unavailable("The output is shorter than it was.", 1)),
        }
    })
}

impl IntoResponse for RawBytes {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for RawBytes {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![
                response(200, "All kept bytes."),
                response(206, "The bytes that `Range` asks for."),
            ],
        }
    }

    fn register(_registry: &mut Registry) {}
}

fn response(status: u16, description: &'static str) -> MetaResponse {
    let mut headers = vec![
        header::<String>(
            "Accept-Ranges",
            "`bytes`; left out while the tail of a running task moves.",
        ),
        header::<String>("ETag", "Changes when bytes come; for `If-Range`."),
        header::<String>(
            "Wsexec-Gap",
            "`OFFSET,LENGTH` of what was left out, in bytes: so many bytes of the body stand before \
             it. Where both streams are read, once for each that has a gap.",
        ),
    ];
    headers.push(header::<String>(
        "Wsexec-Order",
        "`approximate` where both streams of a detached run are read: each is exact, and how they lie \
         within each other is not.",
    ));
    if status == 206 {
        headers.push(header::<String>("Content-Range", "Which bytes these are."));
    }
    let schema = MetaSchema::new_with_format("string", "binary");
    MetaResponse {
        description,
        status: Some(status),
        status_range: None,
        content: vec![MetaMediaType {
            content_type: "application/octet-stream",
            schema: MetaSchemaRef::Inline(Box::new(schema)),
        }],
        headers,
    }
}
