//! A whole zone file, with what it includes: its records, and every fault in it.
//!
//! ```text
//! entries ─┬─ $ORIGIN, $TTL ─> state ─┐
//!          ├─ $INCLUDE ─> entries     ├─> lines (record and place), problems
//!          ├─ $GENERATE ─> records    ┤
//!          └─ record ─────────────────┘
//! ```
//!
//! An entry that is wrong is reported and left out; what it says about the state still counts, so that
//! one mistake gives one message.

use std::fs::File;
use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use config::{Place, Problem, Severity, Source, Wrong, ZoneFile, limits};
use hickory_server::proto::rr::{Name, Record, RecordType};

use super::entry::{Entries, Entry, Field, Form, Tear};
use super::generate::Generate;
use super::record::{self, Head, shown, wrong};

/// A record and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) record: Record,
    pub(super) place: Place,
}

/// What a file says.
#[derive(Debug)]
pub(super) struct Contents {
    /// Its good records, all within the zone, in order.
    pub(super) lines: Vec<Line>,
    /// What is wrong with the others.
    pub(super) problems: Problems,
    /// Types of records that could not be read; `None` where not even that was clear.
    pub(super) unread: Vec<Option<RecordType>>,
}

/// Problems of one zone, no more than anyone reads.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

/// Reads a zone's file and what it includes.
pub(super) fn read(file: &ZoneFile, source: &Arc<Source>, apex: &Name) -> Contents {
    let contents = Contents { lines: Vec::new(), problems: Problems::default(), unread: Vec::new() };
    let mut reading = Reading {
        apex,
        apex_text: file.name.to_string(),
        contents,
        default_ttl: None,
        last_ttl: None,
        said_no_ttl: false,
        open: Vec::new(),
        included: 0,
        is_over: false,
    };
    reading.source(source, &file.path, &mut Names { origin: apex.clone(), owner: Owner::None });
    reading.contents
}

struct Reading<'a> {
    apex: &'a Name,
    /// The apex without its last dot.
    apex_text: String,
    contents: Contents,
    /// `$TTL` (RFC 2308 §4).
    default_ttl: Option<u32>,
    /// "Omitted class and TTL values are default to the last explicitly stated values" (RFC 1035 §5.1).
    last_ttl: Option<u32>,
    said_no_ttl: bool,
    /// The files being read, each included by the one before.
    open: Vec<PathBuf>,
    included: usize,
    /// The zone is too large; no more of it is read.
    is_over: bool,
}

/// What one file has named so far.
#[derive(Clone, Debug)]
struct Names {
    origin: Name,
    owner: Owner,
}

/// Whom an indented entry is about.
#[derive(Clone, Debug)]
enum Owner {
    /// This name.
    Known(Name),
    /// A name that could not be read, which has been said.
    Unreadable,
    /// Nobody yet.
    None,
}

