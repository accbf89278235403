//! How a request was answered.

/// How a request was answered, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// From the store, fresh.
    Hit,
    /// From the store, stale.
    Stale,
    /// Fetched, or found to hold still.
    Miss,
    /// Forwarded past the store.
    Pass,
    /// By the edge itself: a redirect, a refusal.
    Own,
    /// With an error of ours, for want of an answer.
    Error,
}

impl Answered {
    pub(crate) const ALL: [Self; 6] = [Self::Hit, Self::Stale, Self::Miss, Self::Pass, Self::Own, Self::Error];

    /// For logs and labels.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Miss => "miss",
            Self::Pass => "pass",
            Self::Own => "own",
            Self::Error => "error",
        }
    }

    /// Whether it came from the store.
    pub(crate) fn is_from_store(self) -> bool {
        matches!(self, Self::Hit | Self::Stale)
    }
}
