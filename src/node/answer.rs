//! Answering DNS messages from the current view, counted and logged.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use dns::transport::{Answer, Limited};
use dns::{Answered, Arrival, Reply, Sampled, Transfer, Transport, View};
use hickory_server::proto::op::Query;
use hickory_server::proto::rr::RecordType;
use mapping::{Cause, PopIndex};
use prometheus::IntCounter;
use telemetry::{Clients, Metrics, QueryRecord, Seldom};

use super::Node;
use super::logs::Queries;

/// A node's answers.
pub(crate) struct Answering {
    node: Arc<Node>,
    /// By transport and response code: looked up once, so that no answer takes a lock.
    replies: [[IntCounter; RCODES.len()]; Transport::ALL.len()],
    /// Cut and dropped by the rate limit.
    limited: [IntCounter; 2],
    /// When the log last heard of late signatures, and of transfers that were refused.
    told: [Seldom; 2],
}

/// A view with the counters of its PoPs.
pub(crate) struct Answers {
    pub(crate) view: Arc<View>,
    /// By PoP, by what ranked it: rule, latency, geography.
    routed: Vec<[IntCounter; 3]>,
}

/// The response codes we send, by number (RFC 6895 §2.3); the last stands for every other.
const RCODES: [(u16, &str); 10] = [
    (0, "NOERROR"),
    (1, "FORMERR"),
    (2, "SERVFAIL"),
    (3, "NXDOMAIN"),
    (4, "NOTIMP"),
    (5, "REFUSED"),
    (6, "YXDOMAIN"),
    (9, "NOTAUTH"),
    (16, "BADVERS"),
    (u16::MAX, "OTHER"),
];

impl Answers {
    /// Counts the answers of a view from here on.
    pub(crate) fn new(view: View, metrics: &Metrics) -> Self {
        let counters = |pop| {
            let name = view.pop_name(PopIndex::from_usize(pop));
            ["rule", "latency", "geography"]
                .map(|source| metrics.dns_routed.with_label_values(&[name.as_str(), source]))
        };
        Self { routed: (0..view.pops()).map(counters).collect(), view: Arc::new(view) }
    }

    fn count(&self, pop: PopIndex, cause: Cause) {
        if let Some([rule, latency, geography]) = self.routed.get(pop.as_usize()) {
            match cause {
                Cause::Geography => geography.inc(),
                Cause::Latency(_) => latency.inc(),
                Cause::Rule(_) => rule.inc(),
            }
        }
    }
}

impl Answering {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let replies = Transport::ALL.map(|transport| {
            RCODES.map(|(_, rcode)| node.metrics.dns_replies.with_label_values(&[transport.as_str(), rcode]))
        });
        let limited = ["cut", "dropped"].map(|what| node.metrics.dns_limited.with_label_values(&[what]));
        Self { node, replies, limited, told: Default::default() }
    }
}

impl Answering {
    /// Counts a reply; the name of its code.
    fn count_reply(&self, transport: Transport, code: u16) -> &'static str {
        let [udp, tcp, tls, quic, https] = &self.replies;
        let counters = match transport {
            Transport::Udp => udp,
            Transport::Tcp => tcp,
            Transport::Tls => tls,
            Transport::Quic => quic,
            Transport::Https => https,
        };
        let known = RCODES.iter().position(|(number, _)| *number == code).unwrap_or(RCODES.len() - 1);
        if let Some(counter) = counters.get(known) {
            counter.inc();
        }
        RCODES.get(known).map_or("OTHER", |(_, rcode)| rcode)
    }
}

impl Answering {
    /// Has it noted where a query came from, if it is one of those.
    fn offer(&self, view: &View, client: IpAddr, pop: PopIndex) {
        if let Some(name_server) = &self.node.name_server {
            name_server.flows.offer(view, client, pop);
        }
    }
}

impl Answering {
    /// Tells of signatures that cannot be renewed, once a minute at most.
    fn tell_late(&self, view: &View) {
        let late = view.take_late_signatures();
        if late == 0 {
            return;
        }
        self.node.metrics.dns_signatures_late.inc_by(late);
        let [late_told, _] = &self.told;
        if late_told.is_due() {
            tracing::error!(
                late,
                "signatures past half of their life cannot be renewed: answers fail when they expire; restart this name server, if secrets/dnssec is there"
            );
        }
    }
}

