//! Answering DNS messages from the current view, counted and logged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use dns::transport::{Answer, Transport};
use dns::{Reply, View};
use mapping::Cause;
use telemetry::{Clients, Log, QueryRecord};

use super::Node;

/// A node's answers.
pub(crate) struct Answering {
    pub(crate) node: Arc<Node>,
    pub(crate) log: Option<(Log, Clients)>,
}

impl Answer for Answering {
    fn answer(&self, message: &[u8], peer: SocketAddr, transport: Transport) -> Option<Reply> {
        let view = self.node.name_server.as_ref()?.view.load_full()?;
        let Some(reply) = view.answer(message, peer.ip().to_canonical()) else {
            self.node.metrics.dns_silent.inc();
            return None;
        };
        let transport = match transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        let rcode = format!("{:?}", reply.message.metadata.response_code).to_uppercase();
        self.node.metrics.dns_replies.with_label_values(&[transport, &rcode]).inc();
        if let Some(pop) = reply.facts.pop {
            let source = if reply.facts.cause == Some(Cause::Geography) { "geography" } else { "rule" };
            self.node.metrics.dns_routed.with_label_values(&[view.pop_name(pop).as_str(), source]).inc();
        }
        if let Some((log, clients)) = &self.log {
            write(log, *clients, &view, &reply, peer, transport, &rcode);
        }
        Some(reply)
    }
}

fn write(log: &Log, clients: Clients, view: &View, reply: &Reply, peer: SocketAddr, transport: &str, rcode: &str) {
    let question = reply.message.queries.first();
    let name = question.map(|question| question.name().to_string()).unwrap_or_default();
    let kind = question.map(|question| question.query_type().to_string()).unwrap_or_default();
    let subnet = reply.facts.subnet.as_ref().filter(|_| clients != Clients::None);
    let pop = reply.facts.pop.map(|pop| view.pop_name(pop));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    log.add(&QueryRecord {
        time_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        resolver: clients.show(peer.ip().to_canonical()),
        subnet: subnet.map(|subnet| format!("{}/{}", subnet.address, subnet.source)),
        name: &name,
        kind: &kind,
        rcode,
        pop: pop.as_deref(),
        scope: reply.facts.scope,
        transport,
    });
}
