use std::path::Path;

use config::{DomainName, Look, Source};
use proptest::prelude::*;

use super::*;

const TEXT: &str = "\
$TTL 1h
@ SOA ns1 hostmaster 1 2h 1h 2w 5m
@ NS ns1
ns1 A 192.0.2.53
www CNAME shop.cdn.example.
a.b A 192.0.2.1
*.w A 192.0.2.2
txt TXT \"hello there\"
sub NS ns.sub
ns.sub A 192.0.2.3
old DNAME new.example.";

fn file(text: &str, path: &Path) -> ZoneFile {
    let name = DomainName::parse("shop.example").unwrap();
    let source = Source::new(Path::new("zones/shop.example"), text.to_owned());
    ZoneFile { name, source: Ok(source), path: path.to_owned() }
}

/// The zone of a text, and what is wrong with it.
fn read(text: &str) -> (Option<Zone>, Vec<Problem>) {
    Zone::read(&file(text, Path::new("zones/shop.example")))
}

fn zone(text: &str) -> Result<Zone, Vec<Problem>> {
    Zone::parse(&file(text, Path::new("zones/shop.example")))
}

/// What is wrong with a zone that is right but for this text, without the places.
fn faults(text: &str) -> Vec<String> {
    let text = format!("$TTL 60\n@ SOA ns1 h 1 2h 1h 2w 5m\n@ NS ns1\n{text}");
    let (zone, problems) = read(&text);
    let faulty = problems.iter().any(|problem| problem.severity == Severity::Fault);
    assert_eq!(zone.is_none(), faulty, "{text}");
    problems.into_iter().map(|problem| problem.message).collect()
}

fn find(zone: &Zone, name: &str, kind: RecordType) -> String {
    match zone.find(&Name::from_ascii(name).unwrap(), kind) {
        Found::Records(records) => {
            records.iter().map(|r| format!("{} {}", r.name, r.data)).collect::<Vec<_>>().join(", ")
        }
        Found::Alias(record) => format!("alias {}", record.data),
        Found::Redirected(record, alias) => {
            let alias = alias.map(|alias| format!(", alias {}", alias.data)).unwrap_or_default();
            format!("redirected by {}{alias}", record.name)
        }
        Found::Routed(site) => format!("routed {site}"),
        Found::NoData => "no data".to_owned(),
        Found::NoName => "no name".to_owned(),
        Found::Delegated(records) => format!("delegated {}", records.len()),
    }
}

#[test]
fn names_are_found_as_the_standards_say() {
    let zone = zone(TEXT).unwrap();
    for (name, kind, expected) in [
        ("ns1.shop.example.", RecordType::A, "ns1.shop.example. 192.0.2.53"),
        ("NS1.Shop.example.", RecordType::AAAA, "no data"),
        ("www.shop.example.", RecordType::A, "alias shop.cdn.example."),
        ("b.shop.example.", RecordType::A, "no data"),
        ("c.b.shop.example.", RecordType::A, "no name"),
        ("x.w.shop.example.", RecordType::A, "x.w.shop.example. 192.0.2.2"),
        ("y.x.w.shop.example.", RecordType::A, "y.x.w.shop.example. 192.0.2.2"),
        ("x.w.shop.example.", RecordType::TXT, "no data"),
        ("w.shop.example.", RecordType::A, "no data"),
        ("host.sub.shop.example.", RecordType::A, "delegated 1"),
        ("sub.shop.example.", RecordType::DS, "no data"),
        ("nothing.shop.example.", RecordType::A, "no name"),
        ("a.B.old.shop.example.", RecordType::A, "redirected by old.shop.example., alias a.B.new.example."),
        ("old.shop.example.", RecordType::A, "no data"),
    ] {
        assert_eq!(find(&zone, name, kind), expected, "{name} {kind}");
    }
    let long = format!("{0}.{0}.{0}.{1}.old.shop.example.", "a".repeat(63), "a".repeat(40));
    assert_eq!(
        find(&zone, &long, RecordType::A),
        "redirected by old.shop.example., alias ".to_owned() + &long.replace("old.shop.example", "new.example")
    );
    let longer = Name::from_ascii(&long).unwrap();
    let far = Zone::parse(&file(
        &format!("{TEXT}\nold2 DNAME a-much-longer-name.elsewhere.example."),
        Path::new("zones/shop.example"),
    ))
    .unwrap();
    let longer = longer.to_string().replace("old.shop", "old2.shop");
    assert_eq!(find(&far, &longer, RecordType::A), "redirected by old2.shop.example.");
}