impl Answering {
    /// Tells of a transfer over a connection that was refused, once a minute at most.
    fn tell_refused(&self, view: &View, message: &[u8], reply: &Reply, arrival: &Arrival) {
        let question = reply.message.queries.first();
        let asks = |question: &&Query| matches!(question.query_type(), RecordType::AXFR | RecordType::IXFR);
        let [_, refused_told] = &self.told;
        if let Some(question) = question.filter(asks)
            && arrival.transport != Transport::Udp
            && refused_told.is_due()
        {
            let code = reply.message.metadata.response_code;
            let why = view.withheld(message, arrival).map(|why| why.to_string());
            let why = why.unwrap_or_else(|| "it is asked for in no way by which zones are handed over".to_owned());
            tracing::warn!(from = %arrival.resolver, zone = %question.name(), %code, "a transfer is refused: {why}");
        }
    }
}

impl Answer for Answering {
    fn answer(&self, message: &[u8], peer: SocketAddr, arrival: &Arrival) -> Option<Reply> {
        let transport = arrival.transport;
        let name_server = self.node.name_server.as_ref()?;
        let answers = name_server.answers.load();
        let answers = answers.as_ref()?;
        let Some(reply) = answers.view.answer(message, arrival) else {
            self.node.metrics.dns_silent.inc();
            return None;
        };
        self.tell_late(&answers.view);
        self.tell_refused(&answers.view, message, &reply, arrival);
        let rcode = self.count_reply(transport, reply.message.metadata.response_code.into());
        if let (Some(pop), Some(cause)) = (reply.facts.pop, reply.facts.cause) {
            answers.count(pop, cause);
            self.offer(&answers.view, reply.facts.client(arrival.resolver), pop);
        }
        if let Some(queries) = name_server.queries.load().as_ref() {
            write(queries, &answers.view, &reply, peer, transport.as_str(), rcode);
        }
        Some(reply)
    }

    fn view(&self) -> Option<Arc<View>> {
        // The log wants to know more of each.
        let name_server = self.node.name_server.as_ref().filter(|name_server| name_server.queries.load().is_none())?;
        Some(Arc::clone(&name_server.answers.load().as_ref()?.view))
    }

    fn transfer(&self, message: &[u8], arrival: &Arrival) -> Option<Transfer> {
        let answers = self.node.name_server.as_ref()?.answers.load();
        let transfer = answers.as_ref()?.view.transfer(message, arrival)?;
        tracing::info!(secondary = %arrival.resolver, zone = transfer.zone(), "a secondary takes the zone");
        Some(transfer)
    }

    fn rate_limit(&self) -> u32 {
        let answers = self.node.name_server.as_ref().map(|name_server| name_server.answers.load());
        answers.as_ref().and_then(|answers| answers.as_ref()).map_or(0, |answers| answers.view.rate_limit())
    }

    fn limited(&self, limited: Limited) {
        let [cut, dropped] = &self.limited;
        match limited {
            Limited::Cut => cut.inc(),
            Limited::Dropped => dropped.inc(),
        }
    }

    fn count(&self, view: &Arc<View>, transport: Transport, answered: &Answered) {
        self.count_reply(transport, answered.code);
        let answers = self.node.name_server.as_ref().map(|name_server| name_server.answers.load());
        let answers = answers.as_ref().and_then(|answers| answers.as_ref());
        if let (Some(answers), Some((pop, cause))) = (answers, answered.routed)
            && Arc::ptr_eq(&answers.view, view)
        {
            answers.count(pop, cause);
        }
        // Those by UDP are chosen by the thread that answers.
        if let (Some(client), Some((pop, _))) = (answered.client, answered.routed)
            && transport != Transport::Udp
        {
            self.offer(view, client, pop);
        }
    }

    fn sampled(&self, view: &View, sampled: Sampled) {
        if let Some(name_server) = &self.node.name_server {
            name_server.flows.note(view, sampled);
        }
    }
}

fn write(queries: &Queries, view: &View, reply: &Reply, peer: SocketAddr, transport: &str, rcode: &str) {
    let Queries { log, clients } = queries;
    let question = reply.message.queries.first();
    let name = question.map(|question| question.name().to_string()).unwrap_or_default();
    let kind = question.map(|question| question.query_type().to_string()).unwrap_or_default();
    let subnet = reply.facts.subnet.as_ref().and_then(|subnet| {
        let shown = clients.show(subnet.address)?;
        let most = match (clients, shown.is_ipv4()) {
            (Clients::Full, _) => 128,
            (_, true) => 24,
            (_, false) => 56,
        };
        Some(format!("{shown}/{}", subnet.source.min(most)))
    });
    let pop = reply.facts.pop.map(|pop| view.pop_name(pop));
    log.add(&QueryRecord {
        time_ms: fleet::wall_clock_ms(),
        resolver: clients.show(peer.ip().to_canonical()),
        subnet,
        name: &name,
        kind: &kind,
        rcode,
        pop: pop.as_deref(),
        scope: reply.facts.scope,
        transport,
    });
}
