//! What a distance costs.

use config::Location;

/// Costs are kept in tenths of a millisecond.
pub const COST_PER_MS: f64 = 10.0;

/// Mean radius of the earth.
pub const EARTH_KM: f64 = 6_371.0;

/// Distance one millisecond of round trip covers: light in fibre goes 200 km/ms, there and back,
/// and cables are about twice the great circle.
pub const KM_PER_MS: f64 = 50.0;

/// Milliseconds that no nearness removes: last mile and equipment.
pub(crate) const LEAST_MS: f64 = 5.0;

/// Great-circle distance by the haversine formula.
#[must_use]
pub fn distance_km(a: Location, b: Location) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((b.longitude - a.longitude).to_radians() / 2.0).sin();
    let h = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
    2.0 * EARTH_KM * h.sqrt().min(1.0).asin()
}

/// Light in fibre goes 200 km in a millisecond, and a round trip there and back.
const FIBRE_KM_PER_MS: f64 = 100.0;
/// How far databases are off where they name a city, km.
const OFF_KM: f64 = 100.0;

/// The round trip below which none can be over a distance, milliseconds: light in fibre, and places that are told a
/// little wrong.
#[must_use]
pub fn least_possible_ms(distance_km: f64) -> f64 {
    ((distance_km - OFF_KM) / FIBRE_KM_PER_MS).max(0.0)
}

/// A point on the unit sphere: the angle between two is the arc cosine of their product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Direction(pub(crate) [f64; 3]);

impl Direction {
    pub(crate) fn of(location: Location) -> Self {
        let (latitude, longitude) = (location.latitude.to_radians(), location.longitude.to_radians());
        Self([latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()])
    }

    pub(crate) fn cosine(self, other: Self) -> f64 {
        let ([ax, ay, az], [bx, by, bz]) = (self.0, other.0);
        ax * bx + ay * by + az * bz
    }
}

/// The distance between directions of this cosine.
pub(crate) fn kilometres(cosine: f64) -> f64 {
    EARTH_KM * cosine.clamp(-1.0, 1.0).acos()
}

/// The round trip expected over a distance, in tenths of a millisecond; a stretched way is longer.
#[must_use]
pub fn cost(distance_km: f64, stretch: f64) -> u32 {
    cost_of_ms(distance_km / KM_PER_MS * stretch + LEAST_MS)
}

/// Milliseconds as a cost.
pub(crate) fn cost_of_ms(milliseconds: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to an hour just before")]
    let tenths = (milliseconds.clamp(0.0, 3_600_000.0) * COST_PER_MS).round() as u32;
    tenths
}

/// The farthest that costs no more.
pub(crate) fn reach_km(cost: u32, stretch: f64) -> f64 {
    (f64::from(cost) / COST_PER_MS - LEAST_MS).max(0.0) * KM_PER_MS / stretch.max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_great_circles() {
        let frankfurt = Location { latitude: 50.1155, longitude: 8.6842 };
        let tokyo = Location { latitude: 35.6895, longitude: 139.6917 };
        assert!((distance_km(frankfurt, tokyo) - 9_335.0).abs() < 30.0);
        assert!(distance_km(tokyo, tokyo) < 0.001);
        let (east, west) =
            (Location { latitude: 0.0, longitude: 179.9 }, Location { latitude: 0.0, longitude: -179.9 });
        assert!((distance_km(east, west) - 22.2).abs() < 0.5, "the date line is no border");
    }
}
