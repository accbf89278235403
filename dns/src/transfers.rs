//! Who may take which zones, and who is told of changes.

use std::net::SocketAddr;

use config::{Config, Prefix, Transfer as Spec};
use hickory_server::proto::rr::{LowerName, Name};

use crate::arrival::Arrival;
use crate::tsig::{Key, Session};
use crate::withheld::Withheld;

/// Who may take which zones.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    rules: Vec<Rule>,
    keys: Vec<Key>,
}

#[derive(Debug)]
struct Rule {
    /// `None`: all of them.
    zones: Option<Vec<LowerName>>,
    to: Vec<Prefix>,
    /// By its place among the keys.
    key: Option<usize>,
    notify: Vec<SocketAddr>,
}

impl Transfers {
    pub(crate) fn new(config: &Config) -> Self {
        let mut this = Self::default();
        for spec in &config.network.transfers {
            let key = match spec.key.as_ref().map(Key::new) {
                None => None,
                Some(Some(key)) => {
                    this.keys.push(key);
                    Some(this.keys.len() - 1)
                }
                // Without the key that is asked for nobody may.
                Some(None) => continue,
            };
            this.rules.push(Rule { zones: zones_of(spec), to: spec.to.clone(), key, notify: spec.notify.clone() });
        }
        this
    }

    /// The keys that requests may be signed with.
    pub(crate) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Whether anybody may take a zone.
    pub(crate) fn hold(&self, zone: &LowerName) -> bool {
        self.rules.iter().any(|rule| rule.is_of(zone))
    }

    /// Allows a transfer.
    ///
    /// # Errors
    /// What of the request no rule fits, in the order of zone, address and key.
    pub(crate) fn allow(&self, zone: &LowerName, arrival: &Arrival, session: Option<&Session>) -> Result<(), Withheld> {
        let is_from = |rule: &Rule| rule.to.is_empty() || rule.to.iter().any(|to| to.contains(arrival.resolver));
        let mut why = Withheld::Zone;
        for rule in self.rules.iter().filter(|rule| rule.is_of(zone)) {
            if !is_from(rule) {
                if why == Withheld::Zone {
                    why = Withheld::Address;
                }
                continue;
            }
            match (rule.key.and_then(|key| self.keys.get(key)), session) {
                (None, _) => return Ok(()),
                (Some(key), Some(session)) if key.opened(session) => return Ok(()),
                (Some(_), Some(_)) => why = Withheld::OtherKey,
                (Some(_), None) => why = Withheld::Unsigned,
            }
        }
        Err(why)
    }
}

impl Transfers {
    /// Who is to be told of a zone's change, and the key to sign it with.
    pub(crate) fn told_of(&self, zone: &LowerName) -> impl Iterator<Item = (SocketAddr, Option<&Key>)> {
        let rules = self.rules.iter().filter(|rule| rule.is_of(zone));
        rules.flat_map(|rule| {
            let key = rule.key.and_then(|key| self.keys.get(key));
            rule.notify.iter().map(move |target| (*target, key))
        })
    }
}

impl Rule {
    fn is_of(&self, zone: &LowerName) -> bool {
        self.zones.as_ref().is_none_or(|zones| zones.contains(zone))
    }
}

/// The zones that a table names.
pub(crate) fn zones_of(spec: &Spec) -> Option<Vec<LowerName>> {
    let name = |zone: &config::DomainName| Name::from_ascii(format!("{zone}.")).ok().map(|name| LowerName::new(&name));
    spec.zones.as_ref().map(|zones| zones.iter().filter_map(name).collect())
}
