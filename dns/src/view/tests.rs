use std::net::IpAddr;

use super::*;
use config::Location;
use hickory_server::proto::op::{Edns, Message, Query as Question};
use hickory_server::proto::rr::rdata::opt::{EdnsCode, EdnsOption};
use mapping::{Family, Place, Run};

/// Frankfurt has IPv4 alone, Amsterdam both families, Tokyo IPv4 alone.
pub(crate) const POPS: &str = r#"
[[pop]]
id = "fra"
location = [50.1, 8.7]
[[pop.edge]]
id = "fra-1"
addresses = ["198.18.1.1"]

[[pop]]
id = "ams"
location = [52.4, 4.9]
[[pop.edge]]
id = "ams-1"
addresses = ["198.18.2.1", "2001:db8:2::1"]

[[pop]]
id = "tyo"
location = [35.7, 139.7]
[[pop.edge]]
id = "tyo-1"
addresses = ["198.18.3.1"]
"#;

const ZONE: &str = r#"
$TTL 1h
@ SOA ns1 hostmaster 1 2h 1h 2w 5m
@ NS ns1
@ MX 10 mail
@ TXT "hello"
ns1 A 192.0.2.53
mail A 192.0.2.25
alias CNAME www
far CNAME blog.cdn.example.
far2 CNAME far
out CNAME www.other.example.
gone CNAME nothing
loop CNAME pool
pool CNAME loop
sub NS ns.sub
ns.sub A 192.0.2.3
ns.sub AAAA 2001:db8::3
moved DNAME cdn.example.
"#;

/// A config with these PoPs, a site with hosts and TLS and one without either.
pub(crate) fn config_of(pops: &str) -> Config {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let server = "[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.54\", \"2001:db8::54\"]\n";
    let origin = "[origin]\nservers = [\"http://192.0.2.80\"]\n";
    write("hither.toml", &format!("zone = \"cdn.example\"\n{server}{pops}"));
    let hosts = r#"["www.shop.example", "shop.example", "*.img.shop.example", "mail.shop.example"]"#;
    write("sites/shop.toml", &format!("hosts = {hosts}\n{origin}"));
    write("sites/blog.toml", &format!("hosts = [\"blog.elsewhere.example\"]\n{origin}"));
    let texts = |name: &str, count: usize| -> String {
        (0..count).map(|number| format!("{name} TXT \"text number {number}\"\n")).collect()
    };
    write("zones/shop.example", &[ZONE, &texts("many", 60), &texts("few", 30)].concat());
    let mut config = config::load(dir.path()).unwrap().config;
    let place = config::Source::new(std::path::Path::new("sites/shop.toml"), String::new()).place(0..0);
    let file = |name: &str| config::SecretFile { name: name.into(), place: place.clone() };
    let shop = config.sites.iter_mut().find(|site| site.id.as_str() == "shop").unwrap();
    shop.tls =
        Some(config::Tls { cert: Some(file("shop.pem")), key: Some(file("shop.key")), ..config::Tls::default() });
    config
}

pub(crate) fn view_of(pops: &str) -> View {
    View::build(&config_of(pops), (&Arc::new(geography()), &Arc::default()), &Arc::default(), None).unwrap()
}

pub(crate) fn view() -> View {
    view_of(POPS)
}

/// The same with every zone signed.
pub(crate) fn signed_view() -> View {
    let mut config = config_of(POPS);
    config.zone_keys = vec![zone_keys("cdn.example"), zone_keys("shop.example")];
    View::build(&config, (&Arc::new(geography()), &Arc::default()), &Arc::default(), None).unwrap()
}

pub(crate) fn zone_keys(zone: &str) -> config::ZoneKeys {
    let (role, algorithm) = (config::KeyRole::Csk, config::KeyAlgorithm::EcdsaP256Sha256);
    let private = crate::dnssec::make_key(algorithm).unwrap();
    let tag = crate::dnssec::tag_of(algorithm, role, &private).unwrap();
    let published = jiff::Timestamp::UNIX_EPOCH;
    let (signs, retired, removed) = (Some(published), None, None);
    let key = config::ZoneKey { tag, role, algorithm, published, signs, retired, removed, private };
    config::ZoneKeys { zone: config::DomainName::parse(zone).unwrap(), keys: vec![key] }
}

