//! A small bar chart as SVG, one bar a day.
//!
//! Invariants: colours come from the style sheet, so that it is right in light, dark and print; each
//! bar carries its number as text, so that nobody depends on seeing it.

use askama::Template;

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) n: i64,
    x: usize,
    y: i64,
    height: i64,
    middle: usize,
}

/// The chart; shown with `|safe`, its texts are escaped inside.
#[derive(Template, Debug)]
#[template(path = "chart.svg", escape = "html")]
pub(super) struct Chart {
    title: String,
    bars: Vec<Bar>,
    width: usize,
}

const STEP: usize = 64;
const TALLEST: i64 = 84;
const BOTTOM: i64 = 104;

impl Chart {
    /// Bars for `(label, number)`.
    pub(super) fn new(title: &str, values: Vec<(String, i64)>) -> Self {
        let most = values.iter().map(|(_, n)| *n).max().unwrap_or(0).max(1);
        let bars: Vec<_> = values
            .into_iter()
            .enumerate()
            .map(|(place, (label, n))| {
                // A day with anything at all is visible.
                let height = if n == 0 {
                    1
                } else {
                    (n * TALLEST / most).max(3)
                };
                Bar {
                    label,
                    n,
                    x: place * STEP + 14,
                    y: BOTTOM - height,
                    height,
                    middle: place * STEP + STEP / 2,
                }
            })
            .collect();
        Self {
            title: title.to_owned(),
            width: bars.len() * STEP,
            bars,
        }
    }
}
