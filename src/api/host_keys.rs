use super::Found;
use super::Tag;
use super::body::Streamed;
use super::conditional::etag;
use super::input::Json;
use super::instance_change::HostKeyPut;
use super::instance_json::ShownKeyJson;
use super::login::Login;
use super::param::{Header, Id, Path};
use super::refusal::{Answer, Change, Read};
use super::word::OneOf;
use crate::domain::{
    Error, HostKeyAct, HostKeyEvent, HostKeyRecord, HostKeyState, InstanceId, Result, RevokedKey,
};
use crate::service::{IfMatch, Service};
use poem::Body;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

/// The routes of host keys.
pub struct HostKeys(pub Service);

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Instances")]
impl HostKeys {
    /// Read the host key of an instance
    ///
    /// The key on record as known_hosts has it, the last one that the machine has shown and that
    /// is not trusted, what is revoked, and what happened.
    #[oai(
        path = "/instances/:id/host_key",
        method = "get",
        operation_id = "readHostKey",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/instances/1/host_key\""
        )
    )]
    async fn read(
        &self,
        Login(actor): Login,
        /// The id of the instance.
        id: Path<Id>,
    ) -> Answer<Found<HostKeyAnswer>, Read> {
        let record = self.0.host_key(&actor, InstanceId(id.0.0)).await?;
        Ok(found(&record)?)
    }

    /// Approve, replace or revoke the host key of an instance
    ///
    /// Compare the fingerprint with the machine's own first. `approve` and `replace` name the key
    /// that the machine has shown; where it has shown none yet, a check of the instance makes it.
    /// Each is noted with its fingerprints.
    #[oai(
        path = "/instances/:id/host_key",
        method = "put",
        operation_id = "changeHostKey",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X PUT -H 'Content-Type: application/json' -d '{\"action\":\"approve\",\"fingerprint\":\"SHA256:6sLmEQCmn2hmiMYkTBJYX7nXMcgzOYqRzPCyHKKIf5s\"}' https://localhost:8443/wsexec/instances/1/host_key\"#"
        )
    )]
    async fn change(
        &self,
        Login(actor): Login,
        /// The id of the instance.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
        /// The decision.
        put: Json<HostKeyPut>,
    ) -> Answer<Found<HostKeyAnswer>, Change> {
        let id = InstanceId(id.0.0);
        let decision = (put.value.decision, put.value.fingerprint);
        let record = self.0.decide_host_key(&actor, id, decision, if_match.0);
        Ok(found(&record.await?)?)
    }
}

fn found(record: &HostKeyRecord) -> Result<Found<HostKeyAnswer>> {
    let answer = HostKeyAnswer {
        host_key: HostKeyRecordJson::new(record),
    };
    let json = serde_json::to_string(&answer).map_err(Error::internal)?;
    let body = Streamed::new(Body::from(json + "\n"));
    Ok(Found::Found(body, etag(record.instance.version)))
}

/// One host key.
#[derive(Object, Serialize)]
#[oai(rename = "HostKeyAnswer")]
struct HostKeyAnswer {
    /// The host key.
    host_key: HostKeyRecordJson,
}

/// All that is known of the host key of an instance.
#[derive(Object, Serialize)]
#[oai(rename = "HostKeyRecord")]
struct HostKeyRecordJson {
    /// As in the instance.
    state: OneOf<HostKeyState>,
    /// The algorithm of the key on record, such as `ssh-ed25519`.
    #[oai(nullable)]
    r#type: Option<String>,
    /// Its fingerprint, as `ssh-keygen -l` shows it.
    #[oai(nullable)]
    fingerprint: Option<String>,
    /// Its line in known_hosts.
    #[oai(nullable)]
    known_hosts: Option<String>,
    /// The last key that the machine has proved to hold and that is not trusted.
    #[oai(nullable)]
    shown: Option<ShownKeyJson>,
    /// Keys that are forbidden here, oldest first.
    revoked: Vec<RevokedKeyJson>,
    /// What happened, newest first; the last hundred acts.
    history: Vec<HostKeyEventJson>,
}

impl HostKeyRecordJson {
    fn new(record: &HostKeyRecord) -> Self {
        let instance = &record.instance;
        let key = instance.host_key.as_ref();
        let line =
            |algorithm: &str, base64: &str| format!("{} {algorithm} {base64}", instance.address());
        Self {
            state: OneOf(instance.host_key_state()),
            r#type: key.map(|key| key.algorithm.clone()),
            fingerprint: key.map(|key| key.fingerprint.clone()),
            known_hosts: key.map(|key| line(&key.algorithm, &key.base64)),
            shown: instance.shown_key.as_ref().map(ShownKeyJson::from),
            revoked: record.revoked.iter().map(RevokedKeyJson::from).collect(),
            history: record.history.iter().map(HostKeyEventJson::from).collect(),
        }
    }
}

/// A key that is forbidden.
#[derive(Object, Serialize)]
#[oai(rename = "RevokedKey")]
struct RevokedKeyJson {
    /// Its fingerprint.
    fingerprint: String,
    /// When it was revoked, Unix seconds.
    at: i64,
    /// Who did it.
    by: String,
}

impl From<&RevokedKey> for RevokedKeyJson {
    fn from(key: &RevokedKey) -> Self {
        Self {
            fingerprint: key.fingerprint.clone(),
            at: key.at,
            by: key.by.clone(),
        }
    }
}

/// One act in the history of a host key.
#[derive(Object, Serialize)]
#[oai(rename = "HostKeyEvent")]
struct HostKeyEventJson {
    /// When, Unix seconds.
    at: i64,
    /// Who; `wsexec` for the first key, which is recorded where the configuration says so.
    by: String,
    /// What: `record` at the first connection, the three decisions, `forget` at a new address.
    action: OneOf<HostKeyAct>,
    /// The fingerprint that it is about; null for `forget`.
    #[oai(nullable)]
    fingerprint: Option<String>,
    /// The fingerprint that was on record before.
    #[oai(nullable)]
    on_record: Option<String>,
    /// The fingerprint that the machine had shown last and that was not trusted.
    #[oai(nullable)]
    shown: Option<String>,
}

impl From<&HostKeyEvent> for HostKeyEventJson {
    fn from(event: &HostKeyEvent) -> Self {
        Self {
            at: event.at,
            by: event.by.clone(),
            action: OneOf(event.act),
            fingerprint: event.fingerprint.clone(),
            on_record: event.on_record.clone(),
            shown: event.shown.clone(),
        }
    }
}