impl Reading<'_> {
    fn source(&mut self, source: &Arc<Source>, path: &Path, names: &mut Names) {
        self.open.push(real(path));
        for entry in Entries::new(&source.text) {
            let place = source.place(entry.span.clone());
            let taken = self.entry(&entry, &place, path, names);
            if let Err(wrong) = taken {
                let problem = Problem::fault(place.clone(), wrong.message);
                self.contents.problems.add(Problem { help: wrong.help, ..problem });
            }
            if self.contents.lines.len() > limits::ZONE_RECORDS && !self.is_over {
                self.is_over = true;
                let problem = Problem::fault(place, format!("the zone has more than {} records", limits::ZONE_RECORDS));
                self.contents.problems.add(problem.help("make zones of its subdomains"));
                self.contents.unread.push(None);
            }
            if self.is_over || self.contents.problems.are_full() {
                break;
            }
        }
        self.open.pop();
    }

    fn entry(&mut self, entry: &Entry<'_>, place: &Place, path: &Path, names: &mut Names) -> Result<(), Wrong> {
        let directive = entry.fields.first().filter(|field| field.form == Form::Bare && field.text.starts_with('$'));
        match directive {
            Some(directive) => {
                entry.tear.map_or(Ok(()), |tear| Err(torn(tear)))?;
                self.directive(directive, entry, place, path, names)
            }
            None => {
                let read = self.record(entry, place, names);
                if read.is_err() {
                    self.contents.unread.push(Head::read(entry).ok().map(|head| head.kind));
                }
                read
            }
        }
    }

    fn record(&mut self, entry: &Entry<'_>, place: &Place, names: &mut Names) -> Result<(), Wrong> {
        if let Some(owner) = record::owner(entry) {
            let read = record::name(&owner, &names.origin);
            names.owner = read.as_ref().map_or(Owner::Unreadable, |name| Owner::Known(name.clone()));
            self.warn_of_lost_dot(&owner, place, names);
            if entry.tear.is_none() {
                read?;
            }
        }
        entry.tear.map_or(Ok(()), |tear| Err(torn(tear)))?;
        let head = Head::read(entry)?;
        if head.ttl.is_some() {
            self.last_ttl = head.ttl;
        }
        let ttl = head.ttl.or(self.default_ttl).or(self.last_ttl);
        let data = head.data(&names.origin)?;
        for name in head.names() {
            self.warn_of_lost_dot(name, place, names);
        }
        if ttl.is_none() && !std::mem::replace(&mut self.said_no_ttl, true) {
            let problem = Problem::fault(place.clone(), "the record has no TTL, and no `$TTL` stands above it");
            self.contents.problems.add(problem.help("make `$TTL 1h` the first line"));
        }
        let name = match &names.owner {
            Owner::Known(name) => name.clone(),
            Owner::Unreadable => return Ok(()),
            Owner::None => {
                let help = "write a name before it, or `@` for the zone itself";
                return Err(wrong("the record has no name, and none stands above it", help));
            }
        };
        if !self.apex.zone_of(&name) {
            let help = "remove it, or write it without the last dot";
            return Err(wrong(format!("`{name}` is outside the zone {}", self.apex), help));
        }
        let record = Record::from_rdata(name, ttl.unwrap_or_default(), data);
        self.contents.lines.push(Line { record, place: place.clone() });
        Ok(())
    }

    fn directive(
        &mut self,
        directive: &Field<'_>,
        entry: &Entry<'_>,
        place: &Place,
        path: &Path,
        names: &mut Names,
    ) -> Result<(), Wrong> {
        let values = entry.fields.get(1..).unwrap_or_default();
        match (directive.text.to_ascii_uppercase().as_str(), values) {
            ("$TTL", [ttl]) => {
                // A wrong one counts as said: the records below are not at fault.
                self.default_ttl = Some(0);
                self.default_ttl = Some(record::ttl(ttl)?);
                Ok(())
            }
            ("$TTL", _) => Err(wrong("`$TTL` takes one time", "as in `$TTL 1h`")),
            ("$ORIGIN", [origin]) => {
                self.warn_of_lost_dot(origin, place, names);
                names.origin = record::name(origin, &names.origin)?;
                Ok(())
            }
            ("$ORIGIN", _) => Err(wrong("`$ORIGIN` takes one name", format!("as in `$ORIGIN sub.{}`", self.apex))),
            ("$INCLUDE", [file]) => self.include(file, place, path, names.clone()),
            ("$INCLUDE", [file, origin]) => {
                let origin = record::name(origin, &names.origin)?;
                self.include(file, place, path, Names { origin, ..names.clone() })
            }
            ("$GENERATE", fields) => self.generate(&Generate::read(fields)?, place, names),
            ("$INCLUDE", _) => {
                Err(wrong("`$INCLUDE` takes a file and at most an origin", "as in `$INCLUDE ../common/mail`"))
            }
            _ => {
                let message = format!("`{}` is not a directive", shown(directive.text));
                Err(wrong(message, "these are: $TTL, $ORIGIN, $INCLUDE, $GENERATE"))
            }
        }
    }

    /// Reads the records that a line stands for; the first that is wrong ends it.
    fn generate(&mut self, generate: &Generate, place: &Place, names: &Names) -> Result<(), Wrong> {
        for line in generate.lines() {
            let line = line?;
            if self.contents.lines.len() > limits::ZONE_RECORDS {
                return Ok(());
            }
            for entry in Entries::new(&line) {
                // An indented entry after it is about the name above it.
                self.record(&entry, place, &mut names.clone())?;
            }
        }
        Ok(())
    }

    /// Reads another file in this place. "A $INCLUDE entry never changes the relative origin of the
    /// parent file" (RFC 1035 §5.1): it gets names of its own.
    fn include(&mut self, file: &Field<'_>, place: &Place, path: &Path, mut names: Names) -> Result<(), Wrong> {
        let beside = |path: &Path| path.parent().unwrap_or(Path::new("")).join(file.text);
        let (path, path_shown) = (beside(path), without_detours(&beside(&place.source.path)));
        if self.open.contains(&real(&path)) {
            let help = "take one of the `$INCLUDE` lines out";
            return Err(wrong(format!("`{}` includes itself", shown(file.text)), help));
        }
        if self.open.len() > limits::ZONE_INCLUDE_DEPTH {
            let message = format!("`$INCLUDE` goes deeper than {} files", limits::ZONE_INCLUDE_DEPTH);
            return Err(wrong(message, "include from the zone's own file"));
        }
        self.included += 1;
        if self.included > limits::ZONE_INCLUDES {
            let message = format!("the zone includes more than {} files", limits::ZONE_INCLUDES);
            return Err(wrong(message, "put their records in fewer files"));
        }
        match text(&path) {
            Ok(text) => {
                self.source(&Source::new(&path_shown, text), &path, &mut names);
                Ok(())
            }
            Err(why) => {
                // What it would have held is not missing from the zone.
                self.contents.unread.push(None);
                let message = format!("`{}` cannot be read: {why}", shown(file.text));
                Err(wrong(message, "the path starts at the folder of the file that includes it"))
            }
        }
    }

    /// Warns of `mail.shop.example` in the zone shop.example, which means mail.shop.example.shop.example.
    fn warn_of_lost_dot(&mut self, field: &Field<'_>, place: &Place, names: &Names) {
        let apex = self.apex_text.as_str();
        let ends = field.text.len().checked_sub(apex.len()).and_then(|start| field.text.split_at_checked(start));
        let Some((before, _)) = ends.filter(|(_, end)| end.eq_ignore_ascii_case(apex)) else {
            return;
        };
        if !before.is_empty() && !before.ends_with('.') {
            return;
        }
        if let Ok(name) = record::name(field, &names.origin) {
            let message = format!("`{}` has no last dot, so it means `{name}`", shown(field.text));
            let problem = Problem::warning(place.clone(), message);
            self.contents.problems.add(problem.help(format!("write `{}.`", shown(field.text))));
        }
    }
}

