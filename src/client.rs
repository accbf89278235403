//! A small HTTP client for the commands that ask a running node.

use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use ::fleet::{Credential, HEADER, wall_clock_ms};
use bytes::Bytes;
use config::Secret;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::exit::plain;
use crate::waiting::wait_for;

/// Where the admin address is unless a config says otherwise.
pub(crate) const DEFAULT_ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9300);

/// The largest answer read: the status of 10,000 edges.
const MOST_BYTES: usize = 64 << 20;
const LIMIT: Duration = Duration::from_secs(5);

/// What a request shows.
#[derive(Clone, Debug)]
pub(crate) enum Proof {
    /// Nothing.
    None,
    /// The admin token.
    Token(Secret),
    /// A signature with the fleet's key.
    Fleet(Secret),
}

impl Proof {
    /// What an admin address is shown where it has a token.
    pub(crate) fn of(token: Option<&Secret>) -> Self {
        token.map_or(Self::None, |token| Self::Token(token.clone()))
    }
}

/// Why an admin address told nothing.
#[derive(Clone, Debug)]
pub(crate) enum AskError {
    /// It answered that it will not: the asker's mistake.
    Refused(String),
    /// It answered that it cannot.
    Failed(String),
    /// No answer.
    NobodyThere(String),
}

impl std::fmt::Display for AskError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(why) | Self::Failed(why) | Self::NobodyThere(why) => f.write_str(why),
        }
    }
}

/// Asks an admin address, from a thread without a runtime.
pub(crate) fn ask_json(address: SocketAddr, path: &str, token: Option<&Secret>) -> Result<Value, AskError> {
    let told = wait_for(fetch_json(address, path, token));
    told.unwrap_or_else(|failure| Err(AskError::NobodyThere(failure.to_string())))
}

/// Asks an admin address. A status other than 200 is the error that the answer names.
pub(crate) async fn fetch_json(address: SocketAddr, path: &str, token: Option<&Secret>) -> Result<Value, AskError> {
    get_json(address, path, &Proof::of(token)).await
}

/// Asks an admin or peer address; a status other than 200 is the error that the answer names.
pub(crate) async fn get_json(address: SocketAddr, path: &str, proof: &Proof) -> Result<Value, AskError> {
    let told = exchange(address, Request::get(path), path, (Bytes::new(), MOST_BYTES), proof).await;
    let (status, body) = told.map_err(AskError::NobodyThere)?;
    read_json(address, status, &body)
}

/// As [`ask_bytes`], for who does not mind why there is no answer.
pub(crate) async fn get_bytes(address: SocketAddr, path: &str, proof: &Proof, most: usize) -> Option<Bytes> {
    ask_bytes(address, path, proof, most).await.ok()
}

/// Asks as a node asks another; an answer of more than `most` bytes, or another than 200, is none.
///
/// # Errors
/// Why there is none.
pub(crate) async fn ask_bytes(address: SocketAddr, path: &str, proof: &Proof, most: usize) -> Result<Bytes, String> {
    match exchange(address, Request::get(path), path, (Bytes::new(), most), proof).await? {
        (StatusCode::OK, body) => Ok(body),
        (status, _) => Err(format!("{address} answers {status}")),
    }
}

/// Tells an admin or peer address something.
pub(crate) async fn post_json(
    address: SocketAddr,
    path: &str,
    body: Vec<u8>,
    proof: &Proof,
) -> Result<Value, AskError> {
    let post = Request::post(path).header("content-type", "application/json");
    let told = exchange(address, post, path, (Bytes::from(body), MOST_BYTES), proof).await;
    let (status, body) = told.map_err(AskError::NobodyThere)?;
    read_json(address, status, &body)
}

fn read_json(address: SocketAddr, status: StatusCode, body: &Bytes) -> Result<Value, AskError> {
    let value: Option<Value> = serde_json::from_slice(body).ok();
    let error = value.as_ref().and_then(|value| value.get("error")).and_then(Value::as_str);
    match (status, error, value.as_ref()) {
        (StatusCode::OK, _, Some(value)) => Ok(value.clone()),
        (_, Some(error), _) if status.is_server_error() => Err(AskError::Failed(error.to_owned())),
        (_, Some(error), _) => Err(AskError::Refused(error.to_owned())),
        _ => Err(AskError::Failed(format!("{address} answered {status}: {}", String::from_utf8_lossy(body).trim()))),
    }
}

/// Fetches a path whole.
pub(crate) async fn fetch(
    address: SocketAddr,
    path: &str,
    token: Option<&Secret>,
) -> Result<(StatusCode, Bytes), String> {
    exchange(address, Request::get(path), path, (Bytes::new(), MOST_BYTES), &Proof::of(token)).await
}

async fn exchange(
    address: SocketAddr,
    request: http::request::Builder,
    path: &str,
    (body, most): (Bytes, usize),
    proof: &Proof,
) -> Result<(StatusCode, Bytes), String> {
    let exchange = async {
        let stream = TcpStream::connect(address).await.map_err(|error| format!("{address}: {}", plain(&error)))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
        let driven = tokio::spawn(connection);
        let mut request = request.header("host", address.to_string());
        match proof {
            Proof::None => {}
            Proof::Token(token) => {
                request = request.header("authorization", [b"Bearer ", token.as_bytes()].concat());
            }
            Proof::Fleet(key) => {
                let method = request.method_ref().cloned().unwrap_or_default();
                let nonce = RandomState::new().hash_one(path);
                request =
                    request.header(HEADER, Credential::sign(key, wall_clock_ms(), nonce, method.as_str(), path, &body));
            }
        }
        let request = request.body(Full::new(body));
        let response = sender.send_request(request.map_err(|error| error.to_string())?).await;
        let response = response.map_err(|error| format!("{address}: the request broke off: {error}"))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect().await;
        let body = body.map_err(|error| format!("{address}: the answer broke off: {error}"))?;
        driven.abort();
        Ok((status, body.to_bytes()))
    };
    tokio::time::timeout(LIMIT, exchange).await.map_err(|_| format!("{address} did not answer in time"))?
}
