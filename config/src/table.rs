//! Reading a TOML document by hand, so that all faults are found at once, each with its place.
//!
//! Serde stops at the first fault; an operator with ten mistakes should see ten messages.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::limits::{self, Bounds};
use crate::nearest::nearest;
use crate::problem::{Problem, Severity};
use crate::register::Register;
use crate::source::{Place, Source};
use crate::units;
use crate::wrong::Wrong;

/// What all files of one load share: the faults so far, and the names they define and use.
#[derive(Default)]
pub(crate) struct Context {
    problems: RefCell<Vec<Problem>>,
    register: RefCell<Register>,
}

/// One table of a file; keys are taken one by one, what is left at the end is unknown.
pub(crate) struct Table<'a> {
    context: &'a Context,
    source: &'a Arc<Source>,
    span: Range<usize>,
    name: String,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

/// One written value.
pub(crate) struct Value<'a> {
    context: &'a Context,
    source: &'a Arc<Source>,
    name: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl Context {
    pub(crate) fn add(&self, problem: Problem) {
        let mut problems = self.problems.borrow_mut();
        let severity = problem.severity;
        // A file that is no config at all has a fault a line: nobody reads them to the end. Warnings bar no fault.
        let told = problems.iter().filter(|told| told.severity == severity).count();
        match told.cmp(&limits::PROBLEMS) {
            Ordering::Less => problems.push(problem),
            Ordering::Equal => {
                let more = if severity == Severity::Fault { "faults" } else { "warnings" };
                let more = Problem::general(format!("there are more {more}; these are told first"));
                problems.push(Problem { severity, ..more });
            }
            Ordering::Greater => {}
        }
    }

    pub(crate) fn register<P: IntoIterator<Item = Problem>>(&self, note: impl FnOnce(&mut Register) -> P) {
        let problems = note(&mut self.register.borrow_mut());
        problems.into_iter().for_each(|problem| self.add(problem));
    }

    /// Ends the load: resolves references and hands out every problem.
    pub(crate) fn finish(self) -> Vec<Problem> {
        for problem in self.register.take().resolve() {
            self.add(problem);
        }
        self.problems.into_inner()
    }
}

/// Parses a document and reads its root table. Of syntax errors the first is reported: the others mostly
/// follow from it.
pub(crate) fn read_document<T>(
    context: &Context,
    source: &Arc<Source>,
    read: impl FnOnce(Table<'_>) -> Option<T>,
) -> Option<T> {
    let (root, errors) = DeTable::parse_recoverable(&source.text);
    if let Some(error) = errors.first() {
        let place = source.place(error.span().unwrap_or(0..0));
        let problem = Problem::fault(place, format!("this is not TOML: {}", error.message()));
        context.add(
            problem.help(
                "a quote or a bracket before it may be missing; the rest of the file is read once this is mended",
            ),
        );
        return None;
    }
    let span = root.span();
    let table = root.get_ref();
    read(Table { context, source, span: span.start..span.start, name: String::new(), table, asked: Vec::new() })
}

/// A key as it is written, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The key.
    pub key: String,
    /// Its value's text, in one line.
    pub value: String,
    /// The line of the file it begins at.
    pub line: usize,
}

