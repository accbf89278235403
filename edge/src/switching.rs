//! Requests to switch to another protocol (RFC 9110 §7.8), WebSocket above all: the origin decides, and has the client's
//! connection from then on.

use std::sync::Arc;

use caching::{ForwardReason, Handled};
use http::HeaderValue;
use http::header::{CONNECTION, UPGRADE};
use origin::Switched;

use crate::answered::Answered;
use crate::ask::Ask;
use crate::edge::Edge;
use crate::respond::{Written, from_origin};

impl Edge {
    /// Forwards a request to switch, past the store: what is stored at its URL is for those who do not ask for that.
    pub(crate) async fn switch(&self, ask: &Arc<Ask>) -> (Written, Answered) {
        let handled =
            |status| Handled::Forwarded { reason: ForwardReason::Bypass, status, stored: false, collapsed: false };
        let mut fetched = match self.forward(ask, None, ask.target()).await {
            Ok(fetched) => fetched,
            Err(error) => return self.without_answer((error, error.status()), handled(None)),
        };
        let switched = fetched.extensions_mut().remove::<Switched>();
        let to = fetched.headers().get(UPGRADE).cloned();
        let handled = handled(Some(fetched.status()));
        let mut written = from_origin(fetched, handled);
        if let (Some(switched), Some(to)) = (switched, to) {
            let headers = written.response.headers_mut();
            headers.insert(UPGRADE, to);
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            written.response.extensions_mut().insert(switched);
        }
        (written, Answered::Pass)
    }
}
