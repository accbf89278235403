//! What has changed in a zone since the version before, for secondaries.

use std::collections::HashSet;
use std::sync::Arc;

use config::limits;
use hickory_server::proto::rr::{LowerName, RData, Record, RecordType, SerialNumber};

use super::{Change, Zone};

impl Zone {
    /// Makes it ready for secondaries. `before` is what was served under its name until now.
    pub(crate) fn keep_changes(&mut self, before: Option<&Self>) {
        self.names = self.nodes.keys().cloned().collect();
        self.names.sort();
        let Some(before) = before else { return };
        // A serial that stands for two contents, or a later one that is taken back, leads nowhere: who has it takes the
        // whole zone.
        self.serial_is_shared = before.serial() == self.serial() && (before.serial_is_shared || self.differs(before));
        if before.serial() > self.serial() || self.serial_is_shared || before.serial_is_shared {
            return;
        }
        self.changes.clone_from(&before.changes);
        if before.serial() < self.serial() {
            self.changes.push(Arc::new(self.change_from(before)));
        }
        let mut records = 0;
        let kept = self.changes.iter().rev().take(limits::ZONE_CHANGES).take_while(|change| {
            records += change.removed.len() + change.added.len();
            records <= limits::ZONE_CHANGED_RECORDS
        });
        let kept = kept.count();
        self.changes.drain(..self.changes.len() - kept);
    }

    /// Whether it differs from another in more than its SOA.
    pub(crate) fn differs(&self, other: &Self) -> bool {
        let change = self.change_from(other);
        !change.removed.is_empty() || !change.added.is_empty()
    }

    fn change_from(&self, before: &Self) -> Change {
        let beside = |zone: &Self, other: &Self| {
            let others: HashSet<_> = other.records().map(content).collect();
            zone.records().filter(|record| !others.contains(&content(record))).cloned().collect()
        };
        Change {
            before: before.soa.clone(),
            after: self.soa.clone(),
            removed: beside(before, self),
            added: beside(self, before),
        }
    }

    /// All its records but the SOA.
    fn records(&self) -> impl Iterator<Item = &Record> {
        let sets = self.nodes.values().flat_map(|node| node.sets.values());
        sets.flatten().filter(|record| record.record_type() != RecordType::SOA)
    }

    /// The records of one name, by its place in order; `None` past the last.
    pub(crate) fn records_of(&self, place: usize) -> Option<impl Iterator<Item = &Record>> {
        let node = self.nodes.get(self.names.get(place)?)?;
        Some(node.sets.values().flatten().filter(|record| record.record_type() != RecordType::SOA))
    }

    /// What is known of changes, oldest first.
    pub(crate) fn changes(&self) -> &[Arc<Change>] {
        &self.changes
    }

    pub(crate) fn serial(&self) -> SerialNumber {
        serial_of(&self.soa)
    }

    /// Names that its file does not say all of.
    pub(crate) fn routed_names(&self) -> impl Iterator<Item = &LowerName> {
        self.nodes.iter().filter(|(_, node)| node.routed.is_some()).map(|(name, _)| name)
    }
}

impl Change {
    pub(crate) fn before_serial(&self) -> SerialNumber {
        serial_of(&self.before)
    }
}

/// What makes a record the same as another.
fn content(record: &Record) -> (LowerName, u32, &RData) {
    (LowerName::new(&record.name), record.ttl, &record.data)
}

fn serial_of(soa: &Record) -> SerialNumber {
    match &soa.data {
        RData::SOA(soa) => SerialNumber::new(soa.serial),
        _ => SerialNumber::new(0),
    }
}