/// 81/8 is at Frankfurt, 82/8 at Cologne, 83/8 at Amsterdam, 133/8 at Tokyo; 2001:db8::/32 at Cologne,
/// 2001:db9::/32 at Tokyo. All else is home, the first PoP.
pub(crate) fn geography() -> Geography {
    let at = |latitude, longitude| Place::at(Location { latitude, longitude }, None);
    let places = vec![Place::Home, at(50.1, 8.7), at(50.9, 7.0), at(52.4, 4.9), at(35.7, 139.7)];
    let runs = |starts: &[(&str, u32)]| {
        let run = |(start, value): &(&str, u32)| Run { start: Family::key(start.parse().unwrap()), value: *value };
        starts.iter().map(run).collect()
    };
    let v4: &[_] = &[
        ("0.0.0.0", 0),
        ("81.0.0.0", 1),
        ("82.0.0.0", 2),
        ("83.0.0.0", 3),
        ("84.0.0.0", 0),
        ("133.0.0.0", 4),
        ("134.0.0.0", 0),
    ];
    let v6: &[_] = &[("::", 0), ("2001:db8::", 2), ("2001:db9::", 4), ("2001:dba::", 0)];
    Geography { places, v4: runs(v4), v6: runs(v6), asn_v4: Vec::new(), asn_v6: Vec::new() }
}

/// A client subnet option from `address/source` (RFC 7871 §6).
pub(crate) fn option(subnet: &str) -> Vec<u8> {
    let (address, source) = subnet.split_once('/').unwrap();
    let source: u8 = source.parse().unwrap();
    let (family, octets) = match address.parse().unwrap() {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let told = usize::from(source.div_ceil(8));
    [&[0, family, source, 0], &octets[..told]].concat()
}

/// The bytes of a query; without a subnet it has no OPT.
pub(crate) fn query(name: &str, kind: RecordType, subnet: Option<&str>, payload: u16) -> Vec<u8> {
    let mut message = Message::query();
    message.metadata.id = 4;
    message.add_query(Question::query(Name::from_ascii(name).unwrap(), kind));
    if let Some(subnet) = subnet {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        edns.options_mut().insert(EdnsOption::Unknown(8, option(subnet)));
        message.set_edns(edns);
    }
    message.to_vec().unwrap()
}

/// What a resolver at home gets by UDP.
pub(crate) fn ask(view: &View, name: &str, kind: RecordType, subnet: Option<&str>) -> Message {
    let reply = view.answer(&query(name, kind, subnet, 1232), &Arrival::by_udp([10, 0, 0, 1].into())).unwrap();
    Message::from_vec(&reply.to_udp().unwrap()).unwrap()
}

fn scope(message: &Message) -> Option<u8> {
    match message.edns.as_ref()?.option(EdnsCode::Subnet)? {
        EdnsOption::Subnet(subnet) => Some(subnet.scope_prefix()),
        other => panic!("{other:?}"),
    }
}

/// A reply in a line: code, answers, scope.
fn brief(message: &Message) -> String {
    let answers = message.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>().join(", ");
    let scope = scope(message).map(|scope| format!(" /{scope}")).unwrap_or_default();
    format!("{}: {answers}{scope}", message.metadata.response_code.to_string().to_uppercase())
}

/// A reply as text, a line a record.
fn text(message: &Message) -> String {
    let head = &message.metadata;
    let flags = [(head.authoritative, " aa"), (head.truncation, " tc"), (head.recursion_desired, " rd")];
    let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, flag)| *flag).collect();
    let mut lines = vec![format!("{}{flags}", head.response_code)];
    lines.extend(
        message.queries.iter().map(|question| format!("question {} {}", question.name(), question.query_type())),
    );
    let sections =
        [("answer", &message.answers), ("authority", &message.authorities), ("additional", &message.additionals)];
    for (section, records) in sections {
        lines.extend(records.iter().map(|record| format!("{section} {record}")));
    }
    if let Some(edns) = &message.edns {
        lines.push(format!("opt {}", edns.max_payload()));
    }
    lines.extend(scope(message).map(|scope| format!("scope {scope}")));
    lines.join("\n")
}

