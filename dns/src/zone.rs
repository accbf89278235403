//! One zone: its names, and what lies at each.

use std::collections::{BTreeMap, HashMap};

use config::{Place, Problem, ZoneFile};
use hickory_server::proto::rr::rdata::SOA;
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_server::proto::serialize::txt::Parser;

/// Record sets of one name.
#[derive(Clone, Debug, Default)]
struct Node {
    sets: BTreeMap<RecordType, Vec<Record>>,
    /// The site that is routed here.
    routed: Option<usize>,
}

/// A zone served here.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    apex: LowerName,
    soa: Record,
    /// Every name, empty non-terminals (RFC 4592 §2.2.2) included.
    nodes: HashMap<LowerName, Node>,
}

/// What a zone has for a name and type.
#[derive(Clone, Debug)]
pub(crate) enum Found<'z> {
    /// These records; a wildcard's carry the name that was asked (RFC 4592 §3.3.1).
    Records(Vec<Record>),
    /// An alias to follow (RFC 1034 §3.6.2).
    Alias(Box<Record>),
    /// The name is routed to a site.
    Routed(usize),
    /// The name exists, the type does not (RFC 2308 §2.2).
    NoData,
    /// The name does not exist (RFC 2308 §2.1).
    NoName,
    /// Another server's: its NS records (RFC 1034 §4.3.2).
    Delegated(&'z [Record]),
}

impl Zone {
    /// An empty zone with its SOA.
    pub(crate) fn new(apex: Name, soa: SOA, ttl: u32) -> Self {
        let record = Record::from_rdata(apex.clone(), ttl, RData::SOA(soa));
        let mut zone = Self { apex: LowerName::new(&apex), soa: record.clone(), nodes: HashMap::new() };
        zone.insert(record);
        zone
    }

    /// Reads a zone in master-file format (RFC 1035 §5).
    pub(crate) fn parse(file: &ZoneFile) -> Result<Self, Problem> {
        let place = || Place { source: std::sync::Arc::clone(&file.source), span: 0..0 };
        let fault = |message: String| Problem::fault(place(), format!("zone {}: {message}", file.name));
        let apex = Name::from_ascii(format!("{}.", file.name)).map_err(|error| fault(error.to_string()))?;
        // The parser wants a last newline, which editors may leave out.
        let text = format!("{}\n", file.source.text);
        let parser = Parser::new(text, Some(file.path.clone()), Some(apex.clone()));
        let (_, sets) = parser.parse().map_err(|error| fault(error.to_string()))?;
        let records = || sets.values().flat_map(|set| set.records_without_rrsigs());
        let soa = records().find_map(|record| match &record.data {
            RData::SOA(soa) if record.name == apex => Some((soa.clone(), record.ttl)),
            _ => None,
        });
        let (soa, ttl) = soa.ok_or_else(|| {
            fault("it has no SOA at its apex".to_owned()).help("add one: `@ SOA ns1 hostmaster 1 2h 1h 2w 5m`")
        })?;
        let mut zone = Self::new(apex.clone(), soa, ttl);
        for record in records() {
            if !apex.zone_of(&record.name) {
                return Err(fault(format!("`{}` is outside the zone", record.name))
                    .help("remove it, or write it without the last dot"));
            }
            if record.record_type() != RecordType::SOA {
                zone.insert(record.clone());
            }
        }
        zone.check_aliases().map_err(|name| {
            fault(format!("`{name}` has a CNAME and other records")).help("an alias stands alone (RFC 2181 §10.1)")
        })?;
        Ok(zone)
    }

    /// Adds a record, and the empty names between it and the apex.
    pub(crate) fn insert(&mut self, record: Record) {
        let node = self.node(&record.name);
        node.sets.entry(record.record_type()).or_default().push(record);
    }

    /// Routes a name to a site, unless the zone has an address or alias there: the file's records win.
    pub(crate) fn route(&mut self, name: &Name, site: usize) {
        let node = self.node(name);
        let has = |kind| node.sets.contains_key(&kind);
        if !has(RecordType::A) && !has(RecordType::AAAA) && !has(RecordType::CNAME) {
            node.routed = Some(site);
        }
    }

    fn node(&mut self, name: &Name) -> &mut Node {
        let mut above = LowerName::new(name);
        while above != self.apex && !above.is_root() {
            above = above.base_name();
            self.nodes.entry(above.clone()).or_default();
        }
        self.nodes.entry(LowerName::new(name)).or_default()
    }

    fn check_aliases(&self) -> Result<(), LowerName> {
        let torn = |node: &Node| node.sets.contains_key(&RecordType::CNAME) && node.sets.len() > 1;
        match self.nodes.iter().find(|(_, node)| torn(node)) {
            Some((name, _)) => Err(name.clone()),
            None => Ok(()),
        }
    }

    pub(crate) fn apex(&self) -> &LowerName {
        &self.apex
    }

    /// The SOA for a negative answer, its TTL cut to its minimum (RFC 2308 §3).
    pub(crate) fn negative(&self) -> Record {
        let mut soa = self.soa.clone();
        if let RData::SOA(data) = &soa.data {
            soa.ttl = soa.ttl.min(data.minimum);
        }
        soa
    }

