//! Asking each server how it is.

use std::sync::Arc;
use std::time::SystemTime;

use config::{Origin, OriginProbe};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Request, Uri, Version, header};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::aws::Signer;
use crate::chance::share;
use crate::connect::Target;
use crate::secret::add_secrets;
use crate::servers::{Health, Servers, Standing};
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
        let (target, standing) = (Target::new(origin, server, &tls)?, servers.get(place)?);
        Some(watch_one((origin, probe), target, servers, standing))
    });
    futures_util::future::join_all(each).await;
    Ok(())
}

async fn watch_one((origin, probe): (&Origin, &OriginProbe), target: Target, servers: &Servers, standing: &Standing) {
    // Edges that start together do not ask together.
    let mut ticks = interval_at(Instant::now() + probe.interval.mul_f64(share()), probe.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut verdict = Verdict { health: standing.health(), against: 0 };
    loop {
        ticks.tick().await;
        let is_well = timeout(probe.timeout, ask(origin, probe, &target)).await.unwrap_or(false);
        let seen = if is_well { Health::Up } else { Health::Down };
        verdict.hear(seen, probe);
        servers.judge(standing, verdict.health);
    }
}

/// Whether a server answers, and with no error; its body is left unread.
async fn ask(origin: &Origin, probe: &OriginProbe, target: &Target) -> bool {
    let (Ok(mut connection), Ok(path)) =
        (target.connect(target.preferred, probe.timeout).await, PathAndQuery::try_from(probe.path.as_str()))
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
    if let Some(aws) = &origin.aws {
        Signer::of(aws).sign(&mut request, SystemTime::now());
    }
    let Ok(response) = connection.send(request).await else {
        return false;
    };
    response.status().is_success() || response.status().is_redirection()
}

/// What holds of a server, and how many probes in a row say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    health: Health,
    against: u8,
}

impl Verdict {
    fn hear(&mut self, seen: Health, probe: &OriginProbe) {
        if seen == self.health {
            self.against = 0;
            return;
        }
        self.against += 1;
        let enough = match self.health {
            Health::Up => probe.fall,
            Health::Down => probe.rise,
        };
        if self.against >= enough {
            *self = Self { health: seen, against: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn as_many_in_a_row_as_the_config_says_change_what_holds() {
        let second = Duration::from_secs(1);
        let probe = OriginProbe { path: "/".to_owned(), interval: second, timeout: second, fall: 2, rise: 3 };
        let mut verdict = Verdict { health: Health::Up, against: 0 };
        let heard: String = "uduuddudduuduuudd"
            .chars()
            .map(|seen| {
                verdict.hear(if seen == 'u' { Health::Up } else { Health::Down }, &probe);
                if verdict.health == Health::Up { 'u' } else { 'd' }
            })
            .collect();
        assert_eq!(heard, "uuuuuddddddddduud");
    }
}
