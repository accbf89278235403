//! Where every address is, as databases say.

use crate::address::Family;
use crate::place::{Place, PlaceIndex};
use crate::runs::Run;

/// Where every address is: total runs of places, and of AS numbers where they are known.
#[derive(Debug, Default)]
pub struct Geography {
    /// Places by [`PlaceIndex`].
    pub places: Vec<Place>,
    /// IPv4, from key 0.
    pub v4: Vec<Run<PlaceIndex>>,
    /// IPv6, from key 0.
    pub v6: Vec<Run<PlaceIndex>>,
    /// AS numbers, IPv4; 0 where unknown; empty without an AS database.
    pub asn_v4: Vec<Run<u32>>,
    /// AS numbers, IPv6.
    pub asn_v6: Vec<Run<u32>>,
}

impl Geography {
    /// The place of a key and its AS, 0 where it is not known.
    #[must_use]
    pub fn find(&self, family: Family, key: u64) -> Option<(Place, u32)> {
        let (places, asns) = match family {
            Family::V4 => (&self.v4, &self.asn_v4),
            Family::V6 => (&self.v6, &self.asn_v6),
        };
        let place = self.places.get(usize::try_from(at(places, key)?).ok()?)?;
        Some((*place, at(asns, key).unwrap_or(0)))
    }
}

fn at(runs: &[Run<u32>], key: u64) -> Option<u32> {
    let next = runs.partition_point(|run| run.start <= key);
    Some(runs.get(next.checked_sub(1)?)?.value)
}
