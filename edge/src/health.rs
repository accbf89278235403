//! `/.hither/health`: whether this edge can serve, told to anyone; how it fares, to the fleet.

use std::sync::Arc;

use fleet::{Credential, HEADER, wall_clock_ms};
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
    /// A bare 200 or 503, whatever the origins do; with the fleet's credential also a report.
    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let status = match (request.uri().path(), self.0.is_well()) {
            (PATH, true) => StatusCode::OK,
            (PATH, false) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::NOT_FOUND,
        };
        let body = if status == StatusCode::OK && self.is_fleet(request) {
            serde_json::to_vec(&self.0.report()).map_or_else(|_| empty(), full)
        } else {
            empty()
        };
        let mut response = Response::new(body);
        *response.status_mut() = status;
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
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
