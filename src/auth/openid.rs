//! Logins at an OpenID provider: the code flow with PKCE (OpenID Connect Core 1.0 section 3.1,
//! RFC 7636, RFC 9700).

use super::secret_file;
use super::ticket::{Errand, Ticket, Tickets};
use super::web::{Web, WebError, causes};
use crate::config;
use crate::domain::{Error, Kind, Result, Role, Secret};
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreClientAuthMethod,
    CoreErrorResponseType, CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
    CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AccessTokenHash, AdditionalClaims, AsyncHttpClient, AuthType, AuthorizationCode,
    ClaimsVerificationError, ClientId, ClientSecret, CsrfToken, EmptyExtraTokenFields,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IdTokenClaims,
    IdTokenFields, IssuerUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, StandardErrorResponse,
    StandardTokenResponse, TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, Semaphore};

/// For so long what the provider says of itself is taken as it is.
const KNOWN: Duration = Duration::from_secs(60 * 60);
/// For so long it is not asked again after it failed, or showed a key that was not known.
const PAUSE: Duration = Duration::from_secs(2);
/// Codes that are redeemed at once.
const TURNS: usize = 32;
/// Seconds by which the clocks may differ.
const SKEW: i64 = 60;
/// Seconds after which an ID token is not that of this login.
const ISSUED: i64 = 10 * 60;

/// The signatures that count: those of a key that the provider alone has.
const SIGNATURES: [CoreJwsSigningAlgorithm; 9] = [
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
    CoreJwsSigningAlgorithm::EdDsa,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
];
/// What in `amr` is more than a password (RFC 8176).
const STRONG_METHODS: [&str; 5] = ["mfa", "otp", "hwk", "sc", "swk"];
/// What in `acr` is more than a password.
const STRONG_CONTEXTS: [&str; 4] = [
    "phr",
    "phrh",
    "https://refeds.org/profile/mfa",
    "http://schemas.openid.net/pape/policies/2007/06/multi-factor",
];

/// The claims beside those that each ID token has.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Others {
    #[serde(flatten)]
    all: BTreeMap<String, Value>,
}

impl AdditionalClaims for Others {}

type Claims = IdTokenClaims<Others, CoreGenderClaim>;
type Tokens = StandardTokenResponse<
    IdTokenFields<
        Others,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;
type Client = openidconnect::Client<
    Others,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

impl<'c> AsyncHttpClient<'c> for Web {
    type Error = WebError;
    type Future =
        Pin<Box<dyn Future<Output = std::result::Result<HttpResponse, WebError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// The provider, as this service sees it; cheap to clone.
#[derive(Clone)]
pub struct OpenId {
    inner: Arc<Inner>,
}

struct Inner {
    config: config::OpenId,
    issuer: IssuerUrl,
    redirect: RedirectUrl,
    secret: Option<ClientSecret>,
    web: Web,
    tickets: Tickets,
    known: Mutex<Known>,
    turns: Semaphore,
}

/// What the provider has said of itself, with its keys.
#[derive(Default)]
struct Known {
    metadata: Option<(Arc<CoreProviderMetadata>, Instant)>,
    failed: Option<Instant>,
}

impl fmt::Debug for OpenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenId").field(&self.inner.issuer).finish()
    }
}

/// The way to the provider.
pub struct Begun {
    /// What the browser keeps meanwhile.
    pub cookie: Secret,
    /// Where it goes.
    pub url: String,
}

/// Somebody who came back and could show a good ID token.
#[derive(Debug)]
pub struct Arrival {
    /// Who: issuer and subject in one, as [`linked_subject`] has it.
    pub subject: String,
    /// What they would like to be called.
    pub name: Option<String>,
    /// The widest role of their groups.
    pub role: Option<Role>,
    /// Whether more than a password was asked for.
    pub second_factor: bool,
    /// Whether they have logged in there since they were sent.
    pub is_fresh: bool,
}

/// Issuer and subject in one: the subject is unique at its issuer alone (Core section 2), and no
/// issuer has a `#`.
pub fn linked_subject(issuer: &str, subject: &str) -> String {
    format!("{issuer}#{subject}")
}

