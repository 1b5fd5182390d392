use crate::http::Caller;
use crate::service::Actor;
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::registry::{MetaSecurityScheme, Registry};
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};

/// Who asks, as the document shows it: every operation takes one, and takes it first, so that
/// nobody without a login learns what else is wrong with a request.
pub struct Login(pub Actor);

const BASIC: MetaSecurityScheme = MetaSecurityScheme {
    ty: "http",
    description: Some("A user's name and password (RFC 7617)."),
    name: None,
    key_in: None,
    scheme: Some("basic"),
    bearer_format: None,
    flows: None,
    openid_connect_url: None,
};

const BEARER: MetaSecurityScheme = MetaSecurityScheme {
    ty: "http",
    description: Some("An API token (RFC 6750), made at `/wsexec/tokens`."),
    name: None,
    key_in: None,
    scheme: Some("bearer"),
    bearer_format: Some("wsx_..."),
    flows: None,
    openid_connect_url: None,
};

const SESSION: MetaSecurityScheme = MetaSecurityScheme {
    ty: "apiKey",
    description: Some(
        "The session of somebody who logged in at `/login`. A browser sends it by itself, from the pages of this server alone.",
    ),
    name: Some("__Host-wsexec"),
    key_in: Some("cookie"),
    scheme: None,
    bearer_format: None,
    flows: None,
    openid_connect_url: None,
};

impl<'a> ApiExtractor<'a> for Login {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme("basic", BASIC);
        registry.create_security_scheme("bearer", BEARER);
        registry.create_security_scheme("session", SESSION);
    }

    fn security_schemes() -> Vec<&'static str> {
        vec!["basic", "bearer", "session"]
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<()>,
    ) -> poem::Result<Self> {
        let Caller(actor) = <Caller as FromRequest>::from_request(request, body).await?;
        Ok(Self(actor))
    }
}
