//! What an authority is told when it asks whether a name is ours (RFC 8555 §8).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use config::limits;

use crate::acme::Challenge;

/// The answers that a node has ready.
#[derive(Debug, Default)]
pub struct Challenges(ArcSwap<Answers>);

type Answers = HashMap<Place, Vec<(String, SystemTime)>>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    /// A TXT record's name.
    Name(String),
    /// The last segment of a path.
    Token(String),
    /// A name in a handshake.
    Host(String),
}

/// How long an answer is kept: authorities ask within seconds.
const LIFETIME: Duration = Duration::from_secs(900);

impl Challenges {
    /// Has an answer ready for a while; whether it was taken: not where there are too many already.
    pub fn add(&self, challenge: Challenge, now: SystemTime) -> bool {
        let mut is_taken = false;
        let (place, answer) = match challenge {
            Challenge::Dns { name, value } => (Place::Name(lower(&name)), value),
            Challenge::Http { token, authorization } => (Place::Token(token), authorization),
            Challenge::Tls { name, digest } => (Place::Host(lower(&name)), digest),
        };
        self.0.rcu(|all| {
            let mut all = Answers::clone(all);
            all.retain(|_, answers| {
                answers.retain(|(_, until)| *until > now);
                !answers.is_empty()
            });
            is_taken = all.values().map(Vec::len).sum::<usize>() < limits::CHALLENGES;
            if is_taken {
                let answers = all.entry(place.clone()).or_default();
                answers.retain(|(old, _)| *old != answer);
                answers.push((answer.clone(), now + LIFETIME));
            }
            Arc::new(all)
        });
        is_taken
    }

    /// The TXT records of a name: one for each order under way, as of a name and of all below it (RFC 8555 §8.4).
    #[must_use]
    pub fn records(&self, name: &str, now: SystemTime) -> Vec<String> {
        self.answers(&Place::Name(lower(name)), now)
    }

    /// What is to be said at `/.well-known/acme-challenge/TOKEN` (RFC 8555 §8.3).
    #[must_use]
    pub fn authorization(&self, token: &str, now: SystemTime) -> Option<String> {
        self.answers(&Place::Token(token.to_owned()), now).pop()
    }

    /// What a certificate holds that is shown to an authority which asks for this name over TLS (RFC 8737 §3).
    pub(crate) fn digest(&self, host: &str, now: SystemTime) -> Option<String> {
        self.answers(&Place::Host(lower(host)), now).pop()
    }

    fn answers(&self, place: &Place, now: SystemTime) -> Vec<String> {
        let all = self.0.load();
        let answers = all.get(place).into_iter().flatten();
        answers.filter(|(_, until)| *until > now).map(|(answer, _)| answer.clone()).collect()
    }
}

/// Names are the same in either case, and with a dot at the end or without.
fn lower(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_for_a_while_and_only_so_many() {
        let challenges = Challenges::default();
        let now = SystemTime::now();
        let dns =
            |value: &str| Challenge::Dns { name: "_acme-challenge.Shop.example.".to_owned(), value: value.to_owned() };
        for value in ["a", "b", "a"] {
            assert!(challenges.add(dns(value), now));
        }
        assert_eq!(challenges.records("_ACME-challenge.shop.example", now), ["b", "a"]);
        assert!(challenges.records("shop.example", now).is_empty());
        let (token, authorization) = ("t".to_owned(), "t.key".to_owned());
        challenges.add(Challenge::Http { token, authorization }, now);
        assert_eq!(challenges.authorization("t", now).as_deref(), Some("t.key"));
        assert_eq!(challenges.authorization("u", now), None);
        let (name, digest) = ("Shop.example".to_owned(), "d".to_owned());
        challenges.add(Challenge::Tls { name, digest }, now);
        assert_eq!(challenges.digest("shop.example", now).as_deref(), Some("d"));
        assert_eq!(challenges.digest("www.shop.example", now), None);
        let later = now + LIFETIME;
        assert!(challenges.records("_acme-challenge.shop.example", later).is_empty());
        for number in 0..2 * limits::CHALLENGES {
            assert_eq!(challenges.add(dns(&number.to_string()), later), number < limits::CHALLENGES);
        }
        assert_eq!(challenges.records("_acme-challenge.shop.example", later).len(), limits::CHALLENGES);
    }
}