impl OpenId {
    /// # Errors
    /// `Conflict` where a file cannot be used.
    pub fn new(config: config::OpenId, public_url: &str) -> Result<Self> {
        let back = format!("{}/login/openid/callback", public_url.trim_end_matches('/'));
        let secret = match &config.client_secret_file {
            Some(path) => Some(ClientSecret::new(secret_file::read(path)?)),
            None => None,
        };
        let plain = config.issuer.starts_with("http://");
        let inner = Inner {
            issuer: IssuerUrl::new(config.issuer.clone()).map_err(Error::internal)?,
            redirect: RedirectUrl::new(back).map_err(Error::internal)?,
            web: Web::new(config.ca_file.as_deref(), plain)?,
            secret,
            config,
            tickets: Tickets::new(),
            known: Mutex::default(),
            turns: Semaphore::new(TURNS),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// What people know it as.
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// What it calls itself.
    pub fn issuer(&self) -> &str {
        &self.inner.config.issuer
    }

    /// Whether a user is made of who logs in for the first time.
    pub fn creates_users(&self) -> bool {
        self.inner.config.create_users
    }

    /// The way to the provider. Where a session is to be confirmed, it asks for a login anew.
    ///
    /// # Errors
    /// `Unavailable` where the provider does not answer.
    pub async fn begin(&self, errand: Errand) -> Result<Begun> {
        let client = self.client(&*self.metadata().await?);
        let confirms = errand.confirms().is_some();
        let (cookie, state, ticket) = self.inner.tickets.make(errand);
        let verifier = PkceCodeVerifier::new(ticket.verifier);
        let scopes = self.inner.config.scopes.iter();
        let scopes = scopes.filter(|it| *it != "openid").cloned().map(Scope::new);
        let mut request = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new(state),
                || Nonce::new(ticket.nonce),
            )
            .add_scopes(scopes)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        if confirms {
            request = request
                .add_prompt(CoreAuthPrompt::Login)
                .set_max_age(Duration::ZERO);
        }
        let (url, ..) = request.url();
        if url.scheme() != "https" && !self.issuer().starts_with("http://") {
            return Err(self.unreachable("its page for logins is not on https"));
        }
        Ok(Begun {
            cookie,
            url: url.into(),
        })
    }

    /// What a browser was sent for that is back with this `state`; none where it was not sent from
    /// here, or too long ago.
    pub fn errand(&self, cookie: &Secret, state: &str, now: i64) -> Option<Errand> {
        let ticket = self.inner.tickets.read(cookie, state, now)?;
        Some(ticket.errand)
    }

    /// Redeems a code, once for each cookie.
    ///
    /// # Errors
    /// `Unauthenticated` where cookie, code or ID token are not good; `Unavailable` where the
    /// provider does not answer.
    pub async fn redeem(
        &self,
        (cookie, state): (&Secret, &str),
        code: &str,
        now: i64,
    ) -> Result<Arrival> {
        let it = &self.inner;
        let ticket = it.tickets.read(cookie, state, now);
        let ticket = ticket.ok_or_else(|| untrusted("the state is not that of the cookie"))?;
        let busy = |_| Error::unavailable("Too many logins at once. Try again in a moment.", 1);
        let _turn = it.turns.try_acquire().map_err(busy)?;
        if !it.tickets.take(&ticket, now) {
            return Err(untrusted("the state was used before"));
        }
        let arrival = self.exchange(&ticket, code, now).await;
        if arrival.is_err() {
            it.tickets.give_back(&ticket);
        }
        arrival
    }

    async fn exchange(&self, ticket: &Ticket, code: &str, now: i64) -> Result<Arrival> {
        let client = self.client(&*self.metadata().await?);
        let request = client
            .exchange_code(AuthorizationCode::new(code.to_owned()))
            .map_err(|error| self.unreachable(error))?
            .set_pkce_verifier(PkceCodeVerifier::new(ticket.verifier.clone()));
        let tokens = request.request_async(&self.inner.web).await;
        let tokens = tokens.map_err(|error| match error {
            RequestTokenError::ServerResponse(said) => untrusted(said.to_string()),
            RequestTokenError::Request(error) => self.unreachable(error),
            // What could not be parsed may hold tokens.
            RequestTokenError::Parse(error, _) => self.unreachable(error),
            RequestTokenError::Other(why) => self.unreachable(why),
        })?;
        let nonce = Nonce::new(ticket.nonce.clone());
        let claims = match verified(&client, &tokens, &nonce) {
            Err(Unverified::UnknownKey) => {
                let client = self.client(&*self.new_keys().await?);
                verified(&client, &tokens, &nonce)
            }
            other => other,
        };
        let claims = claims.map_err(untrusted)?;
        self.arrival(&claims, ticket, now)
    }

    fn arrival(&self, claims: &Claims, ticket: &Ticket, now: i64) -> Result<Arrival> {
        let issued = claims.issue_time().timestamp();
        if !(now - ISSUED..=now + SKEW).contains(&issued) {
            return Err(untrusted("the ID token was issued at another time"));
        }
        let config = &self.inner.config;
        let subject = claims.subject().as_str();
        let linked = linked_subject(&config.issuer, subject);
        crate::domain::subject(&linked).map_err(untrusted)?;
        let logged_in = claims.auth_time().map(|at| at.timestamp());
        let since = ticket.errand.at() - SKEW..=now + SKEW;
        let named = claims.preferred_username().map(|it| it.as_str());
        let mail = claims.email().map(|it| it.as_str());
        let name = named.or_else(|| Some(mail?.split_once('@')?.0));
        Ok(Arrival {
            subject: linked,
            name: name.map(str::to_owned),
            role: self.role(claims.additional_claims().all.get(&config.groups_claim)),
            second_factor: config.trust_second_factor || is_strong(claims),
            is_fresh: logged_in.is_some_and(|at| since.contains(&at)),
        })
    }

    /// The widest role that one of the groups has.
    fn role(&self, groups: Option<&Value>) -> Option<Role> {
        let groups = match groups? {
            Value::Array(groups) => groups.as_slice(),
            one => std::slice::from_ref(one),
        };
        let groups = groups.iter().filter_map(Value::as_str);
        let roles = groups.filter_map(|group| Some(self.inner.config.roles.get(group)?.0));
        roles.min()
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Client {
        let it = &self.inner;
        let id = ClientId::new(it.config.client_id.clone());
        let client = Client::from_provider_metadata(metadata.clone(), id, it.secret.clone())
            .set_redirect_uri(it.redirect.clone());
        let methods = metadata.token_endpoint_auth_methods_supported();
        let by_post = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        match by_post {
            true => client.set_auth_type(AuthType::RequestBody),
            false => client,
        }
    }

    /// What the provider says of itself; asked for where that is not known, or was long ago.
    async fn metadata(&self) -> Result<Arc<CoreProviderMetadata>> {
        self.metadata_of(KNOWN).await
    }

    /// The same with the keys that it has by now.
    async fn new_keys(&self) -> Result<Arc<CoreProviderMetadata>> {
        self.metadata_of(PAUSE).await
    }

    /// Whoever waits here while another one asks gets what that one got.
    async fn metadata_of(&self, age: Duration) -> Result<Arc<CoreProviderMetadata>> {
        let it = &self.inner;
        let mut known = it.known.lock().await;
        if let Some((metadata, at)) = &known.metadata
            && at.elapsed() < age
        {
            return Ok(metadata.clone());
        }
        if known.failed.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(self.unreachable("it did not answer a moment ago"));
        }
        let found = CoreProviderMetadata::discover_async(it.issuer.clone(), &it.web).await;
        match found {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((metadata.clone(), Instant::now()));
                known.failed = None;
                Ok(metadata)
            }
            Err(error) => {
                known.failed = Some(Instant::now());
                tracing::warn!(
                    issuer = self.issuer(),
                    error = causes(&error),
                    "the OpenID provider cannot be asked"
                );
                Err(self.unreachable(error))
            }
        }
    }

