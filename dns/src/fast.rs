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

use crate::arrival::{Arrival, Transport, seconds};
use crate::cookie::{self, COOKIE, Standing};
use crate::ecs::Asker;
use crate::limiter::Same;
use crate::query::SCOPE_AT;
use crate::reply::{CLIENT_SUBNET, LEAST_PAYLOAD, Reply, Reuse};
use crate::view::View;

mod encoded;
mod message;

use encoded::{Answer, Encoded, Held, Key};
use message::{Common, HEADER, OPT_HEADER, Opt};

/// Answers kept as bytes: one socket's.
#[derive(Debug)]
pub struct Fast {
    view: Arc<View>,
    fitness: Arc<Fitness>,
    /// When it began, and until when what it knows holds.
    since: SystemTime,
    until: SystemTime,
    now: u32,
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
    /// Whom that PoP was chosen for: the client of its subnet, or the resolver.
    pub client: Option<IpAddr>,
    /// Which other replies are the same to a limit.
    pub(crate) same: Same,
    /// Whether the asker has shown that replies reach it.
    pub(crate) standing: Standing,
    /// Where its records begin, and where they end.
    records: (usize, usize),
}

/// Answered in the header's third byte (RFC 1035 §4.1.1): this is a response, the answer is authoritative.
const RESPONSE: u8 = 0x80;
const AUTHORITATIVE: u8 = 0x04;
const TRUNCATED: u8 = 0x02;
/// Of the asker's flags these come back: RD in the third byte, CD in the fourth (RFC 4035 §3.2.2).
const RECURSION_DESIRED: u8 = 0x01;
const CHECKING_DISABLED: u8 = 0x10;
/// The counts of the answer, authority and additional sections.
const COUNTS: std::ops::Range<usize> = 6..HEADER;
/// Types above are rarely asked for: CAA (RFC 8659) is the last that browsers, mail servers and authorities ask.
const USUAL_TYPES: u16 = 257;
/// An option's code and length (RFC 6891 §6.1.2).
const OPTION_HEADER: usize = 4;

impl Fast {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(view: Arc<View>, now: SystemTime) -> Self {
        let until = view.good_until(now);
        let fitness = view.fitness().load_full();
        Self { fitness, view, since: now, until, now: seconds(now), encoded: Encoded::default() }
    }

    /// Forgets everything if it was about another view, or another fitness of this one, or is old.
    pub fn follow(&mut self, view: &Arc<View>, now: SystemTime) {
        if !self.is_of(view) || !(self.since..self.until).contains(&now) {
            self.view = Arc::clone(view);
            self.fitness = ArcSwap::load_full(&view.fitness);
            (self.since, self.until) = (now, view.good_until(now));
            self.encoded.clear();
        }
        self.now = seconds(now);
    }

    fn is_of(&self, view: &Arc<View>) -> bool {
        Arc::ptr_eq(&self.view, view) && Arc::ptr_eq(&self.fitness, &view.fitness.load())
    }

    /// Answers a message into `out`, if the answer is known and fits.
    #[must_use]
    pub fn answer(&self, message: &[u8], from: (IpAddr, Transport), out: &mut [u8]) -> Option<Answered> {
        let query = Common::read(message)?;
        let key = Key::of(&query)?;
        match self.encoded.find(&key)? {
            Held::Answer(answer) => self.write(&query, &answer, (0, None), from, out),
            Held::Routed { site, family } => self.route(&query, key, (site, family), from, out),
        }
    }

    fn route(
        &self,
        query: &Common<'_>,
        key: Key,
        (site, family): (usize, Family),
        (resolver, transport): (IpAddr, Transport),
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
        let routed = Some((picked.pop, mapped.list.cause));
        let answered = self.write(query, &answer, (asker.scope(picked.scope), routed), (resolver, transport), out)?;
        Some(Answered { client: Some(asker.address), ..answered })
    }

