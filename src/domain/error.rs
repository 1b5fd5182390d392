use std::borrow::Cow;
use std::fmt;

/// Shorthand for a result whose error is the domain's.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as the caller has to treat it. One table in `http` maps each kind to a status;
/// it is matched without a wildcard, so a new kind cannot be forgotten there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A field, an id or a query value is malformed.
    Invalid,
    /// No or wrong credentials.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// The caller may do this, and has to prove again who they are.
    Unconfirmed,
    /// There is no such task, instance, user or page.
    NotFound,
    /// The method is not one that the resource has.
    MethodNotAllowed,
    /// The client took too long to send its request.
    Timeout,
    /// The state of the thing forbids the change.
    Conflict,
    /// Somebody else changed it first (`If-Match`).
    PreconditionFailed,
    /// The body is larger than the limit.
    TooLarge,
    /// The request line and the headers are larger than the limit.
    HeadTooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// A byte range that the content does not have.
    RangeNotSatisfiable,
    /// An `Idempotency-Key` came again with another body.
    KeyReused,
    /// Too many tries; come back after the time that [`Error::retry_after`] says.
    TooMany,
    /// The store is full, busy or failing, or the server stops.
    Unavailable,
    /// A fault of ours.
    Internal,
}

/// One field that is wrong, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The member of the body, the query parameter or the path parameter.
    pub field: Cow<'static, str>,
    /// What is wrong and what is right, for a person.
    pub message: String,
}

/// The one error of the program. It has two messages: `detail` is for whoever asked, and never
/// holds a path, SQL, a secret or a stack; `cause` is for the log, which has it once, at the edge,
/// with the request's id.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    detail: Cow<'static, str>,
    fields: Vec<Field>,
    retry_after: Option<u32>,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a kind, with the sentence that the caller reads.
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            fields: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// One field is wrong.
    pub fn field(field: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::fields(vec![Field {
            field: field.into(),
            message: message.into(),
        }])
    }

    /// Several fields are wrong.
    pub fn fields(fields: Vec<Field>) -> Self {
        let detail = fields
            .iter()
            .map(|f| format!("{}: {}", f.field, f.message))
            .collect::<Vec<_>>()
            .join("; ");
        Self {
            fields,
            ..Self::new(Kind::Invalid, detail)
        }
    }

    /// There is no such thing.
    pub fn not_found(what: &'static str) -> Self {
        Self::new(Kind::NotFound, what)
    }

    /// The state of the thing forbids it.
    pub fn conflict(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Kind::Conflict, detail)
    }

    /// Not now; `seconds` is when it may be worth another try.
    pub fn unavailable(detail: impl Into<Cow<'static, str>>, seconds: u32) -> Self {
        Self::new(Kind::Unavailable, detail).retry_after_seconds(seconds)
    }

    /// A fault of ours: the caller reads a plain sentence, the log has the cause.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            Kind::Internal,
            "The server failed to do this. The request id finds the cause in its log.",
        )
        .caused_by(cause)
    }

    /// Adds what the log should say.
    #[must_use]
    pub fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds when to try again, in seconds.
    #[must_use]
    pub fn retry_after_seconds(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// Adds the field that is to blame, with what is wrong with it.
    #[must_use]
    pub fn about(mut self, field: &'static str, message: impl Into<String>) -> Self {
        self.fields.push(Field {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// What kind it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence for whoever asked.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The fields that are wrong; empty for most kinds but [`Kind::Invalid`].
    pub fn invalid_fields(&self) -> &[Field] {
        &self.fields
    }

    /// When to try again, in seconds.
    pub fn retry_after(&self) -> Option<u32> {
        self.retry_after
    }

    /// The cause, for the log alone.
    pub fn cause(&self) -> Option<&(dyn std::error::Error + Send + Sync)> {
        self.cause.as_deref()
    }
}

impl fmt::Display for Error {
    /// The caller's sentence, never the cause.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Error {}
