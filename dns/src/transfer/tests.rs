use std::net::IpAddr;

use config::{Prefix, TransferAlgorithm, TransferKey};
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::Name;
use hickory_server::proto::rr::rdata::SOA;

use super::*;
use crate::view::tests::{config_of, geography};

const SECONDARY: [u8; 4] = [192, 0, 2, 7];

/// A view of a zone with these lines, which the secondary may take; by a key, if there is one.
fn view(lines: &str, serial: u32, key: Option<TransferKey>, before: Option<&View>) -> View {
    view_with(lines, serial, vec![transfer(None, key)], before)
}

fn transfer(zones: Option<Vec<config::DomainName>>, key: Option<TransferKey>) -> config::Transfer {
    let to = vec![Prefix::around(IpAddr::from(SECONDARY), 32)];
    config::Transfer { zones, to, key, notify: vec!["192.0.2.7:53".parse().unwrap()] }
}

fn view_with(lines: &str, serial: u32, transfers: Vec<config::Transfer>, before: Option<&View>) -> View {
    let mut config = config_of(crate::view::tests::POPS);
    config.sites.clear();
    let text = format!("$TTL 60\n@ SOA ns1 h {serial} 2h 1h 2w 5m\n@ NS ns1\n{lines}");
    let file = config.zones.iter_mut().find(|file| file.name.as_str() == "shop.example").unwrap();
    file.source = Ok(config::Source::new(std::path::Path::new("zones/shop.example"), text));
    config.network.transfers = transfers;
    View::build(&config, (&Arc::new(geography()), &Arc::default()), &Arc::default(), before).unwrap()
}

fn key() -> TransferKey {
    let name = config::DomainName::parse("xfr.example").unwrap();
    TransferKey { name, algorithm: TransferAlgorithm::HmacSha256, secret: vec![7; 32] }
}

fn question(kind: RecordType, serial: Option<u32>) -> Vec<u8> {
    let name = Name::from_ascii("shop.example.").unwrap();
    let mut message = Message::query();
    message.add_query(Question::query(name.clone(), kind));
    if let Some(serial) = serial {
        let soa = SOA::new(Name::root(), Name::root(), serial, 0, 0, 0, 0);
        message.authorities.push(Record::from_rdata(name, 0, RData::SOA(soa)));
    }
    message.to_vec().unwrap()
}

fn from(resolver: [u8; 4]) -> Arrival {
    Arrival::by_tcp(resolver.into())
}

fn messages(mut transfer: Transfer) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| transfer.next(SystemTime::now())).collect()
}

/// A transfer in a line: serials of SOA records, first labels of others.
fn told(view: &View, question: &[u8]) -> Option<String> {
    let messages = messages(view.transfer(question, &from(SECONDARY))?);
    let messages = messages.iter().map(|bytes| Message::from_vec(bytes).unwrap());
    let records: Vec<Record> = messages.flat_map(|message| message.answers).collect();
    let brief = |record: &Record| match &record.data {
        RData::SOA(soa) => soa.serial.to_string(),
        _ => String::from_utf8_lossy(record.name.iter().next().unwrap()).into_owned(),
    };
    Some(records.iter().map(brief).collect::<Vec<_>>().join(" "))
}

