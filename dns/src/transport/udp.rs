//! DNS over UDP: receive, answer, send; no task and no queue per datagram.

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use config::limits;
use tokio::net::UdpSocket;

use super::{Answer, Transport};

/// Answers datagrams until `stop` resolves. The socket is bound to one address, so that replies
/// leave from where they were asked.
pub async fn serve_udp(socket: UdpSocket, answer: Arc<dyn Answer>, stop: impl Future<Output = ()> + Send) {
    let mut buffer = vec![0_u8; limits::DNS_QUERY_BYTES];
    let serve = async {
        loop {
            // An error here is a peer's (ICMP unreachable) or passes: the socket stays good.
            let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
                tokio::task::yield_now().await;
                continue;
            };
            let Some(message) = buffer.get(..length) else {
                continue;
            };
            if peer.port() == 0 || is_reflected(peer.ip()) {
                continue;
            }
            // A panic costs its query, not the core.
            let answered = catch_unwind(AssertUnwindSafe(|| answer.answer(message, peer, Transport::Udp)));
            let reply = answered.ok().flatten();
            if let Some(bytes) = reply.and_then(|reply| reply.to_udp()) {
                // A full send buffer drops the reply, as the network would: the asker asks again.
                let _ = socket.try_send_to(&bytes, peer);
            }
        }
    };
    tokio::select! {
        () = serve => {}
        () = stop => {}
    }
}

/// Sources that no asker has: a reply would go to many or to nobody.
fn is_reflected(address: IpAddr) -> bool {
    address.is_multicast() || address.is_unspecified() || address == IpAddr::from([255, 255, 255, 255])
}
