//! What nodes tell who gathers, and what is remembered of it. Pure: times come in.

use std::collections::{BTreeMap, HashSet};

use config::limits;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use telemetry::Counted;

use super::flows::Flow;
use super::overview::Hearing;

/// What a node tells who gathers.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Sample {
    /// What it tells of itself.
    pub status: Value,
    /// Its counters.
    pub counted: Counted,
    /// Where its queries came from, of the last seconds.
    pub flows: Vec<Flow>,
}

/// What came of asking a node.
#[derive(Clone, Debug)]
pub enum Heard {
    /// It has told this.
    Told(Box<Sample>),
    /// It has not: why.
    Silent(String),
    /// It does not run on this machine, where it would be looked for; whether it ever has.
    NotRunning {
        /// Whether it ever has.
        ran_here: bool,
    },
}

/// What is remembered of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remembered {
    /// What it told last.
    pub(crate) sample: Option<Box<Sample>>,
    heard_at_ms: Option<u64>,
    /// Why it was not heard in the last round.
    pub(crate) silent: Option<String>,
    ran_here: Option<bool>,
}

/// What is remembered of every node of a fleet.
#[derive(Debug, Default)]
pub(crate) struct Memory(BTreeMap<String, Remembered>);

impl Memory {
    /// Takes in what came of asking a node.
    pub(crate) fn hear(&mut self, node: &str, heard: Heard, now_ms: u64) {
        let known = self.0.entry(node.to_owned()).or_default();
        match heard {
            Heard::Told(sample) if sample.status.get("id").and_then(Value::as_str) == Some(node) => {
                *known = Remembered { sample: Some(sample), heard_at_ms: Some(now_ms), silent: None, ran_here: None };
            }
            // Two nodes of one machine may have the same address.
            Heard::Told(_) => known.silent = Some("another node answers at its address".to_owned()),
            Heard::Silent(why) => (known.silent, known.ran_here) = (Some(clipped(&why)), None),
            Heard::NotRunning { ran_here } => {
                known.silent = Some("it does not run here".to_owned());
                known.ran_here = Some(ran_here);
            }
        }
    }

    /// Forgets nodes that the config no longer has.
    pub(crate) fn keep(&mut self, is_known: impl Fn(&str) -> bool) {
        self.0.retain(|node, _| is_known(node));
    }

    /// Those that were not heard in the last round.
    pub(crate) fn silent(&self) -> HashSet<String> {
        self.0.iter().filter(|(_, known)| known.silent.is_some()).map(|(node, _)| node.clone()).collect()
    }

    pub(crate) fn of(&self, node: &str) -> Option<&Remembered> {
        self.0.get(node)
    }

