//! A fault of the operator's, told so that it can be mended at once.

use std::fmt;

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use crate::source::Place;

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The config is refused.
    Fault,
    /// The config is taken; it is likely not what was meant.
    Warning,
}

/// One thing wrong with the config: where, what, and the mend.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Fault or warning.
    pub severity: Severity,
    /// What is wrong, one line.
    pub message: String,
    /// Where, if it has a place.
    pub place: Option<Place>,
    /// What would be right.
    pub help: Option<String>,
}

/// How [`report`] draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Unicode lines, no colours.
    Plain,
    /// Unicode lines in colours, for a terminal.
    Coloured,
}

impl Problem {
    /// A fault at a place.
    #[must_use]
    pub fn fault(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Fault, message: message.into(), place: Some(place), help: None }
    }

    /// A warning at a place.
    #[must_use]
    pub fn warning(place: Place, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::fault(place, message) }
    }

    /// A fault of the directory as a whole.
    #[must_use]
    pub fn general(message: impl Into<String>) -> Self {
        Self { severity: Severity::Fault, message: message.into(), place: None, help: None }
    }

    /// Adds what would be right.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A longer line is not drawn: nobody could read it, and miette panics on columns past 65,535.
const DRAWN_LINE_BYTES: usize = 1_000;

impl Problem {
    fn is_on_a_long_line(&self) -> bool {
        let Some(place) = &self.place else {
            return false;
        };
        let text = &place.source.text;
        let (before, after) = (text.get(..place.span.start), text.get(place.span.start..));
        let before = before.and_then(|before| before.rsplit('\n').next()).map_or(0, str::len);
        let after = after.and_then(|after| after.split('\n').next()).map_or(0, str::len);
        before + after > DRAWN_LINE_BYTES || place.span.len() > DRAWN_LINE_BYTES
    }
}

/// One line for a log: `sites/shop.toml:3:1: message (mend)`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            let (line, column) = place.line_and_column();
            write!(f, "{}:{line}:{column}: ", place.source.path.display())?;
        }
        f.write_str(&self.message)?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// Draws problems for a person, in the order of files and lines.
#[must_use]
pub fn report(problems: &[Problem], look: Look) -> String {
    let theme = match look {
        Look::Plain => GraphicalTheme::unicode_nocolor(),
        Look::Coloured => GraphicalTheme::unicode(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by_key(|problem| order(problem));
    let mut out = String::new();
    for problem in sorted {
        let drawing = Drawing::new(problem);
        if problem.is_on_a_long_line() || handler.render_report(&mut out, &drawing).is_err() {
            out.push_str(&format!("  × {problem}\n"));
        }
        out.push('\n');
    }
    out
}

fn order(problem: &Problem) -> (String, usize) {
    match &problem.place {
        Some(place) => (place.source.path.display().to_string(), place.span.start),
        None => (String::new(), 0),
    }
}

/// A problem as `miette` wants it.
#[derive(Debug)]
struct Drawing<'a> {
    problem: &'a Problem,
    source: Option<NamedSource<String>>,
}

impl<'a> Drawing<'a> {
    fn new(problem: &'a Problem) -> Self {
        let source = problem.place.as_ref().map(|place| {
            let name = place.source.path.display().to_string();
            NamedSource::new(name, place.source.text.clone())
        });
        Self { problem, source }
    }
}

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem.message)
    }
}

impl std::error::Error for Drawing<'_> {}

impl Diagnostic for Drawing<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Fault => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.problem.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let place = self.problem.place.as_ref()?;
        let label = LabeledSpan::underline(place.span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}
