//! `$GENERATE`: many alike records from one line, as BIND has it.
//!
//! ```text
//! $GENERATE 1-3 host$ A 192.0.2.${10,0,d}   ->   host1 A 192.0.2.11, host2 A 192.0.2.12, host3 A 192.0.2.13
//! ```

use config::Wrong;

use super::entry::{Field, Form};
use super::record::{shown, wrong};

/// A `$GENERATE` line, read.
#[derive(Debug)]
pub(super) struct Generate {
    range: Range,
    /// The record as a line, in which each `$` is the number.
    template: String,
}

#[derive(Clone, Copy, Debug)]
struct Range {
    start: u32,
    stop: u32,
    step: u32,
}

const FORM: &str = "as in `$GENERATE 1-10 host$ A 192.0.2.$`";
const MODIFIER: &str = "a modifier is `${offset,width,base}`, as in `${0,3,d}`; bases are d, o, x, X, n and N";
/// More digits than any name has room for.
const WIDEST: usize = 63;

impl Generate {
    /// Reads what follows `$GENERATE`.
    pub(super) fn read(fields: &[Field<'_>]) -> Result<Self, Wrong> {
        let [range, record @ ..] = fields else { return Err(wrong("`$GENERATE` takes a range and a record", FORM)) };
        if record.len() < 3 {
            return Err(wrong("`$GENERATE` takes a range and a record", FORM));
        }
        let range =
            Range::read(range.text).ok_or_else(|| wrong(format!("`{}` is not a range", shown(range.text)), FORM))?;
        let written = |field: &Field<'_>| match field.form {
            Form::Bare => field.text.to_owned(),
            Form::Quoted => format!("\"{}\"", field.text),
        };
        let words: Vec<String> = record.iter().map(written).collect();
        Ok(Self { range, template: words.join(" ") })
    }

    /// The records' lines, in order.
    pub(super) fn lines(&self) -> impl Iterator<Item = Result<String, Wrong>> {
        let Range { start, stop, step } = self.range;
        (start..=stop).step_by(step.try_into().unwrap_or(usize::MAX)).map(|number| expanded(&self.template, number))
    }
}

impl Range {
    /// `START-STOP` or `START-STOP/STEP`.
    fn read(text: &str) -> Option<Self> {
        let (ends, step) = text.split_once('/').unwrap_or((text, "1"));
        let (start, stop) = ends.split_once('-')?;
        let number = |text: &str| text.parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok());
        let range = Self { start: number(start)?, stop: number(stop)?, step: number(step)? };
        (range.start <= range.stop && range.step > 0).then_some(range)
    }
}

/// The template with the number in place of each `$`; `\$` and `$$` are a `$`.
fn expanded(template: &str, number: u32) -> Result<String, Wrong> {
    let mut out = String::with_capacity(template.len() + 8);
    let mut rest = template;
    while let Some(at) = rest.find(['$', '\\']) {
        let (before, marked) = rest.split_at(at);
        out.push_str(before);
        rest = match marked.as_bytes() {
            [b'\\', b'$', ..] | [b'$', b'$', ..] => {
                out.push('$');
                marked.get(2..).unwrap_or_default()
            }
            [b'\\', ..] => {
                // It and what it escapes.
                let end = marked.char_indices().nth(2).map_or(marked.len(), |(at, _)| at);
                out.push_str(marked.get(..end).unwrap_or_default());
                marked.get(end..).unwrap_or_default()
            }
            [b'$', b'{', ..] => {
                let modifier = marked.get(2..).unwrap_or_default();
                let (modifier, after) =
                    modifier.split_once('}').ok_or_else(|| wrong("a `${` is not closed", MODIFIER))?;
                let shown_number = modified(modifier, number);
                out += &shown_number
                    .ok_or_else(|| wrong(format!("`${{{}}}` cannot be read", shown(modifier)), MODIFIER))?;
                after
            }
            _ => {
                out += &number.to_string();
                marked.get(1..).unwrap_or_default()
            }
        };
    }
    out.push_str(rest);
    Ok(out)
}

/// The number as `offset,width,base` says.
fn modified(modifier: &str, number: u32) -> Option<String> {
    let mut parts = modifier.split(',').map(str::trim);
    let offset: i64 = parts.next()?.parse().ok()?;
    let width: usize = parts.next().map_or(Some(0), |text| text.parse().ok())?;
    let base = parts.next().unwrap_or("d");
    let value = u32::try_from(i64::from(number).checked_add(offset)?).ok()?;
    if width > WIDEST || parts.next().is_some() {
        return None;
    }
    match base {
        "d" => Some(format!("{value:0width$}")),
        "o" => Some(format!("{value:0width$o}")),
        "x" => Some(format!("{value:0width$x}")),
        "X" => Some(format!("{value:0width$X}")),
        "n" => Some(nibbles(value, width)),
        "N" => Some(nibbles(value, width).to_ascii_uppercase()),
        _ => None,
    }
}

/// Hex digits from the last to the first with dots between, as names for reverse look-ups of IPv6 have them; the width
/// counts dots too.
fn nibbles(mut value: u32, width: usize) -> String {
    let mut out = String::new();
    loop {
        out += &format!("{:x}", value & 15);
        value >>= 4;
        if value == 0 && out.len() >= width {
            return out;
        }
        out.push('.');
        if value == 0 && out.len() >= width {
            return out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Entries;
    use super::*;

    fn generated(text: &str) -> Result<Vec<String>, String> {
        let entry = Entries::new(text).next().unwrap();
        let generate = Generate::read(&entry.fields).map_err(|wrong| wrong.message)?;
        generate.lines().collect::<Result<_, _>>().map_err(|wrong| wrong.message)
    }

    #[test]
    fn lines_are_as_bind_makes_them() {
        for (text, expected) in [
            ("1-3 h$ A 192.0.2.$", &["h1 A 192.0.2.1", "h2 A 192.0.2.2", "h3 A 192.0.2.3"][..]),
            ("0-4/2 $ PTR h${10}.x.", &["0 PTR h10.x.", "2 PTR h12.x.", "4 PTR h14.x."]),
            ("9-10 h${0,3,d} 60 IN CNAME \"$\"", &["h009 60 IN CNAME \"9\"", "h010 60 IN CNAME \"10\""]),
            ("10-10 h${-3,4,o} A ${0,2,x}${0,2,X}", &["h0007 A 0a0A"]),
            ("18-18 ${0,7,n} PTR ${0,0,N}", &["2.1.0.0 PTR 2.1"]),
            ("1-1 a$$b\\$c\\\\ TXT x", &["a$b$c\\\\ TXT x"]),
        ] {
            assert_eq!(generated(text).unwrap(), expected, "{text}");
        }
        for (text, expected) in [
            ("1-3", "`$GENERATE` takes a range and a record"),
            ("3-1 a$ A 192.0.2.1", "`3-1` is not a range"),
            ("1-3/0 a$ A 192.0.2.1", "`1-3/0` is not a range"),
            ("1-3 a${0,1,z} A 192.0.2.1", "`${0,1,z}` cannot be read"),
            ("1-3 a${-2} A 192.0.2.1", "`${-2}` cannot be read"),
            ("1-3 a${1 A 192.0.2.1", "a `${` is not closed"),
        ] {
            assert_eq!(generated(text).unwrap_err(), expected, "{text}");
        }
    }
}
