/// Decodes UTF-8 that comes in pieces. What is not UTF-8 becomes U+FFFD, as
/// [`String::from_utf8_lossy`] has it.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a sequence whose end has not come: at most three bytes.
    held: Vec<u8>,
}

impl Decoder {
    /// Decodes a piece, as far as it is complete.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        let joined;
        let mut rest = if self.held.is_empty() {
            bytes
        } else {
            joined = [&std::mem::take(&mut self.held), bytes].concat();
            &joined
        };
        let mut text = String::with_capacity(rest.len());
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    return text;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(wrong) = error.error_len() else {
                        self.held = after.to_vec();
                        return text;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &after[wrong..];
                }
            }
        }
    }

    /// Nothing follows, or not what would: what was held is not UTF-8.
    pub fn finish(&mut self) -> String {
        if std::mem::take(&mut self.held).is_empty() {
            String::new()
        } else {
            char::REPLACEMENT_CHARACTER.to_string()
        }
    }

    /// How many bytes came and are not told yet.
    pub fn held(&self) -> u64 {
        self.held.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_decode_to_what_the_whole_decodes_to() {
        let samples: [&[u8]; 6] = [
            "plain, é, 漢, 🦀".as_bytes(),
            b"\xff\xfe\x80abc",
            b"\xf0\x9f\xa6",
            b"\xe6\xbc",
            b"\xf0\x9f\xa6\x80\xf0\x9f",
            b"\xed\xa0\x80\xc0\xaf",
        ];
        for bytes in samples {
            for size in 1..=bytes.len() {
                let mut decoder = Decoder::default();
                let mut text: String = bytes
                    .chunks(size)
                    .map(|piece| decoder.push(piece))
                    .collect();
                text.push_str(&decoder.finish());
                assert_eq!(text, String::from_utf8_lossy(bytes), "{bytes:?} by {size}");
            }
        }
    }
}
