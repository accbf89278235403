//! What a zone must hold as a whole.

use std::collections::{HashMap, HashSet};

use config::{Place, Problem};
use hickory_server::proto::rr::{LowerName, Name, RData, RecordType};

use super::file::{Contents, Line, Problems};

/// What an SOA looks like.
const SOA: &str = "add one: `@ SOA ns1 hostmaster 1 2h 1h 2w 5m`";

/// Checks the zone; what has no line of its own is at the start of the file.
pub(super) fn check(apex: &Name, start: &Place, contents: &mut Contents) {
    let Contents { lines, problems, unread } = contents;
    // A record that could not be read is not a missing one.
    let may_lack = |kind| !unread.iter().any(|unread| unread.is_none_or(|unread| unread == kind));
    let soa = check_soa(apex, lines, problems);
    if soa.is_none() && may_lack(RecordType::SOA) {
        problems.add(Problem::fault(start.clone(), format!("zone {apex} has no SOA at its apex")).help(SOA));
    }
    let has_servers = of_kind(lines, RecordType::NS).any(|line| line.record.name == *apex);
    if !has_servers && may_lack(RecordType::NS) {
        let place = soa.map_or(start, |line| &line.place);
        let problem = Problem::fault(place.clone(), format!("zone {apex} has no NS record at its apex"));
        problems.add(problem.help("add its name servers, as in `@ NS ns1`"));
    }
    check_aliases(apex, lines, problems);
    check_redirections(apex, lines, problems);
    check_delegations(apex, lines, problems);
    // Beside other faults it may be one of theirs.
    if unread.is_empty() && problems.are_none() {
        check_servers(apex, lines, problems);
    }
}

/// A name server in the zone itself has its address there; often only its last dot is missing.
fn check_servers(apex: &Name, lines: &[Line], problems: &mut Problems) {
    let has_address = |kind| matches!(kind, RecordType::A | RecordType::AAAA);
    let known = lines.iter().filter(|line| has_address(line.record.record_type()));
    let known: HashSet<LowerName> = known.map(|line| LowerName::new(&line.record.name)).collect();
    for line in of_kind(lines, RecordType::NS).filter(|line| line.record.name == *apex) {
        let RData::NS(server) = &line.record.data else { continue };
        if apex.zone_of(&server.0) && !known.contains(&LowerName::new(&server.0)) {
            let message = format!("the name server `{}` has no address in this zone", server.0);
            let problem = Problem::warning(line.place.clone(), message);
            problems.add(problem.help("add its A or AAAA record; a name that is whole already ends with a dot"));
        }
    }
}

fn of_kind(lines: &[Line], kind: RecordType) -> impl Iterator<Item = &Line> {
    lines.iter().filter(move |line| line.record.record_type() == kind)
}

/// The zone's SOA: one, at the apex (RFC 1035 §5.2).
fn check_soa<'l>(apex: &Name, lines: &'l [Line], problems: &mut Problems) -> Option<&'l Line> {
    let mut found = None;
    for line in of_kind(lines, RecordType::SOA) {
        if line.record.name != *apex {
            let message = format!("`{}` has an SOA, which only the apex {apex} may have", line.record.name);
            problems.add(Problem::fault(line.place.clone(), message).help("write `@` for the zone itself"));
        } else if found.is_some() {
            let problem = Problem::fault(line.place.clone(), format!("zone {apex} has a second SOA"));
            problems.add(problem.help("keep one (RFC 1035 §5.2)"));
        } else {
            found = Some(line);
        }
    }
    found
}

