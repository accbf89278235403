//! What an authority finds at an edge when it asks whether a name is ours (RFC 8555 §8.3).

use std::sync::Arc;
use std::time::SystemTime;

use certs::Challenges;
use http::{HeaderValue, Request, Response, header};
use listen::{Connection, Handler, Incoming, Mount, Reply, full};

/// Below this no site has anything of its own that an authority asks for.
const PATH: &str = "/.well-known/acme-challenge/";

/// Answers authorities before the site does: what is not for us is the origin's, which may have a certificate of its own.
struct AtPath {
    challenges: Arc<Challenges>,
    next: Arc<dyn Handler>,
}

/// Mounts answers for authorities beside what an edge has.
pub(super) fn mount(mut mounts: Vec<Mount>, challenges: &Arc<Challenges>) -> Vec<Mount> {
    let edge = mounts.iter().find(|mount| mount.path == "/").map(|mount| Arc::clone(&mount.handler));
    if let Some(next) = edge {
        let handler = Arc::new(AtPath { challenges: Arc::clone(challenges), next });
        mounts.push(Mount { path: PATH, handler });
    }
    mounts
}

impl Handler for AtPath {
    fn takes_turns(&self) -> bool {
        self.next.takes_turns()
    }

    fn serve(&self, request: Request<Incoming>, connection: Connection) -> Reply {
        let token = request.uri().path().strip_prefix(PATH).unwrap_or_default();
        let Some(answer) = self.challenges.authorization(token, SystemTime::now()) else {
            return self.next.serve(request, connection);
        };
        let mut response = Response::new(full(answer));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Box::pin(std::future::ready(response))
    }
}
