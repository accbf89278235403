//! Whether a process that has taken over serves: asked as anybody would.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use config::Config;
use http::StatusCode;
use listen::{Naming, Proxies};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::client;
use crate::node::Node;
use crate::node::proxies::Trusted;
use crate::node::sockets::{Listener, Role, wanted};

/// How long an answer may take, and how often it is asked for.
const LIMIT: Duration = Duration::from_secs(1);
const TRIES: u16 = 3;

/// Looks at every role of a node, through the sockets that its clients use.
///
/// # Errors
/// What does not answer as it should.
pub(in crate::node) async fn check(node: &Arc<Node>, config: &Config) -> Result<(), String> {
    for Listener { role, address } in wanted(config, &node.id) {
        let address = reachable(address);
        match role {
            Role::Http if node.edge.is_some() => check_edge(node, address).await?,
            Role::Dns if node.name_server.is_some() => {
                check_name_server(&config.network.zone.to_string(), address).await?;
            }
            // What answers there is the same, once a handshake is done.
            Role::Http | Role::Dns | Role::Https | Role::DnsTls | Role::DnsHttps => {}
        }
    }
    Ok(())
}

/// Where an address is reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

async fn check_edge(node: &Arc<Node>, address: SocketAddr) -> Result<(), String> {
    let trusted = Trusted(Arc::clone(node));
    let own = [address.ip(), Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    if own.iter().any(|own| trusted.at(*own) == Some(Naming::InHeader)) {
        // Whoever comes from here has to begin as a proxy does.
        return Ok(());
    }
    let (status, body) = client::fetch(address, "/.hither/health", None).await?;
    let is_drained = status == StatusCode::SERVICE_UNAVAILABLE && body == "draining\n";
    if status == StatusCode::OK || is_drained {
        return Ok(());
    }
    Err(format!("{address} answers {status} when it is asked for its health"))
}

async fn check_name_server(zone: &str, address: SocketAddr) -> Result<(), String> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let asked = async {
        let socket = UdpSocket::bind(SocketAddr::new(any, 0)).await?;
        socket.connect(address).await?;
        for id in 1..=TRIES {
            socket.send(&question(zone, id)).await?;
            let mut reply = [0; 512];
            let received = timeout(LIMIT, socket.recv(&mut reply)).await;
            if let Ok(Ok(length)) = received
                && is_answer(reply.get(..length).unwrap_or_default(), id)
            {
                return Ok(true);
            }
        }
        std::io::Result::Ok(false)
    };
    match asked.await {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!("{address} does not answer for {zone}")),
        Err(error) => Err(format!("{address} cannot be asked: {error}")),
    }
}

/// Asks for a zone's SOA (RFC 1035 §4.1).
fn question(zone: &str, id: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in zone.split('.').filter(|label| !label.is_empty()) {
        message.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 6, 0, 1]);
    message
}

/// Whether a reply to that has something in it, and no fault.
fn is_answer(reply: &[u8], id: u16) -> bool {
    let Some([first, second, flags, code, _, _, high, low]) = reply.first_chunk::<8>() else { return false };
    [*first, *second] == id.to_be_bytes() && flags & 0x80 != 0 && code & 15 == 0 && (*high, *low) != (0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_one_and_answers_are_told_from_faults() {
        let asked = question("cdn.example", 7);
        assert_eq!(asked, b"\x00\x07\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03cdn\x07example\x00\x00\x06\x00\x01");
        for (reply, is) in [
            (&[0, 7, 0x84, 0, 0, 1, 0, 1][..], true),
            (&[0, 8, 0x84, 0, 0, 1, 0, 1], false),
            (&[0, 7, 0x04, 0, 0, 1, 0, 1], false),
            (&[0, 7, 0x84, 2, 0, 1, 0, 1], false),
            (&[0, 7, 0x84, 0, 0, 1, 0, 0], false),
            (&[0, 7], false),
        ] {
            assert_eq!(is_answer(reply, 7), is, "{reply:?}");
        }
    }
}
