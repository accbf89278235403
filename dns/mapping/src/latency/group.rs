//! Which prefixes are measured together.

use config::CountryCode;

use crate::place::Place;

/// A group is used with so many prefixes measured; below that its members are in a wider one.
pub const LEAST_ACTIVE: usize = 20;

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
        let south = Place::Point { latitude: -1, longitude: -1, country };
        assert_eq!(GroupKey::ladder(south, 0).next().unwrap().cell, Some((-5, -5, 5)), "cells do not meet at zero");
        let de = country.map(Place::Country).unwrap();
        assert_eq!(GroupKey::ladder(de, 0).collect::<Vec<_>>(), [GroupKey { country, cell: None, asn: None }]);
        assert_eq!(GroupKey::ladder(Place::Home, 64_500).count(), 0, "home is the operator's word");
    }
}
