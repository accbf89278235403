//! The fast path: the queries that nearly everybody sends, answered from bytes made before.
//!
//! ```text
//! datagram -> Common -> Key -> Encoded ── answer ─────────────────────────> bytes
//!                                 └────── routed -> map -> pick -> Key at PoP ─┘
//! ```
//!
//! Nothing is decided here: what is not known goes to [`View::answer`], and its reply is kept for the next who asks
//! the same. It holds for one view and one fitness; with another of either everything is forgotten. No query that
//! is answered here allocates or takes a lock.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use config::limits;
use mapping::{Cause, Family, Fitness, PopIndex, Wanted};

use crate::arrival::Arrival;
use crate::ecs::Asker;
use crate::query::SCOPE_AT;
use crate::reply::{CLIENT_SUBNET, LEAST_PAYLOAD, Reply, Reuse};
use crate::view::View;

mod encoded;
mod message;

use encoded::{Answer, Encoded, Held, Key};
use message::{Common, HEADER, Opt};

/// Answers kept as bytes: one socket's.
#[derive(Debug)]
pub struct Fast {
    view: Arc<View>,
    fitness: Arc<Fitness>,
    /// When it began, and until when what it knows holds.
    since: SystemTime,
    until: SystemTime,
    encoded: Encoded,
}

/// What was answered, to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answered {
    /// How many bytes.
    pub length: usize,
    /// The response code.
    pub code: u16,
    /// The PoP of the answer, and why that one.
    pub routed: Option<(PopIndex, Cause)>,
}

/// Answered in the header's third byte (RFC 1035 §4.1.1): this is a response, the answer is authoritative.
const RESPONSE: u8 = 0x80;
const AUTHORITATIVE: u8 = 0x04;
/// Of the asker's flags these come back: RD in the third byte, CD in the fourth (RFC 4035 §3.2.2).
const RECURSION_DESIRED: u8 = 0x01;
const CHECKING_DISABLED: u8 = 0x10;
/// Where the additional section's count ends.
const COUNTS: std::ops::Range<usize> = 6..HEADER;

impl Fast {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(view: Arc<View>, now: SystemTime) -> Self {
        let until = view.good_until(now);
        Self { fitness: view.fitness().load_full(), view, since: now, until, encoded: Encoded::default() }
    }

    /// Forgets everything if it was about another view, or another fitness of this one, or is old.
    pub fn follow(&mut self, view: &Arc<View>, now: SystemTime) {
        if !self.is_of(view) || !(self.since..self.until).contains(&now) {
            self.view = Arc::clone(view);
            self.fitness = ArcSwap::load_full(&view.fitness);
            (self.since, self.until) = (now, view.good_until(now));
            self.encoded.clear();
        }
    }

    fn is_of(&self, view: &Arc<View>) -> bool {
        Arc::ptr_eq(&self.view, view) && Arc::ptr_eq(&self.fitness, &view.fitness.load())
    }

    /// Answers a message into `out`, if the answer is known and fits.
    #[must_use]
    pub fn answer(&self, message: &[u8], resolver: IpAddr, out: &mut [u8]) -> Option<Answered> {
        let query = Common::read(message)?;
        let key = Key::of(&query)?;
        match self.encoded.find(&key)? {
            Held::Answer(answer) => {
                let length = self.write(&query, &answer, 0, out)?;
                Some(Answered { length, code: answer.code.into(), routed: None })
            }
            Held::Routed { site, family } => self.route(&query, key, (site, family), resolver, out),
        }
    }

    fn route(
        &self,
        query: &Common<'_>,
        key: Key,
        (site, family): (usize, Family),
        resolver: IpAddr,
        out: &mut [u8],
    ) -> Option<Answered> {
        let view = &*self.view;
        let subnet = query.opt.and_then(|opt| opt.subnet).map(|subnet| (subnet.address, subnet.source));
        let asker = Asker::by(subnet, resolver);
        let routed = view.sites.get(site)?;
        let mapped = view.compiled.map.find(asker.address, asker.known_bits, routed.class)?;
        let placed = view.assignment.load().find(mapped.number, asker.address);
        let turn = view.turn(query.id());
        let wanted = Wanted { site, hash: routed.hash, family, answers: view.answers, turn };
        let picked = mapping::pick(&view.topology, &self.fitness, mapped, placed, wanted)?;
        let key = key.at(picked.pop, picked.basis, turn)?;
        let Held::Answer(answer) = self.encoded.find(&key)? else { return None };
        let length = self.write(query, &answer, asker.scope(picked.scope), out)?;
        Some(Answered { length, code: answer.code.into(), routed: Some((picked.pop, mapped.list.cause)) })
    }

