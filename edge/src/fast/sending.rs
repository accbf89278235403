//! An answer on its way: what of it has gone is counted while it goes, and its request is told once it is over.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use listen::Sent;

use super::Entry;
use crate::access::Said;
use crate::answered::Answered;
use crate::counted::{NOTED, Over, note_bytes, scheme, version_name};
use crate::shared::Shared;

/// An answer on its way.
pub(super) struct Sending {
    pub(super) shared: Arc<Shared>,
    pub(super) entry: Arc<Entry>,
    pub(super) client: IpAddr,
    pub(super) tls: Option<&'static str>,
    pub(super) said: Said,
    pub(super) length: u64,
    pub(super) started: Instant,
    /// How much of it is counted.
    pub(super) noted: u64,
}

impl Sending {
    /// Counts what has gone since the last time.
    fn note(&mut self, bytes: u64, now: Instant) {
        note_bytes(&self.shared, &self.entry.site, self.client, bytes.saturating_sub(self.noted), now);
        self.noted = bytes;
    }
}

impl Sent for Sending {
    fn sent_so_far(&mut self, bytes: u64) {
        if bytes.saturating_sub(self.noted) >= NOTED {
            self.note(bytes, Instant::now());
        }
    }

    fn sent(&mut self, bytes: u64) {
        let now = Instant::now();
        self.note(bytes, now);
        let Entry { site, host, target, reached, .. } = &*self.entry;
        let over = Over {
            site,
            client: self.client,
            method: "GET",
            scheme: scheme(reached.scheme),
            host: std::str::from_utf8(host).unwrap_or_default(),
            target,
            version: version_name(reached.version),
            tls: self.tls,
            status: 200,
            answered: Answered::Hit,
            sent: bytes,
            started: self.started,
            // Head and body leave together.
            ready: self.started,
            complete: bytes == self.length,
            origin: None,
            said: &self.said,
        };
        over.tell(&self.shared, now);
    }
}
