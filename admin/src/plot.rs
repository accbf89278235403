//! Plots of how much went on, as SVG without a colour of its own: whoever shows one says by CSS what it looks like.
//!
//! What draws knows only colours. So each ink is one that stands for a class, and is put in its place at the end.

use std::error::Error;
use std::fmt::Write;

use plotters::prelude::{
    ChartBuilder, Circle, Color, IntoDrawingArea, IntoTextStyle, LineSeries, RGBColor, SVGBackend, TRANSPARENT, Text,
};

use crate::gather::{Of, Point, Rates, Span};

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plot {
    Queries,
    Requests,
    HitRatio,
    Bytes,
    Latency,
    Fetches,
    ByteOffload,
}

/// What a line is of.
type Number = fn(&Rates) -> Option<f64>;

fn one(name: &'static str, number: Number) -> Vec<(&'static str, Number)> {
    vec![(name, number)]
}

/// A line of a plot.
struct Line {
    name: &'static str,
    ink: RGBColor,
    points: Vec<(f64, f64)>,
}

impl Plot {
    pub(crate) const ALL: [Self; 7] =
        [Self::Queries, Self::Requests, Self::HitRatio, Self::Bytes, Self::Latency, Self::Fetches, Self::ByteOffload];

    /// As it stands in a path.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::Requests => "requests",
            Self::HitRatio => "hit-ratio",
            Self::Bytes => "bytes",
            Self::Latency => "latency",
            Self::Fetches => "fetches",
            Self::ByteOffload => "byte-offload",
        }
    }

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|plot| plot.name() == name)
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Queries => "Queries a second",
            Self::Requests => "Requests a second",
            Self::HitRatio => "Hit ratio",
            Self::Bytes => "Bytes a second",
            Self::Latency => "Time of requests",
            Self::Fetches => "Fetches from origins a second",
            Self::ByteOffload => "Byte offload",
        }
    }

    /// Its lines: how each is called, and what it is of.
    fn lines(self) -> Vec<(&'static str, Number)> {
        match self {
            Self::Queries => one("queries", |rates| rates.queries_s),
            Self::Requests => one("requests", |rates| rates.requests_s),
            Self::HitRatio => one("hit ratio", |rates| rates.hit_ratio),
            Self::Bytes => one("bytes", |rates| rates.bytes_s),
            Self::Latency => {
                let (half, most) = (one("half of them", |rates| rates.p50_ms), one("99 of 100", |rates| rates.p99_ms));
                [half, most].concat()
            }
            Self::Fetches => one("fetches", |rates| rates.fetches_s),
            Self::ByteOffload => one("byte offload", |rates| rates.byte_offload),
        }
    }

    fn is_share(self) -> bool {
        matches!(self, Self::HitRatio | Self::ByteOffload)
    }

    /// A number of it as people read it.
    fn told(self, number: f64) -> String {
        match self {
            Self::HitRatio | Self::ByteOffload => format!("{:.0} %", 100.0 * number),
            Self::Bytes => format!("{}B", short(number)),
            Self::Latency if number >= 1_000.0 => format!("{} s", trimmed(number / 1_000.0)),
            Self::Latency => format!("{} ms", trimmed(number)),
            Self::Queries | Self::Requests | Self::Fetches => short(number),
        }
    }
}

const SIZE: (u32, u32) = (480, 180);
const GRID: RGBColor = RGBColor(1, 1, 1);
const AXIS: RGBColor = RGBColor(1, 1, 2);
const LABEL: RGBColor = RGBColor(1, 1, 3);
const EMPTY: RGBColor = RGBColor(1, 1, 4);
const LINES: [RGBColor; 2] = [RGBColor(1, 2, 1), RGBColor(1, 2, 2)];

/// Every ink, and the classes it stands for where lines are drawn in it and where areas and letters are.
const INKS: [(&str, &str, &str); 6] = [
    ("#010101", "plot-grid", "plot-grid"),
    ("#010102", "plot-axis", "plot-axis"),
    ("#010103", "plot-label", "plot-label"),
    ("#010104", "plot-empty", "plot-empty"),
    ("#010201", "plot-line plot-1", "plot-dot plot-1"),
    ("#010202", "plot-line plot-2", "plot-dot plot-2"),
];

/// Draws how much went on.
///
/// # Errors
/// What draws failed.
pub(crate) fn draw(
    plot: Plot,
    of: &Of,
    span: Span,
    (points, now_ms): (&[Point], u64),
) -> Result<String, Box<dyn Error + Send + Sync>> {
    let lines: Vec<Line> = plot
        .lines()
        .into_iter()
        .zip(LINES)
        .map(|((name, number), ink)| {
            let at = |point: &Point| -(now_ms.saturating_sub(point.at_ms) as f64) / 1_000.0;
            let known = points.iter().filter_map(|point| Some((at(point), number(&point.rates)?)));
            Line { name, ink, points: known.collect() }
        })
        .collect();
    let drawn = paint(plot, span, &lines).map_err(|error| error.to_string())?;
    Ok(finish(&drawn, &title(plot, of, span), &description(plot, &lines)))
}

