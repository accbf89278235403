//! Which servers are asked, and what they are shown.

use std::sync::Mutex;

use config::{ClientCertificate, OriginProbe, Secret};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

async fn good(mut stream: TcpStream, _: usize) {
    while read_until(&mut stream, "\r\n\r\n").await {
        say(&mut stream, OK).await;
    }
}

#[tokio::test]
async fn a_server_that_fails_costs_nothing_and_is_left_alone_until_a_trial() {
    let (bad, other) = (refusing().await, TestOrigin::new(good).await);
    let origin = origin(&[bad, other.address], Scheme::Http);
    let servers = Servers::new("shop", &origin);
    let fetchers: [Fetcher; 2] = std::array::from_fn(|_| {
        Fetcher::with(&origin, Arc::clone(&servers), TIMES, &tls::of(&origin).unwrap(), Places::of_all())
    });
    let ask = async |number: usize| status(fetchers[number % 2].fetch(&head("GET"), None).await).await;
    for number in 0..limits::ORIGIN_FALL as usize {
        assert!(!servers.fare()[0].is_left_alone, "{number}");
        assert_eq!(ask(number).await, Ok(StatusCode::OK), "{number}");
    }
    assert!(servers.fare()[0].is_left_alone && !servers.fare()[1].is_left_alone, "cores tell each other");
    let back = TestOrigin::on(TcpListener::bind(bad).await.unwrap(), good);
    for number in 0..20 {
        assert_eq!(ask(number).await, Ok(StatusCode::OK), "{number}");
    }
    assert_eq!(back.connections(), 0, "it is left alone");
    sleep(limits::ORIGIN_OPEN_FIRST).await;
    for number in 0..20 {
        assert_eq!(ask(number).await, Ok(StatusCode::OK), "{number}");
    }
    assert_eq!(back.connections(), 2, "each core has one to it again");
    assert_eq!(servers.fare().iter().filter(|one| one.is_left_alone).count(), 0);
}

#[tokio::test]
async fn a_response_tells_which_server_has_sent_it() {
    let (bad, other) = (refusing().await, TestOrigin::new(good).await);
    let fetched = fetcher(&[bad, other.address]).fetch(&head("GET"), None).await.unwrap();
    assert_eq!(&**fetched.body().server(), format!("http://{}", other.address));
}

#[tokio::test]
async fn trying_again_that_goes_well_costs_no_budget() {
    let bad = TestOrigin::new(|stream, _| async move { drop(stream) }).await;
    let fetcher = fetcher(&[bad.address, TestOrigin::new(good).await.address]);
    for number in 0..2 * limits::ORIGIN_RETRIES {
        assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK), "{number}");
    }
    assert_eq!(bad.connections(), 2 * limits::ORIGIN_RETRIES as usize);
}

