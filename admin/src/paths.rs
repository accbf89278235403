//! Every path that is answered, in one table: what is served and what is described are the same.

use http::Method;

use crate::guard::Door;

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Root,
    OpenApi,
    Status,
    Node,
    Events,
    Flows,
    History,
    Plots,
    Explain,
    Report,
    Metrics,
    Latency,
    LatencyCsv,
    Sample,
    Purge,
    Drain,
    Undrain,
    RoundTrips,
    Certificates,
    Demand,
    Challenge,
}

/// Where a path is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Where {
    /// Wherever.
    Both,
    /// Where operators ask alone.
    Admin,
    /// Where nodes reach each other alone.
    Peer,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// JSON of this type, as [`crate::openapi`] knows it.
    Json(Type),
    /// JSON of a form that nodes of one version agree on.
    AnyJson,
    /// Text of this media type.
    Text(&'static str),
    /// The list of events, or a stream of them.
    EventsOrStream,
}

/// Types of JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Overview,
    Flows,
    History,
    Receipts,
    Drained,
}

/// A parameter of a path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) is_required: bool,
    pub(crate) meaning: &'static str,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) path: Path,
    pub(crate) at: &'static str,
    pub(crate) method: Verb,
    pub(crate) place: Where,
    pub(crate) meaning: &'static str,
    pub(crate) parameters: &'static [Parameter],
    pub(crate) answer: Answer,
}

/// How a path is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Get,
    Post,
}

impl Verb {
    pub(crate) fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
        }
    }
}

const fn needed(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, is_required: true, meaning }
}

const fn maybe(name: &'static str, meaning: &'static str) -> Parameter {
    Parameter { name, is_required: false, meaning }
}

const fn row(
    path: Path,
    (method, at): (Verb, &'static str),
    place: Where,
    meaning: &'static str,
    parameters: &'static [Parameter],
    answer: Answer,
) -> Row {
    Row { path, at, method, place, meaning, parameters, answer }
}

const GET: Verb = Verb::Get;
const POST: Verb = Verb::Post;
const OF: Parameter = maybe("of", "`fleet`, `pop:ID`, `edge:ID` or `site:ID`; the fleet where it is left out.");
const SPAN: Parameter = maybe("span", "`10m`, `1h` or `6h`; ten minutes where it is left out.");
const EXPLAIN: [Parameter; 3] = [
    needed("name", "A routed name, such as `www.shop.example`."),
    maybe("from", "The client's address."),
    maybe("at", "Instead, where a client is: degrees north and east, `52.4,4.9`. By geography alone."),
];
const REPORT: [Parameter; 3] = [
    maybe("from", "The first day, in UTC, as 2026-11-01; the first of the last day's month where it is left out."),
    maybe("to", "The last day; today where it is left out."),
    maybe("site", "Of this site alone."),
];
const SINCE: [Parameter; 2] = [needed("boot", "The edge's process."), needed("since", "What is known of it already.")];
const KNOWN: [Parameter; 1] = [maybe("known", "The digest of what is known already.")];
const TEXT: Answer = Answer::Text("text/plain");

/// Every path.
pub(crate) static TABLE: [Row; 21] = [
    row(
        Path::Root,
        (GET, "/"),
        Where::Both,
        "The console for who accepts text/html, else which paths there are.",
        &[],
        TEXT,
    ),
    row(Path::OpenApi, (GET, "/openapi.json"), Where::Both, "This description.", &[], Answer::AnyJson),
    row(
        Path::Status,
        (GET, "/status"),
        Where::Both,
        "The whole fleet, at the admin address of who gathers; elsewhere what the node tells of itself.",
        &[],
        Answer::Json(Type::Overview),
    ),
    row(Path::Node, (GET, "/node"), Where::Both, "What the node tells of itself.", &[], Answer::AnyJson),
    row(
        Path::Events,
        (GET, "/events"),
        Where::Admin,
        "What has happened, the newest first; for who accepts text/event-stream a stream of it, with `fleet` and `flows` \
         once a second or more often.",
        &[],
        Answer::EventsOrStream,
    ),
    row(
        Path::Flows,
        (GET, "/flows"),
        Where::Both,
        "Where the queries of the last ten seconds came from and were sent, by place, never by address.",
        &[],
        Answer::Json(Type::Flows),
    ),
    row(Path::History, (GET, "/history"), Where::Admin, "How much went on.", &[OF, SPAN], Answer::Json(Type::History)),
    row(
        Path::Plots,
        (GET, "/plots/{name}.svg"),
        Where::Admin,
        "The same drawn, without a colour of its own: `queries`, `requests`, `hit-ratio`, `bytes`, `latency`, `fetches`, \
         `byte-offload`.",
        &[OF, SPAN],
        Answer::Text("image/svg+xml"),
    ),
    row(
        Path::Explain,
        (GET, "/explain"),
        Where::Both,
        "Which edges a client is sent to for a name, and why.",
        &EXPLAIN,
        Answer::AnyJson,
    ),
    row(
        Path::Report,
        (GET, "/report"),
        Where::Both,
        "What sites took by day: on every edge where `hither up` is asked, else on this one.",
        &REPORT,
        Answer::AnyJson,
    ),
    row(Path::Metrics, (GET, "/metrics"), Where::Both, "All series in the Prometheus text format.", &[], TEXT),
    row(
        Path::Latency,
        (GET, "/latency"),
        Where::Both,
        "What a name server has learned of round trips.",
        &[],
        Answer::AnyJson,
    ),
    row(
        Path::LatencyCsv,
        (GET, "/latency.csv"),
        Where::Both,
        "What was measured of them, by prefix and PoP.",
        &[],
        Answer::Text("text/plain"),
    ),
    row(Path::Sample, (GET, "/sample"), Where::Both, "What a node tells who gathers.", &[], Answer::AnyJson),
    row(
        Path::Purge,
        (POST, "/purge"),
        Where::Both,
        "Takes back what is stored: everywhere where a fleet is gathered, else on this edge. With 502 not on every edge.",
        &[],
        Answer::Json(Type::Receipts),
    ),
    row(
        Path::Drain,
        (POST, "/drain"),
        Where::Both,
        "Has an edge ask for no new clients.",
        &[],
        Answer::Json(Type::Drained),
    ),
    row(
        Path::Undrain,
        (POST, "/undrain"),
        Where::Both,
        "Has it ask for clients again.",
        &[],
        Answer::Json(Type::Drained),
    ),
    row(
        Path::RoundTrips,
        (GET, "/round-trips"),
        Where::Peer,
        "An edge's clients' round trips, for name servers.",
        &SINCE,
        Answer::AnyJson,
    ),
    row(
        Path::Certificates,
        (GET, "/certificates"),
        Where::Peer,
        "Certificates that were got, sealed with the fleet's key.",
        &KNOWN,
        Answer::AnyJson,
    ),
    row(Path::Demand, (GET, "/demand"), Where::Peer, "What clients take of an edge.", &[], Answer::AnyJson),
    row(
        Path::Challenge,
        (POST, "/challenge"),
        Where::Peer,
        "Has a node ready what an authority of certificates will look for.",
        &[],
        Answer::AnyJson,
    ),
];

impl Row {
    fn is_at(&self, door: Door) -> bool {
        match self.place {
            Where::Both => true,
            Where::Admin => door == Door::Admin,
            Where::Peer => door == Door::Peer,
        }
    }

    /// What of a path a gap of this one's stands for; empty where it has none.
    fn fits<'p>(&self, path: &'p str) -> Option<&'p str> {
        let Some((before, after)) = self.at.split_once("{name}") else {
            return (self.at == path).then_some("");
        };
        path.strip_prefix(before)?.strip_suffix(after).filter(|name| !name.is_empty() && !name.contains('/'))
    }
}

