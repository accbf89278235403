//! DNS over TCP (RFC 7766), framed and timed by hickory-server.

use std::net::SocketAddr;
use std::sync::Arc;

use config::limits;
use hickory_server::Server;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{Header, HeaderCounts, ResponseCode};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::net::TcpListener;

use super::{Answer, Transport};

/// Replies under way on one connection.
const REPLIES: usize = 32;

/// Answers connections until `stop` resolves; those open then finish their message.
///
/// # Errors
/// The listener failed.
pub async fn serve_tcp(
    listener: TcpListener,
    answer: Arc<dyn Answer>,
    stop: impl Future<Output = ()> + Send,
) -> std::io::Result<()> {
    let mut server = Server::new(Handler { answer });
    server.register_listener(listener, limits::DNS_TCP_IDLE, REPLIES);
    tokio::select! {
        result = server.block_until_done() => result.map_err(std::io::Error::other)?,
        () = stop => server.shutdown_gracefully().await.map_err(std::io::Error::other)?,
    }
    Ok(())
}

struct Handler {
    answer: Arc<dyn Answer>,
}

#[async_trait::async_trait]
impl RequestHandler for Handler {
    async fn handle_request<R: ResponseHandler, T: Time>(&self, request: &Request, mut handle: R) -> ResponseInfo {
        let peer: SocketAddr = request.src();
        let failed = || {
            let mut metadata = request.metadata;
            metadata.response_code = ResponseCode::ServFail;
            ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
        };
        let Some(reply) = self.answer.answer(request.as_slice(), peer, Transport::Tcp) else {
            return failed();
        };
        let message = reply.message;
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &message.edns {
            builder.edns(edns);
        }
        let none = std::iter::empty();
        let sections = (message.answers.iter(), message.authorities.iter(), message.additionals.iter());
        let response = builder.build(message.metadata, sections.0, sections.1, none, sections.2);
        handle.send_response(response).await.unwrap_or_else(|_| failed())
    }
}