#[tokio::test]
async fn what_probes_take_out_is_asked_where_nobody_else_takes_it() {
    let (unwell, gone) = (TestOrigin::new(good).await, refusing().await);
    let mut origin = origin(&[unwell.address, gone], Scheme::Http);
    origin.probe = Some(probe());
    let servers = Servers::new("shop", &origin);
    servers.judge(servers.get(0).unwrap(), Health::Down);
    let fetcher = Fetcher::with(&origin, Arc::clone(&servers), TIMES, &tls::of(&origin).unwrap(), Places::of_all());
    for _ in 0..limits::ORIGIN_FALL {
        let fetched = fetcher.fetch(&head("GET"), None).await;
        assert_eq!(status(fetched).await, Err(FetchError::ConnectionRefused), "the other is well, as far as is known");
    }
    assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn what_probes_once_said_is_nothing_to_a_site_without_any() {
    let (unwell, other) = (TestOrigin::new(good).await, TestOrigin::new(good).await);
    let origin = origin(&[unwell.address, other.address], Scheme::Http);
    let servers = Servers::new("shop", &origin);
    servers.judge(servers.get(0).unwrap(), Health::Down);
    let fetcher = Fetcher::with(&origin, servers, TIMES, &tls::of(&origin).unwrap(), Places::of_all());
    assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
    assert_eq!((unwell.connections(), other.connections()), (1, 0));
}

#[tokio::test]
async fn a_server_that_uses_up_the_time_for_the_whole_is_left_alone() {
    // It accepts, and never shakes hands.
    let silent = TestOrigin::new(|mut stream, _| async move { _ = stream.read_to_end(&mut Vec::new()).await }).await;
    let key = tls_key();
    let good = tls_origin(&key).await;
    let origin = origin(&[silent.address, good.address], Scheme::Https);
    let times = Times { total: Some(Duration::from_millis(200)), ..TIMES };
    let servers = Servers::new("shop", &origin);
    let fetcher = Fetcher::with(&origin, Arc::clone(&servers), times, &trusting(&key), Places::of_all());
    for _ in 0..limits::ORIGIN_FALL {
        let fetched = fetcher.fetch(&head("GET"), None).await;
        assert_eq!(status(fetched).await, Err(FetchError::HttpResponseTimeout));
    }
    assert!(servers.fare()[0].is_left_alone && !servers.fare()[1].is_left_alone);
    assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
}

#[tokio::test]
async fn what_may_be_one_url_s_fault_takes_no_server_out() {
    let server = TestOrigin::new(|stream, _| async move { drop(stream) }).await;
    let origin = origin(&[server.address], Scheme::Http);
    let fetcher = of(&origin);
    for _ in 0..3 * limits::ORIGIN_FALL {
        let fetched = fetcher.fetch(&head("GET"), None).await;
        assert_eq!(status(fetched).await, Err(FetchError::ConnectionTerminated));
    }
}

#[tokio::test]
async fn where_every_server_is_left_alone_nobody_waits() {
    let fetcher = fetcher(&[refusing().await]);
    for _ in 0..limits::ORIGIN_FALL {
        let fetched = fetcher.fetch(&head("GET"), None).await;
        assert_eq!(status(fetched).await, Err(FetchError::ConnectionRefused));
    }
    let fetched = fetcher.fetch(&head("GET"), None).await;
    assert_eq!(status(fetched).await, Err(FetchError::DestinationUnavailable));
}

#[tokio::test]
async fn weights_share_fetches() {
    let (spare, one, other) = (TestOrigin::new(good).await, TestOrigin::new(good).await, TestOrigin::new(good).await);
    let mut origin = origin(&[spare.address, one.address, other.address], Scheme::Http);
    origin.weights = vec![0, 3, 1];
    let fetcher = of(&origin);
    let mut held = Vec::new();
    // A response that is not read keeps its connection: each fetch needs one of its own.
    for _ in 0..40 {
        held.push(fetcher.fetch(&head("GET"), None).await.unwrap());
    }
    let [spare, one, other] = [spare, one, other].map(|server| server.connections());
    assert!(spare == 0 && one + other == 40 && (29..=31).contains(&one), "{spare} {one} {other}");
}

#[tokio::test]
async fn a_fetch_takes_no_longer_in_all_than_the_site_says() {
    let drips = TestOrigin::new(|mut stream, _| async move {
        read_until(&mut stream, "\r\n\r\n").await;
        say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n").await;
        for _ in 0..99 {
            sleep(Duration::from_millis(50)).await;
            say(&mut stream, "x").await;
        }
    })
    .await;
    let silent = TestOrigin::new(|mut stream, _| async move { _ = stream.read_to_end(&mut Vec::new()).await }).await;
    for server in [drips, silent] {
        let origin = origin(&[server.address], Scheme::Http);
        let times = Times { total: Some(Duration::from_millis(300)), ..TIMES };
        let fetcher =
            Fetcher::with(&origin, Servers::new("shop", &origin), times, &tls::of(&origin).unwrap(), Places::of_all());
        let start = Instant::now();
        let fetched = fetcher.fetch(&head("GET"), None).await;
        assert_eq!(status(fetched).await, Err(FetchError::HttpResponseTimeout));
        assert!((250..900).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn a_secret_stands_in_the_place_of_what_a_client_says() {
    let seen: Arc<Mutex<String>> = Arc::default();
    let told = Arc::clone(&seen);
    let server = TestOrigin::new(move |mut stream, _| {
        let told = Arc::clone(&told);
        async move {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            *told.lock().unwrap() = String::from_utf8_lossy(&bytes[..count]).into_owned();
            say(&mut stream, OK).await;
        }
    })
    .await;
    let mut origin = origin(&[server.address], Scheme::Http);
    origin.secret_headers = vec![(header::AUTHORIZATION, Secret::new("Bearer of-the-edges"))];
    let mut asked = head("GET");
    asked.headers.to_mut().insert(header::AUTHORIZATION, HeaderValue::from_static("Basic of-a-client"));
    assert_eq!(status(of(&origin).fetch(&asked, None).await).await, Ok(StatusCode::OK));
    let seen = seen.lock().unwrap().clone();
    assert!(seen.contains("authorization: Bearer of-the-edges\r\n") && !seen.contains("of-a-client"), "{seen}");
}

#[tokio::test]
async fn tls_is_agreed_on_by_the_address_or_the_origin_s_host() {
    let key = tls_key();
    let tls = trusting(&key);
    for host in [None, Some("www.shop.example")] {
        let server = tls_origin(&key).await;
        let mut origin = origin(&[server.address], Scheme::Https);
        origin.host = host.map(|host| DomainName::parse(host).unwrap());
        let fetcher = Fetcher::with(&origin, Servers::new("shop", &origin), TIMES, &tls, Places::of_all());
        for _ in 0..2 {
            assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
        }
        assert_eq!(server.connections(), 1);
    }
    let server = tls_origin(&key).await;
    let mut other = origin(&[server.address], Scheme::Https);
    other.host = Some(DomainName::parse("www.other.example").unwrap());
    let fetched = Fetcher::with(&other, Servers::new("shop", &other), TIMES, &tls, Places::of_all())
        .fetch(&head("GET"), None)
        .await;
    assert_eq!(status(fetched).await, Err(FetchError::TlsCertificateError));
}

/// An authority of its own, with a server's certificate and a client's.
struct Private {
    ca: String,
    server: (String, String),
    client: (String, String),
}

fn private() -> Private {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let ca = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let of = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    };
    Private { ca, server: of("www.shop.example"), client: of("edge.shop.example") }
}

/// A server that shows its certificate, and wants one of the same authority.
async fn mutual(private: &Private) -> TestOrigin {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let certificate = |text: &str| CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&private.ca)).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::from_pem_slice(private.server.1.as_bytes()).unwrap();
    let config = config.with_client_cert_verifier(verifier).with_single_cert(vec![certificate(&private.server.0)], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    TestOrigin::new(move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                read_until(&mut stream, "\r\n\r\n").await;
                say(&mut stream, OK).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_private_authority_is_trusted_alone_and_the_edge_s_certificate_shown() {
    let private = private();
    let server = mutual(&private).await;
    let fetched = async |ca: bool, client: bool| {
        let mut origin = origin(&[server.address], Scheme::Https);
        origin.host = DomainName::parse("www.shop.example").ok();
        origin.ca = ca.then(|| Secret::new(&private.ca));
        let (cert, key) = (Secret::new(&private.client.0), Secret::new(&private.client.1));
        origin.client = client.then_some(ClientCertificate { cert, key });
        status(of(&origin).fetch(&head("GET"), None).await).await
    };
    assert_eq!(fetched(true, true).await, Ok(StatusCode::OK));
    assert_eq!(fetched(false, true).await, Err(FetchError::TlsCertificateError));
    assert!(fetched(true, false).await.is_err(), "no certificate is shown");
}

#[test]
fn files_that_are_no_certificates_are_told() {
    let private = private();
    let told = |ca: Option<&str>, client: Option<(&str, &str)>| {
        let mut origin = origin(&[], Scheme::Https);
        origin.ca = ca.map(Secret::new);
        origin.client = client.map(|(cert, key)| ClientCertificate { cert: Secret::new(cert), key: Secret::new(key) });
        tls::of(&origin).err().map(|unfit| unfit.key)
    };
    let (cert, key) = (private.client.0.as_str(), private.client.1.as_str());
    assert_eq!(told(Some(&private.ca), Some((cert, key))), None);
    assert_eq!(told(Some("sixteen characters"), None), Some("ca"));
    assert_eq!(told(Some(key), None), Some("ca"));
    assert_eq!(told(None, Some((cert, cert))), Some("client.key"));
    assert_eq!(told(None, Some((key, key))), Some("client.cert"));
    assert_eq!(told(None, Some((cert, &private.server.1))), Some("client"), "not each other's");
}

fn probe() -> OriginProbe {
    let second = Duration::from_secs(1);
    OriginProbe { path: "/health".to_owned(), interval: second, timeout: second, fall: 3, rise: 2 }
}

#[tokio::test]
async fn probes_take_a_server_out_and_bring_it_back() {
    let is_well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let told = Arc::clone(&is_well);
    let server = TestOrigin::new(move |mut stream, _| {
        let told = Arc::clone(&told);
        async move {
            let is_asked = read_until(&mut stream, "GET /health HTTP/1.1\r\nhost: ").await;
            let status = if told.load(Ordering::Relaxed) { "204 No Content" } else { "503 Service Unavailable" };
            if is_asked {
                say(&mut stream, &format!("HTTP/1.1 {status}\r\n\r\n")).await;
            }
        }
    })
    .await;
    let (interval, timeout) = (Duration::from_millis(20), Duration::from_secs(1));
    let mut origin = origin(&[server.address], Scheme::Http);
    origin.probe = Some(OriginProbe { interval, timeout, ..probe() });
    let servers = Servers::new("shop", &origin);
    let watching = crate::probe::watch(&origin, &servers);
    let looking = async {
        for (well, least) in [(false, 3), (true, 2), (false, 3)] {
            is_well.store(well, Ordering::Relaxed);
            let before = server.connections();
            while servers.fare()[0].is_down == well {
                sleep(Duration::from_millis(5)).await;
            }
            assert!(server.connections() - before >= least, "{}", server.connections() - before);
        }
    };
    tokio::select! {
        _ = watching => panic!("it never ends"),
        done = tokio::time::timeout(Duration::from_secs(10), looking) => done.unwrap(),
    }
}

#[tokio::test]
async fn connections_are_ready_before_they_are_needed_and_none_is_made_in_vain() {
    let (server, gone) = (TestOrigin::new(good).await, refusing().await);
    let origin = Origin { warm: 2, ..origin(&[server.address, gone], Scheme::Http) };
    let fetcher = of(&origin);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(server.connections(), 0, "nobody has asked for anything");
    assert_eq!(status(fetcher.fetch(&head("GET"), None).await).await, Ok(StatusCode::OK));
    let start = Instant::now();
    while server.connections() < 2 && start.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(20)).await;
    }
    // A look and a half later there are enough still.
    sleep(limits::ORIGIN_WARM_PAUSE * 3 / 2).await;
    let connections = server.connections();
    assert!((2..=3).contains(&connections), "{connections}");
    // Two at once: none waits for a connection.
    let head = head("GET");
    let both = tokio::join!(fetcher.fetch(&head, None), fetcher.fetch(&head, None));
    assert_eq!((status(both.0).await, status(both.1).await), (Ok(StatusCode::OK), Ok(StatusCode::OK)));
    assert!(server.connections() <= connections + 2, "{}", server.connections());
}
