use super::body::Streamed;
use super::conditional::etag;
use super::identity_change::IdentityPut;
use super::input::Json;
use super::login::Login;
use super::param::{Header, Id, Path};
use super::refusal::{Answer, Change, Declare, List, Read, Remove};
use super::word::OneOf;
use super::{Created, Found, Removed, Shown, Tag};
use crate::domain::{Error, Identity, IdentityId, IdentityKind, NewIdentity, Result};
use crate::http::BaseUrl;
use crate::service::{IfMatch, Service};
use poem::Body;
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

/// The routes of identities.
pub struct Identities(pub Service);

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Identities")]
impl Identities {
    /// List the identities
    ///
    /// By name. What is secret of them is never shown.
    #[oai(
        path = "/identities",
        method = "get",
        operation_id = "listIdentities",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/identities\""
        )
    )]
    async fn list(&self, Login(actor): Login) -> Answer<Shown<IdentitiesAnswer>, List> {
        let found = self.0.identities(&actor).await?;
        let identities = found.iter().map(IdentityJson::new).collect();
        let answer = IdentitiesAnswer { identities };
        Ok(Shown::Shown(poem_openapi::payload::Json(answer)))
    }

    /// Make an identity
    ///
    /// An SSH key for which no value is given is made in the server; its public half, which the
    /// answer has, goes into `authorized_keys` on the machines.
    #[oai(
        path = "/identities",
        method = "post",
        operation_id = "createIdentity",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X POST -H 'Content-Type: application/json' -d '{\"name\":\"deploy\",\"kind\":\"ssh_key\",\"scope\":[\"deploy@web-*\"]}' https://localhost:8443/wsexec/identities\"#"
        )
    )]
    async fn create(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The identity.
        new: Json<NewIdentity>,
    ) -> Answer<Created<IdentityAnswer>, Declare> {
        let made = self.0.create_identity(&actor, new.value).await?;
        let location = format!("{base}/wsexec/identities/{}", made.id);
        Ok(Created::Created(body(&made)?, location, etag(made.version)))
    }

    /// Read an identity
    #[oai(
        path = "/identities/:id",
        method = "get",
        operation_id = "readIdentity",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/identities/1\""
        )
    )]
    async fn read(
        &self,
        Login(actor): Login,
        /// The id of the identity.
        id: Path<Id>,
    ) -> Answer<Found<IdentityAnswer>, Read> {
        let found = self.0.identity(&actor, IdentityId(id.0.0)).await?;
        Ok(Found::Found(body(&found)?, etag(found.version)))
    }

    /// Change what an identity is for, or its secret
    ///
    /// What is left out stays as it is.
    #[oai(
        path = "/identities/:id",
        method = "put",
        operation_id = "changeIdentity",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X PUT -H 'Content-Type: application/json' -d '{\"scope\":[\"deploy@env=prod\"]}' https://localhost:8443/wsexec/identities/1\"#"
        )
    )]
    async fn change(
        &self,
        Login(actor): Login,
        /// The id of the identity.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
        /// What is to change.
        put: Json<IdentityPut>,
    ) -> Answer<Found<IdentityAnswer>, Change> {
        let id = IdentityId(id.0.0);
        let kind = self.0.identity(&actor, id).await?.kind;
        let change = put.value.of(kind)?;
        let changed = self
            .0
            .change_identity(&actor, id, change, if_match.0)
            .await?;
        Ok(Found::Found(body(&changed)?, etag(changed.version)))
    }

    /// Remove an identity
    ///
    /// Its secret is gone. Refused with 409 while an instance uses it.
    #[oai(
        path = "/identities/:id",
        method = "delete",
        operation_id = "removeIdentity",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER -X DELETE https://localhost:8443/wsexec/identities/1\""
        )
    )]
    async fn remove(
        &self,
        Login(actor): Login,
        /// The id of the identity.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
    ) -> Answer<Removed, Remove> {
        let id = IdentityId(id.0.0);
        self.0.remove_identity(&actor, id, if_match.0).await?;
        Ok(Removed::done())
    }
}

fn body(identity: &Identity) -> Result<Streamed<IdentityAnswer>> {
    let answer = IdentityAnswer {
        identity: IdentityJson::new(identity),
    };
    let json = serde_json::to_string(&answer).map_err(Error::internal)?;
    Ok(Streamed::new(Body::from(json + "\n")))
}

/// One identity.
#[derive(Object, Serialize)]
#[oai(rename = "IdentityAnswer")]
struct IdentityAnswer {
    /// The identity.
    identity: IdentityJson,
}

/// All identities.
#[derive(Object, Serialize)]
#[oai(rename = "IdentitiesAnswer")]
struct IdentitiesAnswer {
    /// The identities.
    identities: Vec<IdentityJson>,
}

/// A secret that is kept by name: all but the secret.
#[derive(Object, Serialize)]
#[oai(rename = "Identity")]
struct IdentityJson {
    /// Given by the server, never reused.
    id: i64,
    /// What it is referred to by.
    name: String,
    /// What it is.
    kind: OneOf<IdentityKind>,
    /// For which login users on which instances it may be used; for all where it is empty.
    scope: Vec<String>,
    /// The fingerprints of the host keys of the machines that may be told it; any machine of the
    /// scope where it is empty.
    host_keys: Vec<String>,
    /// The public half of a key, as `authorized_keys` has it.
    #[oai(nullable)]
    public_key: Option<String>,
    /// Its fingerprint, as `ssh-keygen -l` shows it.
    #[oai(nullable)]
    fingerprint: Option<String>,
    /// When it was made, Unix seconds.
    created: i64,
    /// Who made it.
    created_by: String,
}

impl IdentityJson {
    fn new(it: &Identity) -> Self {
        Self {
            id: it.id.0,
            name: it.name.clone(),
            kind: OneOf(it.kind),
            scope: it.scope.rules(),
            host_keys: it.host_keys.clone(),
            public_key: it.public_key.clone(),
            fingerprint: it.fingerprint.clone(),
            created: it.created,
            created_by: it.created_by.clone(),
        }
    }
}
