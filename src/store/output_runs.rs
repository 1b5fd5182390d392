//! How the runs of a stored piece are written.

/// Runs as pairs of LEB128 numbers: bytes of the other stream since the end of the run before, and
/// the length. The first run begins at the piece's `at`.
pub(super) fn encode(runs: &[(u64, u64)]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(runs.len() * 3);
    let mut end = runs.first().map_or(0, |run| run.0);
    for &(at, length) in runs {
        for mut number in [at - end, length] {
            while number >= 0x80 {
                encoded.push((number & 0x7f) as u8 | 0x80);
                number >>= 7;
            }
            encoded.push(number as u8);
        }
        end = at + length;
    }
    encoded
}

pub(super) fn decode(mut at: u64, encoded: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut bytes = encoded.iter();
    let mut number = || {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *bytes.next()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    };
    let mut runs = Vec::new();
    while let Some(skip) = number() {
        let length = number()?;
        at += skip;
        runs.push((at, length));
        at += length;
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_come_back_as_they_were() {
        let runs = [(5, 1), (6, 127), (400, 128), (1 << 40, u64::from(u32::MAX))];
        assert_eq!(decode(5, &encode(&runs)), Some(runs.to_vec()));
        assert_eq!(decode(5, &encode(&runs)[..3]), None, "cut short");
    }
}