#[test]
fn a_routed_name_is_answered_with_the_nearest_pop() {
    let view = view();
    for (kind, subnet, expected) in [
        (RecordType::A, "81.1.2.0/24", "198.18.1.1 /7"),
        (RecordType::A, "83.1.2.0/24", "198.18.2.1 /8"),
        (RecordType::AAAA, "83.1.2.0/24", "2001:db8:2::1 /8"),
        (RecordType::A, "133.1.2.0/24", "198.18.3.1 /8"),
        (RecordType::A, "2001:db9:1::/48", "198.18.3.1 /32"),
        (RecordType::A, "2001:dba:1::/48", "198.18.1.1 /31"),
        // IPv4 in 6to4, v4-mapped and NAT64 addresses: the scope counts the bits before it.
        (RecordType::A, "2002:5301:200::/48", "198.18.2.1 /24"),
        (RecordType::A, "::ffff:83.1.2.0/120", "198.18.2.1 /104"),
        (RecordType::A, "64:ff9b::83.1.2.0/120", "198.18.2.1 /104"),
        // A client that would not be told of is mapped by its resolver, at home.
        (RecordType::A, "0.0.0.0/0", "198.18.1.1 /0"),
        (RecordType::A, "::/0", "198.18.1.1 /0"),
    ] {
        let reply = ask(&view, "www.shop.example.", kind, Some(subnet));
        assert_eq!(brief(&reply), format!("NO ERROR: {expected}"), "{kind} {subnet}");
    }
    assert_eq!(brief(&ask(&view, "www.shop.example.", RecordType::A, None)), "NO ERROR: 198.18.1.1");
    let from_tokyo = view
        .answer(&query("www.shop.example.", RecordType::A, None, 0), &Arrival::by_udp([133, 0, 0, 1].into()))
        .unwrap();
    assert_eq!(brief(&from_tokyo.message), "NO ERROR: 198.18.3.1", "without a subnet the resolver is the client");
}

