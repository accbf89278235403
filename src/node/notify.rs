//! Telling secondaries of changed zones, again until they answer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dns::Notice;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// "60 seconds and 5 retries" are what RFC 1996 §3.6 proposes; these begin sooner and double.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const TRIES: u32 = 6;

/// Tells each secondary, in tasks of their own, from an address of ours by which it knows us.
pub(super) fn notify(notices: Vec<Notice>, listen: &[SocketAddr]) {
    for notice in notices {
        let of_family = |own: &&SocketAddr| own.is_ipv4() == notice.target.is_ipv4();
        let any: IpAddr =
            if notice.target.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let own = listen.iter().find(of_family).map_or(any, SocketAddr::ip);
        tokio::spawn(async move {
            let (zone, secondary) = (notice.zone(), notice.target);
            match tell(&notice, own).await {
                Ok(Some(0)) => tracing::info!(zone, %secondary, "a secondary has heard of the change"),
                Ok(Some(code)) => tracing::warn!(zone, %secondary, code, "a secondary refuses NOTIFY"),
                Ok(None) => tracing::warn!(zone, %secondary, "a secondary does not answer NOTIFY"),
                Err(error) => tracing::warn!(zone, %secondary, %error, "a secondary cannot be told of the change"),
            }
        });
    }
}

/// The response code with which the secondary has answered.
async fn tell(notice: &Notice, own: IpAddr) -> std::io::Result<Option<u8>> {
    let socket = UdpSocket::bind(SocketAddr::new(own, 0)).await?;
    socket.connect(notice.target).await?;
    let id = fastrand::u16(..);
    for again in 0..TRIES {
        let Some(message) = notice.message(id, fleet::wall_clock_ms() / 1_000) else { return Ok(None) };
        // Refused now may be answered later.
        let _ = socket.send(&message).await;
        let mut reply = [0; 512];
        let answered = timeout(FIRST_WAIT * 2_u32.pow(again), async {
            loop {
                match socket.recv(&mut reply).await {
                    Ok(length) => {
                        if let Some(code) = notice.answer_of(reply.get(..length).unwrap_or_default(), id) {
                            break code;
                        }
                    }
                    Err(_) => std::future::pending().await,
                }
            }
        });
        if let Ok(code) = answered.await {
            return Ok(Some(code));
        }
    }
    Ok(None)
}
