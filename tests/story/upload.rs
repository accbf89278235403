//! A client sends a body.

use std::fs;

use http_body_util::BodyExt;

use crate::support::{Network, Origin, OriginBody, run};

/// An origin that sends back what it is sent, as it comes.
fn echo(request: http::Request<hyper::body::Incoming>) -> http::Response<OriginBody> {
    http::Response::new(request.into_body().map_err(std::io::Error::other).boxed_unsync())
}

#[test]
fn a_body_streams_to_the_origin_however_it_is_framed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let origin = runtime.block_on(Origin::start(|_, request| echo(request)));
    let network = Network::new(91, origin.address, "");
    let _edge = network.start("one-1");
    let sent: Vec<u8> = (0..5_000_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    fs::write(network.path("sent"), &sent).unwrap();
    let (from, to) = (format!("@{}", network.path("sent").display()), network.path("got").display().to_string());
    let url = format!("http://{}/upload", network.edge);
    for (method, framing) in [
        ("POST", "Content-Type: text/plain"),
        ("PUT", "Transfer-Encoding: chunked"),
        ("POST", "Expect: 100-continue"),
        ("REPORT", "Expect:"),
    ] {
        let shown = run(
            "curl",
            &[
                "-s",
                "-m",
                "20",
                "-X",
                method,
                "-H",
                "Host: www.shop.example",
                "-H",
                framing,
                "--data-binary",
                &from,
                "-o",
                &to,
                "-w",
                "%{http_code} %{header_json}",
                &url,
            ],
        );
        assert!(shown.starts_with("200 ") && shown.contains("fwd=method"), "{method} {framing}: {shown}");
        assert_eq!(fs::read(&to).unwrap(), sent, "{method} {framing}");
    }
}