/// "If a CNAME RR is present at a node, no other data should be present" (RFC 1034 §3.6.2).
fn check_aliases(apex: &Name, lines: &[Line], problems: &mut Problems) {
    let mut aliases: HashMap<LowerName, &Line> = HashMap::new();
    for line in of_kind(lines, RecordType::CNAME) {
        let first = *aliases.entry(LowerName::new(&line.record.name)).or_insert(line);
        if first.record.data != line.record.data {
            let problem = Problem::fault(line.place.clone(), format!("`{}` has a second CNAME", line.record.name));
            problems.add(problem.help("a name is an alias of one other (RFC 2181 §10.1)"));
        }
    }
    if aliases.is_empty() {
        return;
    }
    for line in lines.iter().filter(|line| line.record.record_type() != RecordType::CNAME) {
        // Each alias is told once, beside the first record that is too much.
        let Some(alias) = aliases.remove(&LowerName::new(&line.record.name)) else {
            continue;
        };
        let (name, kind) = (&line.record.name, line.record.record_type());
        let problem = Problem::fault(alias.place.clone(), format!("`{name}` has a CNAME beside its {kind} record"));
        let help = if name == apex {
            "the apex cannot be an alias: give it addresses, or make it a host of a site"
        } else {
            "an alias stands alone (RFC 2181 §10.1)"
        };
        problems.add(problem.help(help));
    }
}

/// A name has one DNAME, and nothing below it is ever answered (RFC 6672 §2.4).
fn check_redirections(apex: &Name, lines: &[Line], problems: &mut Problems) {
    let mut owners: HashMap<LowerName, &Line> = HashMap::new();
    for line in of_kind(lines, RecordType::DNAME) {
        let first = *owners.entry(LowerName::new(&line.record.name)).or_insert(line);
        if first.record.data != line.record.data {
            let problem = Problem::fault(line.place.clone(), format!("`{}` has a second DNAME", line.record.name));
            problems.add(problem.help("all names below it lead to one place (RFC 6672 §2.4)"));
        }
        if line.record.name.is_wildcard() {
            let problem =
                Problem::fault(line.place.clone(), format!("`{}` is a wildcard with a DNAME", line.record.name));
            problems
                .add(problem.help("write the DNAME at the name above it: it is for all names below (RFC 6672 §3.3)"));
        }
    }
    if owners.is_empty() {
        return;
    }
    let (top, cuts) = (LowerName::new(apex), owners.into_keys().collect());
    for line in lines {
        let name = LowerName::new(&line.record.name);
        let above = highest_cut(&name.base_name(), &LowerName::new(&apex.base_name()), &cuts);
        if let Some(owner) = above.filter(|_| name != top) {
            let message = format!("`{}` is below the DNAME of `{owner}`: it is never answered", line.record.name);
            problems.add(Problem::fault(line.place.clone(), message).help("remove one of both (RFC 6672 §2.4)"));
        }
    }
}

/// What lies below a delegation is another server's; only addresses of its name servers have a use here.
fn check_delegations(apex: &Name, lines: &[Line], problems: &mut Problems) {
    let mut cuts = HashSet::new();
    let mut servers = HashSet::new();
    for line in of_kind(lines, RecordType::NS) {
        if line.record.name != *apex {
            cuts.insert(LowerName::new(&line.record.name));
        }
        if let RData::NS(server) = &line.record.data {
            servers.insert(LowerName::new(&server.0));
        }
    }
    if cuts.is_empty() {
        return;
    }
    let top = LowerName::new(apex);
    for line in lines {
        let name = LowerName::new(&line.record.name);
        let kind = line.record.record_type();
        let is_glue = matches!(kind, RecordType::A | RecordType::AAAA) && servers.contains(&name);
        let is_cut = matches!(kind, RecordType::NS | RecordType::DS) && cuts.contains(&name);
        let Some(cut) = (!is_glue).then(|| highest_cut(&name, &top, &cuts)).flatten() else {
            continue;
        };
        if !is_cut || cut != name {
            let message =
                format!("`{}` is delegated with `{cut}`: its {kind} record is never answered", line.record.name);
            let problem = Problem::warning(line.place.clone(), message);
            problems.add(problem.help("move it to the zone of the servers it is delegated to"));
        }
    }
}

fn highest_cut(name: &LowerName, apex: &LowerName, cuts: &HashSet<LowerName>) -> Option<LowerName> {
    let mut highest = None;
    let mut at = name.clone();
    while at != *apex && !at.is_root() {
        if cuts.contains(&at) {
            highest = Some(at.clone());
        }
        at = at.base_name();
    }
    highest
}