#[test]
fn a_host_is_routed_unless_the_file_has_an_address_there() {
    let mut zone = zone(TEXT).unwrap();
    for name in ["shop.example.", "img.shop.example.", "ns1.shop.example.", "*.dyn.shop.example."] {
        zone.route(&Name::from_ascii(name).unwrap(), Routed { site: 7, tls: Tls::Unserved });
    }
    assert_eq!(find(&zone, "shop.example.", RecordType::A), "routed 7");
    assert!(find(&zone, "shop.example.", RecordType::NS).contains("ns1"));
    assert_eq!(find(&zone, "img.shop.example.", RecordType::AAAA), "routed 7");
    assert_eq!(find(&zone, "img.shop.example.", RecordType::TXT), "no data");
    assert_eq!(find(&zone, "a.dyn.shop.example.", RecordType::A), "routed 7");
    assert!(find(&zone, "ns1.shop.example.", RecordType::A).contains("192.0.2.53"));
}

/// A zone with each kind of entry.
const GOOD: &str = "\u{feff}; A zone.\r
$TTL 1h30m ; half\r
@\tIN\tSOA ns1 hostmaster\\.dns ( 2026010101 ; serial\r
    2h 1h\r
2w 5m )\r
\tNS\tns1
   IN 5m NS ns2.other.example.
ns1 300 IN A 192.0.2.53
    IN 300 AAAA 2001:db8::53
@ MX 10 ( mail ) ; mail
mail a 192.0.2.25
txt TXT \"two words; and (more)\" bare\\;word \"\\065\\\"\\200\"
caa CAA 0 issue \"ca.example; a=b\"
_sip._tcp SRV 0 5 5060 mail
h HTTPS 1 . alpn=\"h2,h3\" port=8443 ipv4hint=192.0.2.1
s SVCB 0 h
n NAPTR 100 10 \"S\" \"SIP+D2U\" \"!^.*$!sip:a@example!\" _sip._udp
ssh SSHFP 4 2 0123456789abcdef 0123456789abcdef
_443._tcp TLSA 3 1 1 0123456789abcdef
pgp OPENPGPKEY AQ AB
cert CERT 1 0 8 AQAB
c CSYNC 66 3 A NS
host HINFO x86 \"a b\"
m SMIMEA 3 1 1 00ff
d DNAME Elsewhere.Example.
l LOC 50 6 40 N 8 40 55 E 112m
u URI 10 1 \"https://www.shop.example/\"
rp RP hostmaster.dns @
afs AFSDB 1 afs
signed NS ns.other.example.
signed DS 20326 13 2 0123456789abcdef0123456789abcdef 0123456789abcdef0123456789abcdef
foo_bar A 192.0.2.9
0/25 NS ns.other.example.
s_1._domainkey CNAME a_b.dkim\\.x.other.example.
-\\000\\.x A 192.0.2.9
k CDS 0 0 0 00
k CDNSKEY 0 3 0 AA==
odd TYPE65534 \\# 4 ( 0001
 02ff )
odd CLASS1 TYPE1 \\# 4 c0000207
$GENERATE 1-3/2 gen$ 60 IN CNAME host${9,3,d}
$ORIGIN sub
*.w CNAME @
1 PTR www.other.example.
$ttl 60
x A 192.0.2.1
x A 192.0.2.1
x 30 A 192.0.2.2";

