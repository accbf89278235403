//! Resolving an origin's name, and refusing addresses inside the operator's network.

use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use crate::error::FetchError;
use crate::reach::Reach;

/// The system's resolver behind the check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resolver(pub(crate) Reach);

impl Service<Name> for Resolver {
    type Response = IntoIter<SocketAddr>;
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FetchError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await.map_err(|_| FetchError::DnsError)?;
            let all: Vec<SocketAddr> = found.collect();
            let allowed: Vec<SocketAddr> = all.iter().copied().filter(|address| reach.allows(address.ip())).collect();
            match (allowed.is_empty(), all.is_empty()) {
                (false, _) => Ok(allowed.into_iter()),
                (true, true) => Err(FetchError::DnsError),
                (true, false) => Err(FetchError::DestinationIpProhibited),
            }
        })
    }
}
