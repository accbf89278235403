//! The logs of requests and queries, as the config wants them.

use std::path::Path;

use config::{Config, NodeId, limits};
use edge::Access;
use telemetry::{Clients, Log, Metrics};

use super::serve::STATE;
use crate::exit::Failure;

/// Begins an edge's log of requests.
pub(super) fn of_requests(
    config: &Config,
    id: &NodeId,
    home: &Path,
    metrics: &Metrics,
) -> Result<Option<Access>, Failure> {
    let wanted = &config.network.log;
    if !wanted.requests {
        return Ok(None);
    }
    let access = Access::start(home, wanted, clients(wanted.clients), id, metrics);
    access.map(Some).map_err(|error| cannot(home, &error))
}

/// Begins a name server's log of queries.
pub(super) fn of_queries(config: &Config, home: &Path, metrics: &Metrics) -> Result<Option<(Log, Clients)>, Failure> {
    let wanted = &config.network.log;
    if !wanted.queries {
        return Ok(None);
    }
    let dropped = metrics.log_dropped.with_label_values(&["queries"]);
    let log = Log::start(&home.join("queries.jsonl"), limits::LOG_QUEUE, dropped);
    log.map(|log| Some((log, clients(wanted.clients)))).map_err(|error| cannot(home, &error))
}

fn clients(wanted: config::Clients) -> Clients {
    match wanted {
        config::Clients::Full => Clients::Full,
        config::Clients::Prefix => Clients::Prefix,
        config::Clients::None => Clients::None,
    }
}

fn cannot(home: &Path, error: &std::io::Error) -> Failure {
    Failure::file("log to", home, error, STATE)
}