fn all(zone: &Zone) -> Vec<String> {
    let sets = zone.nodes.values().flat_map(|node| node.sets.values());
    let mut all: Vec<String> = sets.flatten().map(ToString::to_string).collect();
    all.sort();
    all
}

#[test]
fn every_form_of_the_standard_is_read() {
    insta::assert_snapshot!(all(&zone(GOOD).unwrap()).join("\n"));
}

#[test]
fn names_written_as_bytes_are_the_names_written_as_text() {
    let read = |text: &str| {
        all(&zone(&format!("$TTL 60\n@ SOA ns h 1 2h 1h 2w 5m\n@ NS ns\nns A 192.0.2.1\n{text}")).unwrap())
    };
    let same = [
        ("x DNAME A.other.", "x DNAME \\# 9 0141054f5448455200"),
        ("x RP B. C.", "x RP \\# 6 014200014300"),
        ("x AFSDB 1 D.", "x AFSDB \\# 5 0001014400"),
        ("x CDS 1 13 2 ABCD", "x CDS \\# 6 00010d02abcd"),
    ];
    for (text, bytes) in same {
        assert_eq!(read(text), read(bytes), "{text}");
    }
}

#[test]
fn seven_mistakes_get_seven_messages() {
    let text = "\
$TTL 1h
@       SOA   ns1 hostmaster 1 2h 15m 2w 1m
@       NS    ns1
ns1     A     192.0.2.300     ; out of range
mail    MX    mail.other.example.
        TXT   \"v=spf1 -all
www     CNAME shop
www     TXT   \"beside an alias\"
img     AAA   2001:db8::1
www.other.example.  A  192.0.2.1
dkim    TXT   ( \"v=DKIM1;\"
              \"k=rsa\"
last    A     192.0.2.9
";
    let (zone, problems) = read(text);
    assert!(zone.is_none());
    assert_eq!(problems.len(), 7);
    insta::assert_snapshot!(config::report(&problems, Look::Plain));
}

#[test]
fn each_mistake_is_told_in_our_words() {
    for (text, expected) in [
        ("x A ::1", "`::1` is not an IPv4 address"),
        ("x A", "the A record has 0 fields after its type; it takes 1"),
        ("x A 192.0.2.1 192.0.2.2", "the A record has 2 fields after its type; it takes 1"),
        ("x MX mail 10", "`mail` is not a number from 0 to 65535"),
        ("x NS a..b", "`a..b` is not a name"),
        ("a..b A 192.0.2.1\n TXT good", "`a..b` is not a name"),
        ("x 99999999999 A 192.0.2.1", "`99999999999` is not a TTL"),
        ("x 3000000000 A 192.0.2.1", "the TTL `3000000000` is longer than 2147483647 seconds"),
        ("x CH TXT a", "class CH is not served"),
        ("x DNSKEY 257 3 13 AQAB", "DNSKEY records are not served from a file"),
        ("x TYPE250 \\# 0", "TSIG is no type of records in zones"),
        ("x NULL y", "NULL records cannot be read here"),
        ("x TYPE65534 \\# 2 00", "`\\#` says 2 bytes; there are 1"),
        ("x A \\# 2 0001", "the bytes are no A data: unexpected end of input reached"),
        ("x DNAME \\# 3 0461 62", "the bytes are no DNAME data: a name in them is broken"),
        ("x DNAME \\# 3 016100ff", "`\\#` says 3 bytes; there are 4"),
        ("x RP \\# 5 014200c000", "the bytes are no RP data: a name in them is broken"),
        ("x DNAME \\# 4 016100ff", "the bytes are no DNAME data: a name in them is broken"),
        ("x DS 1 13 2 xyz", "`xyz` is not bytes of two hex digits each"),
        ("x LOC 91 N 0 E 0", "this is no location"),
        ("x DNAME y\nx DNAME z", "`x.shop.example.` has a second DNAME"),
        ("*.x DNAME y", "`*.x.shop.example.` is a wildcard with a DNAME"),
        (
            "x DNAME y\na.x A 192.0.2.1",
            "`a.x.shop.example.` is below the DNAME of `x.shop.example.`: it is never answered",
        ),
        ("x DNAME y\nx CNAME z", "`x.shop.example.` has a CNAME beside its DNAME record"),
        ("x", "the record has no type"),
        (" www A 192.0.2.1", "`www` is not a record type known here"),
        ("A 192.0.2.1", "`192.0.2.1` is not a record type known here"),
        ("x A 192.0.2.1 )", "the `)` closes nothing"),
        ("x TXT \\999", "`\\999` has a `\\` that cannot be read"),
        ("x HTTPS 1 . alpn=\"h2,\"", "`alpn=\"h2,\"` is not a list of protocols of 1 to 255 bytes"),
        ("x SSHFP 4 2 xyz", "the SSHFP record cannot be read: data encoding error: invalid symbol at 0"),
        ("$GENERATE 250-300 x$ A 192.0.2.$", "`192.0.2.256` is not an IPv4 address"),
        ("$GENERATE 1 x$ A 192.0.2.$", "`1` is not a range"),
        ("$ORIGINAL x", "`$ORIGINAL` is not a directive"),
        ("$TTL soon", "`soon` is not a TTL"),
        ("$TTL", "`$TTL` takes one time"),
        ("$ORIGIN a b", "`$ORIGIN` takes one name"),
        ("@ SOA ns1 h 2 2h 1h 2w 5m", "zone shop.example. has a second SOA"),
        ("x SOA ns1 h 2 2h 1h 2w 5m", "`x.shop.example.` has an SOA, which only the apex shop.example. may have"),
        ("x CNAME y\nx CNAME z", "`x.shop.example.` has a second CNAME"),
        ("x CNAME y\nX A 192.0.2.1\nx TXT a", "`x.shop.example.` has a CNAME beside its A record"),
        ("@ CNAME y", "`shop.example.` has a CNAME beside its SOA record"),
        ("www.other.example. A 192.0.2.1", "`www.other.example.` is outside the zone shop.example."),
        ("shop.example A 192.0.2.1", "`shop.example` has no last dot, so it means `shop.example.shop.example.`"),
        (
            "sub NS ns.sub\nns.sub A 192.0.2.1\nx.sub A 192.0.2.1",
            "`x.sub.shop.example.` is delegated with `sub.shop.example.`: its A record is never answered",
        ),
        ("$INCLUDE nowhere", "`nowhere` cannot be read: No such file or directory (os error 2)"),
    ] {
        assert_eq!(faults(text), [expected], "{text}");
    }
    let long = format!("x TXT {}", "y".repeat(256));
    assert_eq!(faults(&long), ["a string of 256 bytes is longer than a TXT string may be"]);
    let longer = format!("x TXT {}", format!("{} ", "y".repeat(255)).repeat(256));
    assert_eq!(faults(&longer), ["the TXT record is longer than a record may be"]);
}

#[test]
fn a_zone_lacks_what_no_entry_of_it_says() {
    let (no_soa, no_ns) =
        ("zone shop.example. has no SOA at its apex", "zone shop.example. has no NS record at its apex");
    for (text, expected) in [
        ("", &[no_soa, no_ns][..]),
        ("@ 60 SOA ns1 h 1 2h 1h 2w 5m", &[no_ns]),
        ("@ 60 SOA ns1 h one 2h 1h 2w 5m\n@ 60 NS ns1", &["`one` is not a number or time"]),
        ("$TTL 60\nwhat is this", &["`is` is not a record type known here"]),
        ("@ SOA ns1 h 1 2h 1h 2w 5m\n@ NS ns1\n@ MX 1 mail", &["the record has no TTL, and no `$TTL` stands above it"]),
        ("$TTL 60\n\tA 192.0.2.1", &["the record has no name, and none stands above it", no_soa, no_ns]),
    ] {
        let messages: Vec<String> = zone(text).unwrap_err().into_iter().map(|problem| problem.message).collect();
        assert_eq!(messages, expected, "{text}");
    }
}

#[test]
fn warnings_do_not_refuse_a_zone() {
    let (zone, problems) = read(&format!("{TEXT}\nsub TXT below\nwww.shop.example A 192.0.2.1"));
    assert!(zone.is_some());
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 2);
    for expected in ["zones/shop.example:12:1: `sub.shop.example.` is del", "zones/shop.example:13:1: `www.shop.exa"] {
        assert!(lines.iter().any(|line| line.starts_with(expected)), "{expected}: {lines:?}");
    }
}

