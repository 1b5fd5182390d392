//! What a terminal is shown of texts that others wrote: it obeys control sequences, and nobody
//! elsewhere is to drive it.

use anstream::adapter::StripBytes;

/// The text without control sequences, also where one is cut between two texts, and without control
/// characters (C1 ones too, which some terminals obey) other than tab and line ends.
pub(super) fn printable(strip: &mut StripBytes, text: &str) -> String {
    let shown: Vec<u8> = strip
        .strip_next(text.as_bytes())
        .flatten()
        .copied()
        .collect();
    String::from_utf8_lossy(&shown)
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t' | '\r'))
        .collect()
}

/// A whole text of ours that quotes others, as [`printable`]; it cannot go back over what stands in
/// its line.
pub(super) fn sentence(text: &str) -> String {
    printable(&mut StripBytes::new(), text).replace('\r', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_gets_no_control_sequences() {
        let mut strip = StripBytes::new();
        let text = "a\u{1b}[31mred\u{1b}[0m\tb\r\n\u{1b}]0;title\u{7}\u{9b}2J\u{8}é\u{7}";
        assert_eq!(printable(&mut strip, text), "ared\tb\r\n2Jé");
    }

    #[test]
    fn a_sequence_that_is_cut_in_two_is_one() {
        let mut strip = StripBytes::new();
        let shown = printable(&mut strip, "a\u{1b}[3") + &printable(&mut strip, "1mb");
        assert_eq!(shown, "ab");
    }

    #[test]
    fn strings_for_the_terminal_itself_are_taken_out_whole() {
        for hidden in [
            "\u{1b}]52;c;ZXZpbA==\u{7}",
            "\u{1b}]8;;https://evil.example\u{1b}\\",
            "\u{1b}P$q\"p\u{1b}\\",
            "\u{1b}[2J\u{1b}[?1049h",
            "\u{1b}c",
            "\u{0}\u{7f}\u{8}\u{85}",
        ] {
            assert_eq!(sentence(&format!("a{hidden}b\r")), "ab", "{hidden:?}");
        }
    }
}
