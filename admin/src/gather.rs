//! What who gathers knows of a fleet: the last that every node told, how much went on, and what has happened.
//!
//! ```text
//! what nodes tell, twice a second ─> heard ─> rates ─> history
//!                                     └────> compose (an Overview) ─> events ─> streams
//! ```
//!
//! All of it decides and does nothing: who asks the nodes hands in what came of it, and when.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use config::{CountryCode, limits};
use serde::Serialize;
use tokio::sync::broadcast::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

mod compose;
mod events;
mod flows;
mod heard;
mod history;
mod overview;
mod pulse;
mod rates;

pub use compose::Ground;
pub use events::{About, Event, Happening, Kind, Severity};
pub use flows::{Flow, Flows};
pub use heard::{Heard, Sample};
pub use overview::{
    CertificateSeen, ConfigSeen, EdgeSeen, Hearing, NameServerSeen, NetworkSeen, OriginSeen, Overview, PopSeen,
    SiteSeen, State,
};
pub use rates::Rates;

pub(crate) use history::{Point, Span};
pub(crate) use rates::Of;

use compose::{Since, compose, follow_states};
use events::{Ring, Teller};
use heard::Memory;
use history::History;
use rates::{Counters, add};

/// Everything that is known of a fleet.
#[derive(Debug)]
pub struct Gathering {
    known: Mutex<Known>,
    streams: Sender<Message>,
    places: Arc<Semaphore>,
}

#[derive(Debug)]
struct Known {
    ground: Ground,
    memory: Memory,
    counters: Counters,
    history: History,
    since: Since,
    teller: Teller,
    ring: Ring,
    latest: Arc<Overview>,
    flows: Vec<Flow>,
}

/// What open streams are sent.
#[derive(Clone, Debug)]
enum Message {
    /// Some lines of the stream.
    Lines(Bytes),
    /// It ends.
    End,
}

/// The messages of one open stream.
#[derive(Debug)]
pub(crate) struct Stream {
    waiting: VecDeque<Bytes>,
    receiver: Receiver<Message>,
    _place: OwnedSemaphorePermit,
}

/// Flows, as they are told.
#[derive(Debug, Serialize, schemars::JsonSchema)]
pub(crate) struct FlowsSeen {
    /// When, Unix milliseconds.
    pub(crate) at_ms: u64,
    /// Over how many seconds.
    pub(crate) seconds: u64,
    /// The most first.
    pub(crate) flows: Vec<Flow>,
}

impl FlowsSeen {
    pub(crate) fn at(at_ms: u64, flows: Vec<Flow>) -> Self {
        Self { at_ms, seconds: flows::SECONDS as u64, flows }
    }
}

impl Gathering {
    /// Knows a config and nothing else yet.
    #[must_use]
    pub fn new(ground: Ground, now_ms: u64) -> Self {
        let (memory, history, since) = (Memory::default(), History::default(), Since::new());
        let latest = Arc::new(compose(&ground, &memory, &history, &since, now_ms));
        let known = Known {
            ground,
            memory,
            counters: Counters::default(),
            history,
            since,
            teller: Teller::default(),
            ring: Ring::from(now_ms),
            latest,
            flows: Vec::new(),
        };
        Self {
            known: Mutex::new(known),
            streams: channel(limits::EVENT_STREAM_WAITING).0,
            places: Arc::new(Semaphore::new(limits::EVENT_STREAMS)),
        }
    }

    /// Goes on with another config.
    pub fn follow(&self, ground: Ground) {
        self.known().ground = ground;
    }

    /// Takes in what came of asking every node once, and tells open streams.
    pub fn take(&self, round: Vec<(String, Heard)>, now_ms: u64) {
        let mut known = self.known();
        let (before, happened) = known.take(round, now_ms);
        if self.streams.receiver_count() == 0 {
            return;
        }
        // One message: however much has happened, nobody who reads is behind for that.
        let mut lines = vec![pulse::lines(&known.latest)];
        if known.flows != before {
            lines.push(known.flow_lines());
        }
        lines.extend(happened.iter().map(event_lines));
        let mut whole = Vec::new();
        lines.iter().for_each(|lines| whole.extend_from_slice(lines));
        // An error says that nobody reads any more.
        let _ = self.streams.send(Message::Lines(whole.into()));
    }

    /// The fleet as it was last seen.
    #[must_use]
    pub fn overview(&self) -> Arc<Overview> {
        Arc::clone(&self.known().latest)
    }

    /// The nodes that were not heard in the last round: they are best asked apart, so that nobody waits for them.
    #[must_use]
    pub fn silent(&self) -> HashSet<String> {
        self.known().memory.silent()
    }