#[test]
fn included_files_are_part_of_the_zone() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    std::fs::create_dir(dir.path().join("zones")).unwrap();
    std::fs::create_dir(dir.path().join("common")).unwrap();
    write("common/mail", "\tTXT of-the-owner-above\n$ORIGIN deep\nmail A 192.0.2.25\n$INCLUDE more x.shop.example.");
    write("common/more", "a A 192.0.2.1\n@ A 192.0.2.2");
    write("common/bad", "a A 192.0.2.1\nb A 192.0.2.2.3");
    write("common/circle", "$INCLUDE ../common/circle");
    for depth in 0..9 {
        write(&format!("common/{depth}"), &format!("$INCLUDE {}", depth + 1));
    }
    let read = |text: &str| Zone::parse(&file(&format!("{TEXT}\n{text}\n"), &dir.path().join("zones/shop.example")));
    let zone = read("own A 192.0.2.3\n$INCLUDE ../common/mail\n A 192.0.2.4\nnext A 192.0.2.5").unwrap();
    for (name, kind, expected) in [
        ("own.shop.example.", RecordType::TXT, "own.shop.example. of-the-owner-above"),
        ("own.shop.example.", RecordType::A, "own.shop.example. 192.0.2.3, own.shop.example. 192.0.2.4"),
        ("mail.deep.shop.example.", RecordType::A, "mail.deep.shop.example. 192.0.2.25"),
        ("a.x.shop.example.", RecordType::A, "a.x.shop.example. 192.0.2.1"),
        ("x.shop.example.", RecordType::A, "x.shop.example. 192.0.2.2"),
        ("next.shop.example.", RecordType::A, "next.shop.example. 192.0.2.5"),
    ] {
        assert_eq!(find(&zone, name, kind), expected, "{name} {kind}");
    }
    for (text, expected) in [
        ("$INCLUDE ../common/bad", "common/bad:2:1: `192.0.2.2.3` is not an IPv4 address"),
        ("$INCLUDE ../common/circle", "`../common/circle` includes itself"),
        ("$INCLUDE ../common/0", "common/7:1:1: `$INCLUDE` goes deeper than 8 files"),
        ("$INCLUDE ../common", "`../common` cannot be read: it is not a file"),
        (&"$INCLUDE ../common/more\n".repeat(101), "the zone includes more than 100 files"),
    ] {
        let problems = read(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].to_string().contains(expected), "{}", problems[0]);
    }
}

