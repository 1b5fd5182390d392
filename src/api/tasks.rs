use super::Tag;
use super::body::{Out, Streamed, written};
use super::change::{TaskChange, named};
use super::conditional::{Key, etag, idempotency};
use super::input::Json;
use super::login::Login;
use super::param::{Header, Id, Int, Path, Query};
use super::refusal::{Answer, Change, List, Post, Read, Remove};
use super::rows::{Rows, Source, link_to_next};
use super::wire::{AttemptJson, AttemptsAnswer, TaskAnswer, TaskJson, TasksAnswer};
use super::word::{OneOf, Output};
use super::{Created, Found, Limit, Listed, Removed};
use crate::domain::{
    ApprovalState, Fate, InstanceId, NewTask, Order, Page, Result, State, Stream, Task, TaskFilter,
    TaskId,
};
use crate::http::BaseUrl;
use crate::service::{Actor, IfMatch, Service};
use poem::Body;
use poem::http::Uri;
use poem_openapi::OpenApi;
use std::time::Duration;

/// How long to wait for a task's end, in seconds.
type Wait = Int<0, 60>;

/// The routes of tasks, but for their output.
pub struct Tasks(pub Service);

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Tasks")]
impl Tasks {
    /// List tasks
    ///
    /// Ascending by id, all of them where there is no `limit`. Every parameter narrows the list.
    #[oai(
        path = "/tasks",
        method = "get",
        operation_id = "listTasks",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER 'https://localhost:8443/wsexec/tasks?state=DONE&limit=20&output=none'\""
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
        /// Only ids above this one.
        after: Query<Id>,
        /// Only ids below this one.
        before: Query<Id>,
        /// By id, which way; `asc` unless given.
        order: Query<OneOf<Order>>,
        /// Only in this state.
        state: Query<OneOf<State>>,
        /// Only on this instance, removed or not.
        instance: Query<Id>,
        /// Only of this user to log in as.
        user: Query<String>,
        /// Only with exactly this tag.
        tag: Query<String>,
        /// Only with exactly this name.
        name: Query<String>,
        /// Only those that ended so.
        fate: Query<OneOf<Fate>>,
        /// Only where the second person's approval stands so.
        approval: Query<OneOf<ApprovalState>>,
        /// Only with this text in the name, tag or script, in either case.
        q: Query<String>,
        /// Whether `stdout` and `stderr` are there; `full` unless given.
        output: Query<OneOf<Output>>,
    ) -> Answer<Listed<TasksAnswer>, List> {
        let page = super::page(limit, after, before, order);
        let filter = TaskFilter {
            state: state.0.map(|it| it.0),
            instance: instance.0.map(|id| InstanceId(id.0)),
            user: user.0,
            tag: tag.0,
            name: name.0,
            fate: fate.0.map(|it| it.0),
            approval: approval.0.map(|it| it.0),
            q: q.0,
        };
        let shown = self.shown(actor.clone(), base, output);
        let target = format!("{}/wsexec/tasks", shown.base);
        let rows = TaskRows {
            service: self.0.clone(),
            actor,
            filter,
        };
        let rows = Rows::open(rows, page).await?;
        let link = rows
            .more_after
            .map(|last| link_to_next(&target, uri, page.order, last));
        let body = written(|out| shown.write_all(rows, out)).await?;
        Ok(Listed::Rows(Streamed::new(body), link))
    }

    /// Read a task
    ///
    /// With `wait`, the answer comes when the task has ended or the time is over.
    #[oai(
        path = "/tasks/:id",
        method = "get",
        operation_id = "readTask",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER 'https://localhost:8443/wsexec/tasks/1?wait=30'\""
        )
    )]
    async fn read(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the task.
        id: Path<Id>,
        /// How many seconds to wait for its end.
        wait: Query<Wait>,
        /// Whether `stdout` and `stderr` are there; `full` unless given.
        output: Query<OneOf<Output>>,
    ) -> Answer<Found<TaskAnswer>, Read> {
        let id = TaskId(id.0.0);
        let task = match at_most(&wait) {
            Some(time) => self.0.wait_for_task(&actor, id, time).await?,
            None => self.0.task(&actor, id).await?,
        };
        let tag = etag(task.version);
        let body = self.shown(actor, base, output).whole(task).await?;
        Ok(Found::Found(Streamed::new(body), tag))
    }

    /// Read a task's attempts
    ///
    /// Those that could not begin and were made again. The last run is the task itself.
    #[oai(
        path = "/tasks/:id/attempts",
        method = "get",
        operation_id = "readAttempts",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/tasks/1/attempts\""
        )
    )]
    async fn attempts(
        &self,
        Login(actor): Login,
        /// The id of the task.
        id: Path<Id>,
    ) -> Answer<super::Shown<AttemptsAnswer>, Read> {
        let attempts = self.0.attempts(&actor, TaskId(id.0.0)).await?;
        let attempts = attempts.into_iter().map(AttemptJson::from).collect();
        Ok(super::Shown::Shown(poem_openapi::payload::Json(
            AttemptsAnswer { attempts },
        )))
    }

    /// Post a task
    ///
    /// Answered at once: the task is on disk and will run. With `wait`, the answer comes when it
    /// has ended or the time is over. The same `Idempotency-Key` and body again give the task as
    /// it now is and start nothing.
    #[oai(
        path = "/tasks",
        method = "post",
        operation_id = "postTask",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -H 'Content-Type: application/json' -d '{\"name\":\"ls\",\"instance\":1,\"script\":\"ls -als\",\"user\":\"antoine\"}' https://localhost:8443/wsexec/tasks\"#"
        )
    )]
    #[allow(
        clippy::too_many_arguments,
        reason = "the document is made from the arguments, one for each parameter"
    )]
    async fn post(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// 1 to 128 visible characters that stand for this request for 24 hours.
        #[oai(name = "Idempotency-Key")]
        key: Header<Key>,
        /// How many seconds to wait for its end.
        wait: Query<Wait>,
        /// Whether `stdout` and `stderr` are there; `full` unless given.
        output: Query<OneOf<Output>>,
        /// The task.
        new: Json<NewTask>,
    ) -> Answer<Created<TaskAnswer>, Post> {
        let key = idempotency(key, new.fingerprint);
        let mut task = self.0.create_task(&actor, new.value, key).await?;
        if let Some(time) = at_most(&wait) {
            task = self.0.wait_for_task(&actor, task.id, time).await?;
        }
        let tag = etag(task.version);
        let location = format!("{base}/wsexec/tasks/{}", task.id);
        let body = self.shown(actor, base, output).whole(task).await?;
        Ok(Created::Created(Streamed::new(body), location, tag))
    }

    /// Cancel or amend a task
    ///
    /// `{"state":"ABORT"}` asks for a cancel: a task in INIT becomes ABORT then and there, a
    /// CURRENT one when the machine has answered. After the end `name`, `tag`, `rc`, `stdout` and
    /// `stderr` may be amended.
    #[oai(
        path = "/tasks/:id",
        method = "put",
        operation_id = "changeTask",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X PUT -H 'Content-Type: application/json' -d '{\"state\":\"ABORT\"}' https://localhost:8443/wsexec/tasks/1\"#"
        )
    )]
    async fn change(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the task.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
        /// The change.
        change: Json<TaskChange>,
    ) -> Answer<Found<TaskAnswer>, Change> {
        let shown = self.shown(actor, base, Query(None));
        Ok(shown.change(id.0.0, change.value, if_match.0).await?)
    }

    /// Cancel or amend the task that the body names
    ///
    /// As a PUT on the task itself, with its `id` in the body.
    #[oai(
        path = "/tasks",
        method = "put",
        operation_id = "changeNamedTask",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X PUT -H 'Content-Type: application/json' -d '{\"id\":1,\"rc\":5}' https://localhost:8443/wsexec/tasks\"#"
        )
    )]
    async fn change_named(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
        /// The change.
        change: Json<TaskChange>,
    ) -> Answer<Found<TaskAnswer>, Change> {
        let id = named(change.value.id)?;
        let shown = self.shown(actor, base, Query(None));
        Ok(shown.change(id, change.value, if_match.0).await?)
    }

    /// Remove a task
    ///
    /// With its output. Refused until it has ended.
    #[oai(
        path = "/tasks/:id",
        method = "delete",
        operation_id = "removeTask",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER -X DELETE https://localhost:8443/wsexec/tasks/1\""
        )
    )]
    async fn remove(
        &self,
        Login(actor): Login,
        /// The id of the task.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
    ) -> Answer<Removed, Remove> {
        let id = TaskId(id.0.0);
        self.0.remove_task(&actor, id, if_match.0).await?;
        Ok(Removed::done())
    }
}

