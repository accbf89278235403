//! Which prefixes are measured together.

use std::fmt;

use config::CountryCode;

use crate::place::{Place, point};

/// A group is used with so many prefixes measured; below that its members are in a wider one.
pub(super) const LEAST_ACTIVE: usize = 20;

/// Cells from narrow to wide, in tenths of a degree.
const CELLS: [i16; 3] = [5, 20, 80];

/// A group: a country, a cell of it where the place is known so well, and an AS in the narrowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// The country.
    pub country: Option<CountryCode>,
    /// South-west corner and size of the cell, tenths of a degree.
    pub cell: Option<(i16, i16, i16)>,
    /// The AS.
    pub asn: Option<u32>,
}

impl GroupKey {
    /// The groups a place may be in, the narrowest first. `asn`: 0 where it is not known.
    pub fn ladder(place: Place, asn: u32) -> impl Iterator<Item = Self> {
        let country = place.country();
        let cells: Vec<Option<(i16, i16, i16)>> = match place {
            Place::Point { latitude, longitude, .. } => {
                let corner = |size: i16| (latitude.div_euclid(size) * size, longitude.div_euclid(size) * size, size);
                CELLS.into_iter().map(|size| Some(corner(size))).collect()
            }
            Place::Country(_) => vec![None],
            Place::Home => Vec::new(),
        };
        let narrowest = cells.first().copied().filter(|_| asn > 0);
        let with_asn = narrowest.map(|cell| Self { country, cell, asn: Some(asn) });
        with_asn.into_iter().chain(cells.into_iter().map(move |cell| Self { country, cell, asn: None }))
    }
}

/// As people read it: `DE, 0.5 degrees from 52.5 N 13.0 E, AS64500`.
impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let country = self.country.map(|country| country.to_string());
        let cell = self.cell.map(|(latitude, longitude, size)| {
            format!("{:.1} degrees from {}", f64::from(size) / 10.0, point(latitude, longitude))
        });
        let asn = self.asn.map(|asn| format!("AS{asn}"));
        let all: Vec<String> = country.into_iter().chain(cell).chain(asn).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_climb_from_narrow_to_wide() {
        let country = CountryCode::parse("DE");
        let berlin = Place::Point { latitude: 525, longitude: 134, country };
        let all: Vec<GroupKey> = GroupKey::ladder(berlin, 64_500).collect();
        assert_eq!(
            all,
            [
                GroupKey { country, cell: Some((525, 130, 5)), asn: Some(64_500) },
                GroupKey { country, cell: Some((525, 130, 5)), asn: None },
                GroupKey { country, cell: Some((520, 120, 20)), asn: None },
                GroupKey { country, cell: Some((480, 80, 80)), asn: None },
            ]
        );
        let told: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(told[0], "DE, 0.5 degrees from 52.5 N 13.0 E, AS64500");
        assert_eq!(told[3], "DE, 8.0 degrees from 48.0 N 8.0 E");
        let south = Place::Point { latitude: -1, longitude: -1, country };
        assert_eq!(GroupKey::ladder(south, 0).next().unwrap().cell, Some((-5, -5, 5)), "cells do not meet at zero");
        let de = country.map(Place::Country).unwrap();
        assert_eq!(GroupKey::ladder(de, 0).collect::<Vec<_>>(), [GroupKey { country, cell: None, asn: None }]);
        assert_eq!(GroupKey::ladder(Place::Home, 64_500).count(), 0, "home is the operator's word");
    }
}