#[test]
fn a_zone_has_a_most_of_records() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("half"), "x A 1.1.1.1\n".repeat(config::limits::ZONE_RECORDS / 2)).unwrap();
    let text = format!("{TEXT}\n$INCLUDE half\n$INCLUDE half\nwww A 192.0.2.1\n");
    let problems = Zone::parse(&file(&text, &dir.path().join("shop.example"))).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert_eq!(problems[0].message, "the zone has more than 500000 records");
}

#[test]
fn a_file_that_is_no_zone_does_not_flood() {
    let problems = zone(&"# A comment of another language.\n".repeat(100_000)).unwrap_err();
    assert_eq!(problems.len(), config::limits::ZONE_PROBLEMS + 1);
    assert_eq!(problems.last().unwrap().message, "zone shop.example: reading stopped after 100 problems");
}

/// A text in which pieces have been replaced.
fn mutated(text: &str, edits: &[(usize, usize, String)]) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    for (at, length, piece) in edits {
        let at = at % (chars.len() + 1);
        let end = (at + length).min(chars.len());
        chars.splice(at..end, piece.chars());
    }
    chars.into_iter().collect()
}

/// Reads, and looks at everything a person or client would.
fn exercise(text: &str) {
    let (zone, problems) = read(text);
    assert!(zone.is_some() || !problems.is_empty());
    for problem in &problems {
        let place = problem.place.as_ref();
        assert!(place.is_none_or(|place| place.source.text.get(place.span.clone()).is_some()), "{problem:?}");
        assert!(!problem.message.chars().any(char::is_control), "{problem:?}");
    }
    let _ = config::report(&problems, Look::Plain);
    zone.as_ref().map(all);
}