impl<'a> Table<'a> {
    pub(crate) fn context(&self) -> &'a Context {
        self.context
    }

    /// Where the table stands.
    pub(crate) fn place(&self) -> Place {
        self.source.place(self.span.clone())
    }

    /// Where the key's value stands, else the table.
    pub(crate) fn place_of(&self, key: &str) -> Place {
        let span = self.table.get(key).map_or(self.span.clone(), Spanned::span);
        self.source.place(span)
    }

    pub(crate) fn fault(&self, message: impl Into<String>) -> Problem {
        Problem::fault(self.place(), message)
    }

    fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        let name = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
        Some(Value { context: self.context, source: self.source, name, value })
    }

    /// Whether the key is written, well or badly.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Every key with its value as it is written, in the order of the file.
    pub(crate) fn written(&self) -> Vec<Written> {
        let mut all = Vec::new();
        for (key, value) in self.table {
            let text = self.source.text.get(value.span()).unwrap_or_default();
            let (line, _) = self.source.place(key.span()).line_and_column();
            let value = text.split_whitespace().collect::<Vec<_>>().join(" ");
            all.push(Written { key: key.get_ref().to_string(), value, line });
        }
        all.sort_by_key(|written| written.line);
        all
    }

    /// Whether the key is `true`.
    pub(crate) fn is_true(&self, key: &str) -> bool {
        self.table.get(key).is_some_and(|value| value.get_ref().as_bool() == Some(true))
    }

    /// Whether nothing is written there: no key, or a list without items.
    pub(crate) fn is_empty(&self, key: &str) -> bool {
        let value = self.table.get(key).map(Spanned::get_ref);
        value.is_none_or(|value| value.as_array().is_some_and(|list| list.is_empty()))
    }

    /// How many items a list has as it is written, well or badly.
    pub(crate) fn items(&self, key: &str) -> usize {
        self.table.get(key).and_then(|value| value.get_ref().as_array()).map_or(0, |list| list.len())
    }

    /// A key that may be left out; `None` also when its value was faulty.
    pub(crate) fn optional<T>(&mut self, key: &'static str, read: impl FnOnce(Value<'a>) -> Option<T>) -> Option<T> {
        self.take(key).and_then(read)
    }

    /// A key with a default.
    pub(crate) fn or<T>(&mut self, key: &'static str, default: T, read: impl FnOnce(Value<'a>) -> Option<T>) -> T {
        self.optional(key, read).unwrap_or(default)
    }

    /// A key that must be there.
    pub(crate) fn required<T>(&mut self, key: &'static str, read: impl FnOnce(Value<'a>) -> Option<T>) -> Option<T> {
        self.needed(key, &format!("add a line `{key} = …`"), read)
    }

    /// As [`Self::required`], with the help for where it is missing.
    pub(crate) fn needed<T>(
        &mut self,
        key: &'static str,
        help: &str,
        read: impl FnOnce(Value<'a>) -> Option<T>,
    ) -> Option<T> {
        if let Some(value) = self.take(key) {
            return read(value);
        }
        // A key that is only misspelt is told as unknown, with this one as the mend.
        let others =
            self.table.keys().map(|other| other.get_ref().as_ref()).filter(|other| !self.asked.contains(other));
        if nearest(key, others).is_some() {
            return None;
        }
        let table = if self.name.is_empty() { "the file".to_owned() } else { format!("[{}]", self.name) };
        self.context.add(self.fault(format!("`{key}` is missing in {table}")).help(help));
        None
    }

    /// A sub-table; where it is left out, an empty one, so that defaults apply.
    pub(crate) fn table<T>(&mut self, key: &'static str, read: impl FnOnce(Table<'a>) -> Option<T>) -> Option<T> {
        match self.take(key) {
            Some(value) => value.table(read),
            None => {
                static EMPTY: LazyLock<DeTable<'static>> = LazyLock::new(DeTable::new);
                let name = if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) };
                read(Table {
                    context: self.context,
                    source: self.source,
                    span: self.span.clone(),
                    name,
                    table: &EMPTY,
                    asked: Vec::new(),
                })
            }
        }
    }

    /// A list; left out it is empty. Faulty items are reported and left out.
    pub(crate) fn list<T>(&mut self, key: &'static str, read: impl FnMut(Value<'a>) -> Option<T>) -> Vec<T> {
        self.take(key).and_then(|value| value.list(read)).unwrap_or_default()
    }

    /// Reports every key that nobody asked for, with the nearest known one.
    pub(crate) fn finish(self) {
        for (key, _) in self.table {
            let name: &str = key.get_ref();
            if self.asked.contains(&name) {
                continue;
            }
            let table = if self.name.is_empty() { "this file".to_owned() } else { format!("[{}]", self.name) };
            let problem = Problem::fault(self.source.place(key.span()), format!("unknown key `{name}` in {table}"));
            let near = nearest(name, self.asked.iter().copied());
            self.context.add(problem.help(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", self.asked.join(", ")),
            }));
        }
    }
}

impl<'a> Value<'a> {
    pub(crate) fn place(&self) -> Place {
        self.source.place(self.value.span())
    }

