//! What has happened, told by comparing a fleet with how it was before. Pure: times come in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use config::limits;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::overview::{CertificateSeen, EdgeSeen, Hearing, Overview, SiteSeen, State};

/// Something that has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Event {
    /// Its number: later ones have larger.
    pub id: u64,
    /// When it was noticed, Unix milliseconds.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Happening {
    /// What kind of thing.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// To what.
    pub about: About,
    /// The same as a sentence.
    pub text: String,
    /// Why, where that is known.
    pub reason: Option<String>,
    /// For how long it was as it was, milliseconds, where it has ended.
    pub for_ms: Option<u64>,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// No client is sent to an edge any more.
    EdgeDown,
    /// Some are, for some time already.
    EdgePartly,
    /// Its probes pass, its answers fail.
    EdgeFailing,
    /// Clients are sent there again.
    EdgeUp,
    /// The operator takes it out.
    EdgeDrained,
    /// The operator takes it back.
    EdgeUndrained,
    /// A node cannot be reached.
    NodeUnreachable,
    /// It can again.
    NodeBack,
    /// A node has a newer config.
    ConfigChanged,
    /// Nodes have refused the newest.
    ConfigRefused,
    /// Every node has the same.
    ConfigTaken,
    /// A certificate is about to end, or has, and there is no new one.
    CertificateAlarm,
    /// A new one cannot be got.
    CertificateFailing,
    /// It is as it should be again.
    CertificateWell,
    /// Edges take nothing from a server of an origin.
    OriginDown,
    /// They do again.
    OriginBack,
    /// Edges have taken a purge.
    Purged,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Clients may suffer, or will.
    Alarm,
    /// Somebody should look.
    Warning,
    /// Somebody did it.
    Notice,
    /// All is well again.
    Well,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct About {
    /// `edge`, `node`, `site`, `certificate` or `fleet`.
    pub kind: &'static str,
    /// Its id, or the name of a certificate; empty for the fleet.
    pub id: String,
}

/// Tells what happens, from one state to the next.
#[derive(Debug, Default)]
pub(crate) struct Teller {
    /// What was told last of each edge, and since when that is so.
    edges: BTreeMap<String, (State, u64)>,
    /// Nodes that were told to be unreachable, and since when.
    unreachable: BTreeMap<String, u64>,
}

/// The last events.
#[derive(Debug)]
pub(crate) struct Ring {
    events: VecDeque<Event>,
    next: u64,
}

/// An edge that is up for some comes up or falls within that time, mostly: name servers are not all as quick.
const UNDECIDED_MS: u64 = 3_000;

impl Ring {
    /// Numbers events from here on; the time, so that those of a process that starts later have larger ones.
    pub(crate) fn from(now_ms: u64) -> Self {
        Self { events: VecDeque::new(), next: now_ms }
    }

    pub(crate) fn add(&mut self, now_ms: u64, what: Happening) -> Event {
        let event = Event { id: self.next, at_ms: now_ms, what };
        self.next += 1;
        if self.events.len() >= limits::EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        event
    }

    /// Those after one, the oldest first.
    pub(crate) fn after(&self, id: u64) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.id > id)
    }

    /// All of them, the newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().rev()
    }
}

impl Teller {
    /// What has happened between two states.
    pub(crate) fn tell(&mut self, before: &Overview, after: &Overview) -> Vec<Happening> {
        let mut told = Vec::new();
        let now_ms = after.at_ms;
        let known: BTreeSet<&str> = after.edges.iter().map(|edge| edge.id.as_str()).collect();
        self.edges.retain(|id, _| known.contains(id.as_str()));
        told.extend(after.edges.iter().filter_map(|edge| self.tell_edge(edge, now_ms)));
        let name_servers = after.name_servers.iter().map(|node| (&node.id, node.hearing));
        // A node of both roles is one node.
        let nodes: BTreeMap<&String, Hearing> =
            after.edges.iter().map(|edge| (&edge.id, edge.hearing)).chain(name_servers).collect();
        self.unreachable.retain(|id, _| nodes.contains_key(id));
        let silent: BTreeMap<&str, &str> = after.nodes.iter().filter_map(why_silent).collect();
        told.extend(nodes.into_iter().filter_map(|(id, hearing)| {
            let why = silent.get(id.as_str()).copied().unwrap_or("it does not run");
            self.tell_node(id, hearing, (why, now_ms))
        }));
        told.extend(tell_config(before, after));
        let old: BTreeMap<&str, &CertificateSeen> =
            before.certificates.iter().map(|old| (old.name.as_str(), old)).collect();
        told.extend(
            after.certificates.iter().filter_map(|now| tell_certificate(old.get(now.name.as_str()).copied(), now)),
        );
        let old: BTreeMap<&str, &SiteSeen> = before.sites.iter().map(|old| (old.id.as_str(), old)).collect();
        told.extend(after.sites.iter().flat_map(|now| tell_origins(old.get(now.id.as_str()).copied(), now)));
        told.extend(tell_purges(before, after));
        told
    }

