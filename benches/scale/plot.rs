//! Pictures of how something grows, as SVG that is readable on light and dark pages.

use std::fmt::Write as _;

/// One line over a logarithmic axis.
pub struct Plot {
    pub title: &'static str,
    /// What grows.
    pub x: &'static str,
    /// The unit of the values.
    pub unit: &'static str,
    pub points: Vec<(f64, f64)>,
    /// What the values have to stay under.
    pub goal: Option<f64>,
}

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 240.0;
/// Room for what is written left, right, above and below a plot.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 20.0;
const ABOVE: f64 = 40.0;
const BELOW: f64 = 44.0;
/// Half of the longest number below a plot hangs over its end.
const OVER: f64 = 20.0;
const IN_A_ROW: usize = 2;

const STYLE: &str = "\
text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 13px }
.paper { fill: #ffffff } .axis { stroke: #8c959f; fill: none } .grid { stroke: #d0d7de; stroke-width: .5 }
.line { stroke: #0969da; stroke-width: 2; fill: none } .point { fill: #0969da }
.goal { stroke: #cf222e; stroke-dasharray: 5 4; fill: none } .over { fill: #cf222e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .paper { fill: #0d1117 } .axis { stroke: #7d8590 } .grid { stroke: #30363d }
.line { stroke: #58a6ff } .point { fill: #58a6ff } .goal { stroke: #ff7b72 } .over { fill: #ff7b72 }
}";

/// All of them, two in a row.
pub fn svg(plots: &[Plot]) -> String {
    let rows = plots.len().div_ceil(IN_A_ROW);
    let width = WIDTH * IN_A_ROW as f64 + OVER;
    let height = HEIGHT * rows as f64;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
         <title>How WSEXEC grows</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n"
    );
    for (number, plot) in plots.iter().enumerate() {
        let x = WIDTH * (number % IN_A_ROW) as f64;
        let y = HEIGHT * (number / IN_A_ROW) as f64;
        let _ = writeln!(
            text,
            "<g transform=\"translate({x} {y})\">\n{}</g>",
            panel(plot)
        );
    }
    text.push_str("</svg>\n");
    text
}

fn panel(plot: &Plot) -> String {
    let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BELOW);
    let decades = plot.points.iter().map(|it| it.0.log10());
    let first = decades.clone().fold(f64::INFINITY, f64::min).floor();
    let last = decades
        .fold(f64::NEG_INFINITY, f64::max)
        .ceil()
        .max(first + 1.0);
    let values = plot.points.iter().map(|it| it.1).chain(plot.goal);
    let step = step(values.fold(0.0, f64::max));
    let top = values_top(plot, step);
    let x = |value: f64| LEFT + (value.log10() - first) / (last - first) * (right - LEFT);
    let y = |value: f64| bottom - value / top * (bottom - ABOVE);
    let mut text = format!(
        "<text class=\"title\" x=\"{LEFT}\" y=\"22\">{} ({})</text>\n",
        plot.title, plot.unit
    );
    let mut mark = 0.0;
    while mark <= top + step / 2.0 {
        let _ = writeln!(
            text,
            "<path class=\"grid\" d=\"M{LEFT} {0:.1}H{right}\"/><text x=\"{1}\" y=\"{2:.1}\" text-anchor=\"end\">{3}</text>",
            y(mark),
            LEFT - 6.0,
            y(mark) + 4.0,
            number(mark)
        );
        mark += step;
    }
    for decade in first as i32..=last as i32 {
        let value = 10_f64.powi(decade);
        let _ = writeln!(
            text,
            "<path class=\"grid\" d=\"M{0:.1} {ABOVE}V{bottom}\"/><text x=\"{0:.1}\" y=\"{1}\" text-anchor=\"middle\">{2}</text>",
            x(value),
            bottom + 16.0,
            number(value)
        );
    }
    let _ = writeln!(
        text,
        "<path class=\"axis\" d=\"M{LEFT} {ABOVE}V{bottom}H{right}\"/>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        (LEFT + right) / 2.0,
        bottom + 34.0,
        plot.x
    );
    if let Some(goal) = plot.goal {
        let _ = writeln!(
            text,
            "<path class=\"goal\" d=\"M{LEFT} {0:.1}H{right}\"/><text class=\"over\" x=\"{right}\" y=\"{1:.1}\" text-anchor=\"end\">goal: under {2}</text>",
            y(goal),
            y(goal) - 5.0,
            number(goal)
        );
    }
    let path: Vec<String> = plot
        .points
        .iter()
        .map(|it| format!("{:.1} {:.1}", x(it.0), y(it.1)))
        .collect();
    let _ = writeln!(text, "<path class=\"line\" d=\"M{}\"/>", path.join("L"));
    for point in &plot.points {
        let _ = writeln!(
            text,
            "<circle class=\"point\" cx=\"{0:.1}\" cy=\"{1:.1}\" r=\"3.5\"/><text x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"middle\">{3}</text>",
            x(point.0),
            y(point.1),
            y(point.1) - 8.0,
            number(point.1)
        );
    }
    text
}

/// Between two marks: 1, 2 or 5 times a power of ten, so that there are about five.
fn step(most: f64) -> f64 {
    let rough = (most / 4.0).max(1e-9);
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0];
    power
        * times
            .into_iter()
            .find(|it| it * power >= rough)
            .unwrap_or(10.0)
}

/// The mark above all values, with room for what is written at them.
fn values_top(plot: &Plot, step: f64) -> f64 {
    let most = plot
        .points
        .iter()
        .map(|it| it.1)
        .chain(plot.goal)
        .fold(0.0, f64::max);
    ((most * 1.1 / step).ceil() * step).max(step)
}

fn number(value: f64) -> String {
    let whole = value.round();
    if (value - whole).abs() > 1e-6 && value < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{whole:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