/// The path by which a file is known again, however it is written.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// A path to show: `zones/../common` is `common`.
fn without_detours(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        let is_back = component == Component::ParentDir;
        let may_go_back = matches!(out.components().next_back(), Some(Component::Normal(_)));
        if !(is_back && may_go_back && out.pop()) {
            out.push(component);
        }
    }
    out
}

fn torn(tear: Tear) -> Wrong {
    match tear {
        Tear::OpenParenthesis => wrong("the `(` is not closed", "put a `)` after the record's last field"),
        Tear::StrayParenthesis => {
            wrong("the `)` closes nothing", "remove it, or put a `(` before the first of the fields it is to hold")
        }
        Tear::OpenQuote => {
            let help = "close it; a long text is several strings: `TXT ( \"one\" \"two\" )`, also on several lines";
            wrong("the quote is not closed on its line", help)
        }
    }
}

/// The text of an included file, or why it cannot be had.
fn text(path: &Path) -> Result<String, String> {
    let why = |error: std::io::Error| error.to_string();
    // Asked before it is opened: to open a pipe would wait.
    if !std::fs::metadata(path).map_err(why)?.is_file() {
        return Err("it is not a file".into());
    }
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(why)?.take(limits::CONFIG_FILE_BYTES + 1);
    let length = file.read_to_end(&mut bytes).map_err(why)?;
    if length as u64 > limits::CONFIG_FILE_BYTES {
        return Err(format!("it is larger than {} MiB", limits::CONFIG_FILE_BYTES >> 20));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into())
}

impl Problems {
    pub(super) fn add(&mut self, problem: Problem) {
        if self.0.len() < limits::ZONE_PROBLEMS {
            self.0.push(problem);
        }
    }

    pub(super) fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn are_full(&self) -> bool {
        self.0.len() >= limits::ZONE_PROBLEMS
    }

    /// All of them, the last telling if there may be more.
    pub(super) fn into_vec(mut self, zone: &ZoneFile) -> Vec<Problem> {
        if self.are_full() {
            let message = format!("zone {}: reading stopped after {} problems", zone.name, limits::ZONE_PROBLEMS);
            let is_fault = |problem: &Problem| problem.severity == Severity::Fault;
            let severity = if self.0.iter().any(is_fault) { Severity::Fault } else { Severity::Warning };
            self.0.push(Problem { severity, ..Problem::general(message).help("mend these first") });
        }
        self.0
    }
}
