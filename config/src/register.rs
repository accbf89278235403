//! Names defined and used across files: duplicates and dangling references.

use std::collections::BTreeMap;

use crate::nearest::nearest;
use crate::problem::Problem;
use crate::source::Place;

/// What kind of thing a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Pop,
    Edge,
    NameServer,
    Site,
    ZoneFile,
    Host,
    Address,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Pop => "PoP",
            Self::Edge => "edge",
            Self::NameServer => "name server",
            Self::Site => "site",
            Self::ZoneFile => "zone file",
            Self::Host => "host",
            Self::Address => "address",
        }
    }
}

/// Every definition and use of one load.
#[derive(Default)]
pub(crate) struct Register {
    defined: BTreeMap<(Kind, String), Place>,
    used: Vec<(Kind, String, Place)>,
}

impl Register {
    /// Notes a definition; the second of a name is a fault.
    pub(crate) fn define(&mut self, kind: Kind, name: &str, place: Place) -> Option<Problem> {
        let key = (kind, name.to_owned());
        if let Some(first) = self.defined.get(&key) {
            let (line, _) = first.line_and_column();
            let file = first.source.path.display();
            let message = format!("{} `{name}` is defined twice", kind.word());
            return Some(
                Problem::fault(place, message).help(format!("the first is at {file}:{line}; rename or remove one")),
            );
        }
        self.defined.insert(key, place);
        None
    }

    /// Where a name is defined.
    pub(crate) fn place(&self, kind: Kind, name: &str) -> Option<&Place> {
        self.defined.get(&(kind, name.to_owned()))
    }

    /// Notes a use, resolved at the end.
    pub(crate) fn refer(&mut self, kind: Kind, name: &str, place: Place) {
        self.used.push((kind, name.to_owned(), place));
    }

    /// A fault for every use without a definition.
    pub(crate) fn resolve(self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (kind, name, place) in self.used {
            if self.defined.contains_key(&(kind, name.clone())) {
                continue;
            }
            let known: Vec<&str> = self.defined.keys().filter(|key| key.0 == kind).map(|key| key.1.as_str()).collect();
            let problem = Problem::fault(place, format!("there is no {} `{name}`", kind.word()));
            problems.push(problem.help(match nearest(&name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => format!("no {} is defined", kind.word()),
                None => format!("known: {}", known.join(", ")),
            }));
        }
        problems
    }
}