#[test]
fn a_zone_is_handed_over_whole_or_by_what_has_changed() {
    let whole = question(RecordType::AXFR, None);
    let since = |serial| question(RecordType::IXFR, Some(serial));
    let first = view("a A 192.0.2.1\nb A 192.0.2.2\n", 1, None, None);
    assert_eq!(told(&first, &whole).as_deref(), Some("1 shop a b 1"));
    assert_eq!(told(&first, &since(1)).as_deref(), Some("1"), "nothing is newer");
    assert_eq!(told(&first, &since(0)).as_deref(), Some("1 shop a b 1"), "that version is not known");
    let second = view("b A 192.0.2.2\nc A 192.0.2.3\n", 2, None, Some(&first));
    let third = view("b A 192.0.2.9\nc A 192.0.2.3\n", 3, None, Some(&second));
    assert_eq!(told(&third, &since(2)).as_deref(), Some("3 2 b 3 b 3"));
    assert_eq!(told(&third, &since(1)).as_deref(), Some("3 1 a 2 c 2 b 3 b 3"));
    assert_eq!(told(&third, &since(4)).as_deref(), Some("3"), "theirs is newer");
    assert!(second.refused.is_empty() && third.refused.is_empty());
    let forgotten = view("b A 192.0.2.8\n", 3, None, Some(&third));
    assert!(forgotten.refused[0].message.contains("its serial has not"), "{:?}", forgotten.refused);
    let fourth = view("b A 192.0.2.8\nd A 192.0.2.4\n", 4, None, Some(&forgotten));
    assert_eq!(told(&fourth, &since(3)).as_deref(), Some("4 shop b d 4"), "3 stood for two contents");
    let fifth = view("b A 192.0.2.8\n", 5, None, Some(&fourth));
    assert_eq!(told(&fifth, &since(4)).as_deref(), Some("5 4 d 5 5"));
    let targets =
        |view: &View, before| view.notices(before).iter().map(|notice| notice.target.to_string()).collect::<Vec<_>>();
    assert_eq!(targets(&third, Some(&second)), ["192.0.2.7:53"]);
    assert!(targets(&third, Some(&third)).is_empty(), "nothing has changed");
}

#[test]
fn nobody_else_gets_it() {
    let plain = view("a A 192.0.2.1\n", 1, None, None);
    let whole = question(RecordType::AXFR, None);
    assert!(plain.transfer(&whole, &from([192, 0, 2, 8])).is_none(), "from elsewhere");
    assert!(plain.transfer(&whole, &Arrival::by_udp(SECONDARY.into())).is_none(), "by a datagram");
    assert!(plain.transfer(&question(RecordType::SOA, None), &from(SECONDARY)).is_none());
    let keyed = view("a A 192.0.2.1\n", 1, Some(key()), None);
    assert!(keyed.transfer(&whole, &from(SECONDARY)).is_none(), "without the key");
    let own = Key::new(&key()).unwrap();
    let other = Key::new(&TransferKey { secret: vec![8; 32], ..key() }).unwrap();
    let now = u64::from(from(SECONDARY).seconds());
    let signed = |key: &Key, now| {
        let mut message = whole.clone();
        key.sign(&mut message, now).unwrap();
        message
    };
    assert!(keyed.transfer(&signed(&own, now), &from(SECONDARY)).is_some());
    assert!(
        keyed.transfer(&signed(&own, now), &from([192, 0, 2, 8])).is_none(),
        "the key does not stand for the address"
    );
    for (message, code) in [(signed(&other, now), "BADSIG"), (signed(&own, now - 400), "BADTIME")] {
        assert!(keyed.transfer(&message, &from(SECONDARY)).is_none(), "{code}");
        let reply = keyed.answer(&message, &from(SECONDARY)).unwrap();
        assert_eq!(reply.message.metadata.response_code, ResponseCode::NotAuth, "{code}");
        assert!(Message::from_vec(&reply.to_tcp().unwrap()[2..]).unwrap().signature.is_some(), "{code} is told");
    }
}