impl Tasks {
    fn shown(&self, actor: Actor, base: String, output: Query<OneOf<Output>>) -> Shown {
        Shown {
            service: self.0.clone(),
            actor,
            base,
            output: output.0.map_or_else(Output::default, |it| it.0),
        }
    }
}

fn at_most(wait: &Query<Wait>) -> Option<Duration> {
    let seconds = u64::try_from(wait.0?.0).ok()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

struct TaskRows {
    service: Service,
    actor: Actor,
    filter: TaskFilter,
}

impl Source for TaskRows {
    type Row = Task;

    async fn batch(&self, page: Page) -> Result<Vec<Task>> {
        self.service.tasks(&self.actor, &self.filter, page).await
    }

    fn id(task: &Task) -> i64 {
        task.id.0
    }
}

/// How tasks are shown to one caller.
struct Shown {
    service: Service,
    actor: Actor,
    base: String,
    output: Output,
}

impl Shown {
    async fn change(
        self,
        id: i64,
        change: TaskChange,
        if_match: Option<IfMatch>,
    ) -> Result<Found<TaskAnswer>> {
        let task = TaskId(id);
        let present = match change.has_fixed() {
            true => Some(self.service.task(&self.actor, task).await?),
            false => None,
        };
        let present = present.map(|task| TaskJson::new(&task, &self.base));
        let update = change.onto(id, present.as_ref())?;
        let changed = self
            .service
            .update_task(&self.actor, task, update, if_match)
            .await?;
        let tag = etag(changed.version);
        Ok(Found::Found(Streamed::new(self.whole(changed).await?), tag))
    }

    async fn whole(self, task: Task) -> Result<Body> {
        written(|mut out| async move {
            out.text("{\"task\":").await?;
            self.write(&mut out, &task).await?;
            out.text("}\n").await?;
            out.finish().await
        })
        .await
    }

    async fn write_all(self, mut rows: Rows<TaskRows>, mut out: Out) -> Result<()> {
        out.text("{\"tasks\":[").await?;
        let mut separator = "";
        while let Some(task) = rows.next().await? {
            out.text(separator).await?;
            self.write(&mut out, &task).await?;
            separator = ",";
        }
        out.text("]}\n").await?;
        out.finish().await
    }

    /// The task, and behind its other members its output, chunk by chunk.
    async fn write(&self, out: &mut Out, task: &Task) -> Result<()> {
        let json = TaskJson::new(task, &self.base);
        if self.output == Output::None {
            return out.json(&json).await;
        }
        out.open_object(&json).await?;
        for stream in Stream::ALL {
            out.text(&format!(",\"{}\":\"", stream.as_str())).await?;
            self.write_stream(out, task, stream).await?;
            out.text("\"").await?;
        }
        out.text("}").await
    }

    async fn write_stream(&self, out: &mut Out, task: &Task, stream: Stream) -> Result<()> {
        let is_empty = task.stream(stream).bytes == 0 && !task.is_amended(stream);
        if is_empty {
            return Ok(());
        }
        let mut text = self.service.read_shown(&self.actor, task, stream).await?;
        while let Some(chunk) = text.next_text().await? {
            out.escaped(&chunk).await?;
        }
        Ok(())
    }
}