    fn unreachable(&self, cause: impl fmt::Display) -> Error {
        let detail = format!(
            "Cannot reach {} now. Try again in a moment, or log in with a password where you have one.",
            self.name()
        );
        Error::unavailable(detail, 5).caused_by(cause.to_string())
    }
}

/// Why an ID token is not good.
enum Unverified {
    /// It may be signed by a key that is new.
    UnknownKey,
    Wrong(String),
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey => f.write_str("no key of the provider fits the ID token"),
            Self::Wrong(why) => f.write_str(why),
        }
    }
}

/// Signature, issuer, audience, time, nonce (Core section 3.1.3.7), and that the access token came
/// with it (section 3.1.3.8).
fn verified(
    client: &Client,
    tokens: &Tokens,
    nonce: &Nonce,
) -> std::result::Result<Claims, Unverified> {
    let wrong = |why: &dyn fmt::Display| Unverified::Wrong(why.to_string());
    let token = tokens.id_token();
    let token = token.ok_or_else(|| wrong(&"there is no ID token"))?;
    let verifier = client.id_token_verifier().set_allowed_algs(SIGNATURES);
    let claims = token
        .claims(&verifier, nonce)
        .map_err(|error| match error {
            ClaimsVerificationError::SignatureVerification(
                SignatureVerificationError::NoMatchingKey,
            ) => Unverified::UnknownKey,
            ClaimsVerificationError::InvalidNonce(_) => wrong(&"the nonce is another one"),
            other => Unverified::Wrong(causes(&other)),
        })?;
    if let Some(party) = claims.authorized_party()
        && party != client.client_id()
    {
        return Err(wrong(&"the ID token is for another client"));
    }
    if let Some(expected) = claims.access_token_hash() {
        let alg = token.signing_alg().map_err(|error| wrong(&error))?;
        let key = token
            .signing_key(&verifier)
            .map_err(|error| wrong(&error))?;
        let hash = AccessTokenHash::from_token(tokens.access_token(), alg, key);
        if hash.map_err(|error| wrong(&error))? != *expected {
            return Err(wrong(&"the access token is another one"));
        }
    }
    Ok(claims.clone())
}

/// Whether the ID token says that more than a password was asked for.
fn is_strong(claims: &Claims) -> bool {
    let methods = claims.auth_method_refs().into_iter().flatten();
    let mut methods = methods.map(|it| it.as_str());
    let context = claims.auth_context_ref().map(|it| it.as_str());
    methods.any(|it| STRONG_METHODS.contains(&it))
        || context.is_some_and(|it| STRONG_CONTEXTS.contains(&it))
}

fn untrusted(why: impl fmt::Display) -> Error {
    let detail = "The answer of the provider does not belong to a login that this browser has begun, \
         or was used before. Begin anew.";
    Error::new(Kind::Unauthenticated, detail).caused_by(why.to_string())
}
