use std::net::IpAddr;

use hickory_server::proto::op::Message;
use proptest::prelude::*;

use super::*;
use crate::view::tests::{option, signed_view, view};

const NAMES: &[&str] = &[
    "www.shop.example",
    "shop.example",
    "a.img.shop.example",
    "b.img.shop.example",
    "mail.shop.example",
    "alias.shop.example",
    "far.shop.example",
    "far2.shop.example",
    "out.shop.example",
    "gone.shop.example",
    "loop.shop.example",
    "sub.shop.example",
    "shop.moved.shop.example",
    "x.sub.shop.example",
    "many.shop.example",
    "few.shop.example",
    "nothing.shop.example",
    "shop.cdn.example",
    "blog.cdn.example",
    "_why.shop.cdn.example",
    "ns1.cdn.example",
    "cdn.example",
    "example",
    "",
];
const SUBNETS: &[&str] = &[
    "81.2.3.0/24",
    "82.0.0.0/8",
    "83.1.0.0/16",
    "133.7.8.9/32",
    "10.0.0.0/24",
    "0.0.0.0/0",
    "2001:db8:1::/48",
    "2001:db9::/32",
    "64:ff9b::5102:300/120",
    "::ffff:83.0.0.0/104",
    "::/0",
];

/// A name on the wire; labels of the texts above need no escapes.
fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> = labels.flat_map(|label| std::iter::once(label.len() as u8).chain(label.bytes())).collect();
    wire.push(0);
    wire
}

/// One time, lest a second passes between both ways.
fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_800_000_000)
}

fn arrival(resolver: IpAddr) -> Arrival {
    Arrival { at: now(), ..Arrival::by_udp(resolver) }
}

/// What of an OPT record varies.
#[derive(Clone, Debug)]
struct Drawn {
    payload: u16,
    version: u8,
    flags: u8,
    options: Vec<Vec<u8>>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let of = |code: u8, option: Vec<u8>| [&[0, code, 0, option.len() as u8], option.as_slice()].concat();
    let subnet = prop::sample::select(SUBNETS).prop_map(move |subnet| of(8, option(subnet)));
    // Whatever stands in it: most are malformed.
    let wild = prop::collection::vec(any::<u8>(), 0..9).prop_map(move |option| of(8, option));
    let other = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..9));
    let other = other.prop_map(move |(code, option)| of(code, option));
    let cookie = prop::sample::select(vec![0, 7, 8, 16, 24, 40, 41]).prop_map(move |length| of(10, vec![1; length]));
    let asking = prop::sample::select(vec![3, 11]).prop_map(move |code| of(code, Vec::new()));
    let option = prop_oneof![6 => subnet, 1 => wild, 2 => other, 3 => cookie, 1 => asking];
    let options = prop::collection::vec(option, 0..3);
    let payload = prop::sample::select(vec![0, 512, 600, 1_232, 4_096]);
    let version = prop_oneof![9 => Just(0_u8), 1 => Just(1)];
    let flags = prop_oneof![Just(0_u8), Just(0x80), Just(0xc0), Just(0x40)];
    (payload, version, flags, options).prop_map(|(payload, version, flags, options)| Drawn {
        payload,
        version,
        flags,
        options,
    })
}

prop_compose! {
    /// A query that somebody might send, and some that nobody should.
    fn query()(
        name in prop::sample::select(NAMES),
        upper in any::<u32>(),
        kind in prop_oneof![
            4 => Just(1_u16),
            2 => Just(28),
            4 => prop::sample::select(vec![2, 5, 6, 15, 16, 43, 65, 255, 252, 41, 999]),
        ],
        class in prop_oneof![19 => Just(1_u16), 1 => Just(3)],
        id in 0..8_u16,
        flags in prop_oneof![8 => Just([0, 0]), 2 => Just([1, 0x10]), 1 => any::<[u8; 2]>()],
        opt in prop::option::weighted(0.7, drawn()),
        surplus in prop_oneof![19 => Just(Vec::new()), 1 => prop::collection::vec(any::<u8>(), 1..5)],
        torn in prop::option::weighted(0.05, (0..60_usize, any::<u8>())),
    ) -> Vec<u8> {
        let cased = |(at, char): (usize, char)| if upper >> (at % 32) & 1 == 1 { char.to_ascii_uppercase() } else { char };
        let name: String = name.chars().enumerate().map(cased).collect();
        let mut bytes = [&id.to_be_bytes()[..], &flags, &[0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())]].concat();
        bytes.extend(wire(&name));
        bytes.extend([kind.to_be_bytes(), class.to_be_bytes()].concat());
        if let Some(Drawn { payload, version, flags, options }) = opt {
            let options = options.concat();
            bytes.extend([0, 0, 41]);
            bytes.extend(payload.to_be_bytes());
            bytes.extend([0, version, flags, 0]);
            bytes.extend((options.len() as u16).to_be_bytes());
            bytes.extend(options);
        }
        bytes.extend(surplus);
        if let Some((at, byte)) = torn && let Some(torn) = bytes.get_mut(at) {
            *torn = byte;
        }
        bytes
    }
}