    /// The last events, the newest first.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.known().ring.newest().cloned().collect()
    }

    /// Ends every open stream: whoever reads it asks again.
    pub fn end_streams(&self) {
        // An error says that nobody reads.
        let _ = self.streams.send(Message::End);
    }

    pub(crate) fn flows(&self) -> FlowsSeen {
        let known = self.known();
        FlowsSeen::at(known.latest.at_ms, known.flows.clone())
    }

    /// How much went on, the oldest first; none where there is no such thing.
    pub(crate) fn points(&self, of: &Of, span: Span) -> Option<Vec<Point>> {
        let known = self.known();
        let points = known.history.points(of, span, known.latest.at_ms);
        // What the config has and nobody has counted yet is empty, and not unknown.
        points.or_else(|| known.ground.knows(of).then(Vec::new))
    }

    /// A stream of all that happens from here on, after the events that were missed since one. None where too many are open.
    pub(crate) fn stream(&self, last: Option<u64>) -> Option<Stream> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let known = self.known();
        let missed = known.ring.after(last.unwrap_or(u64::MAX)).map(event_lines);
        let mut waiting = VecDeque::from([pulse::lines(&known.latest), known.flow_lines()]);
        waiting.extend(missed);
        // Within the lock: nothing is told in between.
        Some(Stream { waiting, receiver: self.streams.subscribe(), _place: place })
    }

    /// A panic elsewhere leaves the data whole enough to go on.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The flows of before, and what has happened.
    fn take(&mut self, round: Vec<(String, Heard)>, now_ms: u64) -> (Vec<Flow>, Vec<Event>) {
        let ids: HashSet<String> = self.ground.network.node_ids().iter().map(ToString::to_string).collect();
        self.memory.keep(|node| ids.contains(node));
        self.counters.keep(|node| ids.contains(node));
        for (node, heard) in round.into_iter().filter(|(node, _)| ids.contains(node)) {
            self.memory.hear(&node, heard, now_ms);
        }
        self.count(now_ms);
        follow_states(&self.ground.network, &self.memory, &mut self.since, now_ms);
        let after = Arc::new(compose(&self.ground, &self.memory, &self.history, &self.since, now_ms));
        let before = std::mem::replace(&mut self.latest, after);
        let happened = self.teller.tell(&before, &self.latest);
        let happened = happened.into_iter().map(|what| self.ring.add(now_ms, what)).collect();
        let flows = self.flows_told();
        (std::mem::replace(&mut self.flows, flows), happened)
    }

    /// The flows of all nodes, those to PoPs of the config alone.
    fn flows_told(&self) -> Vec<Flow> {
        let pops: HashSet<&str> = self.ground.network.pops.iter().map(|pop| pop.id.as_str()).collect();
        let is_country = |country: &String| CountryCode::parse(country).is_some();
        let is_known = |flow: &&Flow| pops.contains(flow.pop.as_str()) && flow.country.iter().all(is_country);
        flows::merge(self.memory.reached().flat_map(|(_, sample)| &sample.flows).filter(is_known))
    }

    /// Adds what nodes have counted since they were last heard.
    fn count(&mut self, now_ms: u64) {
        let network = &self.ground.network;
        let pops: BTreeMap<&str, &str> =
            network.edges().map(|(pop, edge)| (edge.id.as_str(), pop.id.as_str())).collect();
        let mut sums = BTreeMap::new();
        for (node, sample) in self.memory.reached() {
            if let Some(counted) = self.counters.since(node, &sample.counted) {
                add(&mut sums, node, pops.get(node).copied(), &counted);
            }
        }
        // What nodes call it is not trusted, and would fill the history; there may be as many names as fit into what they
        // tell.
        let sites: HashSet<&str> = self.ground.sites.iter().map(|(site, _)| site.as_str()).collect();
        let known_pops: HashSet<&str> = network.pops.iter().map(|pop| pop.id.as_str()).collect();
        sums.retain(|of, _| match of {
            Of::Fleet | Of::Node(_) => true,
            Of::Pop(id) => known_pops.contains(id.as_str()),
            Of::Site(id) => sites.contains(id.as_str()),
        });
        self.history.keep(|of| self.ground.knows(of));
        self.history.take(now_ms, &sums);
    }

    fn flow_lines(&self) -> Bytes {
        lines("flows", &FlowsSeen::at(self.latest.at_ms, self.flows.clone()))
    }
}

/// One message of the stream (HTML, §9.2.6).
fn lines(event: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).unwrap_or_default();
    Bytes::from(format!("event: {event}\ndata: {data}\n\n"))
}

fn event_lines(event: &Event) -> Bytes {
    let lines = lines("event", event);
    Bytes::from([format!("id: {}\n", event.id).as_bytes(), &lines].concat())
}

impl Stream {
    /// The next lines; none once the stream has ended, or its reader was too slow.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        if let Some(lines) = self.waiting.pop_front() {
            return Some(lines);
        }
        match self.receiver.recv().await {
            Ok(Message::Lines(lines)) => Some(lines),
            Ok(Message::End) | Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
