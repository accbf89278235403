//! What of a fleet changes from moment to moment, for open streams.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::lines as lines_of;
use super::overview::{EdgeSeen, Hearing, NameServerSeen, Overview, PopSeen, State};
use super::rates::Rates;

#[derive(Serialize)]
struct Pulse<'o> {
    at_ms: u64,
    config_version: u64,
    totals: Rates,
    pops: BTreeMap<&'o str, OfPop>,
    edges: BTreeMap<&'o str, OfEdge<'o>>,
    name_servers: BTreeMap<&'o str, OfNameServer>,
}

#[derive(Serialize)]
struct OfPop {
    state: State,
    fit: usize,
    load: Option<f64>,
    connections: Option<u64>,
    rates: Rates,
}

#[derive(Serialize)]
struct OfEdge<'o> {
    state: State,
    since_ms: u64,
    reason: Option<&'o str>,
    draining: bool,
    #[serde(flatten)]
    hearing: Hearing,
    connections: Option<u64>,
    load: Option<f64>,
    rates: Rates,
}

#[derive(Serialize)]
struct OfNameServer {
    #[serde(flatten)]
    hearing: Hearing,
    rates: Rates,
}

/// A fleet, as the lines of a stream.
pub(crate) fn lines(overview: &Overview) -> Bytes {
    lines_of(
        "fleet",
        &Pulse {
            at_ms: overview.at_ms,
            config_version: overview.network.config_version,
            totals: overview.totals,
            pops: overview.pops.iter().map(of_pop).collect(),
            edges: overview.edges.iter().map(of_edge).collect(),
            name_servers: overview.name_servers.iter().map(of_name_server).collect(),
        },
    )
}

fn of_pop(pop: &PopSeen) -> (&str, OfPop) {
    let PopSeen { id, state, fit, load, connections, rates, .. } = pop;
    (id, OfPop { state: *state, fit: *fit, load: *load, connections: *connections, rates: *rates })
}

fn of_edge(edge: &EdgeSeen) -> (&str, OfEdge<'_>) {
    let told = OfEdge {
        state: edge.state,
        since_ms: edge.since_ms,
        reason: edge.reason.as_deref(),
        draining: edge.draining,
        hearing: edge.hearing,
        connections: edge.connections,
        load: edge.load,
        rates: edge.rates,
    };
    (&edge.id, told)
}

fn of_name_server(node: &NameServerSeen) -> (&str, OfNameServer) {
    (&node.id, OfNameServer { hearing: node.hearing, rates: node.rates })
}