/// A message whose names are all in lower case: in compressed names the asker's case comes back.
fn in_lower_case(bytes: &[u8]) -> String {
    format!("{:?}", Message::from_vec(bytes).unwrap()).to_ascii_lowercase()
}

/// Asks both ways, and has the fast one learn; whether that knew the answer.
fn ask(fast: &mut Fast, view: &Arc<View>, query: &[u8], resolver: IpAddr) -> bool {
    let reply = view.answer(query, &arrival(resolver));
    let general = reply.as_ref().and_then(Reply::to_udp);
    let mut out = [0; 1_232];
    let answered = fast.answer(query, (resolver, Transport::Udp), &mut out);
    if let Some(answered) = answered {
        let general = general.expect("the general path is not silent");
        let is_lower = !query.iter().any(u8::is_ascii_uppercase);
        if is_lower {
            assert_eq!(out[..answered.length], general);
        }
        // Names that are compressed by an asker's own case make a longer reply, which may not fit.
        let is_cut = Message::from_vec(&general).unwrap().metadata.truncation;
        if is_lower || !is_cut {
            assert_eq!(in_lower_case(&out[..answered.length]), in_lower_case(&general), "{query:02x?}");
        }
        let reply = reply.as_ref().unwrap();
        assert_eq!((answered.standing, answered.same), (reply.facts.standing, reply.facts.same));
        let length = answered.cut(&mut out).unwrap();
        let cut = Reply::cut(reply).unwrap();
        assert_eq!(in_lower_case(&out[..length]), in_lower_case(&cut), "cut, {query:02x?}");
        assert_eq!(answered.code, u16::from(reply.message.metadata.response_code));
        assert_eq!(answered.routed, reply.facts.pop.zip(reply.facts.cause));
    }
    if let Some(reply) = &reply {
        fast.learn(view, query, &arrival(resolver), reply);
    }
    answered.is_some()
}

proptest! {
    #[test]
    fn both_ways_answer_alike(
        queries in prop::collection::vec((query(), prop::sample::select(SUBNETS)), 1..60),
        down in prop::collection::vec((0..3_usize, any::<bool>()), 0..4),
        is_signed in any::<bool>(),
    ) {
        let view = Arc::new(if is_signed { signed_view() } else { view() });
        let mut fast = Fast::new(Arc::clone(&view), now());
        let changes: Vec<Option<(usize, bool)>> = down.into_iter().map(Some).chain([None]).collect();
        for change in changes {
            if let Some((edge, is_down)) = change {
                let mut fitness = Fitness::all_up(3);
                if is_down { fitness.mark_down(edge, Family::V4) } else { fitness.mark_changing(edge) }
                view.fitness().store(Arc::new(fitness));
            }
            fast.follow(&view, now());
            for (query, from) in &queries {
                let resolver = from.split('/').next().unwrap().parse::<IpAddr>().unwrap().to_canonical();
                ask(&mut fast, &view, query, resolver);
            }
            for (query, _) in &queries {
                ask(&mut fast, &view, query, [10, 0, 0, 1].into());
            }
        }
    }
}

/// A query as most send it.
fn common(name: &str, kind: u8, subnet: Option<&str>) -> Vec<u8> {
    let opt = subnet.map(|subnet| {
        let option = option(subnet);
        let length = option.len() as u8;
        [&[0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, length + 4, 0, 8, 0, length], option.as_slice()].concat()
    });
    let header = [0, 4, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(opt.is_some())];
    [&header[..], &wire(name), &[0, kind, 0, 1], &opt.unwrap_or_default()].concat()
}

