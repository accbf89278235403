//! Telling secondaries of changed zones, again until they answer.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use dns::Notice;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// "60 seconds and 5 retries" are what RFC 1996 §3.6 proposes; these begin sooner and double.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const TRIES: u32 = 6;

/// Tells each secondary, in tasks of their own.
pub(super) fn notify(notices: Vec<Notice>) {
    for notice in notices {
        tokio::spawn(async move {
            match tell(&notice).await {
                Ok(true) => tracing::info!(zone = notice.zone(), secondary = %notice.target, "has heard of the change"),
                Ok(false) => tracing::warn!(zone = notice.zone(), secondary = %notice.target, "does not answer NOTIFY"),
                Err(error) => {
                    tracing::warn!(zone = notice.zone(), secondary = %notice.target, %error, "cannot be told")
                }
            }
        });
    }
}

/// Whether the secondary has answered.
async fn tell(notice: &Notice) -> std::io::Result<bool> {
    let any = match notice.target {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(notice.target).await?;
    let id = fastrand::u16(..);
    for again in 0..TRIES {
        let Some(message) = notice.message(id, fleet::wall_clock_ms() / 1_000) else { return Ok(false) };
        // Refused now may be answered later.
        let _ = socket.send(&message).await;
        let mut reply = [0; 512];
        let answered = timeout(FIRST_WAIT * 2_u32.pow(again), async {
            loop {
                match socket.recv(&mut reply).await {
                    Ok(length) if notice.is_answered_by(reply.get(..length).unwrap_or_default(), id) => break,
                    Ok(_) => {}
                    Err(_) => std::future::pending().await,
                }
            }
        });
        if answered.await.is_ok() {
            return Ok(true);
        }
    }
    Ok(false)
}