fn paint(plot: Plot, span: Span, lines: &[Line]) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let largest = lines.iter().flat_map(|line| &line.points).map(|(_, number)| *number).fold(0.0, f64::max);
        let most = if plot.is_share() || largest <= 0.0 { 1.0 } else { 1.1 * largest };
        // Round times are where the axis has its marks.
        let unit = if span.seconds() > 3_600 { 3_600.0 } else { 60.0 };
        let mut chart = ChartBuilder::on(&area)
            .margin(6)
            .margin_right(20)
            .x_label_area_size(24)
            .y_label_area_size(56)
            .build_cartesian_2d(-(span.seconds() as f64) / unit..0.0, 0.0..most)?;
        let letters = || ("sans-serif", 13, &LABEL);
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(5)
            .y_labels(4)
            .axis_style(AXIS)
            .bold_line_style(GRID)
            .light_line_style(TRANSPARENT)
            .label_style(letters())
            .x_label_formatter(&|units| ago(units * unit))
            .y_label_formatter(&|number| plot.told(*number))
            .draw()?;
        let longest_gap = 2.5 * span.step_seconds() as f64;
        // A share that is less than nothing lies at the bottom; the words beside it tell how much less.
        let place = |(seconds, number): &(f64, f64)| (seconds / unit, number.max(0.0));
        for line in lines {
            for run in runs(&line.points, longest_gap) {
                match run {
                    [alone] => {
                        chart.plotting_area().draw(&Circle::new(place(alone), 2, line.ink.filled()))?;
                    }
                    run => {
                        let style = line.ink.stroke_width(2);
                        chart.draw_series(LineSeries::new(run.iter().map(place), style))?;
                    }
                }
            }
        }
        if lines.iter().all(|line| line.points.is_empty()) {
            let style = ("sans-serif", 15, &EMPTY).into_text_style(&area);
            chart.plotting_area().draw(&Text::new(
                "no data yet",
                (-0.6 * span.seconds() as f64 / unit, 0.5 * most),
                style,
            ))?;
        }
        area.present()?;
    }
    Ok(text)
}

/// The parts of a line between which nothing was known.
fn runs(points: &[(f64, f64)], longest_gap: f64) -> impl Iterator<Item = &[(f64, f64)]> {
    points.chunk_by(move |(a, _), (b, _)| b - a <= longest_gap)
}

