//! `/.hither/health`: whether this edge can serve and wants clients, told to anyone; how it fares, to the fleet.

use std::sync::Arc;

use config::NodeId;
use fleet::{BY, Credential, HEADER, Report, wall_clock_ms};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use listen::{Body, Connection, Handler, Incoming, Reply, empty, full};

use crate::shared::Shared;

/// Answers below `/.hither/` on every site.
pub(crate) struct Health(pub(crate) Arc<Shared>);

const PATH: &str = "/.hither/health";

impl Handler for Health {
    fn serve(&self, request: Request<Incoming>, _: Connection) -> Reply {
        let response = self.answer(&request);
        Box::pin(async move { response })
    }
}

impl Health {
    /// A bare 200 or 503, whatever the origins do; with the fleet's credential also a report. To who cannot be told that the
    /// edge drains it is as if it were not well: load balancers send nobody then.
    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let (status, body) = match (request.uri().path(), self.0.is_well()) {
            (PATH, true) if self.is_fleet(request) => (StatusCode::OK, self.report_to(request)),
            (PATH, true) if self.0.draining.is_on() => (StatusCode::SERVICE_UNAVAILABLE, full("draining\n")),
            (PATH, true) => (StatusCode::OK, empty()),
            (PATH, false) => (StatusCode::SERVICE_UNAVAILABLE, empty()),
            _ => (StatusCode::NOT_FOUND, empty()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// The report, and who gets it is noted where that is of interest.
    fn report_to(&self, request: &Request<Incoming>) -> Body {
        let report: Report = self.0.report();
        let by = request.headers().get(BY).and_then(|by| by.to_str().ok());
        if let Some(by) = by.filter(|_| report.draining).and_then(|by| NodeId::parse(by).ok()) {
            self.0.draining.note_told(by);
        }
        serde_json::to_vec(&report).map_or_else(|_| empty(), full)
    }

    fn is_fleet(&self, request: &Request<Incoming>) -> bool {
        let shown = request.headers().get(HEADER).and_then(|value| value.to_str().ok());
        let sites = self.0.sites.load();
        let key = sites.as_ref().and_then(|sites| sites.fleet_key.as_ref());
        let (Some(key), Some(shown)) = (key, shown) else {
            return false;
        };
        // Nodes agree on the time of day, not on when this one started.
        let now_ms = wall_clock_ms();
        request.method() == Method::GET && Credential::holds(key, now_ms, shown, "GET", PATH, b"")
    }
}
