//! The logs of requests and queries, as the config wants them: begun with the node, exchanged by a reload.
//!
//! ```text
//! [log] ─> Manner ─> Change: None | Manner | File | End ─> the next line goes there; those of before are written
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{LogFormat, Problem, limits};
use edge::Access;
use telemetry::{Clients, Log, let_go};

use super::serve::STATE;
use super::{NameServer, Node, lock};
use crate::exit::{Failure, plain};

/// The logs that a node writes now.
#[derive(Debug)]
pub(super) struct Logs {
    /// The node's own directory.
    home: PathBuf,
    requests: Option<Manner>,
    queries: Option<Manner>,
}

/// A name server's log of queries.
#[derive(Debug)]
pub(super) struct Queries {
    pub(super) log: Log,
    pub(super) clients: Clients,
}

/// How a log is written.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Manner {
    /// In the node's directory.
    file: &'static str,
    format: LogFormat,
    clients: config::Clients,
}

/// What a config changes of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Nothing.
    None,
    /// How what follows is written, to the same file.
    Manner,
    /// To which file what follows is written.
    File,
    /// That it is written at all.
    End,
}

impl Manner {
    fn of_requests(log: &config::Log) -> Option<Self> {
        let of = || Self { file: log.format.file(), format: log.format.clone(), clients: log.clients };
        log.requests.then(of)
    }

    fn of_queries(log: &config::Log) -> Option<Self> {
        log.queries.then_some(Self { file: "queries.jsonl", format: LogFormat::Json, clients: log.clients })
    }

    fn clients(&self) -> Clients {
        match self.clients {
            config::Clients::Full => Clients::Full,
            config::Clients::Prefix => Clients::Prefix,
            config::Clients::None => Clients::None,
        }
    }
}

impl Change {
    fn of(used: Option<&Manner>, wanted: Option<&Manner>) -> Self {
        match (used, wanted) {
            (None, None) => Self::None,
            (Some(_), None) => Self::End,
            (Some(used), Some(wanted)) if used == wanted => Self::None,
            (Some(used), Some(wanted)) if used.file == wanted.file => Self::Manner,
            (_, Some(_)) => Self::File,
        }
    }
}

impl Logs {
    /// None yet, of a node with this directory.
    pub(super) fn new(home: &Path) -> Self {
        Self { home: home.to_owned(), requests: None, queries: None }
    }
}

impl NameServer {
    /// Has queries written to this log from the next line on, or to none. Waits until all lines of the one before are written.
    fn log_to(&self, queries: Option<Queries>) {
        self.queries.swap(queries.map(Arc::new)).into_iter().for_each(let_go);
    }
}

impl Node {
    /// Begins the logs that a config wants. A file that cannot be opened is tried again with every line.
    pub(super) fn begin_logs(&self, log: &config::Log) -> Result<(), Failure> {
        let mut logs = lock(&self.logs);
        let Logs { home, requests, queries } = &mut *logs;
        let home: &Path = home;
        (*requests, *queries) = self.manners(log);
        let begun = self.log_requests(home, requests.as_ref()).and_then(|()| self.log_queries(home, queries.as_ref()));
        begun.map_err(|error| Failure::file("log to", home, &error, STATE))
    }

    /// Has logs written as a config wants them from the next line on. A log whose new file cannot be opened goes on as it was,
    /// and is told. Waits for the disk.
    pub(super) fn change_logs(&self, log: &config::Log) -> Vec<Problem> {
        let mut logs = lock(&self.logs);
        let Logs { home, requests, queries } = &mut *logs;
        let home: &Path = home;
        let (of_requests, of_queries) = self.manners(log);
        let of_requests = change(home, requests, of_requests, |manner| self.log_requests(home, manner));
        let of_queries = change(home, queries, of_queries, |manner| self.log_queries(home, manner));
        [of_requests, of_queries].into_iter().filter_map(Result::err).collect()
    }

    /// Has the files of all logs opened anew.
    pub(super) fn reopen_logs(&self) {
        self.edge.iter().for_each(|edge| edge.reopen_log());
        let queries = self.name_server.as_ref().and_then(|name_server| name_server.queries.load_full());
        queries.iter().for_each(|queries| queries.log.reopen());
    }

    /// Ends all logs; waits until every line is written.
    pub(super) fn end_logs(&self) {
        self.edge.iter().for_each(|edge| edge.log_to(None));
        self.name_server.iter().for_each(|name_server| name_server.log_to(None));
    }

