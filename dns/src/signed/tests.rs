use std::sync::Arc;

use hickory_server::proto::dnssec::rdata::DNSSECRData;
use hickory_server::proto::op::Message;
use hickory_server::proto::rr::RData;

use super::*;
use crate::view::tests::{POPS, ask, config_of, geography, query, signed_view, zone_keys};

/// What a validating resolver gets: per section, types with what they cover.
fn validating(view: &View, name: &str, kind: RecordType, arrival: &Arrival) -> (ResponseCode, bool, String) {
    let mut message = Message::from_vec(&query(name, kind, Some("81.2.3.0/24"), 1232)).unwrap();
    message.edns.as_mut().unwrap().set_dnssec_ok(true);
    let reply = view.answer(&message.to_vec().unwrap(), arrival).unwrap();
    let reply = Message::from_vec(&reply.to_udp().unwrap()).unwrap();
    let told = |record: &Record| match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => format!("({})", signature.input().type_covered),
        RData::DNSSEC(DNSSECRData::NSEC(nsec)) => {
            let types: Vec<String> = nsec
                .type_bit_maps()
                .map(|kind| match kind {
                    RecordType::Unknown(number) => format!("TYPE{number}"),
                    known => known.to_string(),
                })
                .collect();
            format!("NSEC[{}]", types.join(" "))
        }
        _ => record.record_type().to_string(),
    };
    let told = |records: &[Record]| records.iter().map(told).collect::<Vec<_>>().join(" ");
    let sections = [told(&reply.answers), told(&reply.authorities)].join(" | ");
    (reply.metadata.response_code, reply.metadata.truncation, sections)
}

#[test]
fn every_record_set_is_signed_and_what_is_not_there_is_proved() {
    let view = signed_view();
    let arrival = Arrival::by_udp([10, 0, 0, 1].into());
    for (name, kind, expected) in [
        ("www.shop.example.", RecordType::A, "A (A) | "),
        ("far.shop.example.", RecordType::A, "CNAME (CNAME) A (A) | "),
        ("shop.example.", RecordType::MX, "MX (MX) | "),
        ("shop.cdn.example.", RecordType::MX, " | SOA (SOA) NSEC[A NSEC AAAA HTTPS RRSIG] (NSEC)"),
        ("nothing.shop.example.", RecordType::A, " | SOA (SOA) NSEC[NSEC RRSIG TYPE128] (NSEC)"),
        // An empty non-terminal has nothing, and is there.
        ("img.shop.example.", RecordType::A, " | SOA (SOA) NSEC[NSEC RRSIG] (NSEC)"),
        ("x.img.shop.example.", RecordType::A, "A (A) | "),
        ("x.img.shop.example.", RecordType::TXT, " | SOA (SOA) NSEC[A NSEC AAAA HTTPS RRSIG] (NSEC)"),
        // A delegation without DS: that there is none is proved, its NS and glue are the child's.
        ("x.sub.shop.example.", RecordType::A, " | NS NSEC[NS NSEC RRSIG] (NSEC)"),
        ("sub.shop.example.", RecordType::DS, " | SOA (SOA) NSEC[NS NSEC RRSIG] (NSEC)"),
        ("shop.example.", RecordType::DNSKEY, "DNSKEY (DNSKEY) | "),
        ("shop.example.", RecordType::ANY, "HINFO (HINFO) | "),
        ("mail.shop.example.", RecordType::RRSIG, "(NSEC) | "),
        ("www.shop.example.", RecordType::HTTPS, "HTTPS (HTTPS) | "),
        ("blog.cdn.example.", RecordType::HTTPS, " | SOA (SOA) NSEC[A NSEC AAAA RRSIG] (NSEC)"),
        // The alias made from a DNAME record is vouched for by that.
        ("shop.moved.shop.example.", RecordType::A, "DNAME (DNAME) CNAME A (A) | "),
    ] {
        let (code, cut, sections) = validating(&view, name, kind, &arrival);
        let sorted = |text: &str| {
            let (before, after) = text.split_once('[').unwrap_or((text, ""));
            let (types, after) = after.split_once(']').unwrap_or(("", after));
            let mut types: Vec<&str> = types.split(' ').collect();
            types.sort_unstable();
            format!("{before}[{}]{after}", types.join(" "))
        };
        assert_eq!((code, cut), (ResponseCode::NoError, false), "{name} {kind}");
        assert_eq!(sorted(&sections), sorted(expected), "{name} {kind}");
    }
    let plain = ask(&view, "nothing.shop.example.", RecordType::A, Some("81.2.3.0/24"));
    assert_eq!(plain.metadata.response_code, ResponseCode::NXDomain, "who cannot validate is told by the code");
    assert_eq!(plain.authorities.len(), 1);
}