    /// Puts the header, question, records and OPT together; `None` where they are more than the asker takes.
    fn write(&self, query: &Common<'_>, answer: &Answer, scope: u8, out: &mut [u8]) -> Option<usize> {
        let payload = query.opt.map_or(LEAST_PAYLOAD, |opt| opt.payload.clamp(LEAST_PAYLOAD, limits::DNS_UDP_BYTES));
        let mut out = Writer { out: out.get_mut(..payload.into()).or(None)?, length: 0 };
        let [id_high, id_low, flags, more_flags, ..] = query.header() else { return None };
        let authoritative = if answer.authoritative { AUTHORITATIVE } else { 0 };
        out.add(&[*id_high, *id_low])?;
        out.add(&[RESPONSE | authoritative | (flags & RECURSION_DESIRED)])?;
        out.add(&[(more_flags & CHECKING_DISABLED) | answer.code, 0, 1])?;
        let [answers_high, answers_low, authorities_high, authorities_low, additionals @ ..] = answer.counts;
        let additionals = u16::from_be_bytes(additionals) + u16::from(query.opt.is_some());
        out.add(&[answers_high, answers_low, authorities_high, authorities_low])?;
        out.add(&additionals.to_be_bytes())?;
        out.add(query.question())?;
        out.add(self.encoded.records(answer))?;
        if let Some(opt) = &query.opt {
            out.add_opt(opt, scope)?;
        }
        Some(out.length)
    }

    /// Keeps a reply that `view` has just made for a message, for the next who asks the same.
    pub fn learn(&mut self, view: &Arc<View>, message: &[u8], arrival: &Arrival, reply: &Reply) {
        let kept = Common::read(message).and_then(|query| Some((Key::of(&query)?, query)));
        let Some((key, query)) = kept.filter(|_| self.is_of(view) && reply.reuse != Reuse::Never) else { return };
        // In the asker's own case names would be compressed less, for everybody.
        if query.name().iter().any(u8::is_ascii_uppercase) {
            let lower: Vec<u8> = query.in_lower_case().collect();
            if let Some(reply) = view.answer(&lower, arrival) {
                self.learn(view, &lower, arrival, &reply);
            }
            return;
        }
        let key = match reply.reuse {
            Reuse::Never => return,
            Reuse::Always => key,
            Reuse::Routed { site, family, pop, basis } => {
                self.encoded.add_routed(&key, site, family);
                let Some(key) = key.at(pop, basis, view.turn(query.id())) else { return };
                key
            }
        };
        let mut message = reply.message.clone();
        message.edns = None;
        let Ok(bytes) = message.to_vec() else { return };
        let (Some([_, _, flags, code, ..]), Some(counts), Some(records)) =
            (bytes.first_chunk::<HEADER>(), bytes.get(COUNTS), bytes.get(query.question_end..))
        else {
            return;
        };
        let Ok(counts) = counts.try_into() else { return };
        self.encoded.add_answer(&key, (code & 0x0f, flags & AUTHORITATIVE != 0), counts, records);
    }
}

/// Fills a buffer; `None` where it is full.
struct Writer<'o> {
    out: &'o mut [u8],
    length: usize,
}

impl Writer<'_> {
    fn add(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.length + bytes.len();
        self.out.get_mut(self.length..end)?.copy_from_slice(bytes);
        self.length = end;
        Some(())
    }

    /// The OPT record of an answer: our payload, the asker's DO, and its client subnet with our scope.
    fn add_opt(&mut self, opt: &Opt<'_>, scope: u8) -> Option<()> {
        let [payload_high, payload_low] = limits::DNS_UDP_BYTES.to_be_bytes();
        let dnssec_ok = if opt.dnssec_ok { 0x80 } else { 0 };
        self.add(&[0, 0, 41, payload_high, payload_low, 0, 0, dnssec_ok, 0])?;
        let Some(subnet) = &opt.subnet else { return self.add(&[0, 0]) };
        let length = u16::try_from(subnet.wire.len()).ok()?;
        self.add(&(length + 4).to_be_bytes())?;
        self.add(&CLIENT_SUBNET.to_be_bytes())?;
        self.add(&length.to_be_bytes())?;
        let at = self.length;
        self.add(subnet.wire)?;
        *self.out.get_mut(at + SCOPE_AT)? = scope;
        Some(())
    }
}

#[cfg(test)]
mod tests;