    /// How a config wants the logs of requests and queries, as far as this node has to do with them.
    fn manners(&self, log: &config::Log) -> (Option<Manner>, Option<Manner>) {
        let requests = self.edge.as_ref().and_then(|_| Manner::of_requests(log));
        let queries = self.name_server.as_ref().and_then(|_| Manner::of_queries(log));
        (requests, queries)
    }

    fn log_requests(&self, home: &Path, manner: Option<&Manner>) -> io::Result<()> {
        let Some(edge) = &self.edge else { return Ok(()) };
        let start = |manner: &Manner| {
            let path = home.join(manner.file);
            Access::start(&path, &manner.format, manner.clients(), &self.id, &self.metrics)
        };
        edge.log_to(manner.map(start).transpose()?);
        Ok(())
    }

    fn log_queries(&self, home: &Path, manner: Option<&Manner>) -> io::Result<()> {
        let Some(name_server) = &self.name_server else { return Ok(()) };
        let start = |manner: &Manner| {
            let dropped = self.metrics.log_dropped.with_label_values(&["queries"]);
            let log = Log::start(&home.join(manner.file), limits::LOG_QUEUE, dropped)?;
            io::Result::Ok(Queries { log, clients: manner.clients() })
        };
        name_server.log_to(manner.map(start).transpose()?);
        Ok(())
    }
}

/// Changes a log into what is wanted; `put` puts another in its place, or none.
///
/// # Errors
/// It cannot be done, and the log is as it was.
fn change(
    home: &Path,
    used: &mut Option<Manner>,
    wanted: Option<Manner>,
    put: impl FnOnce(Option<&Manner>) -> io::Result<()>,
) -> Result<(), Problem> {
    let path = wanted.as_ref().map_or_else(PathBuf::new, |wanted| home.join(wanted.file));
    let done = match Change::of(used.as_ref(), wanted.as_ref()) {
        Change::None => return Ok(()),
        Change::Manner | Change::End => put(wanted.as_ref()),
        Change::File => Log::try_file(&path).and_then(|()| put(wanted.as_ref())),
    };
    done.map_err(|error| {
        let what = format!("cannot log to {}: {}; what was logged goes on as it was", path.display(), plain(&error));
        Problem::general(what).help("have it be a file that this node's user may write to, then send the node SIGHUP")
    })?;
    *used = wanted;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manner(format: &str, clients: config::Clients) -> Manner {
        let format = LogFormat::parse(format).unwrap();
        Manner { file: format.file(), format, clients }
    }

    #[test]
    fn only_another_file_is_opened_anew_and_what_is_the_same_goes_on() {
        use config::Clients::{Full, Prefix};
        let [json, combined, short] = ["json", "combined", "${status}"].map(|format| manner(format, Prefix));
        let of_persons = manner("json", Full);
        for (used, wanted, expected) in [
            (None, None, Change::None),
            (None, Some(&json), Change::File),
            (Some(&json), None, Change::End),
            (Some(&json), Some(&json), Change::None),
            (Some(&json), Some(&of_persons), Change::Manner),
            (Some(&json), Some(&combined), Change::File),
            (Some(&combined), Some(&short), Change::Manner),
            (Some(&short), Some(&json), Change::File),
        ] {
            assert_eq!(Change::of(used, wanted), expected, "{used:?} {wanted:?}");
        }
    }

    #[test]
    fn a_log_whose_file_cannot_be_opened_is_as_it_was_until_it_can() {
        let home = tempfile::tempdir().unwrap();
        let blocked = home.path().join("requests.jsonl");
        std::fs::create_dir(&blocked).unwrap();
        let [json, combined] = ["json", "combined"].map(|format| manner(format, config::Clients::Prefix));
        let mut used = Some(combined.clone());
        let mut put = Vec::new();
        let mut changed = |wanted: &Manner| {
            let told = change(home.path(), &mut used, Some(wanted.clone()), |manner| {
                put.push(manner.cloned());
                Ok(())
            });
            (told.map_err(|problem| problem.to_string()), used.clone())
        };
        let (told, now) = changed(&json);
        let told = told.unwrap_err();
        assert!(told.starts_with(&format!("cannot log to {}: ", blocked.display())), "{told}");
        assert!(told.contains("goes on as it was (have it be a file"), "{told}");
        assert_eq!(now, Some(combined.clone()));
        assert_eq!(changed(&combined), (Ok(()), Some(combined)));
        std::fs::remove_dir(&blocked).unwrap();
        assert_eq!(changed(&json), (Ok(()), Some(json.clone())));
        assert!(blocked.exists(), "the file is there before its first line");
        assert_eq!(put, [Some(json)]);
    }
}
