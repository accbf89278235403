//! How much a PoP takes, and at what price it takes more.

/// What a PoP takes of the traffic that is placed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Its units stay whatever its load; others come while there is room.
    Forced(Room),
    /// Takes what there is room for.
    Open(Room),
    /// Overloaded by measurement: keeps what there is room for, and nothing new comes.
    Full(Room),
    /// Takes nothing: dead, or drained.
    Closed,
}

/// Room in a PoP, in traffic per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Room {
    /// What it is filled to.
    pub load: f64,
    /// What it can carry at all.
    pub capacity: f64,
}

/// Up to this price, in tenths of a millisecond, a PoP keeps its limit: a client is sent 200 ms further
/// sooner than that it is exceeded. Nearly the round trip to the other side of the earth, and what a page
/// loses that nobody waits for any more.
pub(super) const KNEE: f64 = 2_000.0;

/// Beyond the knee each tenth of a millisecond buys 0.02 % of the capacity: 0.75 becomes 0.95 at 300 ms. So
/// where there is more demand than room the prices stay finite and every PoP takes of the excess.
const GIVE: f64 = 0.000_2;

/// No price is higher: ten seconds.
pub(super) const HIGHEST: f64 = 100_000.0;

impl Limit {
    pub(super) fn room(&self) -> Room {
        match self {
            Self::Forced(room) | Self::Open(room) | Self::Full(room) => *room,
            Self::Closed => Room { load: 0.0, capacity: 0.0 },
        }
    }
}

impl Room {
    /// The load that a price allows.
    pub(super) fn load_at(self, price: f64) -> f64 {
        self.load + self.capacity * GIVE * (price - KNEE).max(0.0)
    }

    /// The least price that allows a load.
    pub(super) fn price_of(self, load: f64) -> f64 {
        if load <= self.load {
            return 0.0;
        }
        let price = KNEE + (load - self.load) / (self.capacity * GIVE);
        if price.is_finite() { price.min(HIGHEST) } else { HIGHEST }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_the_knee_a_price_buys_room() {
        let room = Room { load: 75.0, capacity: 100.0 };
        for (price, load) in [(0.0, 75.0), (KNEE, 75.0), (3_000.0, 95.0)] {
            assert!((room.load_at(price) - load).abs() < 1e-9, "{price}");
        }
        for (load, price) in [(0.0, 0.0), (75.0, 0.0), (95.0, 3_000.0), (1e9, HIGHEST)] {
            assert!((room.price_of(load) - price).abs() < 1e-9, "{load}");
        }
        assert_eq!(Room { load: 0.0, capacity: 0.0 }.price_of(1.0), HIGHEST);
    }
}