/// What a path is, where it is asked, and what its gap stands for.
pub(crate) fn find(path: &str, door: Door) -> Option<(&'static Row, &str)> {
    TABLE.iter().filter(|row| row.is_at(door)).find_map(|row| Some((row, row.fits(path)?)))
}

/// The paths that people use, on one line.
pub(crate) fn in_words() -> String {
    let told = TABLE.iter().filter(|row| row.place != Where::Peer && !matches!(row.path, Path::Root | Path::Sample));
    let (gets, posts): (Vec<&Row>, Vec<&Row>) = told.partition(|row| row.method == Verb::Get);
    let one = |row: &&Row| {
        let needs: Vec<String> = row.parameters.iter().map(|one| format!("{}=…", one.name)).collect();
        if needs.is_empty() { row.at.to_owned() } else { format!("{}?{}", row.at, needs.join("&")) }
    };
    let line = |rows: &[&Row]| rows.iter().map(one).collect::<Vec<_>>().join(" ");
    format!("{}, and POST {}", line(&gets), line(&posts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn a_path_is_answered_where_the_table_says() {
        for (path, door, expected) in [
            ("/status", Door::Admin, Some((Path::Status, ""))),
            ("/status", Door::Peer, Some((Path::Status, ""))),
            ("/status/", Door::Admin, None),
            ("/plots/hit-ratio.svg", Door::Admin, Some((Path::Plots, "hit-ratio"))),
            ("/plots/.svg", Door::Admin, None),
            ("/plots/a/b.svg", Door::Admin, None),
            ("/plots/x.svg", Door::Peer, None),
            ("/demand", Door::Admin, None),
            ("/demand", Door::Peer, Some((Path::Demand, ""))),
            ("/nothing", Door::Admin, None),
        ] {
            assert_eq!(find(path, door).map(|(row, gap)| (row.path, gap)), expected, "{path} {door:?}");
        }
    }

    #[test]
    fn every_path_stands_in_the_table_once() {
        let at: HashSet<&str> = TABLE.iter().map(|row| row.at).collect();
        assert_eq!(at.len(), TABLE.len());
        let said = in_words();
        assert!(
            said.starts_with("/openapi.json /status ") && said.ends_with(", and POST /purge /drain /undrain"),
            "{said}"
        );
        assert!(said.contains("/explain?name=…&from=…&at=…") && !said.contains("/demand"), "{said}");
    }
}
