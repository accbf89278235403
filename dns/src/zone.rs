//! One zone: its names, and what lies at each.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use config::{Problem, Severity, ZoneFile};
use hickory_server::proto::rr::rdata::{CNAME, SOA};
use hickory_server::proto::rr::{LowerName, Name, RData, Record, RecordType};
use hickory_server::proto::serialize::binary::BinDecodable;
use jiff::Timestamp;

use crate::dnssec::Signer;

mod changes;
mod entry;
mod file;
mod generate;
mod location;
mod record;
mod rules;
mod service;
mod shape;
mod wire;

/// Record sets of one name.
#[derive(Clone, Debug, Default)]
struct Node {
    sets: BTreeMap<RecordType, Vec<Record>>,
    /// What is routed here.
    routed: Option<Routed>,
}

/// A site to which a name is routed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Routed {
    /// By its place in the config.
    pub(crate) site: usize,
    /// Whether it is served over TLS.
    pub(crate) tls: Tls,
}

/// Whether a site is served over TLS: an HTTPS record says so to clients, which then come by no other way
/// (RFC 9460 §9.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tls {
    /// It has a certificate.
    Served,
    /// It has none.
    Unserved,
}

/// A zone served here.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    apex: LowerName,
    soa: Record,
    /// Every name, empty non-terminals (RFC 4592 §2.2.2) included.
    nodes: HashMap<LowerName, Node>,
    /// What signs it, if it is signed.
    pub(crate) signer: Option<Arc<Signer>>,
    /// Its names in order, if secondaries may take it.
    names: Vec<LowerName>,
    /// What has changed lately, oldest first, if they may.
    changes: Vec<Arc<Change>>,
    /// Whether its serial has stood for other records too.
    serial_is_shared: bool,
}

/// What one version of a zone has made of the one before.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The SOA records of both.
    pub(crate) before: Record,
    pub(crate) after: Record,
    pub(crate) removed: Vec<Record>,
    pub(crate) added: Vec<Record>,
}

impl Routed {
    /// The types that a routed name has.
    fn types(self) -> &'static [RecordType] {
        match self.tls {
            Tls::Served => &[RecordType::A, RecordType::AAAA, RecordType::HTTPS],
            Tls::Unserved => &[RecordType::A, RecordType::AAAA],
        }
    }
}

/// The types that a signed zone's keys make at its apex.
const KEY_TYPES: &[RecordType] = &[RecordType::DNSKEY, RecordType::CDS, RecordType::CDNSKEY];