/// Puts classes in the place of inks, and words for who cannot see it at the beginning.
fn finish(drawn: &str, title: &str, description: &str) -> String {
    let mut drawn = drawn.to_owned();
    for (ink, of_lines, of_areas) in INKS {
        drawn = drawn.replace(&format!("stroke=\"{ink}\""), &format!("class=\"{of_lines}\" stroke=\"currentColor\""));
        drawn = drawn.replace(&format!("fill=\"{ink}\""), &format!("class=\"{of_areas}\" fill=\"currentColor\""));
    }
    // Its size is whoever shows it to say.
    let own = format!("<svg width=\"{}\" height=\"{}\" ", SIZE.0, SIZE.1);
    let (title, description) = (escaped(title), escaped(description));
    let head = format!("<svg class=\"plot\" role=\"img\" aria-label=\"{title}. {description}\" ");
    let drawn = drawn.replacen(&own, &head, 1);
    match drawn.split_once('>') {
        Some((head, rest)) => format!("{head}>\n<title>{title}</title>\n<desc>{description}</desc>{rest}"),
        None => drawn,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn title(plot: Plot, of: &Of, span: Span) -> String {
    format!("{} of {} in the last {}", plot.in_words(), of.in_words(), span.in_words())
}

/// What the lines show, in words.
fn description(plot: Plot, lines: &[Line]) -> String {
    let mut out = String::new();
    for line in lines {
        let numbers = || line.points.iter().map(|(_, number)| *number);
        let Some(last) = numbers().next_back() else {
            let _ = write!(out, "{}: no data yet. ", line.name);
            continue;
        };
        let (least, most) = (numbers().fold(last, f64::min), numbers().fold(last, f64::max));
        let [last, least, most] = [last, least, most].map(|number| plot.told(number));
        let _ = write!(out, "{}: now {last}, between {least} and {most}. ", line.name);
    }
    out.trim_end().to_owned()
}

/// How long ago, in the unit that fits.
fn ago(seconds: f64) -> String {
    let minutes = (-seconds / 60.0).round();
    match minutes {
        minutes if minutes < 1.0 => "now".to_owned(),
        minutes if minutes < 90.0 => format!("{minutes:.0} min"),
        minutes => format!("{} h", trimmed(minutes / 60.0)),
    }
}

/// With at most three digits that count: `0.25`, `7.5`, `120`, `3.4k`, `12M`.
fn short(number: f64) -> String {
    for (least, unit) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if number >= least {
            return format!("{}{unit}", trimmed(number / least));
        }
    }
    trimmed(number)
}

fn trimmed(number: f64) -> String {
    let text = match number.abs() {
        size if size >= 100.0 => format!("{number:.0}"),
        size if size >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    };
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(numbers: &[(u64, Option<f64>)]) -> Vec<Point> {
        let point = |(at_ms, number): &(u64, Option<f64>)| Point {
            at_ms: *at_ms,
            rates: Rates { queries_s: *number, p50_ms: *number, p99_ms: number.map(|ms| 4.0 * ms), ..Rates::default() },
        };
        numbers.iter().map(point).collect()
    }

    fn drawn(plot: Plot, points: &[Point]) -> String {
        draw(plot, &Of::Pop("fra".to_owned()), Span::TenMinutes, (points, 600_000)).unwrap()
    }

    #[test]
    fn a_plot_has_classes_and_no_colours() {
        let points = points(&[(590_000, Some(3.0)), (591_000, Some(5.0)), (592_000, Some(4.0))]);
        let svg = drawn(Plot::Latency, &points);
        assert!(svg.starts_with("<svg class=\"plot\" role=\"img\" aria-label=\"Time of requests of PoP fra in the last 10 minutes. half of them: now 4 ms, between 3 ms and 5 ms. 99 of 100: now 16 ms, between 12 ms and 20 ms.\" viewBox=\"0 0 480 180\""), "{svg}");
        assert!(svg.contains("<title>Time of requests of PoP fra in the last 10 minutes</title>"), "{svg}");
        for class in ["plot-grid", "plot-axis", "plot-label", "plot-line plot-1", "plot-line plot-2"] {
            assert!(svg.contains(&format!("class=\"{class}\"")), "{class}: {svg}");
        }
        let numbered = svg.match_indices("\"#").count();
        assert_eq!(numbered, 0, "a colour is left: {svg}");
        assert!(!svg.contains("plot-empty"));
        assert_eq!(svg.matches("<svg").count(), svg.matches("</svg>").count());
    }

    #[test]
    fn what_is_empty_says_so_and_what_is_alone_is_a_dot() {
        let svg = drawn(Plot::Queries, &points(&[(590_000, None)]));
        assert!(svg.contains("no data yet") && svg.contains("class=\"plot-empty\""), "{svg}");
        let svg = drawn(Plot::Queries, &points(&[(590_000, Some(2.0)), (591_000, None), (599_000, Some(1.0))]));
        assert_eq!(svg.matches("plot-dot plot-1").count(), 2, "{svg}");
        assert!(!svg.contains("plot-line"), "{svg}");
    }

    #[test]
    fn a_line_ends_where_nothing_is_known() {
        let points: Vec<(f64, f64)> = [0.0, 1.0, 2.0, 9.0, 10.0].iter().map(|at| (*at, 1.0)).collect();
        assert_eq!(runs(&points, 2.5).map(<[_]>::len).collect::<Vec<_>>(), [3, 2]);
    }

    #[test]
    fn a_share_less_than_nothing_is_told_and_lies_at_the_bottom() {
        let point = |at_ms, share| Point { at_ms, rates: Rates { byte_offload: Some(share), ..Rates::default() } };
        let svg = drawn(Plot::ByteOffload, &[point(590_000, 0.0), point(591_000, -2.0)]);
        assert!(svg.contains("byte offload: now -200 %, between -200 % and 0 %."), "{svg}");
        let line = svg.split("<polyline").find(|tag| tag.contains("plot-line plot-1")).unwrap();
        let (_, points) = line.split_once("points=\"").unwrap();
        let heights: Vec<&str> = points.split('"').next().unwrap().split_whitespace().collect();
        let [first, last] = heights[..] else { panic!("{svg}") };
        assert_eq!(first.split_once(',').unwrap().1, last.split_once(',').unwrap().1, "{svg}");
    }

    #[test]
    fn numbers_are_short() {
        for (number, text) in
            [(0.0, "0"), (0.25, "0.25"), (7.5, "7.5"), (99.96, "100"), (1_234.0, "1.23k"), (12_000_000.0, "12M")]
        {
            assert_eq!(short(number), text);
        }
        assert_eq!(Plot::HitRatio.told(0.954), "95 %");
        assert_eq!((Plot::Latency.told(2_500.0), Plot::Latency.told(0.6)), ("2.5 s".to_owned(), "0.6 ms".to_owned()));
        assert_eq!([0.0, -300.0, -7_200.0].map(ago), ["now", "5 min", "2 h"]);
        assert_eq!(Plot::named("hit-ratio"), Some(Plot::HitRatio));
        assert_eq!(Plot::named("nothing"), None);
    }

    #[test]
    fn a_name_cannot_end_an_attribute() {
        let svg = finish("<svg width=\"480\" height=\"180\" viewBox=\"\">\n</svg>", "a\"<b>", "c");
        assert!(
            svg.starts_with("<svg class=\"plot\" role=\"img\" aria-label=\"a&quot;&lt;b&gt;. c\" viewBox"),
            "{svg}"
        );
    }
}
