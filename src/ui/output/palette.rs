//! The palette of 256 colours, as rules of the style sheet: text keeps 4.5:1 or more to the ground
//! that it stands on (WCAG 2.2, 1.4.3), in the light scheme and in the dark one.

use std::fmt::Write as _;

/// The ground of output: `--code` of `app.css`.
const LIGHT: [u8; 3] = [0xf0, 0xf2, 0xf4];
const DARK: [u8; 3] = [0x12, 0x16, 0x1a];

/// What is aimed at there: more in the dark, where colours look duller.
const CONTRAST: [f64; 2] = [4.6, 6.0];

/// The first sixteen, which terminals choose for themselves.
const NAMED: [[u8; 3]; 16] = [
    [0x2b, 0x31, 0x36],
    [0xc4, 0x2b, 0x2f],
    [0x1f, 0x85, 0x3f],
    [0x96, 0x6a, 0x00],
    [0x21, 0x63, 0xc9],
    [0x9a, 0x3a, 0xb0],
    [0x0d, 0x7a, 0x88],
    [0xb4, 0xbc, 0xc3],
    [0x6b, 0x76, 0x7f],
    [0xe8, 0x4a, 0x4d],
    [0x35, 0xa8, 0x57],
    [0xc9, 0x8f, 0x0a],
    [0x4c, 0x8d, 0xf0],
    [0xc0, 0x60, 0xd8],
    [0x1f, 0xa3, 0xb3],
    [0xff, 0xff, 0xff],
];

/// A colour of the palette.
pub fn rgb(index: u8) -> [u8; 3] {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    match index {
        0..16 => NAMED[usize::from(index)],
        16..232 => {
            let at = usize::from(index - 16);
            [STEPS[at / 36], STEPS[at / 6 % 6], STEPS[at % 6]]
        }
        232.. => [8 + 10 * (index - 232); 3],
    }
}

/// Relative luminance, and from it the contrast of two colours (WCAG 2.2).
fn luminance(colour: [u8; 3]) -> f64 {
    let part = |value: u8| {
        let value = f64::from(value) / 255.0;
        match value <= 0.04045 {
            true => value / 12.92,
            false => ((value + 0.055) / 1.055).powf(2.4),
        }
    };
    0.2126 * part(colour[0]) + 0.7152 * part(colour[1]) + 0.0722 * part(colour[2])
}

fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// The colour, moved towards black or white as far as it takes to be read on that ground.
fn readable(colour: [u8; 3], ground: [u8; 3]) -> [u8; 3] {
    let (towards, wanted) = match luminance(ground) > 0.5 {
        true => (0.0, CONTRAST[0]),
        false => (255.0, CONTRAST[1]),
    };
    let moved = |step: u8| {
        let part = f64::from(step) / 100.0;
        colour.map(|it| (f64::from(it) * (1.0 - part) + towards * part).round() as u8)
    };
    let mut steps = (0..=100).map(moved);
    steps
        .find(|it| contrast(*it, ground) >= wanted)
        .unwrap_or_else(|| moved(100))
}

/// Black or white, whichever is read better on that ground.
fn text_on(ground: [u8; 3]) -> [u8; 3] {
    let (black, white) = ([0; 3], [255; 3]);
    match contrast(black, ground) >= contrast(white, ground) {
        true => black,
        false => white,
    }
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// `.fN` colours text, `.kN` the ground under it.
pub fn rules() -> String {
    let mut rules = String::from("\n/* The palette of scripts */\n");
    for index in 0..=255 {
        let colour = rgb(index);
        let light = hex(readable(colour, LIGHT));
        let dark = hex(readable(colour, DARK));
        let (ground, text) = (hex(colour), hex(text_on(colour)));
        let _ = writeln!(
            rules,
            ".f{index}{{color:light-dark({light},{dark})}}.k{index}{{background:{ground};color:{text}}}"
        );
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_colour_can_be_read_in_both_schemes() {
        for index in 0..=255 {
            let colour = rgb(index);
            for ground in [LIGHT, DARK] {
                assert!(contrast(readable(colour, ground), ground) >= 4.5, "{index}");
            }
            assert!(contrast(text_on(colour), colour) >= 4.5, "{index}");
        }
    }

    #[test]
    fn the_grounds_are_those_of_the_style_sheet() {
        let style = include_str!("../../../static/app.css");
        for ground in [LIGHT, DARK] {
            assert!(style.contains(&format!("--code: {};", hex(ground))));
        }
    }
}
