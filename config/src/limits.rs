//! Every bound in one table: what the operator may set, and what bounds the outside world.

use std::time::Duration;

/// A number's least, default and most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds<T> {
    /// The least that is accepted.
    pub least: T,
    /// What holds where nothing is written.
    pub default: T,
    /// The most that is accepted.
    pub most: T,
}

impl<T: PartialOrd + Copy> Bounds<T> {
    /// Whether a value lies within.
    pub fn hold(&self, value: T) -> bool {
        self.least <= value && value <= self.most
    }
}

const fn seconds(least: u64, default: u64, most: u64) -> Bounds<Duration> {
    Bounds { least: Duration::from_secs(least), default: Duration::from_secs(default), most: Duration::from_secs(most) }
}

const fn millis(least: u64, default: u64, most: u64) -> Bounds<Duration> {
    Bounds {
        least: Duration::from_millis(least),
        default: Duration::from_millis(default),
        most: Duration::from_millis(most),
    }
}

/// One year in seconds.
const YEAR: u64 = 365 * 86_400;

// What the operator may set.

/// `[dns] ttl`. 20 s is what large CDNs hand out for edge addresses.
pub const DNS_TTL: Bounds<Duration> = seconds(1, 20, 86_400);
/// `[dns] ttl_changing`.
pub const DNS_TTL_CHANGING: Bounds<Duration> = seconds(1, 5, 3_600);
/// `[dns] answers`: addresses per answer.
pub const DNS_ANSWERS: Bounds<u8> = Bounds { least: 1, default: 2, most: 8 };
/// `[dns] rate_limit`: the same reply to one network, a second. 0 is no limit. NSD's default of 200 is for names that
/// resolvers keep for hours; theirs of a routed name are kept for seconds, and one for each scope.
pub const DNS_RATE_LIMIT: Bounds<u32> = Bounds { least: 0, default: 1_000, most: 1_000_000 };
/// `[dns.tls] port`: RFC 7858 §3.1, RFC 9250 §4.1.1.
pub const DNS_TLS_PORT: Bounds<u16> = Bounds { least: 1, default: 853, most: u16::MAX };
/// `[dns.tls] https`; nothing listens where none is written.
pub const DNS_HTTPS_PORT: Bounds<u16> = Bounds { least: 1, default: 443, most: u16::MAX };
/// `[edge] memory`, bytes. The default is a quarter of RAM or of the cgroup's limit, at most this default.
pub const EDGE_MEMORY: Bounds<u64> = Bounds { least: 8 << 20, default: 4 << 30, most: 1 << 42 };
/// `[edge] disk` size, bytes. It has no default: the operator knows the disk.
pub const DISK_SIZE: Bounds<u64> = Bounds { least: 64 << 20, default: 64 << 20, most: 1 << 50 };
/// `[edge] disk` requests.
pub const DISK_REQUESTS: Bounds<u8> = Bounds { least: 1, default: 2, most: 2 };
/// `[health] interval`.
pub const HEALTH_INTERVAL: Bounds<Duration> = millis(100, 1_000, 60_000);
/// `[health] timeout`.
pub const HEALTH_TIMEOUT: Bounds<Duration> = millis(50, 1_000, 60_000);
/// `[health] fall`.
pub const HEALTH_FALL: Bounds<u8> = Bounds { least: 1, default: 2, most: 20 };
/// `[health] rise`.
pub const HEALTH_RISE: Bounds<u8> = Bounds { least: 1, default: 5, most: 100 };
/// `capacity` of an edge, bits per second.
pub const CAPACITY: Bounds<u64> = Bounds { least: 1_000_000, default: 10_000_000_000, most: 100_000_000_000_000 };
/// A port.
pub const PORT: Bounds<u16> = Bounds { least: 1, default: 80, most: 65_535 };
/// The port of `peer` unless it says another.
pub const PEER_PORT: u16 = 8444;
/// An AS number (RFC 6793).
pub const ASN: Bounds<u32> = Bounds { least: 1, default: 64_500, most: u32::MAX };
/// Freshness a site may set: `ttl`, `browser_ttl`, `force.ttl`, `grace`.
pub const SITE_TTL: Bounds<Duration> = seconds(0, 0, YEAR);
/// `status` of a redirect.
pub const REDIRECT: Bounds<u16> = Bounds { least: 301, default: 302, most: 308 };
/// `status` of an `answer`.
pub const ANSWER_STATUS: Bounds<u16> = Bounds { least: 200, default: 200, most: 599 };
/// `largest_body`, bytes.
pub const SITE_BODY: Bounds<u64> = Bounds { least: 1, default: 1 << 20, most: 1 << 40 };
/// `requests` of a rate.
pub const RATE_REQUESTS: Bounds<u32> = Bounds { least: 1, default: 1, most: 1_000_000 };
/// `per` of a rate.
pub const RATE_PER: Bounds<Duration> = seconds(1, 1, 86_400);
/// `max_age` of a preflight's answer. Firefox keeps none longer than a day.
pub const CORS_AGE: Bounds<Duration> = seconds(0, 3_600, 86_400);
/// `retry_after` of a page in a site's place.
pub const RETRY_AFTER: Bounds<Duration> = seconds(1, 300, 7 * 86_400);
/// `connect_timeout` of an origin.
pub const ORIGIN_CONNECT: Bounds<Duration> = millis(10, 5_000, 60_000);
/// `first_byte_timeout` of an origin.
pub const ORIGIN_FIRST_BYTE: Bounds<Duration> = millis(10, 30_000, 3_600_000);
/// `between_bytes_timeout` of an origin.
pub const ORIGIN_BETWEEN_BYTES: Bounds<Duration> = millis(10, 30_000, 3_600_000);
/// `total_timeout` of an origin: none unless it is written.
pub const ORIGIN_TOTAL: Bounds<Duration> = millis(10, 60_000, 86_400_000);
/// One of an origin's `weights`.
pub const ORIGIN_WEIGHT: Bounds<u16> = Bounds { least: 0, default: 1, most: 1_000 };
/// `interval` of an origin's probe: that of nginx's and HAProxy's health checks is 5 s and 2 s.
pub const ORIGIN_PROBE_INTERVAL: Bounds<Duration> = millis(100, 5_000, 3_600_000);
/// `timeout` of an origin's probe.
pub const ORIGIN_PROBE_TIMEOUT: Bounds<Duration> = millis(50, 2_000, 60_000);
/// `rise` of an origin's probe. Edges' own needs more: there a flap moves clients to other cities.
pub const ORIGIN_PROBE_RISE: Bounds<u8> = Bounds { least: 1, default: 2, most: 100 };
/// `warm` of an origin.
pub const ORIGIN_WARM: Bounds<u8> = Bounds { least: 0, default: 0, most: 16 };
/// `max_age` of HSTS.
pub const HSTS_AGE: Bounds<Duration> = seconds(0, YEAR, 2 * YEAR);
/// What browsers want of it before they build it in (hstspreload.org).
pub const HSTS_PRELOAD: Duration = Duration::from_secs(YEAR);

