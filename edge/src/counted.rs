//! A response's body, counted; its request is logged when the last byte has gone, or was cut off.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use fleet::wall_clock_ms;
use http::header::HOST;
use http::request::Parts;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use listen::{BoxError, Connection, Tunnel};
use origin::Switched;
use pin_project_lite::pin_project;
use tokio_util::io::InspectReader;

use crate::access::{Record, Said};
use crate::answered::Answered;
use crate::ask::Ask;
use crate::shared::Shared;
use crate::sites::Site;

pin_project! {
    /// Counts what passes.
    pub(crate) struct Counted {
        #[pin]
        inner: listen::Body,
        tally: Tally,
    }
}

/// What is known of a request once it is answered.
pub(crate) struct Tally {
    pub(crate) shared: Arc<Shared>,
    pub(crate) ask: Arc<Ask>,
    pub(crate) status: u16,
    pub(crate) answered: Answered,
    pub(crate) started: Instant,
    ready: Instant,
    sent: u64,
    /// How much of it is counted.
    noted: u64,
    complete: bool,
}

/// A long body is counted in steps of this: what loads an edge now, or is lost with it, must not come to light when it
/// ends.
pub(crate) const NOTED: u64 = 1 << 20;

/// A request that is over, for the counters and the log.
pub(crate) struct Over<'a> {
    pub(crate) site: &'a Site,
    pub(crate) client: IpAddr,
    pub(crate) method: &'a str,
    pub(crate) scheme: &'static str,
    /// As the client wrote it.
    pub(crate) host: &'a str,
    pub(crate) target: &'a str,
    pub(crate) version: &'static str,
    pub(crate) tls: Option<&'static str>,
    pub(crate) status: u16,
    pub(crate) answered: Answered,
    /// Bytes of the body.
    pub(crate) sent: u64,
    pub(crate) started: Instant,
    /// When there was an answer to send.
    pub(crate) ready: Instant,
    pub(crate) complete: bool,
    /// The origin's server that answered.
    pub(crate) origin: Option<&'a str>,
    pub(crate) said: &'a Said,
}

/// Counts a request by how it is answered.
pub(crate) fn count(shared: &Shared, site: &Site, answered: Answered) {
    if let Some(counters) = site.counters.get() {
        counters.count(answered);
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    if answered == Answered::Error {
        shared.failed.fetch_add(1, Ordering::Relaxed);
    }
    if answered.is_from_store() {
        shared.hits.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts bytes that a client has taken, for the site and for the edge.
pub(crate) fn note_bytes(shared: &Shared, site: &Site, client: IpAddr, bytes: u64, now: Instant) {
    if let Some(counters) = site.counters.get() {
        counters.count_sent(bytes);
    }
    shared.bytes.fetch_add(bytes, Ordering::Relaxed);
    shared.demand.add(client, bytes, now);
}

impl Over<'_> {
    /// Counts the time that it took, and writes its line.
    pub(crate) fn tell(&self, shared: &Shared, now: Instant) {
        let took = now.saturating_duration_since(self.started);
        shared.metrics.request_seconds.observe(took.as_secs_f64());
        let access = shared.access.load();
        let Some(access) = access.as_ref() else {
            return;
        };
        let duration_ms = millis(took);
        let [user_agent, referer, request_id] = self.said.parts();
        access.add(&Record {
            time_ms: wall_clock_ms().saturating_sub(duration_ms),
            client: access.clients.show(self.client),
            status: self.status,
            bytes: self.sent,
            duration_ms,
            first_byte_ms: millis(self.ready.saturating_duration_since(self.started)),
            complete: self.complete,
            site: self.site.id.as_str().as_bytes(),
            method: self.method.as_bytes(),
            scheme: self.scheme.as_bytes(),
            host: self.host.as_bytes(),
            target: self.target.as_bytes(),
            version: self.version.as_bytes(),
            tls: self.tls.unwrap_or_default().as_bytes(),
            cache: self.answered.name().as_bytes(),
            origin: self.origin.unwrap_or_default().as_bytes(),
            user_agent,
            referer,
            request_id,
        });
    }
}

impl Tally {
    pub(crate) fn new(shared: Arc<Shared>, ask: Arc<Ask>, status: u16, answered: Answered, started: Instant) -> Self {
        count(&shared, &ask.site, answered);
        Self { shared, ask, status, answered, started, ready: Instant::now(), sent: 0, noted: 0, complete: false }
    }

    /// Of a response that has no length: whatever is sent of it is the whole.
    pub(crate) fn without_length(mut self) -> Self {
        self.complete = true;
        self
    }

    /// Adds bytes of a conversation, which come from the origin as they are sent.
    fn add_told(&mut self, bytes: usize) {
        self.ask.site.received().fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
        self.add(bytes);
    }

    /// Adds bytes that were sent.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.sent += u64::try_from(bytes).unwrap_or(0);
        if self.sent - self.noted >= NOTED {
            self.note(Instant::now());
        }
    }

    /// Counts what was sent since the last time.
    fn note(&mut self, now: Instant) {
        let more = self.sent - self.noted;
        self.noted = self.sent;
        note_bytes(&self.shared, &self.ask.site, self.ask.client, more, now);
    }
}

impl Counted {
    pub(crate) fn new(inner: listen::Body, mut tally: Tally) -> Self {
        tally.complete = inner.is_end_stream();
        Self { inner, tally }
    }
}

impl Body for Counted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let polled = this.inner.poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.tally.add(frame.data_ref().map_or(0, Bytes::len));
            }
            Poll::Ready(None) => this.tally.complete = true,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Has the client's connection lead to the origin's, once the response is sent; the request is over when that ends.