#[test]
fn what_fuzzing_begins_with_is_read_or_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/zone");
    let texts =
        std::fs::read_dir(&folder).unwrap().map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    assert!(texts.map(|text| exercise(&text)).count() >= 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn any_bytes_are_read_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn a_mutated_zone_is_read_without_panic(
        edits in proptest::collection::vec((any::<usize>(), 0..12_usize, "[ -~\n\t\"\\\\();@$,=\u{e9}]{0,4}"), 1..12),
    ) {
        exercise(&mutated(GOOD, &edits));
    }

    #[test]
    fn any_data_of_any_type_is_read_without_panic(
        data in "[A-Z]{1,5}|A|AAAA|DNAME|DS|LOC|URI|TYPE[0-9]{1,5}|CAA|CERT|CSYNC|HINFO|HTTPS|SVCB|MX|NAPTR|OPENPGPKEY|SMIMEA|SOA|SRV|SSHFP|TLSA|TXT",
        first in "([0-9]{1,5} ){0,4}",
        name in "[.@]|[a-z.\\\\0-9_*]{0,8}",
        key in "alpn|mandatory|key1|port|ech|ipv4hint|ipv6hint|no-default-alpn",
        value in "(=[!-~]{0,3}|=\"[ -~]{0,3}\")?( [!-~]{0,5}){0,3}",
    ) {
        exercise(&format!("$TTL 60\n@ SOA ns1 h 1 2h 1h 2w 5m\n@ NS ns1\nx {data} {first}{name} {key}{value}"));
    }
}

/// In a release build the first takes 0.4 s; a reader that is not linear would take minutes.
#[test]
fn a_hundred_thousand_records_are_read_and_open_parentheses_end() {
    let mut text = String::from(TEXT);
    text.push('\n');
    for number in 0..25_000 {
        text.push_str(&format!("host{number} A 192.0.2.1\n\tAAAA 2001:db8::{number:x}\n\tMX 10 host{number}\n"));
        text.push_str(&format!("alias{number} 1h IN CNAME host{number} ; why\n"));
    }
    let (zone, problems) = read(&text);
    assert!(zone.is_some_and(|zone| zone.nodes.len() > 50_000), "{problems:?}");
    let of_one_name: String = (0..100_000).map(|number| format!("x TXT number{number}\n")).collect();
    assert!(read(&format!("{TEXT}\n{of_one_name}")).0.is_some());
    for open in ["x A (\n".repeat(600_000), format!("x A (\n{}", " y\n".repeat(1_000_000))] {
        let (zone, problems) = read(&open);
        assert!(zone.is_none() && problems.len() <= config::limits::ZONE_PROBLEMS + 1, "{}", problems.len());
    }
}