    fn tell_edge(&mut self, edge: &EdgeSeen, now_ms: u64) -> Option<Happening> {
        let is_undecided = edge.state == State::Partly && now_ms.saturating_sub(edge.since_ms) < UNDECIDED_MS;
        // Where nobody is heard nothing has changed that we know of.
        if edge.state == State::Unknown || is_undecided {
            return None;
        }
        let id = edge.id.as_str();
        let (was, since_ms) = *self.edges.entry(edge.id.clone()).or_insert((State::Unknown, now_ms));
        if was == edge.state {
            return None;
        }
        self.edges.insert(edge.id.clone(), (edge.state, edge.since_ms));
        let why = edge.reason.clone().unwrap_or_default();
        let (kind, severity, text) = match edge.state {
            State::Up if was == State::Unknown => return None,
            State::Up if was == State::Drained => {
                (Kind::EdgeUndrained, Severity::Notice, format!("{id} is no longer drained"))
            }
            State::Up => (Kind::EdgeUp, Severity::Well, format!("{id} is up again")),
            State::Partly => (Kind::EdgePartly, Severity::Warning, format!("{id} is up for some only: {why}")),
            State::Drained => (Kind::EdgeDrained, Severity::Notice, format!("{id} is drained: {why}")),
            State::Failing => (Kind::EdgeFailing, Severity::Alarm, format!("{id} fails to serve: {why}")),
            State::Down | State::Unknown => (Kind::EdgeDown, Severity::Alarm, format!("{id} is down: {why}")),
        };
        let has_ended = !matches!(was, State::Up | State::Unknown);
        let for_ms = has_ended.then(|| now_ms.saturating_sub(since_ms));
        Some(Happening { kind, severity, about: About::of("edge", id), text, reason: edge.reason.clone(), for_ms })
    }

    /// `why` it is not heard, if it is not.
    fn tell_node(&mut self, id: &str, hearing: Hearing, (why, now_ms): (&str, u64)) -> Option<Happening> {
        let about = About::of("node", id);
        if hearing.unreachable {
            // One that was never heard has not begun yet, or is elsewhere.
            if !hearing.stale || self.unreachable.contains_key(id) {
                return None;
            }
            self.unreachable.insert(id.to_owned(), now_ms.saturating_sub(hearing.heard_ms.unwrap_or(0)));
            let text = format!("{id} cannot be reached: {why}");
            let (kind, severity) = (Kind::NodeUnreachable, Severity::Warning);
            return Some(Happening { kind, severity, about, text, reason: Some(why.to_owned()), for_ms: None });
        }
        let since_ms = self.unreachable.remove(id)?;
        let (kind, severity, text) = (Kind::NodeBack, Severity::Well, format!("{id} is reached again"));
        let for_ms = Some(now_ms.saturating_sub(since_ms));
        Some(Happening { kind, severity, about, text, reason: None, for_ms })
    }
}

/// A node that was not heard, and why.
fn why_silent(node: &Value) -> Option<(&str, &str)> {
    Some((node.get("id")?.as_str()?, node.get("why")?.as_str()?))
}

impl About {
    fn of(kind: &'static str, id: &str) -> Self {
        Self { kind, id: id.to_owned() }
    }

    /// One node, or the fleet where there are several.
    fn of_nodes(kind: &'static str, ids: &[&str]) -> Self {
        match ids {
            [one] => Self::of(kind, one),
            _ => Self::of("fleet", ""),
        }
    }
}

/// `fra-1`, or `24 nodes`.
fn in_words(ids: &[&str], kind: &str) -> String {
    match ids {
        [one] => (*one).to_owned(),
        many => format!("{} {kind}s", many.len()),
    }
}

