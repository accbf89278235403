//! What authorities of certificates look for (RFC 8555 §8.4): records that no zone file has.

use std::time::SystemTime;

use config::limits;
use hickory_server::proto::rr::rdata::TXT;
use hickory_server::proto::rr::{Name, RData, Record, RecordType};

use crate::query::is_challenge;
use crate::view::View;
use crate::zone::Found;

/// Authorities ask once.
const TTL: u32 = 1;

impl View {
    /// The records of a name at which an authority is expected.
    pub(crate) fn challenged(&self, name: &Name, kind: RecordType, now: SystemTime) -> Option<Vec<Record>> {
        if kind != RecordType::TXT || !is_challenge(name) {
            return None;
        }
        let values = self.challenges.records(&name.to_ascii(), now);
        let record = |value| Record::from_rdata(name.clone(), TTL, RData::TXT(TXT::new(vec![value])));
        (!values.is_empty()).then(|| values.into_iter().map(record).collect())
    }

    /// Where an authority that asks at this name is led to, if its records are answered here, all of them: in a zone of ours,
    /// and not delegated from it. An alias that leads to a name for authorities is meant for them.
    #[must_use]
    pub fn challenged_at(&self, name: &str) -> Option<String> {
        let mut name = Name::from_ascii(name).ok()?;
        name.set_fqdn(true);
        for _ in 0..limits::DNS_CHAIN {
            let alias = match self.zones.covering(&name)?.find(&name, RecordType::TXT) {
                Found::Delegated(_) => return None,
                Found::Alias(alias) => Some(alias),
                _ => None,
            };
            match alias.map(|alias| alias.data) {
                Some(RData::CNAME(target)) if is_challenge(&target.0) => name = target.0,
                _ => return Some(name.to_ascii().trim_end_matches('.').to_owned()),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use certs::{Challenge, Challenges};

    use super::*;
    use crate::view::tests::{POPS, ask, config_of, geography, view};

    #[test]
    fn an_authority_finds_what_is_ready_for_it_and_nothing_is_kept() {
        let challenges = Arc::new(Challenges::default());
        let view = view().with_challenges(Arc::clone(&challenges));
        let answers = |name: &str| {
            let reply = ask(&view, name, RecordType::TXT, None);
            reply.answers.iter().map(|record| format!("{} {}", record.ttl, record.data)).collect::<Vec<_>>()
        };
        let name = "_acme-challenge.www.shop.example.";
        assert!(answers(name).is_empty());
        for value in ["one", "two"] {
            let (name, value) = (name.to_owned(), value.to_owned());
            challenges.add(Challenge::Dns { name, value }, SystemTime::now());
        }
        assert_eq!(answers("_ACME-Challenge.www.shop.example."), ["1 one", "1 two"]);
        assert!(answers("_acme-challenge.shop.example.").is_empty());
        assert!(ask(&view, name, RecordType::A, None).answers.is_empty());
        let ground = (&Arc::new(geography()), &Arc::default());
        let next = View::build(&config_of(POPS), ground, &Arc::default(), Some(&view)).unwrap();
        assert_eq!(
            ask(&next, name, RecordType::TXT, None).answers.len(),
            2,
            "a map that is compiled anew forgets none"
        );
    }

    #[test]
    fn a_name_is_answered_for_where_its_zone_is_served_here() {
        let mut config = config_of(POPS);
        let records = "_acme-challenge.www CNAME _acme-challenge.www.shop.example.cdn.example.\n\
            _acme-challenge.out CNAME _acme-challenge.elsewhere.example.\n\
            _acme-challenge.odd CNAME shop.cdn.example.\n";
        let dir = tempfile::tempdir().unwrap();
        ["sites", "zones"].iter().for_each(|sub| std::fs::create_dir_all(dir.path().join(sub)).unwrap());
        let zone = format!(
            "$TTL 300\n@ SOA ns1.cdn.example. h.cdn.example. 1 3600 600 86400 300\n@ NS ns1.cdn.example.\n{records}"
        );
        std::fs::write(dir.path().join("zones/led.example"), zone).unwrap();
        let network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n\
            [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n";
        std::fs::write(dir.path().join("hither.toml"), network).unwrap();
        config.zones.extend(config::load(dir.path()).unwrap().config.zones);
        let view = View::build(&config, (&Arc::new(geography()), &Arc::default()), &Arc::default(), None).unwrap();
        for (name, expected) in [
            ("_acme-challenge.www.shop.example", Some("_acme-challenge.www.shop.example")),
            ("_acme-challenge.cdn.example.", Some("_acme-challenge.cdn.example")),
            ("_acme-challenge.other.example", None),
            ("_acme-challenge.a..b", None),
            ("_acme-challenge.x.sub.shop.example", None),
            ("_acme-challenge.www.led.example", Some("_acme-challenge.www.shop.example.cdn.example")),
            ("_acme-challenge.out.led.example", None),
            ("_acme-challenge.odd.led.example", Some("_acme-challenge.odd.led.example")),
        ] {
            assert_eq!(view.challenged_at(name).as_deref(), expected, "{name}");
        }
    }
}
