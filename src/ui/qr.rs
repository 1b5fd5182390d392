//! QR codes as drawings in the page: no other file holds what is secret.

use crate::domain::{Error, Result, Secret};
use qrcodegen::{QrCode, QrCodeEcc};
use std::fmt::Write as _;

/// The light edge that readers need, in squares.
const QUIET: i32 = 4;

/// A code as one path of an SVG.
pub struct Qr {
    /// Squares a side, with the edge.
    pub size: i32,
    /// The value of `d`.
    pub path: String,
}

impl Qr {
    /// The code of a text.
    ///
    /// # Errors
    /// `Internal` where the text is too long for one.
    pub fn of(text: &Secret) -> Result<Self> {
        let code =
            QrCode::encode_text(text.expose(), QrCodeEcc::Medium).map_err(Error::internal)?;
        let mut path = String::new();
        for y in 0..code.size() {
            for x in (0..code.size()).filter(|x| code.get_module(*x, y)) {
                // Writing to a String does not fail.
                let _ = write!(path, "M{} {}h1v1h-1z", x + QUIET, y + QUIET);
            }
        }
        Ok(Self {
            size: code.size() + 2 * QUIET,
            path,
        })
    }
}
