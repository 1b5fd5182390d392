use super::Found;
use super::Tag;
use super::body::Streamed;
use super::conditional::etag;
use super::input::{Input, Json, Members};
use super::login::Login;
use super::param::{Header, Id, Path};
use super::refusal::{Answer, Change, Read};
use super::wire::{TaskJson, TaskOnlyAnswer};
use super::word::OneOf;
use crate::domain::{
    ApprovalDecision, ApprovalVerdict, Error, Result, Task, TaskId, approval_comment,
};
use crate::http::BaseUrl;
use crate::service::{IfMatch, Service};
use poem::Body;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

/// The routes of approvals.
pub struct Approvals(pub Service);

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Tasks")]
impl Approvals {
    /// Read what waits for a second person
    ///
    /// The task: what would run, where (`approval.address`) and as whom. 404 where it needs nobody.
    #[oai(
        path = "/tasks/:id/approval",
        method = "get",
        operation_id = "readApproval",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/tasks/1/approval\""
        )
    )]
    async fn read(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the task.
        id: Path<Id>,
    ) -> Answer<Found<TaskOnlyAnswer>, Read> {
        let task = self.0.approval(&actor, TaskId(id.0.0)).await?;
        Ok(found(&task, &base)?)
    }

    /// Approve or refuse a task
    ///
    /// By a second person: nobody decides about what they posted. An approved task runs on the
    /// machine that it was posted for and on no other; a refused one ends as `cancelled`.
    #[oai(
        path = "/tasks/:id/approval",
        method = "put",
        operation_id = "decideApproval",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X PUT -H 'Content-Type: application/json' -d '{\"decision\":\"approve\"}' https://localhost:8443/wsexec/tasks/1/approval\"#"
        )
    )]
    async fn decide(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the task.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
        /// The decision.
        verdict: Json<ApprovalVerdict>,
    ) -> Answer<Found<TaskOnlyAnswer>, Change> {
        let id = TaskId(id.0.0);
        let decided = self
            .0
            .decide_approval(&actor, id, verdict.value, if_match.0);
        Ok(found(&decided.await?, &base)?)
    }
}

fn found(task: &Task, base: &str) -> Result<Found<TaskOnlyAnswer>> {
    let answer = TaskOnlyAnswer {
        task: TaskJson::new(task, base),
    };
    let json = serde_json::to_string(&answer).map_err(Error::internal)?;
    let body = Streamed::new(Body::from(json + "\n"));
    Ok(Found::Found(body, etag(task.version)))
}

/// A decision about a task.
#[derive(Object)]
#[oai(rename = "ApprovalPut", example, skip_serializing_if_is_none)]
pub struct VerdictBody {
    /// `approve` or `refuse`.
    decision: OneOf<ApprovalDecision>,
    /// Why.
    #[oai(validator(max_length = 1000))]
    comment: Option<String>,
}

impl Example for VerdictBody {
    fn example() -> Self {
        Self {
            decision: OneOf(ApprovalDecision::Approve),
            comment: Some("looks right".into()),
        }
    }
}

impl Input for ApprovalVerdict {
    type Schema = VerdictBody;

    fn read(mut members: Members) -> Result<Self> {
        let decision = members.take::<OneOf<ApprovalDecision>>("decision");
        if decision.is_none() {
            members.wrong("decision", "is required");
        }
        let verdict = Self {
            decision: decision.map_or(ApprovalDecision::Refuse, |it| it.0),
            comment: members.take("comment").unwrap_or_default(),
        };
        members.finish(verdict, |it| {
            approval_comment(&it.comment).map_err(|message| Error::field("comment", message))
        })
    }
}