    /// Puts the header, question, records and OPT together; `None` where they are more than the asker takes.
    fn write(
        &self,
        query: &Common<'_>,
        answer: &Answer,
        (scope, routed): (u8, Option<(PopIndex, Cause)>),
        (resolver, transport): (IpAddr, Transport),
        out: &mut [u8],
    ) -> Option<Answered> {
        let of_datagrams =
            || query.opt.map_or(LEAST_PAYLOAD, |opt| opt.payload.clamp(LEAST_PAYLOAD, limits::DNS_UDP_BYTES));
        let most = match transport {
            Transport::Udp => of_datagrams().into(),
            Transport::Tcp | Transport::Tls | Transport::Quic | Transport::Https => out.len(),
        };
        let mut out = Writer { out: out.get_mut(..most)?, length: 0 };
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
        let begin = out.length;
        let answer_records = self.encoded.records(answer);
        let is_long = begin + answer_records.len() + query.opt.map_or(0, |opt| opt.reply_bytes()) > most;
        if !is_long {
            out.add(answer_records)?;
        }
        let records = (begin, out.length);
        let mut standing = Standing::Unproven;
        if let Some(opt) = &query.opt {
            let cookie = opt.cookie.map(|cookie| self.view.cookies().answer(&cookie, resolver, self.now));
            standing = cookie.map_or(standing, |(_, standing)| standing);
            out.add_opt(opt, scope, cookie.map(|(option, _)| option))?;
        }
        let length = out.length;
        let answered =
            Answered { length, code: answer.code.into(), routed, client: None, same: answer.same, standing, records };
        if is_long {
            // What is asked for again over a connection: a large answer is not made anew for each datagram.
            answered.cut(out.out)?;
        }
        Some(answered)
    }

    /// Keeps a reply that `view` has just made for a message, for the next who asks the same.
    pub fn learn(&mut self, view: &Arc<View>, message: &[u8], arrival: &Arrival, reply: &Reply) {
        // Of types that nobody has there are too many to keep that they are not there.
        let is_rare = reply.message.answers.is_empty()
            && reply.message.queries.first().is_some_and(|question| u16::from(question.query_type()) > USUAL_TYPES);
        if is_rare {
            return;
        }
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
        self.encoded.add_answer(&key, (code & 0x0f, flags & AUTHORITATIVE != 0, reply.facts.same), counts, records);
    }
}

impl Opt<'_> {
    /// How long the options of its reply are.
    fn reply_options(&self) -> usize {
        let of_subnet = self.subnet.map_or(0, |subnet| OPTION_HEADER + subnet.wire.len());
        let of_cookie = self.cookie.map_or(0, |_| OPTION_HEADER + cookie::REPLY);
        of_subnet + of_cookie
    }

    /// How long the OPT record of its reply is.
    fn reply_bytes(&self) -> usize {
        OPT_HEADER + self.reply_options()
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

    /// The OPT record of an answer: our payload, the asker's DO, its client subnet with our scope, and its cookie with ours.
    fn add_opt(&mut self, opt: &Opt<'_>, scope: u8, cookie: Option<[u8; cookie::REPLY]>) -> Option<()> {
        let [payload_high, payload_low] = limits::DNS_UDP_BYTES.to_be_bytes();
        let flags = if opt.dnssec_ok { 0x80 } else { 0 } | if opt.compact_ok { 0x40 } else { 0 };
        self.add(&[0, 0, 41, payload_high, payload_low, 0, 0, flags, 0])?;
        self.add(&u16::try_from(opt.reply_options()).ok()?.to_be_bytes())?;
        if let Some(subnet) = &opt.subnet {
            let at = self.add_option(CLIENT_SUBNET, subnet.wire)?;
            *self.out.get_mut(at + SCOPE_AT)? = scope;
        }
        if let Some(cookie) = cookie {
            self.add_option(COOKIE, &cookie)?;
        }
        Some(())
    }

    /// Adds an option; where its data begin.
    fn add_option(&mut self, code: u16, data: &[u8]) -> Option<usize> {
        self.add(&code.to_be_bytes())?;
        self.add(&u16::try_from(data.len()).ok()?.to_be_bytes())?;
        let at = self.length;
        self.add(data)?;
        Some(at)
    }
}

impl Answered {
    /// Leaves of the answer in `out` the question and OPT, with TC set: how long that is.
    pub(crate) fn cut(&self, out: &mut [u8]) -> Option<usize> {
        let (begin, end) = self.records;
        // What follows the records is one OPT record, or nothing.
        let opts = u8::from(end < self.length);
        out.get_mut(COUNTS)?.copy_from_slice(&[0, 0, 0, 0, 0, opts]);
        *out.get_mut(2)? |= TRUNCATED;
        let length = begin + (self.length - end);
        (self.length <= out.len()).then(|| out.copy_within(end..self.length, begin))?;
        Some(length)
    }
}

#[cfg(test)]
mod tests;
