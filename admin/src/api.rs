//! The paths of the admin address.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use config::Secret;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use listen::{Body, Connection, Handler, Reply, full};
use serde_json::{Value, json};

use crate::guard::may_read;

/// Something that is told later.
pub type Told<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What the program knows, asked by path.
pub trait Facts: Send + Sync + 'static {
    /// Nodes, health, load, versions.
    fn status(&self) -> Told<Value>;
    /// Why a client is sent where it is for a name; an error is the asker's.
    fn explain(&self, name: String, from: IpAddr) -> Told<Result<Value, String>>;
    /// All series in the Prometheus text format.
    fn metrics(&self) -> Told<String>;
    /// What a request from elsewhere has to show, as the config has it now.
    fn token(&self) -> Option<Secret>;
}

/// Answers on the admin address.
pub struct Admin {
    facts: Arc<dyn Facts>,
}

impl Admin {
    /// Answers from these facts.
    #[must_use]
    pub fn new(facts: Arc<dyn Facts>) -> Self {
        Self { facts }
    }
}

impl Handler for Admin {
    fn serve(&self, request: Request<Incoming>, connection: Connection) -> Reply {
        let (head, _) = request.into_parts();
        if let Err(refusal) = may_read(&head, connection.peer, self.facts.token().as_ref()) {
            return Box::pin(async move { text(refusal.status(), refusal.message().to_owned()) });
        }
        let facts = Arc::clone(&self.facts);
        Box::pin(async move {
            if head.method != Method::GET {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET is known here\n".to_owned());
                response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET"));
                return response;
            }
            match head.uri.path() {
                "/" => text(StatusCode::OK, "hither admin: /status /metrics /explain?name=NAME&from=IP\n".to_owned()),
                "/metrics" => text(StatusCode::OK, facts.metrics().await),
                "/status" => json(StatusCode::OK, &facts.status().await),
                "/explain" => explain(facts.as_ref(), head.uri.query().unwrap_or_default()).await,
                _ => {
                    text(StatusCode::NOT_FOUND, "known here: /status /metrics /explain?name=NAME&from=IP\n".to_owned())
                }
            }
        })
    }
}

async fn explain(facts: &dyn Facts, query: &str) -> Response<Body> {
    let field = |name: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == name);
    let name = field("name").map(|pair| pair.1.to_owned());
    let from = field("from").and_then(|pair| pair.1.parse::<IpAddr>().ok());
    let (Some(name), Some(from)) = (name, from) else {
        return json(StatusCode::BAD_REQUEST, &json!({ "error": "write /explain?name=NAME&from=IP" }));
    };
    match facts.explain(name, from).await {
        Ok(value) => json(StatusCode::OK, &value),
        Err(error) => json(StatusCode::NOT_FOUND, &json!({ "error": error })),
    }
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn json(status: StatusCode, value: &Value) -> Response<Body> {
    answer(status, "application/json", format!("{value}\n"))
}

fn answer(status: StatusCode, kind: &'static str, body: String) -> Response<Body> {
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