fn tell_config(before: &Overview, after: &Overview) -> Vec<Happening> {
    let mut told = Vec::new();
    let (old, new) = (before.network.config_version, after.network.config_version);
    let mut notice = |kind, severity, text| {
        let about = About::of("fleet", "");
        told.push(Happening { kind, severity, about, text, reason: None, for_ms: None });
    };
    if old > 0 && new > old {
        let have = after.configs.first().map_or(0, |newest| newest.nodes.len());
        let text = format!("there is a new config, {new}: {have} of {} nodes have it", after.nodes.len());
        notice(Kind::ConfigChanged, Severity::Notice, text);
    }
    let is_one = |overview: &Overview| overview.configs.len() == 1;
    if is_one(after) && before.configs.len() > 1 {
        notice(Kind::ConfigTaken, Severity::Well, format!("every node has config {new}"));
    }
    let refusing = |overview: &Overview| {
        let edges = overview.edges.iter().map(|edge| (edge.id.clone(), edge.refused.clone()));
        let name_servers = overview.name_servers.iter().map(|node| (node.id.clone(), node.refused.clone()));
        edges.chain(name_servers).filter_map(|(id, why)| Some((id, why?))).collect::<BTreeSet<_>>()
    };
    let (refused_before, refused) = (refusing(before), refusing(after));
    let mut by_reason: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (id, why) in refused.difference(&refused_before) {
        by_reason.entry(why).or_default().push(id);
    }
    for (why, ids) in by_reason {
        let verb = if ids.len() == 1 { "has" } else { "have" };
        told.push(Happening {
            kind: Kind::ConfigRefused,
            severity: Severity::Alarm,
            about: About::of_nodes("node", &ids),
            text: format!("{} {verb} refused the newest config: {why}", in_words(&ids, "node")),
            reason: Some(why.to_owned()),
            for_ms: None,
        });
    }
    told
}

fn tell_certificate(before: Option<&CertificateSeen>, now: &CertificateSeen) -> Option<Happening> {
    let (was_alarming, did_fail) = before.map_or((false, false), |old| (old.alarming, old.fails.is_some()));
    let name = &now.name;
    let left = now.days_left.map_or("there is none".to_owned(), |days| format!("it is good for {days:.0} days more"));
    let (kind, severity, text) = match (now.alarming, &now.fails) {
        (true, _) if !was_alarming => {
            (Kind::CertificateAlarm, Severity::Alarm, format!("the certificate for {name} needs somebody: {left}"))
        }
        (_, Some(why)) if !did_fail => {
            let text = format!("no new certificate for {name} can be had, {left}: {why}");
            (Kind::CertificateFailing, Severity::Warning, text)
        }
        (false, None) if was_alarming || did_fail => {
            (Kind::CertificateWell, Severity::Well, format!("the certificate for {name} is well again: {left}"))
        }
        _ => return None,
    };
    let reason = now.fails.clone().filter(|_| kind != Kind::CertificateWell);
    Some(Happening { kind, severity, about: About::of("certificate", name), text, reason, for_ms: None })
}

fn tell_origins(before: Option<&SiteSeen>, now: &SiteSeen) -> Vec<Happening> {
    let site = now.id.as_str();
    let old = before.map(|site| site.origins.as_slice()).unwrap_or_default();
    let fallen = now.origins.iter().filter(|one| !old.iter().any(|other| other.server == one.server));
    let back = old.iter().filter(|one| !now.origins.iter().any(|other| other.server == one.server));
    let told = |kind, severity, text, reason: Option<&str>| Happening {
        kind,
        severity,
        about: About::of("site", site),
        text,
        reason: reason.map(str::to_owned),
        for_ms: None,
    };
    let down = fallen.map(|one| {
        let why = if one.down.is_empty() { "fetches have failed" } else { "its probes fail" };
        let edges: BTreeSet<&str> = one.down.iter().chain(&one.left_alone).map(String::as_str).collect();
        let edges = in_words(&edges.into_iter().collect::<Vec<_>>(), "edge");
        let text = format!("{edges} will not fetch from {} for site {site}: {why}", one.server);
        told(Kind::OriginDown, Severity::Warning, text, Some(why))
    });
    let again = back.map(|one| {
        let text = format!("{} takes fetches for site {site} again", one.server);
        told(Kind::OriginBack, Severity::Well, text, None)
    });
    down.chain(again).collect()
}

fn tell_purges(before: &Overview, after: &Overview) -> Option<Happening> {
    let position = |edge: &EdgeSeen| Some((edge.id.clone(), edge.purge_position?));
    let old: BTreeMap<String, u64> = before.edges.iter().filter_map(position).collect();
    let has_purged = |edge: &&EdgeSeen| old.get(&edge.id).zip(edge.purge_position).is_some_and(|(old, new)| new > *old);
    let ids: Vec<&str> = after.edges.iter().filter(has_purged).map(|edge| edge.id.as_str()).collect();
    if ids.is_empty() {
        return None;
    }
    let verb = if ids.len() == 1 { "has" } else { "have" };
    Some(Happening {
        kind: Kind::Purged,
        severity: Severity::Notice,
        about: About::of_nodes("edge", &ids),
        text: format!("{} {verb} taken a purge", in_words(&ids, "edge")),
        reason: None,
        for_ms: None,
    })
}

#[cfg(test)]
mod tests;
