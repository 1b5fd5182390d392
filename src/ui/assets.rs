//! The program's own style sheet, script and icon, embedded in the binary.

use crate::domain::Error;
use flate2::Compression;
use flate2::write::GzEncoder;
use poem::http::header;
use poem::web::Path;
use poem::{Request, Response, Result, handler};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

/// One embedded file. Its name holds a hash of its content, so that a browser may keep it for
/// ever and still never shows an old one.
pub struct Asset {
    url: String,
    media_type: &'static str,
    content: Cow<'static, [u8]>,
    /// The same by gzip, made once. Pages are never compressed: they hold the form's token beside
    /// what a request can choose, and their length would tell of it (BREACH).
    compressed: Vec<u8>,
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
            compressed: compressed(&content),
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

fn compressed(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(content).and_then(|()| encoder.finish());
    written.expect("memory takes all that is written")
}

/// Whether a value of `Accept-Encoding` takes gzip (RFC 9110 section 12.5.3).
fn takes_gzip(accepted: &str) -> bool {
    let weight = |coding: &str| {
        accepted.split(',').find_map(|one| {
            let (name, weight) = one.split_once(';').unwrap_or((one, "q=1"));
            let named = name.trim().eq_ignore_ascii_case(coding);
            let weight = weight.trim().strip_prefix("q=")?.parse::<f32>().ok()?;
            named.then_some(weight)
        })
    };
    weight("gzip").or_else(|| weight("*")).unwrap_or_default() > 0.0
}

#[handler]
pub fn serve(Path(name): Path<String>, request: &Request) -> Result<Response> {
    let asset = [&STYLE, &SCRIPT, &ICON]
        .into_iter()
        .find(|asset| asset.url.strip_prefix("/static/") == Some(name.as_str()))
        .ok_or_else(|| Error::not_found("There is no such file."))?;
    let response = Response::builder()
        .header(header::CACHE_CONTROL, "public, max-age=31536000, immutable")
        .header(header::VARY, "Accept-Encoding")
        .content_type(asset.media_type);
    let accepted = request.header(header::ACCEPT_ENCODING).unwrap_or_default();
    if takes_gzip(accepted) {
        let response = response.header(header::CONTENT_ENCODING, "gzip");
        return Ok(response.body(&*asset.compressed));
    }
    Ok(response.body(&*asset.content))
}

#[cfg(test)]
mod tests {
    use super::takes_gzip;

    #[test]
    fn what_a_browser_takes_is_read_with_its_weights() {
        for yes in ["gzip", "br, GZIP;q=0.5", "deflate, gzip ; q=1.0, br", "*"] {
            assert!(takes_gzip(yes), "{yes}");
        }
        for no in ["", "br", "gzip;q=0", "gzip;q=0, *", "xgzip", "gzip;q=many"] {
            assert!(!takes_gzip(no), "{no}");
        }
    }
}