// How much of a config is read.

/// The largest config file. A larger one is a mistake or an attack, not a config.
pub const CONFIG_FILE_BYTES: u64 = 4 << 20;
/// Faults and warnings told at once; with more, a file is no config at all.
pub const PROBLEMS: usize = 100;
/// The largest secret.
pub const SECRET_BYTES: u64 = 64 << 10;
/// The most sites, zones, and rules in one directory.
pub const CONFIG_FILES: usize = 10_000;
/// The most records in one zone, with what it includes. The largest file holds some hundred thousand;
/// each takes about half a KiB in memory.
pub const ZONE_RECORDS: usize = 500_000;
/// How deep `$INCLUDE` goes: a shared file that includes another is usual, more is a circle.
pub const ZONE_INCLUDE_DEPTH: usize = 8;
/// The most files that one zone includes, so that few files cannot multiply into endless reading.
pub const ZONE_INCLUDES: usize = 100;
/// The most problems reported of one zone: who reads a hundred has something else in the file than a zone.
pub const ZONE_PROBLEMS: usize = 100;
/// The longest path pattern.
pub const PATH_GLOB_BYTES: usize = 1_024;
/// The most rules of a site: each is tried for each request, at some 80 us for a path of 7 KiB.
pub const RULES: usize = 500;
/// The most stars in a pattern on a text: each makes matching dearer.
pub const PATTERN_STARS: usize = 4;
/// The longest pattern on a text.
pub const PATTERN_BYTES: usize = 256;
/// The longest body of an answer that a config holds.
pub const ANSWER_BYTES: usize = 64 << 10;
/// Keys by which a site's URLs may be signed: one, and the one it replaces.
pub const SIGNING_KEYS: usize = 2;
/// The most PoPs: ranks are kept as 16-bit numbers.
pub const POPS: usize = 10_000;

