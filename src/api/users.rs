use super::body::Streamed;
use super::conditional::etag;
use super::input::Json;
use super::login::Login;
use super::param::{Header, Id, Path};
use super::refusal::{Add, Answer, Change, List, Own, Read, Remove};
use super::user_change::{PasswordPut, UserPut};
use super::user_json::{MyselfAnswer, MyselfJson, UserAnswer, UserJson, UsersAnswer};
use super::{Created, Found, Removed, Shown, Tag};
use crate::domain::{Error, NewUser, Result, User, UserId};
use crate::http::BaseUrl;
use crate::service::{IfMatch, Service};
use poem::Body;
use poem_openapi::OpenApi;
use poem_openapi::payload;

/// The routes of users.
pub struct Users(pub Service);

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Users")]
impl Users {
    /// List users
    ///
    /// By name. For admins.
    #[oai(
        path = "/users",
        method = "get",
        operation_id = "listUsers",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/users\""
        )
    )]
    async fn list(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
    ) -> Answer<Shown<UsersAnswer>, List> {
        let users = self.0.users(&actor).await?;
        let users = users.iter().map(|user| UserJson::new(user, &base));
        let users = users.collect();
        Ok(Shown::Shown(payload::Json(UsersAnswer { users })))
    }

    /// Add a user
    ///
    /// For admins. Without a password they log in by other means alone.
    #[oai(
        path = "/users",
        method = "post",
        operation_id = "addUser",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -H 'Content-Type: application/json' -d @new-user.json https://localhost:8443/wsexec/users\"#"
        )
    )]
    async fn add(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The user.
        new: Json<NewUser>,
    ) -> Answer<Created<UserAnswer>, Add> {
        let user = self.0.create_user(&actor, new.value).await?;
        let location = format!("{base}/wsexec/users/{}", user.id);
        let body = Streamed::new(whole(&user, &base)?);
        Ok(Created::Created(body, location, etag(user.version)))
    }

    /// Read yourself
    ///
    /// Who you are, what you may do, and on what, by what you are logged in with.
    #[oai(
        path = "/users/me",
        method = "get",
        operation_id = "readMyself",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/users/me\""
        )
    )]
    async fn myself(&self, Login(actor): Login) -> Answer<Shown<MyselfAnswer>, List> {
        let user = MyselfJson::new(&actor).ok_or_else(nobody)?;
        Ok(Shown::Shown(payload::Json(MyselfAnswer { user })))
    }

    /// Change your password
    ///
    /// Whatever you are logged in with ends, this login too; API tokens stay. Not with an API
    /// token.
    #[oai(
        path = "/users/me/password",
        method = "put",
        operation_id = "changePassword",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X PUT -H 'Content-Type: application/json' -d @passwords.json https://localhost:8443/wsexec/users/me/password\"#"
        )
    )]
    async fn change_password(
        &self,
        Login(actor): Login,
        /// The old password and the new one.
        put: Json<PasswordPut>,
    ) -> Answer<Removed, Own> {
        let PasswordPut { old, new } = put.value;
        self.0.change_own_password(&actor, &old, &new).await?;
        Ok(Removed::done())
    }

    /// Read a user
    ///
    /// For admins.
    #[oai(
        path = "/users/:id",
        method = "get",
        operation_id = "readUser",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/users/1\""
        )
    )]
    async fn read(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the user.
        id: Path<Id>,
    ) -> Answer<Found<UserAnswer>, Read> {
        let user = self.0.user(&actor, UserId(id.0.0)).await?;
        Ok(found(&user, &base)?)
    }

    /// Change a user
    ///
    /// For admins. What is left out stays as it is. What the user is logged in with ends; API
    /// tokens stay, with no more than the user's new rights.
    #[oai(
        path = "/users/:id",
        method = "put",
        operation_id = "changeUser",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -X PUT -H 'Content-Type: application/json' -d '{\"disabled\":true}' https://localhost:8443/wsexec/users/2\"#"
        )
    )]
    async fn change(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the user.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
        /// The change.
        put: Json<UserPut>,
    ) -> Answer<Found<UserAnswer>, Change> {
        let user = UserId(id.0.0);
        let present = match put.value.has_fixed() {
            true => Some(self.0.user(&actor, user).await?),
            false => None,
        };
        let present = present.map(|user| UserJson::new(&user, &base));
        let change = put.value.onto(id.0.0, present.as_ref())?;
        let changed = self.0.update_user(&actor, user, change, if_match.0);
        Ok(found(&changed.await?, &base)?)
    }

    /// Remove a user
    ///
    /// For admins. With tokens and sessions; tasks stay. Refused for the last admin.
    #[oai(
        path = "/users/:id",
        method = "delete",
        operation_id = "removeUser",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER -X DELETE https://localhost:8443/wsexec/users/2\""
        )
    )]
    async fn remove(
        &self,
        Login(actor): Login,
        /// The id of the user.
        id: Path<Id>,
        /// Only where one of these is the present `ETag`, such as `"1"`; `*` for any.
        #[oai(name = "If-Match")]
        if_match: Header<IfMatch>,
    ) -> Answer<Removed, Remove> {
        let id = UserId(id.0.0);
        self.0.remove_user(&actor, id, if_match.0).await?;
        Ok(Removed::done())
    }
}

fn found(user: &User, base: &str) -> Result<Found<UserAnswer>> {
    let body = Streamed::new(whole(user, base)?);
    Ok(Found::Found(body, etag(user.version)))
}

fn whole(user: &User, base: &str) -> Result<Body> {
    let answer = UserAnswer {
        user: UserJson::new(user, base),
    };
    let json = serde_json::to_string(&answer).map_err(Error::internal)?;
    Ok(Body::from(json + "\n"))
}

fn nobody() -> Error {
    Error::not_found("There is no such user.")
}
