//! What authorities of certificates look for (RFC 8555 §8.4): records that no zone file has.

use std::time::SystemTime;

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

    /// Whether this name's records are answered here, all of them: in a zone of ours, and not delegated from it.
    #[must_use]
    pub fn answers_for(&self, name: &str) -> bool {
        let Ok(name) = Name::from_ascii(name) else { return false };
        let zone = self.zones.covering(&name);
        zone.is_some_and(|zone| !matches!(zone.find(&name, RecordType::TXT), Found::Delegated(_)))
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
        let view = view();
        for (name, expected) in [
            ("_acme-challenge.www.shop.example", true),
            ("_acme-challenge.cdn.example.", true),
            ("_acme-challenge.other.example", false),
            ("_acme-challenge.a..b", false),
        ] {
            assert_eq!(view.answers_for(name), expected, "{name}");
        }
    }
}
