use crate::domain::random_bytes;
use std::fmt::{self, Write as _};
use std::sync::Arc;

tokio::task_local! {
    static CURRENT: RequestId;
}

/// The id of a request: 16 hexadecimal digits, made here and never taken from the client. It is
/// in `X-Request-Id`, in every problem document and in the log.
#[derive(Debug, Clone)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub(super) fn random() -> Self {
        let mut text = String::with_capacity(16);
        for byte in random_bytes::<8>() {
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text.into())
    }

    /// The request that this code runs for; none outside of one.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Runs a function as part of this request.
    pub(super) fn within<R>(&self, function: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self.clone(), function)
    }

    /// Runs a future as part of this request.
    pub(super) async fn scope<F: Future>(self, future: F) -> F::Output {
        CURRENT.scope(self, future).await
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
