//! What of an edge only one process of a node may have, handed from one to the next.

use caching::Position;
use fleet::PurgeEntry;

use crate::purging::Witness;
use crate::shared::Shared;

impl Shared {
    /// Lets go of the log of purges and of the disk tier, for another process: from here on nothing is purged but what that
    /// one tells, and nothing is written to disk. Requests are served on. Waits for the disk; whether it has let go of all.
    #[must_use]
    pub fn release(&self) -> bool {
        let is_closed = self.store.disk.iter().all(|disk| disk.close());
        self.purging.release();
        is_closed
    }

    /// Takes up again what was let go of. Waits for the disk.
    pub fn resume(&self) {
        self.purging.resume();
        self.store.disk.iter().for_each(|disk| disk.reopen());
    }

    /// Puts purges in force that another process has written down, the last of which has this position.
    /// Whether they are.
    pub fn hear_purges(&self, last: Position, entries: &[PurgeEntry]) -> bool {
        self.purging.hear(last, entries)
    }

    /// Has another process hear of purges before they are acknowledged.
    pub fn tell_purges(&self, witness: Box<dyn Witness>) {
        self.purging.tell_to(witness);
    }
}
