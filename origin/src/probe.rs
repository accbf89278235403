//! Asking each server how it is.

use std::sync::Arc;

use config::{Origin, OriginProbe};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, Version, header};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::connect::Target;
use crate::secret::add_secrets;
use crate::servers::{Servers, Standing};
use crate::tls::{self, Unfit};
use crate::upload::Upload;

/// Asks an origin's servers how they are, each by itself, for ever; at once where nobody wants to know.
///
/// # Errors
/// The TLS settings cannot be used.
pub async fn watch(origin: &Origin, servers: &Arc<Servers>) -> Result<(), Unfit> {
    let Some(probe) = &origin.probe else {
        return Ok(());
    };
    let tls = tls::of(origin)?;
    let each = origin.servers.iter().enumerate().filter_map(|(place, server)| {
        Some(watch_one(origin, probe, Target::new(origin, server, &tls)?, servers.get(place)?))
    });
    futures_util::future::join_all(each).await;
    Ok(())
}

async fn watch_one(origin: &Origin, probe: &OriginProbe, target: Target, standing: &Standing) {
    let mut ticks = interval(probe.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut verdict = Verdict { is_down: standing.is_down(), against: 0 };
    loop {
        ticks.tick().await;
        let is_well = timeout(probe.timeout, ask(origin, probe, &target)).await.unwrap_or(false);
        if let Some(is_down) = verdict.after(is_well, probe) {
            standing.set_down(is_down);
        }
    }
}

/// Whether a server answers, and with no error; its body is left unread.
async fn ask(origin: &Origin, probe: &OriginProbe, target: &Target) -> bool {
    let (Ok(mut connection), Ok(path)) =
        (target.connect(probe.timeout).await, PathAndQuery::try_from(probe.path.as_str()))
    else {
        return false;
    };
    let host = origin.host.as_ref().map_or_else(|| target.authority(), ToString::to_string);
    let mut request = Request::new(Upload::new(None));
    *request.method_mut() = Method::GET;
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = Version::HTTP_11;
    if let Ok(host) = HeaderValue::try_from(host) {
        request.headers_mut().insert(header::HOST, host);
    }
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static("hither-probe"));
    add_secrets(request.headers_mut(), &origin.secret_headers);
    let Ok(response) = connection.send(request).await else {
        return false;
    };
    response.status().is_success() || response.status().is_redirection()
}

/// Probes in a row that agree with each other, and not with what holds.
#[derive(Debug)]
struct Verdict {
    is_down: bool,
    against: u8,
}

impl Verdict {
    /// Whether it is down now, where that changes.
    fn after(&mut self, is_well: bool, probe: &OriginProbe) -> Option<bool> {
        if is_well != self.is_down {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let enough = if self.is_down { probe.rise } else { probe.fall };
        if self.against < enough {
            return None;
        }
        *self = Self { is_down: !self.is_down, against: 0 };
        Some(self.is_down)
    }
}