    pub(crate) fn context(&self) -> &'a Context {
        self.context
    }

    /// Reports the value as wrong.
    pub(crate) fn wrong<T>(&self, wrong: Wrong) -> Option<T> {
        let problem = Problem::fault(self.place(), wrong.message);
        self.context.add(match wrong.help {
            Some(help) => problem.help(help),
            None => problem,
        });
        None
    }

    fn mistyped<T>(&self, wanted: &str, example: &str) -> Option<T> {
        let is = match self.value.get_ref() {
            DeValue::String(_) => "a text",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("`{}` must be {wanted}, this is {is}", self.name);
        self.wrong(Wrong::new(message).help(format!("as in `{example}`")))
    }

    pub(crate) fn is_integer(&self) -> bool {
        self.value.get_ref().is_integer()
    }

    /// Whether it is a list without items.
    pub(crate) fn is_empty_list(&self) -> bool {
        self.value.get_ref().as_array().is_some_and(|list| list.is_empty())
    }

    pub(crate) fn is_text(&self) -> bool {
        self.value.get_ref().is_str()
    }

    pub(crate) fn is_list(&self) -> bool {
        self.value.get_ref().is_array()
    }

    /// A text, read further by `parse`.
    pub(crate) fn parse<T>(self, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let Some(text) = self.value.get_ref().as_str() else {
            let last = self.name.rsplit('.').next().unwrap_or_default();
            return self.mistyped("a text", &format!("{last} = \"…\""));
        };
        parse(text).map_or_else(|wrong| self.wrong(wrong), Some)
    }

    pub(crate) fn boolean(self) -> Option<bool> {
        match self.value.get_ref().as_bool() {
            Some(value) => Some(value),
            None => self.mistyped("true or false", "true"),
        }
    }

    pub(crate) fn integer<T: Copy + PartialOrd + TryFrom<i64> + ToString>(self, bounds: &Bounds<T>) -> Option<T> {
        let Some(number) = self.value.get_ref().as_integer() else {
            return self.mistyped("a whole number", &bounds.default.to_string());
        };
        let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
        match parsed.and_then(|number| T::try_from(number).ok()) {
            Some(value) if bounds.hold(value) => Some(value),
            _ => self.outside(number.as_str(), &bounds.least.to_string(), &bounds.most.to_string()),
        }
    }

    pub(crate) fn number(self, least: f64, most: f64) -> Option<f64> {
        let text = match self.value.get_ref() {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) => number.as_str(),
            _ => return self.mistyped("a number", "50.11"),
        };
        match text.parse::<f64>() {
            Ok(value) if (least..=most).contains(&value) => Some(value),
            _ => self.outside(text, &least.to_string(), &most.to_string()),
        }
    }

    pub(crate) fn duration(self, bounds: &Bounds<Duration>) -> Option<Duration> {
        if self.is_integer() {
            return self.mistyped("a length of time with its unit", "\"20s\"");
        }
        let show = units::show_duration;
        self.bounded(bounds, units::duration, show)
    }

    pub(crate) fn size(self, bounds: &Bounds<u64>) -> Option<u64> {
        if self.is_integer() {
            return self.mistyped("a size with its unit", "\"4GiB\"");
        }
        self.bounded(bounds, units::size, units::show_size)
    }

    pub(crate) fn rate(self, bounds: &Bounds<u64>) -> Option<u64> {
        if self.is_integer() {
            return self.mistyped("a bit rate with its unit", "\"10Gbps\"");
        }
        self.bounded(bounds, units::rate, |bits| format!("{}kbps", bits / 1000))
    }

    fn bounded<T: Copy + PartialOrd>(
        self,
        bounds: &Bounds<T>,
        read: impl FnOnce(&str) -> Result<T, Wrong>,
        show: impl Fn(T) -> String,
    ) -> Option<T> {
        self.parse(|text| {
            let value = read(text)?;
            if bounds.hold(value) {
                return Ok(value);
            }
            let (least, most) = (show(bounds.least), show(bounds.most));
            Err(Wrong::new(format!("`{text}` is outside its bounds")).help(format!("from {least} to {most}")))
        })
    }

    fn outside<T>(&self, number: &str, least: &str, most: &str) -> Option<T> {
        self.wrong(
            Wrong::new(format!("`{}`: {number} is outside its bounds", self.name))
                .help(format!("from {least} to {most}")),
        )
    }

    pub(crate) fn list<T>(self, mut read: impl FnMut(Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Some(items) = self.value.get_ref().as_array() else {
            let last = self.name.rsplit('.').next().unwrap_or_default();
            return self.mistyped("a list", &format!("{last} = [\"…\"]"));
        };
        let (context, source, name) = (self.context, self.source, &self.name);
        let item = |value| Value { context, source, name: name.clone(), value };
        Some(items.iter().filter_map(|value| read(item(value))).collect())
    }

    pub(crate) fn table<T>(self, read: impl FnOnce(Table<'a>) -> Option<T>) -> Option<T> {
        let Some(table) = self.value.get_ref().as_table() else {
            let last = self.name.rsplit('.').next().unwrap_or_default();
            return self.mistyped("a table", &format!("[{last}]"));
        };
        let (context, source, span) = (self.context, self.source, self.value.span());
        read(Table { context, source, span, name: self.name, table, asked: Vec::new() })
    }

    /// `{ file = "name" }`: the text of a file under `secrets/`.
    pub(crate) fn secret_file<T>(self, secret: impl FnOnce(Self) -> Option<T>) -> Option<T> {
        self.table(|mut table| {
            let text = table.required("file", secret);
            table.finish();
            text
        })
    }

    /// Every entry of a table whose keys the operator chooses, such as header names.
    pub(crate) fn entries<T>(self, mut read: impl FnMut(&str, Value<'a>) -> Option<T>) -> Option<Vec<T>> {
        let Some(table) = self.value.get_ref().as_table() else {
            return self.mistyped("a table", "{ X-Name = \"value\" }");
        };
        let (context, source, name) = (self.context, self.source, &self.name);
        let item = |value| Value { context, source, name: name.clone(), value };
        Some(table.iter().filter_map(|(key, value)| read(key.get_ref(), item(value))).collect())
    }
}
