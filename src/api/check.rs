use super::Tag;
use super::input::{Input, Json, Members, Nullable};
use super::login::Login;
use super::param::{Id, Path};
use super::refusal::{Answer, Try};
use super::wire::BecomeJson;
use super::word::OneOf;
use crate::domain::{Become, Check, CheckFinding, CheckRequest, CheckStep, InstanceId, Result};
use crate::service::Service;
use poem_openapi::types::Example;
use poem_openapi::{ApiResponse, Object, OpenApi};

/// The route of checks.
pub struct Checks(pub Service);

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Instances")]
impl Checks {
    /// Check an instance
    ///
    /// Connects and logs in as a task would, looks at what a script needs there, and says of each
    /// step what to do where it fails. It takes up to a minute. A first host key is recorded as
    /// for a task, or, where only approved keys are taken, shown.
    #[oai(
        path = "/instances/:id/check",
        method = "post",
        operation_id = "checkInstance",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -H 'Content-Type: application/json' -d '{\"user\":\"antoine\"}' https://localhost:8443/wsexec/instances/1/check\"#"
        )
    )]
    async fn check(
        &self,
        Login(actor): Login,
        /// The id of the instance.
        id: Path<Id>,
        /// As whom.
        request: Json<CheckRequest>,
    ) -> Answer<Checked, Try> {
        let id = InstanceId(id.0.0);
        let check = self.0.check_instance(&actor, id, request.value).await?;
        Ok(Checked::Checked(poem_openapi::payload::Json(CheckAnswer {
            check: CheckJson::from(check),
        })))
    }
}

/// What is needed to check an instance.
#[derive(Object)]
#[oai(rename = "NewCheck", example, skip_serializing_if_is_none)]
pub struct CheckBody {
    /// The user to log in as.
    user: String,
    /// As which other user scripts are to run, where that is to be checked too.
    #[oai(rename = "become", nullable)]
    become_user: Option<BecomeJson>,
}

impl Example for CheckBody {
    fn example() -> Self {
        Self {
            user: "antoine".into(),
            become_user: None,
        }
    }
}

impl Input for CheckRequest {
    type Schema = CheckBody;

    fn read(mut members: Members) -> Result<Self> {
        let request = Self {
            user: members.need("user"),
            become_user: members
                .take::<Nullable<Become>>("become")
                .and_then(|it| it.0),
        };
        members.finish(request, Self::validate)
    }
}

#[derive(ApiResponse)]
enum Checked {
    /// What was found, good or not.
    #[oai(status = 200)]
    Checked(poem_openapi::payload::Json<CheckAnswer>),
}

/// One check.
#[derive(Object)]
#[oai(rename = "CheckAnswer")]
struct CheckAnswer {
    /// The check.
    check: CheckJson,
}

/// What a check has found.
#[derive(Object)]
#[oai(rename = "Check")]
struct CheckJson {
    /// Whether every step went well.
    ok: bool,
    /// The steps in order; `become` only where it was asked for.
    steps: Vec<CheckFindingJson>,
}

impl From<Check> for CheckJson {
    fn from(check: Check) -> Self {
        Self {
            ok: check.is_ok(),
            steps: check
                .steps
                .into_iter()
                .map(CheckFindingJson::from)
                .collect(),
        }
    }
}

/// What one step has found.
#[derive(Object)]
#[oai(rename = "CheckFinding")]
struct CheckFindingJson {
    /// Which step.
    name: OneOf<CheckStep>,
    /// Whether it went well; null where it was not tried, as an earlier one failed.
    #[oai(nullable)]
    ok: Option<bool>,
    /// What was found.
    detail: String,
    /// What to do about it.
    #[oai(nullable)]
    advice: Option<String>,
}

impl From<CheckFinding> for CheckFindingJson {
    fn from(finding: CheckFinding) -> Self {
        Self {
            name: OneOf(finding.step),
            ok: finding.ok,
            detail: finding.detail,
            advice: finding.advice,
        }
    }
}
