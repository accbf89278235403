//! Drawing on a terminal: what fits, in colours where they are wanted, and only what has changed.

/// How a line is coloured. Its words say the same: a colour is never alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    /// Something stands above others.
    Strong,
    /// It deserves a look.
    Odd,
    /// It serves nobody.
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) tone: Tone,
}

impl Line {
    pub(super) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }
}

/// All that there is to show.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) title: Line,
    pub(super) heading: Line,
    pub(super) rows: Vec<Line>,
    /// The newest last.
    pub(super) notes: Vec<Line>,
}

/// Whether colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Coloured,
}

/// Lines of notes that rows leave room for.
const NOTES: usize = 4;

/// The lines that a terminal has room for, none wider than it. Where not all rows fit, those stay that deserve a look.
pub(super) fn fit(frame: &Frame, width: usize, height: usize) -> Vec<Line> {
    // The title, the heading, and the last line, which would scroll when it is full.
    let room = height.saturating_sub(3);
    let notes = frame.notes.len().min(NOTES.max(room.saturating_sub(frame.rows.len() + 1)));
    let of_notes = if notes == 0 { 0 } else { notes + 1 };
    let of_rows = room.saturating_sub(of_notes);
    let mut lines = vec![frame.title.clone(), frame.heading.clone()];
    if frame.rows.len() <= of_rows {
        lines.extend(frame.rows.iter().cloned());
    } else {
        let is_odd = |line: &&Line| line.tone != Tone::Plain;
        let odd = frame.rows.iter().filter(is_odd);
        let shown = odd.chain(frame.rows.iter().filter(|line| !is_odd(line))).take(of_rows.saturating_sub(1));
        lines.extend(shown.cloned());
        let more = frame.rows.len() - of_rows.saturating_sub(1);
        lines.push(Line::new(format!("… {more} more"), Tone::Plain));
    }
    if notes > 0 {
        lines.push(Line::new("", Tone::Plain));
        lines.extend(frame.notes.iter().skip(frame.notes.len() - notes).cloned());
    }
    lines.truncate(height.saturating_sub(1));
    lines.into_iter().map(|line| Line { text: cut(&line.text, width), ..line }).collect()
}

/// A text that takes at most so many columns, and does nothing to a terminal.
fn cut(text: &str, width: usize) -> String {
    let visible = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    if text.chars().count() <= width {
        return text.chars().map(visible).collect();
    }
    text.chars().take(width.saturating_sub(1)).map(visible).chain(['…']).take(width).collect()
}

/// A line with its colours.
pub(super) fn paint(line: &Line, look: Look) -> String {
    let code = match (look, line.tone) {
        (Look::Plain, _) | (Look::Coloured, Tone::Plain) => return line.text.clone(),
        (Look::Coloured, Tone::Strong) => "1",
        (Look::Coloured, Tone::Odd) => "33",
        (Look::Coloured, Tone::Bad) => "31",
    };
    format!("\x1b[{code}m{}\x1b[0m", line.text)
}

/// What turns a screen of lines into another: those lines alone that differ.
pub(super) fn change(before: &[String], now: &[String]) -> String {
    let mut out = String::new();
    for (number, line) in now.iter().enumerate() {
        if before.get(number) != Some(line) {
            out.push_str(&format!("\x1b[{};1H{line}\x1b[K", number + 1));
        }
    }
    if before.len() > now.len() {
        out.push_str(&format!("\x1b[{};1H\x1b[J", now.len() + 1));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(rows: usize, notes: usize) -> Frame {
        let odd = |number: usize| if number == 7 { Tone::Bad } else { Tone::Plain };
        Frame {
            title: Line::new("title", Tone::Strong),
            heading: Line::new("heading", Tone::Strong),
            rows: (0..rows).map(|number| Line::new(format!("row {number}"), odd(number))).collect(),
            notes: (0..notes).map(|number| Line::new(format!("note {number}"), Tone::Plain)).collect(),
        }
    }

    fn texts(lines: &[Line]) -> Vec<&str> {
        lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_frame_fits_its_terminal() {
        for (rows, notes, height, expected) in [
            (2, 0, 24, &["title", "heading", "row 0", "row 1"][..]),
            (2, 2, 24, &["title", "heading", "row 0", "row 1", "", "note 0", "note 1"]),
            // Rows are cut first, and those stay that deserve a look.
            (9, 0, 6, &["title", "heading", "row 7", "row 0", "… 7 more"]),
            (9, 1, 8, &["title", "heading", "row 7", "row 0", "… 7 more", "", "note 0"]),
            // Old notes go before rows do.
            (2, 9, 10, &["title", "heading", "row 0", "row 1", "", "note 5", "note 6", "note 7", "note 8"]),
            (9, 9, 3, &["title", "heading"]),
            (9, 9, 0, &[]),
        ] {
            let lines = fit(&frame(rows, notes), 80, height);
            assert_eq!(texts(&lines), expected, "{rows} rows and {notes} notes in {height}");
        }
        for (rows, notes) in [(0, 0), (30, 30), (8, 5)] {
            for height in 0..40 {
                let lines = fit(&frame(rows, notes), 5, height);
                assert!(lines.len() <= height.saturating_sub(1), "{rows} {notes} {height}");
                assert!(lines.iter().all(|line| line.text.chars().count() <= 5));
            }
        }
    }

    #[test]
    fn what_is_cut_says_so_and_does_nothing_to_the_terminal() {
        for (text, width, expected) in [
            ("fra-1", 5, "fra-1"),
            ("fra-12", 5, "fra-…"),
            ("größer", 4, "grö…"),
            ("ab", 0, ""),
            ("ab", 1, "…"),
            ("a\x1b[2Jb", 9, "a\u{fffd}[2Jb"),
        ] {
            assert_eq!(cut(text, width), expected);
        }
    }

    #[test]
    fn only_what_differs_is_drawn() {
        let lines = |all: &[&str]| all.iter().map(|line| (*line).to_owned()).collect::<Vec<String>>();
        for (before, now, expected) in [
            (&["a", "b"][..], &["a", "b"][..], ""),
            (&["a", "b"], &["a", "c"], "\x1b[2;1Hc\x1b[K"),
            (&["a"], &["a", "b"], "\x1b[2;1Hb\x1b[K"),
            (&["a", "b", "c"], &["a"], "\x1b[2;1H\x1b[J"),
            (&[], &["a"], "\x1b[1;1Ha\x1b[K"),
        ] {
            assert_eq!(change(&lines(before), &lines(now)), expected, "{before:?} {now:?}");
        }
    }

    #[test]
    fn colours_are_left_out_where_they_are_not_wanted() {
        let line = Line::new("fra-1  down", Tone::Bad);
        assert_eq!(paint(&line, Look::Plain), "fra-1  down");
        assert_eq!(paint(&line, Look::Coloured), "\x1b[31mfra-1  down\x1b[0m");
        assert_eq!(paint(&Line::new("fra-1  up", Tone::Plain), Look::Coloured), "fra-1  up");
    }
}