#[test]
fn no_answer_allocates() {
    let view = Arc::new(view());
    let mut fast = Fast::new(Arc::clone(&view), now());
    for (name, kind, subnet) in [
        ("shop.example", 15, None),
        ("shop.example", 65, Some("83.2.3.0/24")),
        ("www.shop.example", 1, None),
        ("far.shop.example", 1, Some("133.2.3.0/24")),
        ("www.shop.example", 28, Some("83.2.3.0/24")),
    ] {
        let query = common(name, kind, subnet);
        ask(&mut fast, &view, &query, [10, 0, 0, 1].into());
        let mut out = [0; 1_232];
        let mut answered = None;
        let allocated = allocation_counter::measure(|| {
            answered = fast.answer(&query, ([10, 0, 0, 1].into(), Transport::Udp), &mut out);
        });
        assert!(answered.is_some(), "{name} {kind}");
        assert_eq!(allocated.count_total, 0, "{name} {kind}");
    }
}

#[test]
fn what_was_asked_before_is_known() {
    let view = Arc::new(view());
    for (name, kind, subnet, is_known) in [
        ("www.shop.example", 1, Some("81.2.3.0/24"), true),
        ("www.shop.example", 1, None, true),
        ("www.shop.example", 28, Some("83.2.3.0/24"), true),
        ("FAR.shop.eXample", 1, Some("81.2.3.0/24"), true),
        ("shop.example", 15, None, true),
        ("shop.example", 65, None, false),
        ("www.shop.example", 65, Some("83.2.3.0/24"), true),
        ("far.shop.example", 65, None, true),
        ("sub.shop.example", 1, None, true),
        // Too many to keep, or not for everybody.
        ("nothing.shop.example", 1, None, false),
        ("x.moved.shop.example", 1, None, false),
        // What it says depends on a family that its PoP has not.
        ("www.shop.example", 65, Some("81.2.3.0/24"), false),
        // Longer than a datagram: that it is to be asked for over a connection.
        ("many.shop.example", 16, None, true),
        ("_why.shop.cdn.example", 16, None, false),
        ("elsewhere.example", 1, None, false),
    ] {
        let query = common(name, kind, subnet);
        let mut fast = Fast::new(Arc::clone(&view), now());
        let known = [(); 3].map(|()| ask(&mut fast, &view, &query, [10, 0, 0, 1].into()));
        assert_eq!(known, [false, is_known, is_known], "{name} {kind}");
    }
    // Another fitness, another answer.
    let mut fast = Fast::new(Arc::clone(&view), now());
    let www = common("www.shop.example", 1, Some("81.2.3.0/24"));
    assert!(!ask(&mut fast, &view, &www, [10, 0, 0, 1].into()));
    assert!(ask(&mut fast, &view, &www, [10, 0, 0, 1].into()));
    view.fitness().store(Arc::new(Fitness::all_up(3)));
    fast.follow(&view, now());
    assert!(!ask(&mut fast, &view, &www, [10, 0, 0, 1].into()));
}

#[test]
fn a_full_table_begins_anew() {
    let mut encoded = Encoded::default();
    let name = |number: u32| {
        let name = format!("{number:08x}.example");
        [&[0; 5][..], &[1, 0, 0, 0, 0, 0, 0], &wire(&name), &[0, 1, 0, 1]].concat()
    };
    for number in 0..600_000 {
        let message = name(number);
        let key = Key::of(&Common::read(&message).unwrap()).unwrap();
        encoded.add_answer(&key, (0, true, Same::Refusal), [0; 6], &[7; 40]);
        assert!(encoded.find(&key).is_some());
        assert!(encoded.is_bounded());
    }
}

/// What fuzzing begins with.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|path| (path.display().to_string(), std::fs::read(&path).unwrap())).collect()
}

#[test]
fn what_fuzzing_begins_with_is_answered_both_ways_alike() {
    for view in [Arc::new(view()), Arc::new(signed_view())] {
        let mut fast = Fast::new(Arc::clone(&view), now());
        let seeds = seeds("query");
        assert!(seeds.len() > 10);
        for _ in 0..2 {
            for (name, seed) in &seeds {
                ask(&mut fast, &view, seed, [81, 2, 3, 4].into());
                if name.ends_with("nxname") || name.ends_with("loop") {
                    let reply = view.answer(seed, &arrival([81, 2, 3, 4].into())).unwrap();
                    assert_eq!(u16::from(reply.message.metadata.response_code), 1, "{name}");
                }
            }
        }
    }
}
