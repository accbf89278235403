//! How much of what was written a client has acknowledged.
//!
//! What the kernel took tells little of a client that reads slowly: of the megabytes that it holds a third must have gone
//! before it takes more, which is minutes at 10 KB/s. So where a timer is about to find that nothing has moved, and only
//! there, the kernel is asked what the client has.

use std::os::fd::AsFd;
use std::sync::OnceLock;

use nix::sys::socket::getsockopt;

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

mod option {
    // The macro calls itself and this one by name.
    use nix::{getsockopt_impl, libc, sockopt_impl};

    sockopt_impl!(
        /// A number of the connection's (socket(7)), told since Linux 4.12.
        Cookie,
        GetOnly,
        libc::SOL_SOCKET,
        libc::SO_COOKIE,
        u64
    );

    sockopt_impl!(
        /// What the kernel knows of a TCP connection (tcp(7)).
        TcpInfo,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Known
    );

    /// The first of what Linux knows of a TCP connection since 4.1 (linux/tcp.h).
    #[expect(unreachable_pub, reason = "the option that the macro makes is public, too")]
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    pub struct Known {
        before: [u64; 15],
        /// Bytes.
        pub(super) acknowledged: u64,
    }
}

/// The bytes that the other side of a TCP connection has acknowledged; none where the kernel does not tell.
pub(crate) fn acknowledged(socket: &impl AsFd) -> Option<u64> {
    /// Whether this kernel tells as much: nix panics at one that tells less than is asked for, and none that has this
    /// option, which is younger, does.
    static TELLS: OnceLock<bool> = OnceLock::new();
    if !TELLS.get_or_init(|| getsockopt(socket, option::Cookie).is_ok()) {
        return None;
    }
    let acknowledged = getsockopt(socket, option::TcpInfo).ok()?.acknowledged;
    (acknowledged > 0).then_some(acknowledged)
}

#[cfg(test)]
impl Delivers for tokio::io::DuplexStream {
    fn delivery(&self) -> Option<Delivery> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::option::Known;
    use super::*;

    #[test]
    fn the_field_is_where_the_kernel_has_it() {
        // libc's own `tcp_info` is older.
        assert_eq!((std::mem::size_of::<Known>(), std::mem::offset_of!(Known, acknowledged)), (128, 120));
    }

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
