//! The program's own style sheet, script and icon, embedded in the binary.

use crate::domain::Error;
use poem::http::header;
use poem::web::Path;
use poem::{Response, Result, handler};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// One embedded file. Its name holds a hash of its content, so that a browser may keep it for
/// ever and still never shows an old one.
pub struct Asset {
    url: String,
    media_type: &'static str,
    content: Cow<'static, [u8]>,
}

impl Asset {
    fn new(
        stem: &str,
        suffix: &str,
        media_type: &'static str,
        content: impl Into<Cow<'static, [u8]>>,
    ) -> Self {
        let content = content.into();
        let mut hash = String::new();
        for byte in &Sha256::digest(&content)[..8] {
            let _ = write!(hash, "{byte:02x}");
        }
        Self {
            url: format!("/static/{stem}.{hash}.{suffix}"),
            media_type,
            content,
        }
    }

    /// Where it is, as an absolute path.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The style sheet.
pub static STYLE: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "app",
        "css",
        "text/css; charset=utf-8",
        [
            include_str!("../../static/app.css"),
            &super::output::rules(),
        ]
        .concat()
        .into_bytes(),
    )
});

/// The script.
pub static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "live",
        "js",
        "text/javascript; charset=utf-8",
        include_bytes!("../../static/live.js").as_slice(),
    )
});

/// The icon.
pub static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "icon",
        "svg",
        "image/svg+xml",
        include_bytes!("../../static/icon.svg").as_slice(),
    )
});

#[handler]
pub fn serve(Path(name): Path<String>) -> Result<Response> {
    let asset = [&STYLE, &SCRIPT, &ICON]
        .into_iter()
        .find(|asset| asset.url.strip_prefix("/static/") == Some(name.as_str()))
        .ok_or_else(|| Error::not_found("There is no such file."))?;
    Ok(Response::builder()
        .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
        .content_type(asset.media_type)
        .body(&*asset.content))
}
