//! Connecting to the first of a server's addresses that takes it: "happy eyeballs" (RFC 8305).
//!
//! ```text
//! IPv6 ├───────────────────────────────── … dropped
//! IPv4 ···250 ms···├──────────┤ connected
//! IPv6 ···················250 ms···├───── … dropped
//! ```

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use config::limits;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::error::FetchError;

/// How long an attempt is alone: RFC 8305 §8, "Connection Attempt Delay".
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to the first address that takes it, in time. Each attempt begins a little after the one before it, or at once
/// where one fails; those that come too late are dropped. The kernel ends the connection where the
/// other side takes nothing for so long.
pub(crate) async fn dial(
    addresses: &[SocketAddr],
    until: Instant,
    takes_nothing: Option<Duration>,
) -> Result<TcpStream, FetchError> {
    let stream = race(order(addresses), until, TcpStream::connect).await?;
    tune(&stream, takes_nothing);
    Ok(stream)
}

/// Without these options a request is only slower, and a dead machine noticed later: what fails is left as it is.
fn tune(stream: &TcpStream, takes_nothing: Option<Duration>) {
    let _: io::Result<()> = stream.set_nodelay(true);
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(limits::ORIGIN_KEEPALIVE)
        .with_interval(limits::ORIGIN_KEEPALIVE_AGAIN)
        .with_retries(limits::ORIGIN_KEEPALIVE_TRIES);
    let _: io::Result<()> = socket.set_tcp_keepalive(&keepalive);
    let _: io::Result<()> = socket.set_tcp_user_timeout(takes_nothing);
}

/// One family after the other in turn, IPv6 first; each in its own order (RFC 8305 §4).
fn order(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let (mut first, mut second) =
        (addresses.iter().filter(|at| at.is_ipv6()), addresses.iter().filter(|at| at.is_ipv4()));
    let mut ordered = Vec::with_capacity(addresses.len());
    while ordered.len() < addresses.len() {
        ordered.extend(first.next().into_iter().chain(second.next()).copied());
    }
    ordered
}

/// Makes attempts at each of these in turn until one goes well.
async fn race<T, F>(
    addresses: Vec<SocketAddr>,
    until: Instant,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, FetchError>
where
    F: Future<Output = io::Result<T>>,
{
    let mut rest = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failed = FetchError::DnsError;
    loop {
        attempts.extend(rest.next().map(&attempt));
        let now = Instant::now();
        let wake = match rest.len() {
            0 => until,
            others => now + delay(until.saturating_duration_since(now), others),
        };
        match timeout_at(wake, attempts.next()).await {
            Ok(Some(Ok(connected))) => return Ok(connected),
            Ok(Some(Err(error))) => failed = FetchError::of_connecting(&error),
            Ok(None) => return Err(failed),
            Err(_) if until <= Instant::now() => return Err(FetchError::ConnectionTimeout),
            Err(_) => {}
        }
    }
}

/// How long an attempt is alone where others are to follow: each of them must have its turn in the time that is left.
fn delay(left: Duration, others: usize) -> Duration {
    let turns = u32::try_from(others).unwrap_or(u32::MAX).saturating_add(1);
    ATTEMPT_DELAY.min(left / turns)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::time::sleep;

    use super::*;

    #[test]
    fn families_take_turns_and_ipv6_begins() {
        let table = [
            ("", ""),
            ("192.0.2.1:80 192.0.2.2:80", "192.0.2.1:80 192.0.2.2:80"),
            ("192.0.2.1:80 [2001:db8::1]:80", "[2001:db8::1]:80 192.0.2.1:80"),
            (
                "192.0.2.1:80 [2001:db8::1]:80 [2001:db8::2]:80 [2001:db8::3]:80",
                "[2001:db8::1]:80 192.0.2.1:80 [2001:db8::2]:80 [2001:db8::3]:80",
            ),
        ];
        let read = |text: &str| text.split_whitespace().map(|at| at.parse().unwrap()).collect::<Vec<SocketAddr>>();
        for (addresses, ordered) in table {
            assert_eq!(order(&read(addresses)), read(ordered), "{addresses}");
        }
    }

    #[test]
    fn each_address_has_its_turn_in_the_time_left() {
        for (left, others, expected) in [(5_000, 1, 250), (400, 1, 200), (900, 8, 100), (0, 3, 0)] {
            let expected = Duration::from_millis(expected);
            assert_eq!(delay(Duration::from_millis(left), others), expected, "{left} ms and {others} others");
        }
    }

    #[derive(Clone, Copy)]
    enum End {
        Connects,
        IsRefused,
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_that_connects_wins_and_none_waits_long_for_another() {
        use End::{Connects, IsRefused};
        let refused = Err(FetchError::ConnectionRefused);
        // After how many milliseconds each ends and how; which wins, and when.
        type Row<'a> = (&'a [(u64, End)], Result<u16, FetchError>, u128);
        let table: [Row<'_>; 8] = [
            (&[(20, Connects)], Ok(0), 20),
            (&[(1_000, Connects), (20, Connects)], Ok(1), 270),
            (&[(300, Connects), (100, Connects)], Ok(0), 300),
            (&[(10, IsRefused), (20, Connects)], Ok(1), 30),
            (&[(400, IsRefused), (9_000, Connects), (20, Connects)], Ok(2), 420),
            (&[(10, IsRefused), (10, IsRefused)], refused, 20),
            (&[(9_000, Connects), (9_000, Connects)], Err(FetchError::ConnectionTimeout), 5_000),
            (&[], Err(FetchError::DnsError), 0),
        ];
        for (row, (attempts, expected, took)) in table.into_iter().enumerate() {
            let ports = 0..u16::try_from(attempts.len()).unwrap();
            let addresses = ports.map(|port| SocketAddr::from(([192, 0, 2, 1], port))).collect();
            let began = Instant::now();
            let raced = race(addresses, began + Duration::from_secs(5), |address| {
                let (wait, end) = attempts[usize::from(address.port())];
                async move {
                    sleep(Duration::from_millis(wait)).await;
                    match end {
                        Connects => Ok(address.port()),
                        IsRefused => Err(io::Error::from(ErrorKind::ConnectionRefused)),
                    }
                }
            });
            assert_eq!((raced.await, began.elapsed().as_millis()), (expected, took), "row {row}");
        }
    }

    #[tokio::test]
    async fn an_address_where_nobody_listens_costs_no_time() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        // IPv6 first, where nobody listens, or where there is none at all.
        let nobody = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 1));
        let began = Instant::now();
        let stream =
            dial(&[here, nobody], began + Duration::from_secs(5), Some(limits::ORIGIN_TAKES_NOTHING)).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), here);
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap() && stream.nodelay().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(limits::ORIGIN_TAKES_NOTHING));
        assert!(began.elapsed() < ATTEMPT_DELAY, "{:?}", began.elapsed());
    }
}