#[test]
fn a_flood_of_names_is_cut_and_known_names_are_answered() {
    let view = signed_view();
    let mut arrival = Arrival::by_udp([10, 0, 0, 1].into());
    let names = (0..=config::limits::DNS_STRANGERS_OF_ONE).map(|number| format!("n{number}.shop.example."));
    let cut: Vec<bool> = names.map(|name| validating(&view, &name, RecordType::A, &arrival).1).collect();
    let (last, before) = cut.split_last().unwrap();
    assert!(before.iter().all(|cut| !cut));
    assert!(last, "one more than there is a budget for");
    assert!(!validating(&view, "www.shop.example.", RecordType::A, &arrival).1, "a name that is there");
    let other = Arrival::by_udp([10, 0, 1, 1].into());
    assert!(!validating(&view, "other.shop.example.", RecordType::A, &other).1, "another network");
    arrival.transport = crate::arrival::Transport::Tcp;
    assert!(!validating(&view, "tcp.shop.example.", RecordType::A, &arrival).1, "over a connection");
}

#[test]
fn what_may_expire_while_it_is_kept_as_bytes_is_not_kept() {
    let view = signed_view();
    let mut arrival = Arrival::by_udp([10, 0, 0, 1].into());
    let mut message = Message::from_vec(&query("x.img.shop.example.", RecordType::A, None, 1232)).unwrap();
    message.edns = Some(hickory_server::proto::op::Edns::new());
    message.edns.as_mut().unwrap().set_dnssec_ok(true);
    let message = message.to_vec().unwrap();
    let is_kept = |arrival: &Arrival| view.answer(&message, arrival).unwrap().reuse != Reuse::Never;
    assert!(is_kept(&arrival));
    arrival.at += std::time::Duration::from_secs(7 * 86_400 - 60);
    for number in 0..=config::limits::DNS_STRANGERS_OF_ONE {
        validating(&view, &format!("n{number}.shop.example."), RecordType::A, &arrival);
    }
    assert!(!is_kept(&arrival), "it could not be renewed, and lasts a minute");
}

#[test]
fn that_a_child_has_no_ds_is_its_parents_to_say_though_both_are_served_here() {
    let mut config = config_of(POPS);
    let text = "$TTL 60\n@ SOA ns h 1 2h 1h 2w 5m\n@ NS ns\nns A 192.0.2.3\n".to_owned();
    let source = config::Source::new(std::path::Path::new("zones/sub.shop.example"), text);
    let name = config::DomainName::parse("sub.shop.example").unwrap();
    config.zones.push(config::ZoneFile { name, path: source.path.clone(), source: Ok(source) });
    config.zone_keys = vec![zone_keys("shop.example"), zone_keys("sub.shop.example")];
    let view = View::build(&config, (&Arc::new(geography()), &Arc::default()), &Arc::default(), None).unwrap();
    for (kind, signer) in [(RecordType::DS, "shop.example."), (RecordType::MX, "sub.shop.example.")] {
        let mut message = Message::from_vec(&query("sub.shop.example.", kind, Some("81.2.3.0/24"), 1232)).unwrap();
        message.edns.as_mut().unwrap().set_dnssec_ok(true);
        let reply = view.answer(&message.to_vec().unwrap(), &Arrival::by_udp([10, 0, 0, 1].into())).unwrap();
        let signers: Vec<String> = reply.message.authorities.iter().filter_map(signer_of).collect();
        assert_eq!(signers, [signer, signer], "{kind}");
    }
}

#[test]
fn keys_that_are_yet_to_come_are_warned_of() {
    let mut config = config_of(POPS);
    let warnings = |config: &config::Config| {
        let view = View::build(config, (&Arc::new(geography()), &Arc::default()), &Arc::default(), None).unwrap();
        view.warnings.iter().map(ToString::to_string).filter(|warning| warning.contains("which is to come")).count()
    };
    let mut keys = zone_keys("shop.example");
    config.zone_keys = vec![keys.clone()];
    assert_eq!(warnings(&config), 0);
    let tomorrow = Timestamp::now() + jiff::SignedDuration::from_hours(24);
    keys.keys.iter_mut().for_each(|key| (key.published, key.signs) = (tomorrow, Some(tomorrow)));
    config.zone_keys = vec![keys];
    assert_eq!(warnings(&config), 1);
    let view = View::build(&config, (&Arc::new(geography()), &Arc::default()), &Arc::default(), None).unwrap();
    let arrival = Arrival::by_udp([10, 0, 0, 1].into());
    let (code, _, sections) = validating(&view, "mail.shop.example.", RecordType::A, &arrival);
    assert_eq!(code, ResponseCode::NoError, "it signs all the same: {sections}");
}

fn signer_of(record: &Record) -> Option<String> {
    match &record.data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => Some(signature.input().signer_name.to_string()),
        _ => None,
    }
}