#[test]
fn a_family_comes_from_a_pop_nearly_as_near_or_not_at_all() {
    let aaaa = |view: &View, subnet| ask(view, "www.shop.example.", RecordType::AAAA, Some(subnet));
    let (some, none) = (view(), view_of(&POPS.replace(", \"2001:db8:2::1\"", "")));
    for (view, subnet, expected, negative_ttl) in [
        // Cologne: Frankfurt is best and Amsterdam costs less than 1.5 times as much. The answer depends on costs.
        (&some, "82.1.2.0/24", "NO ERROR: 2001:db8:2::1 /8", &[][..]),
        // Frankfurt: Amsterdam is too far for that.
        (&some, "81.1.2.0/24", "NO ERROR:  /7", &[20]),
        // Nobody has IPv6: the same for all.
        (&none, "82.1.2.0/24", "NO ERROR:  /0", &[300]),
        (&none, "133.1.2.0/24", "NO ERROR:  /0", &[300]),
    ] {
        let reply = aaaa(view, subnet);
        assert_eq!(brief(&reply), expected, "{subnet}");
        let negative: Vec<u32> = reply.authorities.iter().map(|soa| soa.ttl).collect();
        assert_eq!(negative, negative_ttl, "{subnet}");
    }
    insta::assert_snapshot!(text(&aaaa(&none, "82.1.2.0/24")), @r"
    No Error aa
    question www.shop.example. AAAA
    authority shop.example. 300 IN SOA ns1.shop.example. hostmaster.shop.example. 1 7200 3600 1209600 300
    opt 1232
    scope 0
    ");
}

#[test]
fn a_chain_has_the_scope_of_its_last_answer() {
    let view = view();
    for (name, subnet, expected) in [
        ("alias.shop.example.", "83.1.2.0/24", "NO ERROR: www.shop.example., 198.18.2.1 /8"),
        ("far2.shop.example.", "133.1.2.0/24", "NO ERROR: far.shop.example., blog.cdn.example., 198.18.3.1 /8"),
        ("out.shop.example.", "83.1.2.0/24", "NO ERROR: www.other.example. /0"),
        ("gone.shop.example.", "83.1.2.0/24", "NON-EXISTENT DOMAIN: nothing.shop.example. /0"),
    ] {
        let reply = ask(&view, name, RecordType::A, Some(subnet));
        assert_eq!(brief(&reply), expected, "{name}");
        assert!(reply.metadata.authoritative, "{name}");
    }
    let out = ask(&view, "out.shop.example.", RecordType::A, None);
    assert!(out.authorities.is_empty(), "what another's zone holds is not ours to deny");
    let endless = ask(&view, "loop.shop.example.", RecordType::A, None);
    assert_eq!(endless.answers.len(), 2, "once round");
    insta::assert_snapshot!(text(&ask(&view, "far.shop.example.", RecordType::A, Some("133.1.2.0/24"))), @r"
    No Error aa
    question far.shop.example. A
    answer far.shop.example. 3600 IN CNAME blog.cdn.example.
    answer blog.cdn.example. 20 IN A 198.18.3.1
    opt 1232
    scope 8
    ");
}

#[test]
fn a_ttl_is_short_while_the_verdict_may_change() {
    let fitness = Arc::new(ArcSwap::from_pointee(Fitness::all_up(3)));
    let view = view().with_fitness(Arc::clone(&fitness));
    let ttl = |subnet| ask(&view, "www.shop.example.", RecordType::A, Some(subnet)).answers[0].ttl;
    assert_eq!((ttl("81.1.2.0/24"), ttl("83.1.2.0/24")), (20, 20));
    let mut changing = Fitness::all_up(3);
    changing.mark_changing(0);
    fitness.store(Arc::new(changing));
    assert_eq!((ttl("81.1.2.0/24"), ttl("83.1.2.0/24")), (5, 20), "only what rests on the edge");
    let mut down = Fitness::all_up(3);
    (0..3).for_each(|edge| down.mark_down(edge, Family::V4));
    fitness.store(Arc::new(down));
    assert_eq!(ttl("133.1.2.0/24"), 5, "nothing is fit");
}

#[test]
fn a_name_is_routed_beside_what_its_zone_says() {
    let view = view();
    for (name, kind, expected) in [
        ("shop.example.", RecordType::A, "NO ERROR: 198.18.2.1"),
        ("shop.example.", RecordType::AAAA, "NO ERROR: 2001:db8:2::1"),
        ("shop.example.", RecordType::MX, "NO ERROR: 10 mail.shop.example."),
        ("shop.example.", RecordType::TXT, "NO ERROR: hello"),
        ("shop.example.", RecordType::NS, "NO ERROR: ns1.shop.example."),
        ("mail.shop.example.", RecordType::A, "NO ERROR: 192.0.2.25"),
        ("a.img.shop.example.", RecordType::A, "NO ERROR: 198.18.2.1"),
        ("b.a.img.shop.example.", RecordType::A, "NO ERROR: 198.18.2.1"),
        ("a.img.shop.example.", RecordType::TXT, "NO ERROR: "),
        ("img.shop.example.", RecordType::A, "NO ERROR: "),
        ("shop.cdn.example.", RecordType::A, "NO ERROR: 198.18.2.1"),
        ("blog.cdn.example.", RecordType::A, "NO ERROR: 198.18.2.1"),
        ("other.cdn.example.", RecordType::A, "NON-EXISTENT DOMAIN: "),
        ("cdn.example.", RecordType::NS, "NO ERROR: ns1.cdn.example."),
        ("ns1.cdn.example.", RecordType::AAAA, "NO ERROR: 2001:db8::54"),
        ("shop.moved.shop.example.", RecordType::A, "NO ERROR: A2NkbgdleGFtcGxlAA==, shop.cdn.example., 198.18.2.1"),
        ("blog.elsewhere.example.", RecordType::A, "QUERY REFUSED: "),
        ("shop.example.", RecordType::AXFR, "QUERY REFUSED: "),
    ] {
        let reply = view.answer(&query(name, kind, None, 0), &Arrival::by_udp([83, 0, 0, 1].into())).unwrap().message;
        assert_eq!(brief(&reply), expected, "{name} {kind}");
        assert_eq!(reply.metadata.authoritative, !expected.contains("REFUSED"), "{name} {kind}");
    }
    let shouted = ask(&view, "A.Img.sHOP.example.", RecordType::A, None);
    assert_eq!(shouted.answers[0].name.to_string(), "A.Img.sHOP.example.", "the case of the question is kept");
}

#[test]
fn a_subnet_is_copied_with_only_its_scope_changed() {
    let view = view();
    for subnet in ["83.1.2.0/24", "83.1.2.3/32", "83.1.0.0/17", "80.0.0.0/5", "0.0.0.0/0", "2001:db8::/56", "::/0"] {
        for (name, kind) in [("www.shop.example.", RecordType::A), ("none.shop.example.", RecordType::A)] {
            let reply =
                view.answer(&query(name, kind, Some(subnet), 1232), &Arrival::by_udp([10, 0, 0, 1].into())).unwrap();
            let mut expected = option(subnet);
            expected[3] = reply.facts.scope;
            let length = u16::try_from(expected.len()).unwrap().to_be_bytes();
            let expected = [&[0, 8], &length[..], &expected].concat();
            let bytes = reply.to_udp().unwrap();
            assert!(bytes.ends_with(&expected), "{name} {subnet}: {bytes:?}");
        }
    }
}

#[test]
fn the_do_bit_is_copied() {
    let view = view();
    for (name, dnssec) in [("www.shop.example.", true), ("none.shop.example.", true), ("www.shop.example.", false)] {
        for version in [0, 1] {
            let mut asked = Message::from_vec(&query(name, RecordType::A, Some("83.1.2.0/24"), 1232)).unwrap();
            asked.edns.as_mut().unwrap().set_dnssec_ok(dnssec).set_version(version);
            let reply = view.answer(&asked.to_vec().unwrap(), &Arrival::by_udp([10, 0, 0, 1].into())).unwrap();
            let told = Message::from_vec(&reply.to_udp().unwrap()).unwrap().edns.unwrap();
            assert_eq!(told.flags().dnssec_ok, dnssec, "{name} {version}");
        }
    }
}

#[test]
fn a_reply_too_long_is_cut_to_its_question_and_opt() {
    let view = view();
    let subnet = Some("83.1.2.0/24");
    for (name, subnet, payload, expected) in [
        ("many.shop.example.", None, 0, (true, 0)),
        ("many.shop.example.", subnet, 512, (true, 0)),
        // We take no more than 1232 bytes, whatever the asker takes, and no asker may take less than 512.
        ("many.shop.example.", subnet, 65_000, (true, 0)),
        ("few.shop.example.", None, 0, (true, 0)),
        ("few.shop.example.", subnet, 1_232, (false, 30)),
        ("www.shop.example.", subnet, 0, (false, 1)),
    ] {
        let kind = if name.starts_with("www") { RecordType::A } else { RecordType::TXT };
        let reply = view.answer(&query(name, kind, subnet, payload), &Arrival::by_udp([10, 0, 0, 1].into())).unwrap();
        let cut = Message::from_vec(&reply.to_udp().unwrap()).unwrap();
        assert_eq!((cut.metadata.truncation, cut.answers.len()), expected, "{name} {payload}");
        assert_eq!((cut.queries.len(), scope(&cut)), (1, subnet.map(|_| reply.facts.scope)), "{name} {payload}");
        assert!(!reply.message.answers.is_empty(), "the whole goes by TCP");
    }
}

#[test]
fn a_negative_answer_has_its_zones_negative_ttl() {
    let view = view();
    for (name, kind, code, ttl) in [
        ("none.shop.example.", RecordType::A, ResponseCode::NXDomain, 300),
        ("www.shop.example.", RecordType::TXT, ResponseCode::NoError, 300),
        ("none.cdn.example.", RecordType::A, ResponseCode::NXDomain, 60),
        ("shop.cdn.example.", RecordType::MX, ResponseCode::NoError, 60),
    ] {
        let reply = ask(&view, name, kind, Some("83.1.2.0/24"));
        assert_eq!((reply.metadata.response_code, reply.answers.len()), (code, 0), "{name} {kind}");
        let [soa] = reply.authorities.as_slice() else {
            panic!("{name}: {:?}", reply.authorities);
        };
        assert_eq!((soa.record_type(), soa.ttl, scope(&reply)), (RecordType::SOA, ttl, Some(0)), "{name} {kind}");
    }
}

#[test]
fn a_delegated_name_is_referred_with_glue() {
    insta::assert_snapshot!(text(&ask(&view(), "www.sub.shop.example.", RecordType::A, None)), @r"
    No Error
    question www.sub.shop.example. A
    authority sub.shop.example. 3600 IN NS ns.sub.shop.example.
    additional ns.sub.shop.example. 3600 IN A 192.0.2.3
    additional ns.sub.shop.example. 3600 IN AAAA 2001:db8::3
    ");
}

#[test]
fn any_is_answered_with_as_little_as_can_be() {
    let view = view();
    for (name, expected) in [
        ("shop.example.", "NO ERROR: RFC8482 "),
        ("www.shop.example.", "NO ERROR: RFC8482 "),
        ("alias.shop.example.", "NO ERROR: www.shop.example."),
        ("none.shop.example.", "NON-EXISTENT DOMAIN: "),
        ("www.sub.shop.example.", "NO ERROR: "),
    ] {
        assert_eq!(brief(&ask(&view, name, RecordType::ANY, None)), expected, "{name}");
    }
}

#[test]
fn a_map_is_compiled_anew_only_when_what_it_is_made_of_changes() {
    let (mut config, geography) = (config_of(POPS), Arc::new(geography()));
    let first = View::build(&config, (&geography, &Arc::default()), &Arc::default(), None).unwrap();
    let again = |config: &Config, geography: &Arc<Geography>| {
        let view = View::build(config, (geography, &Arc::default()), &Arc::default(), Some(&first)).unwrap();
        Arc::ptr_eq(&view.compiled, &first.compiled)
    };
    let removed = config.sites.pop();
    assert!(again(&config, &geography), "sites under the same rules share the map");
    config.sites.extend(removed);
    config.network.dns.answers = 1;
    assert!(again(&config, &geography));
    assert!(!again(&config, &Arc::new(self::geography())), "other databases");
    config.network.pops[0].location.latitude += 1.0;
    assert!(!again(&config, &geography), "a moved PoP");
}

#[test]
fn why_is_told_to_those_who_may_ask() {
    let view = view();
    let asked = |name: &str, kind, resolver: [u8; 4]| {
        let reply = view
            .answer(&query(name, kind, Some("133.1.2.0/24"), 4096), &Arrival::by_udp(resolver.into()))
            .unwrap()
            .message;
        (reply.metadata.response_code, reply.answers)
    };
    let (code, answers) = asked("_WHY.shop.cdn.example.", RecordType::TXT, [127, 0, 0, 1]);
    let told: Vec<String> = answers.iter().map(|record| format!("{} {}", record.ttl, record.data)).collect();
    assert_eq!(code, ResponseCode::NoError);
    assert!(told[0].starts_with("0 shop.cdn.example. for 133.1.2.0: site shop, PoP tyo"), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("0 scope 133.0.0.0/8: all clients in it")), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("0 1. tyo ")), "{told:?}");
    // The customer's name leads there too; elsewhere, for others and for other types it is a name like any.
    assert!(!asked("_why.www.shop.example.", RecordType::TXT, [127, 9, 9, 9]).1.is_empty());
    for (name, kind, resolver) in [
        ("_why.shop.cdn.example.", RecordType::TXT, [10, 0, 0, 1]),
        ("_why.shop.cdn.example.", RecordType::A, [127, 0, 0, 1]),
        ("_why.nobody.cdn.example.", RecordType::TXT, [127, 0, 0, 1]),
    ] {
        let (code, answers) = asked(name, kind, resolver);
        assert_eq!((code, answers.len()), (ResponseCode::NXDomain, 0), "{name} {kind} {resolver:?}");
    }
}

#[test]
fn groups_that_stay_are_known_and_try_other_pops_in_turns() {
    use mapping::latency::{Histogram, Learned, Samples, learn, observe, prefix_key};
    let config = config_of(POPS);
    let geography = Arc::new(geography());
    let mut samples = Samples::default();
    let mut seen = Histogram::default();
    seen.add(40.0, 20);
    // Frankfurt's clients reach Frankfurt slowly: another may be better, which nobody has measured.
    let frankfurt = config.network.pops.iter().position(|pop| pop.id.as_str() == "fra").unwrap();
    for net in 0..20_u8 {
        let prefix = prefix_key([81, 0, net, 0].into());
        samples.add(prefix, mapping::PopIndex::from_usize(frankfurt), &seen);
    }
    let pops: Vec<_> = config.network.pops.iter().map(|pop| (pop.location, 1.0)).collect();
    let learned = Arc::new(learn(&pops, &[], &observe(&geography, &[], &samples), &Learned::default()));
    let view = View::build(&config, (&geography, &Arc::default()), &learned, None).unwrap();
    let told = view.explain("shop.cdn.example", [81, 0, 3, 4].into(), Family::V4).unwrap();
    assert_eq!((told.pop.as_deref(), told.source.as_str()), (Some("fra"), "latency"));
    assert!(told.candidates[0].measured.as_ref().is_some_and(|measured| measured.samples == 400), "{told:?}");
    let tried = |slot: u64| view.trials(slot * 20);
    // A hundredth of all traffic, and this group has all of it.
    assert_eq!(tried(0).iter().map(|(_, tried)| tried.share).collect::<Vec<_>>(), [100]);
    assert_ne!(tried(0), tried(1), "others in the next slot");
    let before = View::build(&config, (&geography, &Arc::default()), &Arc::default(), None).unwrap();
    assert!(!learned.decides_as(&before.learned()), "a new group is news, though it stays");
    assert!(learned.decides_as(&learned) && !Learned::clone(&learned).revised().decides_as(&learned));
}