    /// Every node's last word, reached now or not.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (&str, &Sample)> {
        self.0.iter().filter_map(|(node, known)| Some((node.as_str(), known.sample.as_deref()?)))
    }

    /// The words of those that were heard in the last round.
    pub(crate) fn reached(&self) -> impl Iterator<Item = (&str, &Sample)> {
        let reached = self.0.iter().filter(|(_, known)| known.silent.is_none());
        reached.filter_map(|(node, known)| Some((node.as_str(), known.sample.as_deref()?)))
    }

    /// The word of one that was heard in the last round.
    pub(crate) fn word(&self, node: &str) -> Option<&Sample> {
        self.0.get(node).filter(|known| known.silent.is_none())?.sample.as_deref()
    }

    pub(crate) fn hearing(&self, node: &str, now_ms: u64) -> Hearing {
        let Some(known) = self.0.get(node) else {
            return Hearing { unreachable: true, ..Hearing::default() };
        };
        let unreachable = known.silent.is_some() || known.sample.is_none();
        Hearing {
            unreachable,
            heard_ms: known.heard_at_ms.map(|heard| now_ms.saturating_sub(heard)),
            stale: unreachable && known.sample.is_some(),
        }
    }

    /// What a node tells of itself, with when it was heard.
    pub(crate) fn node(&self, node: &str, now_ms: u64) -> Value {
        let known = self.0.get(node);
        let status = known.and_then(|known| known.sample.as_ref()).map(|sample| sample.status.clone());
        let mut fields = match status {
            Some(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let hearing = self.hearing(node, now_ms);
        fields.insert("id".to_owned(), node.into());
        fields.insert("heard_ms".to_owned(), hearing.heard_ms.into());
        fields.insert("unreachable".to_owned(), hearing.unreachable.into());
        fields.insert("stale".to_owned(), hearing.stale.into());
        match known.map(|known| (known.ran_here, &known.silent)) {
            Some((Some(ran_here), _)) => {
                fields.insert("ran_here".to_owned(), ran_here.into());
            }
            Some((None, Some(why))) => {
                fields.insert("silent".to_owned(), true.into());
                fields.insert("why".to_owned(), why.as_str().into());
            }
            Some((None, None)) | None => {}
        }
        Value::Object(fields)
    }
}

impl Remembered {
    /// A field of what it told of itself.
    pub(crate) fn field(&self, path: &[&str]) -> Option<&Value> {
        let status = &self.sample.as_ref()?.status;
        path.iter().try_fold(status, |value, key| value.get(key)).filter(|value| !value.is_null())
    }

    pub(crate) fn number(&self, path: &[&str]) -> Option<u64> {
        self.field(path)?.as_u64()
    }

    pub(crate) fn is_so(&self, path: &[&str]) -> bool {
        self.field(path).and_then(Value::as_bool) == Some(true)
    }

    pub(crate) fn text(&self, path: &[&str]) -> Option<String> {
        self.field(path)?.as_str().map(clipped)
    }
}

/// What a node says in words, as far as it is told further: events keep it, and every open stream is sent it.
pub(crate) fn clipped(text: &str) -> String {
    text.chars().take(limits::GATHER_LETTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(id: &str, pid: u64) -> Heard {
        Heard::Told(Box::new(Sample { status: json!({ "id": id, "pid": pid }), ..Sample::default() }))
    }

    #[test]
    fn what_was_told_last_is_kept_and_said_to_be_old() {
        let mut memory = Memory::default();
        assert!(memory.hearing("a", 0).unreachable);
        memory.hear("a", told("a", 7), 1_000);
        let hearing = |memory: &Memory, now_ms| {
            let Hearing { unreachable, heard_ms, stale } = memory.hearing("a", now_ms);
            (unreachable, heard_ms, stale)
        };
        assert_eq!(hearing(&memory, 1_300), (false, Some(300), false));
        memory.hear("a", Heard::Silent("refused".to_owned()), 2_000);
        assert_eq!(hearing(&memory, 2_000), (true, Some(1_000), true));
        let node = memory.node("a", 2_000);
        assert_eq!((&node["pid"], &node["stale"], &node["silent"]), (&json!(7), &json!(true), &json!(true)));
        assert_eq!((memory.samples().count(), memory.reached().count()), (1, 0));
        memory.hear("a", told("a", 8), 3_000);
        assert_eq!(hearing(&memory, 3_000), (false, Some(0), false));
        assert_eq!(memory.node("a", 3_000).get("silent"), None);
    }

    #[test]
    fn what_is_said_in_words_is_clipped() {
        let long = "ä".repeat(2 * limits::GATHER_LETTERS);
        let mut memory = Memory::default();
        let status = json!({ "id": "a", "refused": long });
        memory.hear("a", Heard::Told(Box::new(Sample { status, ..Sample::default() })), 0);
        let letters = |text: Option<&str>| text.map(|text| text.chars().count());
        let refused = memory.of("a").unwrap().text(&["refused"]);
        assert_eq!(letters(refused.as_deref()), Some(limits::GATHER_LETTERS));
        assert!(memory.word("a").is_some());
        memory.hear("a", Heard::Silent(long), 1_000);
        assert_eq!(letters(memory.node("a", 1_000)["why"].as_str()), Some(limits::GATHER_LETTERS));
        assert!(memory.word("a").is_none());
    }

    #[test]
    fn another_node_at_the_same_address_is_not_taken_for_it() {
        let mut memory = Memory::default();
        memory.hear("a", told("b", 7), 0);
        assert_eq!(memory.node("a", 0)["why"], "another node answers at its address");
        memory.hear("c", Heard::NotRunning { ran_here: true }, 0);
        let node = memory.node("c", 0);
        assert_eq!((&node["ran_here"], node.get("silent")), (&json!(true), None));
    }
}
