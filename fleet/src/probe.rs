//! One probe of one address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use config::{NodeId, Secret, limits};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream};

use crate::credential::{Credential, HEADER};
use crate::report::Report;

/// The request field in which a node that shows the fleet's credential says who it is.
pub const BY: &str = "hither-node";

/// Where health is asked.
const PATH: &str = "/.hither/health";

/// What came of a probe.
#[derive(Debug)]
pub(crate) enum Probed {
    /// 200, with a report if the credential was taken.
    Well(Option<Report>),
    /// Nobody listens.
    Refused,
    /// No answer in time.
    Timeout,
    /// Another status: the edge itself says it is not well.
    Status(StatusCode),
    /// Anything else.
    Broken,
}

impl Probed {
    /// For metrics and messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Well(_) => "ok",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::Broken => "error",
        }
    }
}

/// Asks an address for its health, on a connection of its own: that the edge accepts is part of
/// the question. With the fleet's key it says which node asks.
pub(crate) async fn probe(
    address: SocketAddr,
    shown: Option<(&Secret, &NodeId)>,
    now_ms: u64,
    limit: Duration,
) -> Probed {
    tokio::time::timeout(limit, ask(address, shown, now_ms)).await.unwrap_or(Probed::Timeout)
}

/// Asks an address for its health from one of our own, and forgets the answer: whom it visits reads the round trip, as of
/// any client, when the connection ends.
pub async fn visit(from: IpAddr, to: SocketAddr, limit: Duration) {
    let visiting = async {
        let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // Behind NAT the address is not the machine's: any will do.
        let _ = socket.bind(SocketAddr::new(from, 0));
        let stream = socket.connect(to).await?;
        exchange(stream, to, None, 0).await;
        std::io::Result::Ok(())
    };
    // Who is down is found out by name servers.
    let _ = tokio::time::timeout(limit, visiting).await;
}

async fn ask(address: SocketAddr, shown: Option<(&Secret, &NodeId)>, now_ms: u64) -> Probed {
    match TcpStream::connect(address).await {
        Ok(stream) => exchange(stream, address, shown, now_ms).await,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Probed::Refused,
        Err(_) => Probed::Broken,
    }
}

async fn exchange(stream: TcpStream, address: SocketAddr, shown: Option<(&Secret, &NodeId)>, now_ms: u64) -> Probed {
    let mut request = Request::get(PATH).header("host", address.to_string()).header("connection", "close");
    if let Some((key, by)) = shown {
        let random = u64::from(address.port()) ^ now_ms.rotate_left(20);
        request = request.header(HEADER, Credential::sign(key, now_ms, random, "GET", PATH, b""));
        request = request.header(BY, by.as_str());
    }
    let Ok(request) = request.body(Empty::<Bytes>::new()) else {
        return Probed::Broken;
    };
    let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await else {
        return Probed::Broken;
    };
    let exchange = async move {
        let Ok(response) = sender.send_request(request).await else {
            return Probed::Broken;
        };
        if response.status() != StatusCode::OK {
            return Probed::Status(response.status());
        }
        let body = Limited::new(response.into_body(), limits::HEALTH_REPORT_BYTES).collect().await;
        let report = body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
        Probed::Well(report)
    };
    // A connection that ends fails the exchange, unless that is over.
    let (probed, _) = tokio::join!(exchange, connection);
    probed
}
