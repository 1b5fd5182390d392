use super::input::Json;
use super::login::Login;
use super::param::{Id, Path, Query};
use super::refusal::{Add, Answer, List, Read, Revoke};
use super::user_json::{TokenAnswer, TokenJson, TokensAnswer};
use super::{Removed, Shown, Tag};
use crate::domain::{TokenId, TokenRequest, UserId};
use crate::http::BaseUrl;
use crate::service::Service;
use poem_openapi::payload;
use poem_openapi::{ApiResponse, OpenApi};

/// The routes of API tokens.
pub struct Tokens(pub Service);

/// A new token.
#[derive(ApiResponse)]
enum Made {
    /// It counts from now on. Its text is in this answer alone.
    #[oai(status = 201)]
    Made(
        payload::Json<TokenAnswer>,
        /// Its URL.
        #[oai(header = "Location")]
        String,
    ),
}

#[OpenApi(prefix_path = "/wsexec", tag = "Tag::Users")]
impl Tokens {
    /// List API tokens
    ///
    /// Yours, newest first, those that have expired too.
    #[oai(
        path = "/tokens",
        method = "get",
        operation_id = "listTokens",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/tokens\""
        )
    )]
    async fn list(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// For admins: those of this user.
        user: Query<Id>,
    ) -> Answer<Shown<TokensAnswer>, List> {
        let of = user.0.map(|id| UserId(id.0));
        let tokens = self.0.tokens(&actor, of).await?;
        let tokens = tokens.iter().map(|it| TokenJson::new(it, &base, None));
        let tokens = tokens.collect();
        Ok(Shown::Shown(payload::Json(TokensAnswer { tokens })))
    }

    /// Make an API token
    ///
    /// For yourself, with no more rights than you have. The answer shows its text, which is sent
    /// as `Authorization: Bearer` and is never shown again. Not with an API token.
    #[oai(
        path = "/tokens",
        method = "post",
        operation_id = "makeToken",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "r#\"curl -u USER -H 'Content-Type: application/json' -d '{\"name\":\"ci\",\"role\":\"runner\",\"expires_in\":2592000}' https://localhost:8443/wsexec/tokens\"#"
        )
    )]
    async fn make(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The token.
        new: Json<TokenRequest>,
    ) -> Answer<Made, Add> {
        let (token, text) = self.0.create_token(&actor, None, new.value).await?;
        let token = TokenJson::new(&token, &base, Some(&text));
        let location = token.uri.clone();
        Ok(Made::Made(payload::Json(TokenAnswer { token }), location))
    }

    /// Read an API token
    ///
    /// All but its text. Yours; for admins anybody's.
    #[oai(
        path = "/tokens/:id",
        method = "get",
        operation_id = "readToken",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER https://localhost:8443/wsexec/tokens/1\""
        )
    )]
    async fn read(
        &self,
        Login(actor): Login,
        BaseUrl(base): BaseUrl,
        /// The id of the token.
        id: Path<Id>,
    ) -> Answer<Shown<TokenAnswer>, Read> {
        let token = self.0.token(&actor, TokenId(id.0.0)).await?;
        let token = TokenJson::new(&token, &base, None);
        Ok(Shown::Shown(payload::Json(TokenAnswer { token })))
    }

    /// Revoke an API token
    ///
    /// Yours; for admins anybody's. It is of no use from the next request on, and what is answered
    /// to it breaks off. A token may revoke itself, and no other of its owner's.
    #[oai(
        path = "/tokens/:id",
        method = "delete",
        operation_id = "revokeToken",
        code_sample(
            lang = "sh",
            label = "curl",
            source = "\"curl -u USER -X DELETE https://localhost:8443/wsexec/tokens/1\""
        )
    )]
    async fn revoke(
        &self,
        Login(actor): Login,
        /// The id of the token.
        id: Path<Id>,
    ) -> Answer<Removed, Revoke> {
        self.0.revoke_token(&actor, TokenId(id.0.0)).await?;
        Ok(Removed::done())
    }
}
