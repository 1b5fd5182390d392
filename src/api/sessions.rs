use super::login::Login;
use super::param::{Id, Path, Query};
use super::refusal::{Answer, List, Revoke};
use super::user_json::{SessionJson, SessionsAnswer};
use super::{Removed, Shown, Tag};
use crate::domain::{SessionId, UserId};
use crate::service::Service;
use poem_openapi::OpenApi;
use poem_openapi::payload::Json;

/// The routes of sessions.
pub struct Sessions(pub Service);

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Users")]
impl Sessions {
    /// List sessions
    ///
    /// Your logins to the pages, newest first.
    #[oai(
        path = "/sessions",
        method = "get",
        operation_id = "listSessions",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/sessions\""
        )
    )]
    async fn list(
        &self,
        Login(actor): Login,
        /// For admins: those of this user.
        user: Query<Id>,
    ) -> Answer<Shown<SessionsAnswer>, List> {
        let of = user.0.map(|id| UserId(id.0));
        let sessions = self.0.sessions(&actor, of).await?;
        let sessions = sessions.iter().map(|it| SessionJson::new(it, &actor));
        let sessions = sessions.collect();
        Ok(Shown::Shown(Json(SessionsAnswer { sessions })))
    }

    /// End a session
    ///
    /// Yours; for admins anybody's. It is of no use from the next request on, and what is answered
    /// in it breaks off. Not your own with an API token.
    #[oai(
        path = "/sessions/:id",
        method = "delete",
        operation_id = "endSession",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER -X DELETE https://localhost:8443/wsexec/sessions/1\""
        )
    )]
    async fn end(
        &self,
        Login(actor): Login,
        /// The id of the session.
        id: Path<Id>,
    ) -> Answer<Removed, Revoke> {
        self.0.end_session(&actor, SessionId(id.0.0)).await?;
        Ok(Removed::done())
    }
}
