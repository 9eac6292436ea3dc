//! Bars as SVG, in the reader's colours: dark on light or light on dark.

use crate::figures::Chart;

const WIDTH: f64 = 720.0;
/// Where bars begin, and the longest one's length.
const LEFT: f64 = 310.0;
const LONGEST: f64 = 320.0;
const TOP: f64 = 48.0;
const STEP: f64 = 34.0;
const THICK: f64 = 20.0;

const STYLE: &str = "\
text{font:14px system-ui,sans-serif;fill:#1f2328}.t{font-weight:600;font-size:15px}.v{font-variant-numeric:tabular-nums}\
.ours{fill:#2f6feb}.other{fill:#9aa4af}.bound{stroke:#bc4c00;stroke-width:2;stroke-dasharray:5 4}.b{fill:#bc4c00;font-size:12px}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ours{fill:#58a6ff}.other{fill:#6e7681}.bound{stroke:#f0883e}.b{fill:#f0883e}}";

/// The whole drawing.
pub fn draw(chart: &Chart) -> String {
    let greatest = chart.bars.iter().map(|bar| bar.value).chain(chart.bound.iter().map(|bound| bound.0));
    let scale = LONGEST / greatest.fold(f64::MIN_POSITIVE, f64::max);
    let bottom = TOP + STEP * chart.bars.len() as f64;
    let height = bottom + if chart.bound.is_some() { 24.0 } else { 4.0 };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n<text class=\"t\" x=\"8\" y=\"24\">{title}</text>\n",
        title = escape(&chart.title)
    );
    for (n, bar) in chart.bars.iter().enumerate() {
        let (y, length) = (TOP + STEP * n as f64, (bar.value * scale).max(1.0));
        let middle = y + THICK - 5.0;
        svg += &format!(
            "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{}\" x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{THICK}\" rx=\"3\"/>\
             <text class=\"v\" x=\"{:.1}\" y=\"{middle}\">{}</text>\n",
            LEFT - 10.0,
            escape(&bar.label),
            if bar.ours { "ours" } else { "other" },
            LEFT + length + 8.0,
            number(bar.value),
        );
    }
    if let Some((at, name)) = &chart.bound {
        let x = LEFT + at * scale;
        svg += &format!(
            "<line class=\"bound\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{}\" y2=\"{}\"/>\
             <text class=\"b\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
            TOP - 8.0,
            bottom - 4.0,
            bottom + 12.0,
            escape(name),
        );
    }
    svg + "</svg>\n"
}

/// A number with as many digits as matter, and its thousands apart.
pub fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && digit.is_ascii_digit() && (whole.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
