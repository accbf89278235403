//! When a certificate is to be renewed.

use std::time::{Duration, SystemTime};

use siphasher::sip::SipHasher13;

use crate::held::Held;

/// What is known of when a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The authority's own word (RFC 9773 §4.2): some time between these.
    Told(SystemTime, SystemTime),
    /// Nothing: at two thirds of its life, as authorities advise.
    Own,
}

/// A twentieth of its life, by which certificates got at once are renewed apart.
const SPREAD: u32 = 20;

/// Whether a certificate is to be renewed now. The time within its window is chosen once, by what it is.
#[must_use]
pub fn due(held: &Held, renewal: Renewal, now: SystemTime) -> bool {
    let (from, to) = match renewal {
        // RFC 9773 §4.2: "end ... MUST be greater than ... start": another is none.
        Renewal::Told(from, to) if from < to => (from, to),
        Renewal::Told(..) | Renewal::Own => {
            let life = held.until.duration_since(held.from).unwrap_or_default();
            (held.from + life * 2 / 3 - life / SPREAD, held.from + life * 2 / 3)
        }
    };
    let window = to.duration_since(from).unwrap_or_default();
    let share = f64::from(u32::try_from(number(held) >> 32).unwrap_or_default()) / f64::from(u32::MAX);
    let chosen = from + Duration::from_secs_f64(window.as_secs_f64() * share);
    now >= chosen || now >= held.until
}

/// The same for the same certificate, wherever it is asked.
fn number(held: &Held) -> u64 {
    let end = held.until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    SipHasher13::new().hash(format!("{} {end}", held.name).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::held::tests::made;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_certificate_is_renewed_near_two_thirds_or_when_its_authority_says() {
        let mut chosen = Vec::new();
        for number in 0..40 {
            let name = format!("{number}.shop.example");
            let held = Held::read(&name, made(&name, (0, 90))).unwrap();
            let first = |renewal| (0..=90_u32).find(|day| due(&held, renewal, held.from + DAY * *day)).unwrap();
            let own = first(Renewal::Own);
            assert!((56..=60).contains(&own), "{own}");
            chosen.push(own);
            let told = first(Renewal::Told(held.from + DAY * 10, held.from + DAY * 20));
            assert!((10..=20).contains(&told), "{told}");
            // A window that is over, and one that is none.
            assert_eq!(first(Renewal::Told(held.from - DAY * 2, held.from - DAY)), 0);
            assert_eq!(first(Renewal::Told(held.from + DAY * 20, held.from + DAY * 10)), own);
            // An authority that says too late is not waited for.
            assert_eq!(first(Renewal::Told(held.from + DAY * 200, held.from + DAY * 300)), 90);
        }
        chosen.sort_unstable();
        chosen.dedup();
        assert!(chosen.len() >= 3, "they are spread: {chosen:?}");
    }
}