#[test]
fn the_operator_is_told_which_part_of_a_request_was_wrong() {
    let zone = |name: &str| config::DomainName::parse(name).unwrap();
    let named = |name: &str| TransferKey { name: zone(name), ..key() };
    let plain = view("a A 192.0.2.1\n", 1, None, None);
    let keyed =
        [transfer(Some(vec![zone("shop.example")]), Some(key())), transfer(Some(Vec::new()), Some(named("b.example")))];
    let keyed = view_with("a A 192.0.2.1\n", 1, keyed.into(), None);
    let nobody = view_with("a A 192.0.2.1\n", 1, Vec::new(), None);
    let whole = question(RecordType::AXFR, None);
    let now = u64::from(from(SECONDARY).seconds());
    let signed = |key: TransferKey, now| {
        let mut message = whole.clone();
        Key::new(&key).unwrap().sign(&mut message, now).unwrap();
        message
    };
    let elsewhere = [192, 0, 2, 8];
    for (what, view, message, address, expected) in [
        ("all is well", &plain, whole.clone(), SECONDARY, None),
        ("signed well", &keyed, signed(key(), now), SECONDARY, None),
        ("nobody gets it", &nobody, whole.clone(), SECONDARY, Some(Withheld::Zone)),
        ("from elsewhere", &plain, whole.clone(), elsewhere, Some(Withheld::Address)),
        ("from elsewhere, with the key", &keyed, signed(key(), now), elsewhere, Some(Withheld::Address)),
        ("without the key", &keyed, whole.clone(), SECONDARY, Some(Withheld::Unsigned)),
        ("another zone's key", &keyed, signed(named("b.example"), now), SECONDARY, Some(Withheld::OtherKey)),
        ("nobody's key", &keyed, signed(named("c.example"), now), SECONDARY, Some(Withheld::UnknownKey)),
        ("no key was wanted", &plain, signed(key(), now), SECONDARY, Some(Withheld::UnknownKey)),
        (
            "another secret",
            &keyed,
            signed(TransferKey { secret: vec![8; 32], ..key() }, now),
            SECONDARY,
            Some(Withheld::Signature),
        ),
        ("another time", &keyed, signed(key(), now - 400), SECONDARY, Some(Withheld::Time)),
    ] {
        assert_eq!(view.withheld(&message, &from(address)), expected, "{what}");
        assert_eq!(view.transfer(&message, &from(address)).is_none(), expected.is_some(), "{what}");
    }
}

#[test]
fn by_a_datagram_ixfr_tells_the_version() {
    let plain = view("a A 192.0.2.1\n", 7, None, None);
    let since = question(RecordType::IXFR, Some(3));
    let answers = |arrival: &Arrival| {
        let reply = plain.answer(&since, arrival).unwrap().message;
        (reply.metadata.response_code, reply.answers.iter().map(|record| record.data.to_string()).collect::<Vec<_>>())
    };
    let (code, told) = answers(&Arrival::by_udp(SECONDARY.into()));
    assert_eq!((code, told.len()), (ResponseCode::NoError, 1));
    assert!(told[0].contains(" 7 "), "{told:?}");
    assert_eq!(answers(&Arrival::by_udp([192, 0, 2, 8].into())), (ResponseCode::Refused, Vec::new()), "elsewhere");
    let whole = plain.answer(&question(RecordType::AXFR, None), &Arrival::by_udp(SECONDARY.into())).unwrap();
    assert_eq!(whole.message.metadata.response_code, ResponseCode::Refused, "AXFR is for connections alone");
    let keyed = view("a A 192.0.2.1\n", 7, Some(key()), None);
    let arrival = Arrival::by_udp(SECONDARY.into());
    let told = |message: &[u8]| keyed.answer(message, &arrival).unwrap().message.answers.len();
    let mut signed = since.clone();
    Key::new(&key()).unwrap().sign(&mut signed, arrival.seconds().into()).unwrap();
    assert_eq!((told(&since), told(&signed)), (0, 1), "with the key alone");
}

#[test]
fn a_large_zone_takes_many_messages_each_signed_after_the_one_before() {
    let lines: String = (0..5_000).map(|number| format!("host{number} TXT \"text number {number}\"\n")).collect();
    let view = view(&lines, 1, Some(key()), None);
    let own = Key::new(&key()).unwrap();
    let mut asked = question(RecordType::AXFR, None);
    own.sign(&mut asked, from(SECONDARY).seconds().into()).unwrap();
    let (_, request) = hickory_server::proto::rr::rdata::tsig::signed_bitmessage_to_buf(&asked, None, true).unwrap();
    let mut before = request.data.mac.clone();
    let mut records = 0;
    for (number, message) in messages(view.transfer(&asked, &from(SECONDARY)).unwrap()).into_iter().enumerate() {
        let verified = own.verify_reply(&message, &before, number == 0);
        before = verified.unwrap_or_else(|| panic!("message {number} is signed"));
        let message = Message::from_vec(&message).unwrap();
        assert_eq!(message.queries.len(), usize::from(number == 0));
        records += message.answers.len();
    }
    assert_eq!(records, 5_000 + 3);
}
