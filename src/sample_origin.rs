//! A static file server with validators, ranges and Cache-Control by path, as a customer's origin
//! would have it; below `/echo/` it answers with the request that it got.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_staticfile::Static;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::cli::SampleOrigin;
use crate::exit::{Done, Failure};
use crate::say::say;
use crate::waiting::wait_for;

/// How long each path may be kept; what matches nothing gets the last.
const CACHE_CONTROL: [(&str, &str); 4] = [
    ("/assets/", "public, max-age=86400"),
    ("/news/", "public, max-age=10, stale-while-revalidate=30"),
    ("/private/", "private, no-store"),
    ("/", "public, max-age=60"),
];

type OriginBody = UnsyncBoxBody<Bytes, std::io::Error>;

/// Serves until it is ended. Prints each request on standard output.
pub(crate) fn run(args: &SampleOrigin) -> Done {
    wait_for(accept(args))?
}

async fn accept(args: &SampleOrigin) -> Done {
    let socket =
        listen::bind_tcp(args.listen, listen::Sharing::Alone).map_err(|error| Failure::operator(error.to_string()))?;
    let listener = TcpListener::from_std(socket).map_err(Failure::ours)?;
    let files = Static::new(&args.directory);
    let count = Arc::new(AtomicU64::new(0));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (files, count) = (files.clone(), Arc::clone(&count));
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(files.clone(), Arc::clone(&count), request));
            let mut http = hyper::server::conn::http1::Builder::new();
            let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn serve(
    files: Static,
    count: Arc<AtomicU64>,
    request: Request<Incoming>,
) -> Result<Response<OriginBody>, std::io::Error> {
    let number = count.fetch_add(1, Ordering::Relaxed) + 1;
    let path = request.uri().path().to_owned();
    say(format!("{number} {} {}", request.method(), request.uri()));
    let mut response =
        if path.contains("/echo/") { echo(&request) } else { files.serve(request).await?.map(BodyExt::boxed_unsync) };
    let rule = CACHE_CONTROL.iter().find(|(prefix, _)| path.starts_with(prefix));
    if let Some((_, value)) = rule.filter(|_| response.status().is_success() || response.status() == 304) {
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
    }
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static("sample-origin"));
    Ok(response)
}

/// The request line and fields, with the status that the path asks for.
fn echo(request: &Request<Incoming>) -> Response<OriginBody> {
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        text += &format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes()));
    }
    let status = request.uri().path().split_once("/status/").and_then(|(_, status)| status.parse().ok());
    let mut response = Response::new(Full::new(Bytes::from(text)).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status.unwrap_or(StatusCode::OK);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
