//! How much of what was written a client has acknowledged.
//!
//! What the kernel took tells little of a client that reads slowly: of the megabytes that it holds a third must have gone
//! before it takes more, which is minutes at 10 KB/s. So where a timer is about to find that nothing has moved, and only
//! there, the kernel is asked what the client has.

/// What has become of bytes that the kernel took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// Acknowledged by the client.
    pub(crate) taken: u64,
    /// Not yet.
    pub(crate) held: u64,
}

/// A stream that can be asked.
pub(crate) trait Delivers {
    /// None where nobody knows, as on kernels before 4.12, or before anything was acknowledged.
    fn delivery(&self) -> Option<Delivery>;
}

/// What a client has done since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has taken enough.
    Takes,
    /// It has not, and more is held for it, as so many looks in a row have found.
    Waits(u64),
    /// There was nothing that it could have taken, or nobody knows.
    Done,
}

/// Looks at a connection, one after another.
#[derive(Debug, Default)]
pub(crate) struct Looks {
    /// What was taken by the last, where that told.
    before: Option<u64>,
    /// How many in a row have found that it waits.
    waits: u64,
}

impl Looks {
    /// Looks that are to find what is taken from now on.
    pub(crate) fn since(now: Option<Delivery>) -> Self {
        Self { before: now.map(|now| now.taken), waits: 0 }
    }

    /// Looks again: has it taken so many bytes? A first look can find none.
    pub(crate) fn look(&mut self, now: Option<Delivery>, least: u64) -> Progress {
        let before = std::mem::replace(&mut self.before, now.map(|now| now.taken));
        let more = before.zip(now).map_or(0, |(before, now)| now.taken.saturating_sub(before));
        let progress = match now.map_or(0, |now| now.held) {
            _ if more >= least => Progress::Takes,
            0 => Progress::Done,
            _ => Progress::Waits(self.waits + 1),
        };
        self.waits = if let Progress::Waits(waits) = progress { waits } else { 0 };
        progress
    }

    /// Something else has shown that it takes: how often it waits is counted anew.
    pub(crate) fn moves(&mut self) {
        self.waits = 0;
    }
}

#[cfg(test)]
impl Delivers for tokio::io::DuplexStream {
    fn delivery(&self) -> Option<Delivery> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_takes_waits_or_is_done() {
        let mut looks = Looks::default();
        for (now, expected) in [
            (Some((5_000, 9_000)), Progress::Waits(1)),
            (Some((6_000, 8_000)), Progress::Takes),
            (Some((6_999, 7_001)), Progress::Waits(1)),
            (Some((7_999, 0)), Progress::Takes),
            (Some((8_016, 0)), Progress::Done),
            (None, Progress::Done),
            (Some((90_000, 10)), Progress::Waits(1)),
            (Some((90_000, 10)), Progress::Waits(2)),
            (None, Progress::Done),
            (Some((90_000, 10)), Progress::Waits(1)),
        ] {
            let delivery = now.map(|(taken, held)| Delivery { taken, held });
            assert_eq!(looks.look(delivery, 1_000), expected, "{now:?}");
        }
    }

    #[test]
    fn what_is_known_before_counts_as_no_look() {
        let [before, now] = [5_000, 6_000].map(|taken| Some(Delivery { taken, held: 9_000 }));
        assert_eq!(Looks::since(before).look(now, 1_000), Progress::Takes);
        let mut looks = Looks::since(before);
        assert_eq!(looks.look(before, 1_000), Progress::Waits(1));
        looks.moves();
        assert_eq!(looks.look(before, 1_000), Progress::Waits(1));
        assert_eq!(Looks::since(None).look(now, 1_000), Progress::Waits(1));
    }
}