    /// Looks a name up (RFC 1034 §4.3.2, with wildcards by RFC 4592).
    pub(crate) fn find(&self, name: &Name, kind: RecordType) -> Found<'_> {
        let lower = LowerName::new(name);
        if let Some(delegation) = self.delegation(&lower, kind) {
            return Found::Delegated(delegation);
        }
        if let Some(node) = self.nodes.get(&lower) {
            return node.answer(kind, name);
        }
        let mut encloser = lower.base_name();
        while !self.nodes.contains_key(&encloser) {
            if encloser.is_root() {
                return Found::NoName;
            }
            encloser = encloser.base_name();
        }
        let wildcard = Name::from(encloser).prepend_label("*").ok();
        match wildcard.and_then(|wildcard| self.nodes.get(&LowerName::new(&wildcard))) {
            Some(node) => node.answer(kind, name),
            None => Found::NoName,
        }
    }

    /// The NS records of the highest cut between the apex and the name; the parent's side of a
    /// cut still answers for DS (RFC 4035 §3.1.4.1).
    fn delegation(&self, name: &LowerName, kind: RecordType) -> Option<&[Record]> {
        let mut cut = None;
        let mut at = name.clone();
        while at != self.apex && !at.is_root() {
            let records = self.nodes.get(&at).and_then(|node| node.sets.get(&RecordType::NS));
            if records.is_some() && !(kind == RecordType::DS && at == *name) {
                cut = records.map(Vec::as_slice);
            }
            at = at.base_name();
        }
        cut
    }

    /// Addresses of a name server inside the zone, for the additional section.
    pub(crate) fn addresses(&self, name: &Name) -> Vec<Record> {
        let Some(node) = self.nodes.get(&LowerName::new(name)) else {
            return Vec::new();
        };
        let sets = [RecordType::A, RecordType::AAAA].into_iter().filter_map(|kind| node.sets.get(&kind));
        sets.flatten().cloned().collect()
    }
}

impl Node {
    /// What lies here, under the name that was asked: in its case, and in a wildcard's place.
    fn answer(&self, kind: RecordType, asked: &Name) -> Found<'static> {
        let named = |record: &Record| {
            let mut record = record.clone();
            record.name = asked.clone();
            record
        };
        if let Some(set) = self.sets.get(&kind) {
            return Found::Records(set.iter().map(named).collect());
        }
        if let Some(alias) = self.sets.get(&RecordType::CNAME).and_then(|set| set.first()) {
            return Found::Alias(Box::new(named(alias)));
        }
        match (self.routed, kind) {
            (Some(site), RecordType::A | RecordType::AAAA) => Found::Routed(site),
            _ => Found::NoData,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::{DomainName, Source};

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
ns.sub A 192.0.2.3";

    fn zone(text: &str) -> Result<Zone, Problem> {
        let name = DomainName::parse("shop.example").unwrap();
        let path = std::path::PathBuf::from("zones/shop.example");
        Zone::parse(&ZoneFile { name, source: Source::new(&path, text.to_owned()), path })
    }

    fn find(zone: &Zone, name: &str, kind: RecordType) -> String {
        match zone.find(&Name::from_ascii(name).unwrap(), kind) {
            Found::Records(records) => {
                records.iter().map(|r| format!("{} {}", r.name, r.data)).collect::<Vec<_>>().join(", ")
            }
            Found::Alias(record) => format!("alias {}", record.data),
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
        ] {
            assert_eq!(find(&zone, name, kind), expected, "{name} {kind}");
        }
    }

    #[test]
    fn a_host_is_routed_unless_the_file_has_an_address_there() {
        let mut zone = zone(TEXT).unwrap();
        for name in ["shop.example.", "img.shop.example.", "ns1.shop.example.", "*.dyn.shop.example."] {
            zone.route(&Name::from_ascii(name).unwrap(), 7);
        }
        assert_eq!(find(&zone, "shop.example.", RecordType::A), "routed 7");
        assert!(find(&zone, "shop.example.", RecordType::NS).contains("ns1"));
        assert_eq!(find(&zone, "img.shop.example.", RecordType::AAAA), "routed 7");
        assert_eq!(find(&zone, "img.shop.example.", RecordType::TXT), "no data");
        assert_eq!(find(&zone, "a.dyn.shop.example.", RecordType::A), "routed 7");
        assert!(find(&zone, "ns1.shop.example.", RecordType::A).contains("192.0.2.53"));
    }

    #[test]
    fn a_zone_that_cannot_be_served_is_refused() {
        for (text, expected) in [
            ("@ A 192.0.2.1", "no SOA"),
            ("@ SOA ns1 h 1 2h 1h 2w 5m\nx CNAME y\nx A 192.0.2.1", "CNAME and other records"),
            ("@ SOA ns1 h 1 2h 1h 2w 5m\nwww.other.example. A 192.0.2.1", "outside the zone"),
            ("@ SOA ns1 h 1 2h 1h 2w 5m\nx A 300.0.2.1", "zone shop.example"),
        ] {
            let text = format!("$TTL 60\n{text}");
            let problem = zone(&text).err().map(|problem| problem.to_string()).unwrap_or_default();
            assert!(problem.contains(expected), "{text}: {problem}");
        }
    }
}
