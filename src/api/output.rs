use super::Tag;
use super::events::EventStream;
use super::login::Login;
use super::param::{Header, Id, Path};
use super::range::ByteRange;
use super::raw::{RawBytes, Wanted};
use super::refusal::{Answer, Raw, Read};
use crate::domain::{Stream, TaskId};
use crate::http::BaseUrl;
use crate::service::{Actor, EventId, Service, View};
use poem_openapi::OpenApi;

/// The routes of a task's output.
pub struct Output(pub Service);

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Output")]
impl Output {
    /// Read raw standard output
    ///
    /// The kept bytes of what ran, never amended. `Range` takes one range of bytes; of several the
    /// answer is the whole.
    #[oai(
        path = "/tasks/:id/stdout",
        method = "get",
        operation_id = "readStdout",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER -r -1024 https://localhost:8443/wsexec/tasks/1/stdout\""
        )
    )]
    async fn stdout(
        &self,
        Login(actor): Login,
        /// The id of the task.
        id: Path<Id>,
        /// Which bytes, such as `bytes=0-1023`, `bytes=1024-` or `bytes=-1024`.
        #[oai(name = "Range")]
        range: Header<ByteRange>,
        /// An `ETag`; where it is not the present one, `Range` does not count.
        #[oai(name = "If-Range")]
        if_range: Header<String>,
    ) -> Answer<RawBytes, Raw> {
        let wanted = Wanted { range, if_range };
        Ok(self
            .raw(&actor, id, View::One(Stream::Stdout), wanted)
            .await?)
    }

    /// Read raw standard error
    ///
    /// The kept bytes of what ran, never amended. `Range` takes one range of bytes; of several the
    /// answer is the whole.
    #[oai(
        path = "/tasks/:id/stderr",
        method = "get",
        operation_id = "readStderr",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/tasks/1/stderr\""
        )
    )]
    async fn stderr(
        &self,
        Login(actor): Login,
        /// The id of the task.
        id: Path<Id>,
        /// Which bytes, such as `bytes=0-1023`, `bytes=1024-` or `bytes=-1024`.
        #[oai(name = "Range")]
        range: Header<ByteRange>,
        /// An `ETag`; where it is not the present one, `Range` does not count.
        #[oai(name = "If-Range")]
        if_range: Header<String>,
    ) -> Answer<RawBytes, Raw> {
        let wanted = Wanted { range, if_range };
        Ok(self
            .raw(&actor, id, View::One(Stream::Stderr), wanted)
            .await?)
    }

    /// Read raw output of both streams
    ///
    /// In the order they came.
    #[oai(
        path = "/tasks/:id/output",
        method = "get",
        operation_id = "readOutput",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/tasks/1/output\""
        )
    )]
    async fn output(
        &self,
        Login(actor): Login,
        /// The id of the task.
        id: Path<Id>,
        /// Which bytes, such as `bytes=0-1023`, `bytes=1024-` or `bytes=-1024`.
        #[oai(name = "Range")]
        range: Header<ByteRange>,
        /// An `ETag`; where it is not the present one, `Range` does not count.
        #[oai(name = "If-Range")]
        if_range: Header<String>,
    ) -> Answer<RawBytes, Raw> {
        let wanted = Wanted { range, if_range };
        Ok(self.raw(&actor, id, View::Both, wanted).await?)
    }

    /// Follow a task
    ///
    /// Server-sent events. `stdout` and `stderr` have the data `{"offset", "text"}`, the offset in
    /// bytes of that stream; `gap` has `{"stream", "offset", "length"}` where output was left out;
    /// `end` has the task without its output, and is the last. A comment line comes at least each
    /// 15 s.
    #[oai(
        path = "/tasks/:id/events",
        method = "get",
        operation_id = "followTask",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER -N https://localhost:8443/wsexec/tasks/1/events\""
        )
    )]
    async fn events(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the task.
        id: Path<Id>,
        /// The `id` of the last event that was seen, such as `1024-0`: go on after it.
        #[oai(name = "Last-Event-ID")]
        last: Header<EventId>,
    ) -> Answer<EventStream, Read> {
        let events = self.0.events(&actor, TaskId(id.0.0), last.0).await?;
        Ok(EventStream::new(events, base))
    }
}

impl Output {
    async fn raw(
        &self,
        actor: &Actor,
        id: Path<Id>,
        view: View,
        wanted: Wanted,
    ) -> poem::Result<RawBytes> {
        let reader = self.0.read_output(actor, TaskId(id.0.0), view).await?;
        RawBytes::open(reader, view, wanted).await
    }
}