pub(crate) fn lead(mut response: Response<listen::Body>, switched: &Switched, tally: Tally) -> Response<listen::Body> {
    if let Some(far) = switched.take() {
        let mut tally = tally.without_length();
        let counted = InspectReader::new(far, move |bytes: &[u8]| tally.add_told(bytes.len()));
        response.extensions_mut().insert(Tunnel::new(counted));
    }
    response
}

impl Drop for Tally {
    fn drop(&mut self) {
        let now = Instant::now();
        self.note(now);
        let ask = &self.ask;
        let over = Over {
            site: &ask.site,
            client: ask.client,
            method: ask.method.as_str(),
            scheme: ask.key.scheme().as_str(),
            host: &ask.host,
            target: ask.target(),
            version: version_name(ask.version),
            tls: ask.tls,
            status: self.status,
            answered: self.answered,
            sent: self.sent,
            started: self.started,
            ready: self.ready,
            complete: self.complete || ask.expected.get() == Some(&self.sent),
            origin: ask.answered_by.get().map(|server| &**server),
            said: &ask.said,
        };
        over.tell(&self.shared, now);
    }
}

/// Counts and logs a request that no site has taken, under the site `-`.
pub(crate) fn note_refusal(
    shared: &Shared,
    head: &Parts,
    (client, said): (IpAddr, &Said),
    connection: &Connection,
    status: StatusCode,
) {
    shared.requests.fetch_add(1, Ordering::Relaxed);
    shared.metrics.requests.with_label_values(&["-", Answered::Own.name()]).inc();
    let access = shared.access.load();
    let Some(access) = access.as_ref() else {
        return;
    };
    let host = head.headers.get(HOST).map(http::HeaderValue::as_bytes).unwrap_or_default();
    let [user_agent, referer, request_id] = said.parts();
    access.add(&Record {
        time_ms: wall_clock_ms(),
        client: access.clients.show(client),
        status: status.as_u16(),
        bytes: 0,
        duration_ms: 0,
        first_byte_ms: 0,
        complete: true,
        site: b"-",
        method: head.method.as_str().as_bytes(),
        scheme: scheme(connection.scheme).as_bytes(),
        host: head.uri.authority().map_or(host, |authority| authority.as_str().as_bytes()),
        target: head.uri.path_and_query().map_or("/", |target| target.as_str()).as_bytes(),
        version: version_name(head.version).as_bytes(),
        tls: connection.tls.unwrap_or_default().as_bytes(),
        cache: Answered::Own.name().as_bytes(),
        origin: b"",
        user_agent,
        referer,
        request_id,
    });
}

/// As it is called in logs.
pub(crate) fn scheme(scheme: listen::Scheme) -> &'static str {
    match scheme {
        listen::Scheme::Http => "http",
        listen::Scheme::Https => "https",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// As it stands in the log.
pub(crate) fn version_name(version: http::Version) -> &'static str {
    match version {
        http::Version::HTTP_10 => "1.0",
        http::Version::HTTP_2 => "2",
        http::Version::HTTP_3 => "3",
        _ => "1.1",
    }
}
