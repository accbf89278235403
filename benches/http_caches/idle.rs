//! What a server holds for a TLS connection on which nothing happens.

use std::net::TcpStream;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::servers::Server;
use crate::tls::{client, fetch};

/// Idle connections: fewer than hither lets one address have.
const IDLE: usize = 4_000;
/// Connections before: what is made once is not counted.
const BEFORE: usize = 64;
const SIZE: usize = 1 << 10;
/// A server comes to rest.
const REST: Duration = Duration::from_secs(3);

/// Lets this process, and servers it starts, have so many files open.
pub(crate) fn raise_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard).unwrap();
}

/// Resident bytes for each of many connections that have asked for something and are idle. The server must have been
/// started for this: memory that it was given back is used again.
pub(crate) fn held_bytes(server: &Server) -> f64 {
    let client = client("http/1.1");
    let open = |count: usize| -> Vec<TcpStream> {
        (0..count).map(|_| fetch(server.secure_address(), &client, SIZE).0).collect()
    };
    drop(open(BEFORE));
    std::thread::sleep(REST);
    let before = server.resident_bytes();
    let idle = open(IDLE);
    std::thread::sleep(REST);
    let held = server.resident_bytes() - before;
    held / idle.len() as f64
}