/// What a zone has for a name and type.
#[derive(Clone, Debug)]
pub(crate) enum Found<'z> {
    /// These records; a wildcard's carry the name that was asked (RFC 4592 §3.3.1).
    Records(Vec<Record>),
    /// An alias to follow (RFC 1034 §3.6.2).
    Alias(Box<Record>),
    /// All names below another lead elsewhere (RFC 6672): the DNAME record, and the alias made from it; none where the
    /// name it leads to would be too long.
    Redirected(Box<Record>, Option<Box<Record>>),
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
        let mut zone = Self::empty(&apex, record.clone());
        zone.insert(record);
        zone
    }

    fn empty(apex: &Name, soa: Record) -> Self {
        let (nodes, names, changes) = (HashMap::new(), Vec::new(), Vec::new());
        let apex = LowerName::new(apex);
        Self { apex, soa, nodes, signer: None, names, changes, serial_is_shared: false }
    }

    /// Reads a zone in master-file format (RFC 1035 §5).
    ///
    /// # Errors
    /// Every fault of the file and what it includes, with the warnings.
    #[cfg(test)]
    pub(crate) fn parse(file: &ZoneFile) -> Result<Self, Vec<Problem>> {
        let (zone, problems) = Self::read(file);
        zone.ok_or(problems)
    }

    /// Reads a zone, and all that is wrong with it; there is none if any of that is a fault.
    pub(crate) fn read(file: &ZoneFile) -> (Option<Self>, Vec<Problem>) {
        let source = match &file.source {
            Ok(source) => source,
            Err(problem) => return (None, vec![problem.clone()]),
        };
        let start = source.place(0..0);
        let Ok(apex) = Name::from_ascii(format!("{}.", file.name)) else {
            let problem = Problem::fault(start, format!("`{}` cannot be a zone's name", file.name));
            return (None, vec![problem.help("name the file after the zone, as in zones/shop.example")]);
        };
        let mut contents = file::read(file, source, &apex);
        rules::check(&apex, &start, &mut contents);
        let problems = contents.problems.into_vec(file);
        if problems.iter().any(|problem| problem.severity == Severity::Fault) {
            return (None, problems);
        }
        let records = contents.lines.into_iter().map(|line| line.record).collect();
        (Self::of(&apex, records), problems)
    }

    /// The zone of records that the rules allow.
    fn of(apex: &Name, records: Vec<Record>) -> Option<Self> {
        let soa = records.iter().find(|record| record.record_type() == RecordType::SOA)?.clone();
        let mut zone = Self::empty(apex, soa);
        for record in records {
            zone.insert(record);
        }
        for set in zone.nodes.values_mut().flat_map(|node| node.sets.values_mut()) {
            even(set);
        }
        Some(zone)
    }

    /// The zone as its file says it; what has changed in it is kept.
    pub(crate) fn as_written(&self) -> Self {
        let mut zone = Self::empty(&Name::from(self.apex.clone()), self.soa.clone());
        let sets = self.nodes.values().flat_map(|node| node.sets.values());
        sets.flatten().for_each(|record| zone.insert(record.clone()));
        zone
    }

    /// Whether it can be handed on: a signed zone is signed as answers are asked for.
    pub(crate) fn is_plain(&self) -> bool {
        self.signer.is_none()
    }

    /// Whether [`Zone::keep_changes`] has made it ready for them.
    pub(crate) fn is_for_secondaries(&self) -> bool {
        !self.names.is_empty()
    }

    /// Adds a record, and the empty names between it and the apex.
    pub(crate) fn insert(&mut self, record: Record) {
        let node = self.node(&record.name);
        node.sets.entry(record.record_type()).or_default().push(record);
    }

    /// Routes a name to a site, unless the zone has an address or alias there: the file's records win.
    pub(crate) fn route(&mut self, name: &Name, routed: Routed) {
        let node = self.node(name);
        let has = |kind| node.sets.contains_key(&kind);
        if !has(RecordType::A) && !has(RecordType::AAAA) && !has(RecordType::CNAME) {
            node.routed = Some(routed);
        }
    }

    /// Has routed names say that there is TLS only where this knows it, by site and name.
    pub(crate) fn tell_of_tls(&mut self, is_there: &dyn Fn(usize, &LowerName) -> bool) {
        for (name, node) in &mut self.nodes {
            if let Some(routed) = &mut node.routed
                && routed.tls == Tls::Served
                && !is_there(routed.site, name)
            {
                routed.tls = Tls::Unserved;
            }
        }
    }

    fn node(&mut self, name: &Name) -> &mut Node {
        let lower = LowerName::new(name);
        let mut above = lower.clone();
        // A name that is there already has all names above it.
        while above != self.apex && !above.is_root() && !self.nodes.contains_key(&above) {
            self.nodes.entry(above.clone()).or_default();
            above = above.base_name();
        }
        self.nodes.entry(lower).or_default()
    }

    /// Every alias, and where it leads.
    pub(crate) fn aliases(&self) -> impl Iterator<Item = (Name, Name)> {
        let sets = self.nodes.values().filter_map(|node| node.sets.get(&RecordType::CNAME));
        sets.flatten().filter_map(|record| match &record.data {
            RData::CNAME(target) => Some((record.name.clone(), target.0.clone())),
            _ => None,
        })
    }

    pub(crate) fn is_apex(&self, name: &Name) -> bool {
        self.apex == LowerName::new(name)
    }

    pub(crate) fn apex(&self) -> &LowerName {
        &self.apex
    }

    pub(crate) fn soa(&self) -> &Record {
        &self.soa
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
        if let Some(redirection) = self.redirection(&lower) {
            let alias = redirected(name, redirection).map(Box::new);
            return Found::Redirected(Box::new(redirection.clone()), alias);
        }
        if let Some(node) = self.nodes.get(&lower) {
            return node.answer(kind, name);
        }
        match self.wildcard(&lower) {
            Some(node) => node.answer(kind, name),
            None => Found::NoName,
        }
    }

    /// The DNAME record above a name, if there is one.
    pub(crate) fn redirection(&self, name: &LowerName) -> Option<&Record> {
        let mut at = name.clone();
        while at != self.apex && !at.is_root() {
            at = at.base_name();
            let records = self.nodes.get(&at).and_then(|node| node.sets.get(&RecordType::DNAME));
            if let Some(record) = records.and_then(|records| records.first()) {
                return Some(record);
            }
        }
        None
    }

    /// The wildcard that stands for a name which is not there.
    fn wildcard(&self, name: &LowerName) -> Option<&Node> {
        let mut encloser = name.base_name();
        while !self.nodes.contains_key(&encloser) {
            if encloser.is_root() {
                return None;
            }
            encloser = encloser.base_name();
        }
        let wildcard = Name::from(encloser).prepend_label("*").ok()?;
        self.nodes.get(&LowerName::new(&wildcard))
    }

    pub(crate) fn largest_ttl(&self) -> Option<u32> {
        let sets = self.nodes.values().flat_map(|node| node.sets.values());
        sets.flatten().map(|record| record.ttl).max()
    }

    /// The DS records of a delegation.
    pub(crate) fn delegation_signer(&self, cut: &Name) -> &[Record] {
        let node = self.nodes.get(&LowerName::new(cut));
        node.and_then(|node| node.sets.get(&RecordType::DS)).map_or(&[], Vec::as_slice)
    }

    /// Records of the apex that its keys make.
    pub(crate) fn made_by_keys(&self, name: &Name, kind: RecordType, now: SystemTime) -> Option<Vec<Record>> {
        let signer = self.signer.as_ref().filter(|_| KEY_TYPES.contains(&kind) && self.is_apex(name))?;
        signer.records(kind, Timestamp::try_from(now).ok()?)
    }

    /// Whether the name itself is in the zone.
    pub(crate) fn has(&self, name: &Name) -> bool {
        self.nodes.contains_key(&LowerName::new(name))
    }

    /// The types that a name has; `None` where there is no such name.
    pub(crate) fn types(&self, name: &Name) -> Option<Vec<RecordType>> {
        let lower = LowerName::new(name);
        let node = self.nodes.get(&lower).or_else(|| self.wildcard(&lower))?;
        // At a cut all else is the child's (RFC 4035 §2.3).
        let is_cut = node.sets.contains_key(&RecordType::NS) && lower != self.apex;
        let is_ours = move |kind: &RecordType| !is_cut || matches!(kind, RecordType::NS | RecordType::DS);
        let of_sets = node.sets.keys().copied().filter(is_ours);
        let of_routed = node.routed.map_or(&[][..], Routed::types).iter().copied();
        let of_keys = if self.signer.is_some() && lower == self.apex { KEY_TYPES } else { &[] }.iter().copied();
        Some(of_sets.chain(of_routed).chain(of_keys).collect())
    }

    /// The TTL with which a record set is signed: a routed answer's lasts as long as `routed`.
    pub(crate) fn original_ttl(&self, first: &Record, routed: u32) -> u32 {
        let (kind, lower) = (first.record_type(), LowerName::new(&first.name));
        let is_routed = || {
            let node = self.nodes.get(&lower).or_else(|| self.wildcard(&lower));
            let types =
                node.filter(|node| !node.sets.contains_key(&kind)).and_then(|node| node.routed).map(Routed::types);
            types.is_some_and(|types| types.contains(&kind))
        };
        match kind {
            RecordType::SOA => self.soa.ttl,
            _ if is_routed() => routed,
            _ => first.ttl,
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
        match self.routed {
            Some(routed) if routed.types().contains(&kind) => Found::Routed(routed.site),
            _ => Found::NoData,
        }
    }
}

/// The alias that a DNAME record makes of a name below it, with the same TTL (RFC 6672 §3.1).
fn redirected(name: &Name, redirection: &Record) -> Option<Record> {
    let RData::Unknown { rdata, .. } = &redirection.data else { return None };
    let target = Name::from_bytes(&rdata.anything).ok()?;
    let kept = usize::from(name.num_labels()).checked_sub(redirection.name.num_labels().into())?;
    let below = Name::from_labels(name.iter().take(kept)).ok()?;
    let target = below.append_domain(&target).ok()?;
    Some(Record::from_rdata(name.clone(), redirection.ttl, RData::CNAME(CNAME(target))))
}

/// Makes a record set of what lines say: one TTL, the lowest (RFC 2181 §5.2), and each record once
/// (RFC 2181 §5).
fn even(set: &mut Vec<Record>) {
    let lowest = set.iter().map(|record| record.ttl).min().unwrap_or_default();
    let mut seen = HashSet::with_capacity(set.len());
    set.retain(|record| seen.insert(record.data.clone()));
    for record in set {
        record.ttl = lowest;
    }
}

#[cfg(test)]
mod tests;