// What bounds the outside world.

/// Sets of the table in which clients' requests are counted: 64 Ki clients at once, in 1 MiB.
pub const RATE_SETS: usize = 16_384;
/// The largest query read over UDP: names are 255 bytes, options a few hundred.
pub const DNS_QUERY_BYTES: usize = 4_096;
/// Datagrams taken by one system call, and replies sent by one.
pub const DNS_BATCH: usize = 32;
/// Pause in accepting when the process has no descriptors left: others must close first.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// TCP connections at once on one DNS listener of one core; for a further one the longest idle ends.
pub const DNS_TCP_CONNECTIONS: usize = 512;
/// How long a DNS connection that has just been made may take for its first message where all are to end.
pub const DNS_TCP_FAREWELL: Duration = Duration::from_secs(2);
/// How long a DNS connection may take for its next message: RFC 7766 §6.2.3 asks for seconds.
pub const DNS_TCP_IDLE: Duration = Duration::from_secs(5);
/// How long a client may take to read a reply over TCP.
pub const DNS_TCP_WRITE: Duration = Duration::from_secs(5);
/// The largest UDP answer, the size that crosses the Internet unfragmented (DNS flag day 2020).
pub const DNS_UDP_BYTES: u16 = 1_232;
/// Memory for DNSSEC signatures: a hundred thousand record sets.
pub const DNS_SIGNATURE_BYTES: u64 = 64 << 20;
/// Signatures a second for names that are not in a zone, once for datagrams and once for connections: a tenth of a core
/// each, at 20 us a signature.
pub const DNS_STRANGERS_SIGNED: i64 = 5_000;
/// Of those, for one network (/24, IPv6 /56): one that asks for more leaves the others theirs.
pub const DNS_STRANGERS_OF_ONE: u32 = 500;
/// How long an answer is kept as bytes while nothing changes: by then a signature in it that was to be renewed still has
/// half its life.
pub const DNS_ANSWERS_KEPT: Duration = Duration::from_secs(3_600);
/// Sets of four places in a socket's table of replies to be limited: 1 MiB.
pub const DNS_LIMITER_SETS: usize = 16_384;
/// The port of name servers (RFC 1035 §4.2).
pub const DNS_PORT: u16 = 53;
/// Transfers at once on one listener of one core.
pub const DNS_TRANSFERS: usize = 4;
/// Changes of a zone that are kept for incremental transfers.
pub const ZONE_CHANGES: usize = 16;
/// Records in all of them.
pub const ZONE_CHANGED_RECORDS: usize = 100_000;
/// CNAMEs followed inside the zones served here.
pub const DNS_CHAIN: usize = 8;
/// A request's header block, as in nginx's four buffers of 8 KiB.
pub const HTTP_HEADER_BYTES: usize = 32 << 10;
/// A request's target, as nginx's line of 8 KiB and Apache's; RFC 9110 §4.1 recommends at least 8,000.
pub const HTTP_TARGET_BYTES: usize = 8 << 10;
/// Header lines in a request.
pub const HTTP_HEADERS: usize = 128;
/// Time for a request's header block to arrive, also the keep-alive idle time.
pub const HTTP_HEADER_TIME: Duration = Duration::from_secs(30);
/// How long a client may take to read any more of a response, as nginx's `send_timeout`.
pub const HTTP_WRITE_TIME: Duration = Duration::from_secs(60);
/// What a client must send or read at least while it is its turn, in bytes a second: about half of what
/// Apache's `RequestReadTimeout` asks of those who send.
pub const HTTP_LEAST_RATE: u64 = 256;
/// Interim responses passed on for one request: origins send one or two.
pub const HTTP_INTERIMS: usize = 16;
/// HTTP/2 streams at once on a connection.
pub const HTTP2_STREAMS: u32 = 128;
/// Of these, so many that lead elsewhere (WebSocket): pages have a few.
pub const HTTP2_TUNNELS: usize = 32;
/// Connections at once on one listener of one core.
pub const HTTP_CONNECTIONS: usize = 16_384;
/// Of those, from one address (IPv6 /64): a network behind one address has its room, and nobody has it all.
pub const HTTP_CONNECTIONS_OF_ONE: usize = 4_096;
/// After so long without a byte either way a switched connection (WebSocket) is closed. Clients and servers ping each
/// other every 20 to 60 seconds.
pub const TUNNEL_IDLE: Duration = Duration::from_secs(300);
/// How long a client that was told of its connection's end may take to end its side, and what it sends meanwhile is read and
/// dropped, as nginx's `lingering_timeout`: longer only while it still takes what it was sent.
pub const HTTP_LINGER: Duration = Duration::from_secs(5);
/// Time for open requests to finish after a stop.
pub const HTTP_DRAIN: Duration = Duration::from_secs(10);
/// How long a connection on which nothing is under way is kept after a stop: its client may be about to ask, and is told
/// with the answer that the connection ends.
pub const HTTP_FAREWELL: Duration = Duration::from_secs(3);
/// How long a node that is told to end waits for every name server to hear that it drains: three probes by default.
pub const DRAIN_TOLD: Duration = Duration::from_secs(3);
/// How long two processes of a node that hand over to each other wait for the other's next word: reading the index of a
/// large disk takes seconds.
pub const HANDOVER_PATIENCE: Duration = Duration::from_secs(15);
/// For how long a process that was taken over stays at least: systemd is told meanwhile which one counts.
pub const HANDOVER_KNOWN: Duration = Duration::from_secs(1);
/// How long the one that goes may take to hear of a purge, or to let go of a socket: who asks for a purge waits for it.
pub const HANDOVER_HEARD: Duration = Duration::from_secs(3);
/// How much longer once all have: answers that named it are on their way to clients that connect at once.
pub const DRAIN_SETTLE: Duration = Duration::from_millis(300);
/// Time for a TLS handshake.
pub const TLS_HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// A PROXY protocol header, with what it says besides addresses: names and certificates of some hundred bytes.
pub const PROXY_HEADER_BYTES: usize = 4 << 10;
/// Time for it to arrive: it is the first that a proxy sends.
pub const PROXY_HEADER_TIME: Duration = Duration::from_secs(10);
/// Entries of `X-Forwarded-For` that are looked at: so many trusted proxies in a row are a circle.
pub const FORWARDED_HOPS: usize = 32;
/// `[acme] directory`: that of Let's Encrypt.
pub const ACME_DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// Bytes of an answer of an authority: a chain has some 5 KiB.
pub const ACME_BYTES: usize = 1 << 20;
/// Bytes of what nodes tell each other of certificates: some 10,000 of them.
pub const CERTIFICATES_BYTES: usize = 64 << 20;
/// Time for one answer of an authority.
pub const ACME_TIME: Duration = Duration::from_secs(30);
/// Letters of what an authority says of a failure that are shown.
pub const ACME_TOLD: usize = 500;
/// Answers for authorities that a node has ready at once.
pub const CHALLENGES: usize = 1_000;
/// Time for the body of a request at the admin or peer address.
pub const ADMIN_BODY_TIME: Duration = Duration::from_secs(10);
/// How often a gatherer asks every node of a fleet of five hundred; half as often where there are twice as many, and so on.
pub const GATHER_EVERY: Duration = Duration::from_millis(500);
/// Time for the answer of a node to who gathers: one that takes longer cannot be reached.
pub const GATHER_TIME: Duration = Duration::from_secs(2);
/// Nodes that who speaks for the whole fleet asks at the same time.
pub const ASKED_AT_ONCE: usize = 64;
/// The same of those that were silent the last time, which take as long as they may and tell little.
pub const GATHER_SILENT_AT_ONCE: usize = 512;
/// Bytes of what a node tells who gathers: a name server tells of each of 10,000 edges.
pub const GATHER_BYTES: usize = 16 << 20;
/// Letters of what a node says in words that a gatherer tells further.
pub const GATHER_LETTERS: usize = 500;
/// What a gatherer remembers how much went on of: the fleet, PoPs, nodes and sites. Each takes 110 KB after six hours.
pub const HISTORY_SERIES: usize = 512;
/// Events that a gatherer remembers.
pub const EVENTS: usize = 500;
/// Event streams open at once.
pub const EVENT_STREAMS: usize = 32;
/// Messages that wait for a slow reader of an event stream; then it is cut.
pub const EVENT_STREAM_WAITING: usize = 32;
/// Places and PoPs that a name server or a gatherer tells apart in where queries come from.
pub const FLOWS: usize = 500;
/// Queries a second of which each thread of a name server notes from where they come, and at once.
pub const FLOW_SAMPLES: u32 = 50;
/// Bytes of a challenge as nodes tell it each other.
pub const CHALLENGE_BYTES: usize = 64 << 10;
/// TLS sessions that a node keeps for clients that come again by QUIC: some 300 bytes each.
pub const TLS_SESSIONS: usize = 16_384;
/// Requests on one HTTP/3 connection, then another is to be made: as nginx's `keepalive_requests`, ten times as many.
pub const HTTP3_REQUESTS: u32 = 10_000;
/// QUIC connections at once of one address (IPv6 /64), on one listener of one core: each may hold a window's bytes.
pub const QUIC_CONNECTIONS_OF_ONE: usize = 1_024;
/// QUIC handshakes at once of one address that has shown that it is there, on one listener of one core.
pub const QUIC_HANDSHAKES_OF_ONE: usize = 32;
/// QUIC handshakes at once on one listener of one core; from half of them on, clients show first that they are where they
/// say (RFC 9000 §8.1.2).
pub const QUIC_HANDSHAKES: usize = 512;
/// Bytes of packets that wait for their connection to be taken, on one listener of one core.
pub const QUIC_HANDSHAKE_BYTES: u64 = 16 << 20;
/// Streams at once that a client sends on only: HTTP/3 has three (RFC 9114 §6.2), and those of grease.
pub const QUIC_UNI_STREAMS: u32 = 8;
/// What a client may have sent of one stream that nobody has read yet.
pub const QUIC_STREAM_WINDOW: u32 = 256 << 10;
/// What a client may have sent on one connection that nobody has read yet, and what is sent to it that it has not
/// acknowledged: 40 Mbit/s over 100 ms, and 50 MiB for 100 clients that read slowly.
pub const QUIC_WINDOW: u32 = 512 << 10;
/// Time for the last packets of QUIC connections.
pub const QUIC_CLOSE_TIME: Duration = Duration::from_secs(1);
/// Fetches at once for one site, on one core: a quarter of all, so that one cannot take all.
pub const ORIGIN_FETCHES: usize = 1_024;
/// `[origin] max_fetches`.
pub const ORIGIN_MAX_FETCHES: Bounds<u32> = Bounds { least: 1, default: 100, most: 100_000 };
/// Fetches at once for all sites, on one core. A fetch may outlive its client, so that clients'
/// connections are no bound for it.
pub const ORIGIN_FETCHES_OF_ALL: usize = 4_096;
/// Failures in a row after which an origin server is left alone: a request that fails by itself is followed by one that
/// does not.
pub const ORIGIN_FALL: u32 = 5;
/// For how long at first; twice as long after each trial that fails. nginx's is 10 s from the first failure on.
pub const ORIGIN_OPEN_FIRST: Duration = Duration::from_secs(1);
/// For how long at most.
pub const ORIGIN_OPEN_MOST: Duration = Duration::from_secs(10);
/// Fetches that may fail at a further server, too, at once, on one core for one site: where every server fails, trying
/// again doubles what they have to do.
pub const ORIGIN_RETRIES: u32 = 256;
/// How many of a hundred fetches may in the long run.
pub const ORIGIN_RETRIES_PERCENT: u32 = 20;
/// How long a fetch waits for its place where as many as may be are under way: a crowd that comes at once is not a crowd for
/// long.
pub const ORIGIN_PLACE: Duration = Duration::from_secs(5);
/// Idle connections kept to one origin server.
pub const ORIGIN_IDLE: usize = 64;
/// How long an idle connection to an origin is kept, as in nginx's upstreams. Many servers close theirs
/// sooner: that is seen before the next request, and one that meets the close on its way is sent again
/// where it may be.
pub const ORIGIN_IDLE_TIME: Duration = Duration::from_secs(60);
/// What an origin may send by HTTP/2 of one response before somebody reads it: 10 MB/s over 50 ms.
pub const ORIGIN_HTTP2_WINDOW: u32 = 512 << 10;
/// The fields of an origin's response by HTTP/2, as RFC 9113 §6.5.2 counts them.
pub const ORIGIN_HTTP2_HEADER_BYTES: u32 = 256 << 10;
/// How long nothing comes on a connection to an origin until its kernel is asked whether it is still there: a machine that
/// went without a word would else keep its idle connections, and the next request would find out.
pub const ORIGIN_KEEPALIVE: Duration = Duration::from_secs(15);
/// How often it is asked then, and how many times in vain.
pub const ORIGIN_KEEPALIVE_AGAIN: Duration = Duration::from_secs(5);
/// As [`ORIGIN_KEEPALIVE_AGAIN`].
pub const ORIGIN_KEEPALIVE_TRIES: u32 = 3;
/// The least time after which a connection to an origin ends that takes nothing; `between_bytes_timeout`, where that is longer.
/// A way that is rerouted is whole again within seconds.
pub const ORIGIN_TAKES_NOTHING: Duration = Duration::from_secs(10);
/// The most: where `between_bytes_timeout` is longer the kernel ends none for that, since it counts an origin that lets an
/// upload wait, too.
pub const ORIGIN_TAKES_NOTHING_MOST: Duration = Duration::from_secs(60);
/// For how long after a fetch connections are kept ready for the next, where `warm` says so.
pub const ORIGIN_WARM_TIME: Duration = Duration::from_secs(600);
/// How often it is looked whether there are enough; half as long by chance.
pub const ORIGIN_WARM_PAUSE: Duration = Duration::from_secs(1);
/// The same where the server cannot be reached: twice as long each time, up to this.
pub const ORIGIN_WARM_PAUSE_MOST: Duration = Duration::from_secs(30);
/// When a server that was offered HTTP/2 and chose HTTP/1.1 is offered it again.
pub const ORIGIN_HTTP2_AGAIN: Duration = Duration::from_secs(300);
/// What an origin must send of a body while it is waited for, in [`ORIGIN_LEAST_WINDOW`]: 100 bytes a second, less than half
/// of what clients must.
pub const ORIGIN_LEAST_BYTES: u64 = 6_000;
/// Time of waiting in which it must: two pauses of the default length, so that one of them is no reason.
pub const ORIGIN_LEAST_WINDOW: Duration = Duration::from_secs(60);
/// Names of origins whose addresses are kept.
pub const ORIGIN_NAMES: usize = 10_000;
/// The least time for which a name's addresses hold, however short its TTL: nobody is asked for a name more often.
pub const ORIGIN_NAME_TTL_LEAST: Duration = Duration::from_secs(1);
/// The most, however long it is: by then a change that was not announced is seen, too.
pub const ORIGIN_NAME_TTL_MOST: Duration = Duration::from_secs(3_600);
/// How long what the system answers holds, which tells no TTL; and how often its files are looked at.
pub const ORIGIN_NAME_OF_SYSTEM: Duration = Duration::from_secs(5);
/// How long a name that could not be resolved is not asked for again: RFC 9520 §3.2 wants a second at least.
pub const ORIGIN_NAME_FAILED: Duration = Duration::from_secs(2);
/// How long an answer is waited for where older addresses can stand in. RFC 8767 §5 suggests 1.8 s of resolvers, whose
/// clients wait for them alone.
pub const ORIGIN_NAME_PATIENCE: Duration = Duration::from_secs(1);
/// How long addresses stand in after their TTL while nobody answers: the least that RFC 8767 §5 suggests.
pub const ORIGIN_NAME_STALE: Duration = Duration::from_secs(86_400);
/// How long one look-up may take, name servers that are silent included.
pub const ORIGIN_NAME_LOOK_UP: Duration = Duration::from_secs(30);
/// A piece of a body as stored.
pub const SLICE_BYTES: usize = 256 << 10;
/// The longest body that is stored in slices; of a longer one nothing is stored. A length is what an origin claims, whatever
/// comes: the largest files that are given away (images of disks, dumps, raw films) have some hundred GiB, and 4 Mi slices are
/// few enough to be told apart by a number.
pub const SLICED_MOST: u64 = 1 << 40;
/// The most of one body on its way that is kept in memory; a larger one slides.
pub const FILL_WINDOW: u64 = 64 << 20;
/// How long a sliding fill waits for room for one piece before its slowest reader is cut: who reads
/// less than a piece in this time holds up the others.
pub const FILL_SLOWEST_READER: Duration = Duration::from_secs(10);
/// Keys remembered as not to be shared.
pub const UNSHARED_KEYS: u64 = 100_000;
/// The largest report read from an edge.
pub const HEALTH_REPORT_BYTES: usize = 4_096;
/// The largest file of saved verdicts read: 20,000 edges with two addresses each.
pub const HEALTH_SAVED_BYTES: u64 = 4 << 20;
/// Outcomes of probes waiting for their judge: with 10,000 edges, a second's worth.
pub const PROBES_WAITING: usize = 10_000;
/// The largest geo database read.
pub const GEO_DATABASE_BYTES: u64 = 2 << 30;
/// Prefixes of clients whose round trips an edge collects between two questions of a name server.
pub const LATENCY_BATCH: usize = 20_000;
/// Prefixes in all that an edge keeps until every name server has asked for them: some 10 MB.
pub const LATENCY_KEPT: usize = 100_000;
/// Prefixes for each PoP whose round trips a name server keeps.
pub const LATENCY_PREFIXES: usize = 200_000;
/// Prefixes of all PoPs together: some 200 MB.
pub const LATENCY_OF_ALL: usize = 2_000_000;
/// The longest list of round trips that an edge tells: all that it keeps, each in some fifteen buckets.
pub const LATENCY_TOLD_BYTES: usize = 16 << 20;
/// The largest file of saved round trips read.
pub const LATENCY_SAVED_BYTES: u64 = 512 << 20;
/// The file of a map on disk: a full city database for a thousand PoPs takes 121 MB.
pub const MAP_BYTES: u64 = 1 << 30;
/// The file of the times at which a node was started.
pub const SAVED_STARTS_BYTES: u64 = 64 << 10;
/// The file of the highest version of a config that a node has served.
pub const SAVED_VERSION_BYTES: u64 = 4 << 10;
/// How often name servers ask edges for round trips.
pub const LATENCY_ASKED: Duration = Duration::from_secs(60);
/// Prefixes of clients whose traffic an edge measures: some 5 MB.
pub const DEMAND_PREFIXES: usize = 65_536;
/// Of these, the greatest that it tells name servers.
pub const DEMAND_TOLD: usize = 2_048;
/// The longest list of them: 45 bytes of address and 20 of a rate each.
pub const DEMAND_TOLD_BYTES: usize = 160 << 10;
/// How often name servers ask edges for it.
pub const DEMAND_ASKED: Duration = Duration::from_secs(10);
/// How often name servers look whether load has to move.
pub const LOAD_STEP: Duration = Duration::from_secs(5);
/// Least and most of a round trip in `latency/*.csv`, milliseconds.
pub const ROUND_TRIP_MS: (f64, f64) = (0.01, 10_000.0);
/// Most samples that a line of it stands for.
pub const ROUND_TRIP_SAMPLES: u16 = 10_000;
/// Prefixes (/24, /48) in all lines of `latency/` together: some 150 MB.
pub const ROUND_TRIP_PREFIXES: usize = 1_000_000;
/// The largest file of `latency/`: half a million lines.
pub const ROUND_TRIPS_BYTES: u64 = 32 << 20;
/// The longest order to drain: an id.
pub const DRAIN_ORDER_BYTES: usize = 1_024;
/// The longest order to purge: a thousand URLs of a KiB.
pub const PURGE_ORDER_BYTES: usize = 1 << 20;
/// Bytes of a log's records waiting for their writer, some 10,000 of them; further ones are counted and dropped.
pub const LOG_QUEUE: usize = 4 << 20;
/// The longest template of a log's lines: some 100 fields with their names.
pub const LOG_TEMPLATE_BYTES: usize = 4_096;
/// Days for which an edge keeps what it counted by site: a year, and the month in which its last bill is written.
pub const REPORT_DAYS: usize = 400;
/// The largest file of a day: some 100,000 sites.
pub const REPORT_DAY_BYTES: u64 = 16 << 20;
/// How often it is written down: what an unclean end loses at most.
pub const REPORT_SAVED: Duration = Duration::from_secs(60);
/// Sites with label values of their own in metrics; further ones count as `other`.
pub const METRIC_SITES: usize = 1_000;
/// How long a node serves from a config before that counts as good, and a start as one that lived.
pub const PROVEN: Duration = Duration::from_secs(60);
/// So many starts in a row that died boot the last good config.
pub const DEATHS: usize = 2;
/// Changes to the directory within this time are one reload.
pub const RELOAD_SETTLE: Duration = Duration::from_millis(200);
