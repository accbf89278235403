//! What a check tells a program: one JSON object.

use std::path::Path;

use config::{Config, Problem, Severity};
use serde::Serialize;
use serde_json::Value;

use super::online::Looked;
use crate::exit::Failure;
use crate::say::counted;

/// All that a check has found.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    /// The directory that was looked at.
    directory: String,
    /// Whether nodes would take it.
    good: bool,
    /// How much is in it; nothing of what is refused.
    counts: Option<Counts>,
    /// The faults and warnings of its files.
    problems: Vec<Said>,
    /// What the network outside says, if it was asked.
    pub(super) online: Option<Online>,
    /// What it would do beside the config that serves, as `hither plan --json` tells it, if that was asked.
    pub(super) plan: Option<Value>,
    /// Why not all that was asked for was looked at, though nodes would take it.
    pub(super) failure: Option<String>,
}

/// How much is in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Counts {
    /// PoPs.
    pops: usize,
    /// Edges of all PoPs.
    edges: usize,
    /// Name servers.
    name_servers: usize,
    /// Sites.
    sites: usize,
    /// Zone files.
    zones: usize,
    /// Rules of `routes.toml`.
    routes: usize,
}

/// A fault or a warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Said {
    /// `fault` or `warning`.
    severity: &'static str,
    /// What is wrong.
    message: String,
    /// What would be right.
    help: Option<String>,
    /// The file, relative to the directory; none of what has no place in a file.
    file: Option<String>,
    /// The line, counted from 1.
    line: Option<usize>,
    /// The column, counted from 1 in characters.
    column: Option<usize>,
}

/// What the network outside says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Online {
    /// Addresses of edges that were connected to.
    edge_addresses: usize,
    /// Names that were looked up.
    names: usize,
    /// Names that were not, since there are so many.
    names_left_out: usize,
    /// What is likely wrong.
    problems: Vec<Said>,
}

impl Told {
    /// Of a directory that nodes would take.
    pub(super) fn good(dir: &Path, counts: Counts, warnings: &[Problem]) -> Self {
        Self { good: true, counts: Some(counts), ..Self::refused(dir, warnings) }
    }

    /// Of one that they would not.
    pub(super) fn refused(dir: &Path, problems: &[Problem]) -> Self {
        let (directory, problems) = (dir.display().to_string(), problems.iter().map(Said::of).collect());
        Self { directory, good: false, counts: None, problems, online: None, plan: None, failure: None }
    }

    /// As it is printed.
    pub(super) fn text(&self) -> Result<String, Failure> {
        serde_json::to_string_pretty(self).map_err(Failure::ours)
    }
}

impl Counts {
    /// Of a directory that was read.
    pub(super) fn of(config: &Config) -> Self {
        Self {
            pops: config.network.pops.len(),
            edges: config.network.edges().count(),
            name_servers: config.network.name_servers.len(),
            sites: config.sites.len(),
            zones: config.zones.len(),
            routes: config.routes.routes.len(),
        }
    }

    /// For a person.
    pub(super) fn show(self) -> String {
        let counts = [
            (self.pops, "PoP"),
            (self.edges, "edge"),
            (self.name_servers, "name server"),
            (self.sites, "site"),
            (self.zones, "zone"),
            (self.routes, "route"),
        ];
        counts.map(|(count, noun)| counted(count, noun)).join(", ")
    }
}

impl Said {
    fn of(problem: &Problem) -> Self {
        let place = problem.place.as_ref();
        let (line, column) = place.map(config::Place::line_and_column).unzip();
        Self {
            severity: match problem.severity {
                Severity::Fault => "fault",
                Severity::Warning => "warning",
            },
            message: problem.message.clone(),
            help: problem.help.clone(),
            file: place.map(|place| place.source.path.display().to_string()),
            line,
            column,
        }
    }
}

impl From<Looked> for Online {
    fn from(looked: Looked) -> Self {
        let Looked { warnings, addresses, names, left_out } = looked;
        let problems = warnings.iter().map(Said::of).collect();
        Self { edge_addresses: addresses, names, names_left_out: left_out, problems }
    }
}

#[cfg(test)]
mod tests {
    use config::Source;
    use serde_json::json;

    use super::*;

    const COUNTS: Counts = Counts { pops: 12, edges: 24, name_servers: 2, sites: 1, zones: 0, routes: 3 };

    fn read(told: &Told) -> Value {
        serde_json::from_str(&told.text().unwrap()).unwrap()
    }

    #[test]
    fn a_fault_is_told_with_its_place_and_its_mend() {
        let site = Source::new(Path::new("sites/shop.toml"), "hosts = []\nttl = 20\n".to_owned());
        let fault = Problem::fault(site.place(17..19), "20 has no unit").help("write \"20s\"");
        let told = read(&Told::refused(Path::new("/etc/hither"), &[fault, Problem::general("no key")]));
        assert_eq!((&told["directory"], &told["good"]), (&json!("/etc/hither"), &json!(false)));
        assert!(told["counts"].is_null() && told["online"].is_null() && told["plan"].is_null(), "{told}");
        assert_eq!(
            told["problems"],
            json!([
                {
                    "severity": "fault", "message": "20 has no unit", "help": "write \"20s\"",
                    "file": "sites/shop.toml", "line": 2, "column": 7,
                },
                { "severity": "fault", "message": "no key", "help": null, "file": null, "line": null, "column": null },
            ])
        );
    }

    #[test]
    fn what_was_looked_at_is_told_beside_what_is_in_it() {
        let silent = Problem { severity: Severity::Warning, ..Problem::general("nobody answers") };
        let mut good = Told::good(Path::new("cdn"), COUNTS, &[]);
        good.online = Some(Looked { warnings: vec![silent], addresses: 2, names: 3, left_out: 4 }.into());
        good.plan = Some(json!({ "moved": 0.25 }));
        let told = read(&good);
        assert_eq!(
            (&told["good"], &told["problems"], &told["plan"]["moved"]),
            (&json!(true), &json!([]), &json!(0.25))
        );
        let counts = json!({ "pops": 12, "edges": 24, "name_servers": 2, "sites": 1, "zones": 0, "routes": 3 });
        assert_eq!(told["counts"], counts);
        let online = &told["online"];
        assert_eq!((&online["edge_addresses"], &online["names"]), (&json!(2), &json!(3)));
        assert_eq!((&online["names_left_out"], &online["problems"][0]["severity"]), (&json!(4), &json!("warning")));
    }

    #[test]
    fn one_of_a_kind_takes_no_s() {
        assert_eq!(COUNTS.show(), "12 PoPs, 24 edges, 2 name servers, 1 site, 0 zones, 3 routes");
    }
}
