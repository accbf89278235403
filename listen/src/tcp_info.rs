//! What the kernel knows of a TCP connection (tcp(7)).
//!
//! A kernel tells as much as is asked for and no more than it has, and nix panics where that is less: what is asked for
//! is as little as each question needs.

use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use nix::sys::socket::getsockopt;

/// The round trip of a TCP connection, smoothed by the kernel over all it has acknowledged (RFC 6298); none
/// where it knows none.
#[must_use]
pub fn round_trip(socket: &impl AsFd) -> Option<Duration> {
    let rtt = getsockopt(socket, option::TcpTimes).ok()?.rtt;
    (rtt > 0).then(|| Duration::from_micros(u64::from(rtt)))
}

/// The bytes that the other side of a TCP connection has acknowledged; none where the kernel does not tell.
pub(crate) fn acknowledged(socket: &impl AsFd) -> Option<u64> {
    /// Whether this kernel tells as much: none that has this option, which is younger, does not.
    static TELLS: OnceLock<bool> = OnceLock::new();
    if !TELLS.get_or_init(|| getsockopt(socket, option::Cookie).is_ok()) {
        return None;
    }
    let acknowledged = getsockopt(socket, option::TcpBytes).ok()?.acknowledged;
    (acknowledged > 0).then_some(acknowledged)
}

mod option {
    // The macro calls itself and this one by name.
    use nix::{getsockopt_impl, libc, sockopt_impl};

    sockopt_impl!(
        /// What the kernel knows of a connection, as far as its times.
        TcpTimes,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Times
    );

    sockopt_impl!(
        /// The same as far as its bytes.
        TcpBytes,
        GetOnly,
        libc::IPPROTO_TCP,
        libc::TCP_INFO,
        Acknowledged
    );

    sockopt_impl!(
        /// A number of the connection's (socket(7)), told since Linux 4.12.
        Cookie,
        GetOnly,
        libc::SOL_SOCKET,
        libc::SO_COOKIE,
        u64
    );

    /// The first of what Linux knows of a TCP connection, which each tells since 2.6 (linux/tcp.h).
    #[expect(unreachable_pub, reason = "the option that the macro makes is public, too")]
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    pub struct Times {
        states: [u8; 8],
        before: [u32; 15],
        /// Smoothed, in microseconds.
        pub(super) rtt: u32,
        after: [u32; 8],
    }

    /// More of it, told since 4.1.
    #[expect(unreachable_pub, reason = "the option that the macro makes is public, too")]
    #[repr(C)]
    #[derive(Clone, Copy, Debug)]
    pub struct Acknowledged {
        before: [u64; 15],
        /// Bytes.
        pub(super) acknowledged: u64,
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::option::{Acknowledged, Times};

    #[test]
    fn what_is_asked_for_every_kernel_has() {
        assert_eq!((size_of::<Times>(), offset_of!(Times, rtt)), (104, 68));
        assert_eq!(offset_of!(Times, rtt), offset_of!(nix::libc::tcp_info, tcpi_rtt));
    }

    #[test]
    fn the_bytes_are_where_the_kernel_has_them() {
        // libc's own `tcp_info` is older.
        assert_eq!((size_of::<Acknowledged>(), offset_of!(Acknowledged, acknowledged)), (128, 120));
    }
}
