//! A name server to be asked anything: two PoPs, two sites, a zone with one of each kind of name.

use std::fs;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use dns::{Arrival, Fast, Transport, View};

/// What is asked.
pub static VIEW: LazyLock<Arc<View>> = LazyLock::new(|| Arc::new(view()));

const NETWORK: &str = r#"
zone = "cdn.example"
[[nameserver]]
id = "ns1"
addresses = ["192.0.2.53"]
[[pop]]
id = "fra"
location = [50.1, 8.7]
[[pop.edge]]
id = "fra-1"
addresses = ["198.18.1.1"]
[[pop]]
id = "nrt"
location = [35.7, 139.7]
[[pop.edge]]
id = "nrt-1"
addresses = ["198.18.2.1", "2001:db8::1"]
"#;
const SITE: &str = "hosts = [\"shop.example\", \"*.img.shop.example\"]\n[origin]\nservers = [\"http://192.0.2.80\"]\n";
const ZONE: &str = "$TTL 1h\n@ SOA ns1 h 1 2h 1h 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\nwww CNAME shop.cdn.example.\n\
                    old DNAME cdn.example.\n*.w TXT wild\nsub NS ns.sub\nns.sub A 192.0.2.3\n";

fn view() -> View {
    let dir = tempfile::tempdir().expect("a directory can be made");
    for (name, text) in [("hither.toml", NETWORK), ("sites/shop.toml", SITE), ("zones/shop.example", ZONE)] {
        let path = dir.path().join(name);
        let folder = path.parent().unwrap_or(dir.path());
        fs::create_dir_all(folder).and_then(|()| fs::write(&path, text)).expect("a file can be written there");
    }
    let config = config::load(dir.path()).expect("the config is right").config;
    let world = dns::geo::load(&config.network.geo, None, SystemTime::now()).expect("countries are built in");
    let ground = (&world.geography, &world.regions);
    View::build(&config, ground, &Arc::default(), None).expect("its zones are right")
}

/// Asks both ways, by datagram and connection: what is answered can be sent, and the fast path, once it knows, answers alike.
///
/// # Panics
/// It does not.
pub fn ask(message: &[u8]) {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let resolver = IpAddr::from([81, 2, 3, 4]);
    for transport in [Transport::Udp, Transport::Tcp] {
        let arrival = Arrival { resolver, transport, at };
        let Some(reply) = VIEW.answer(message, &arrival) else { continue };
        let sent = match transport {
            Transport::Udp => reply.to_udp(),
            _ => reply.to_tcp().map(|framed| framed.into_iter().skip(2).collect()),
        };
        let sent = sent.expect("a reply can be written");
        assert_eq!(sent.first_chunk::<2>(), message.first_chunk::<2>(), "the id is the query's");
        assert!(transport == Transport::Tcp || sent.len() <= 1_232);
        let mut fast = Fast::new(Arc::clone(&VIEW), at);
        fast.learn(&VIEW, message, &arrival, &reply);
        let mut out = vec![0; usize::from(u16::MAX)];
        if let Some(answered) = fast.answer(message, (resolver, transport), &mut out) {
            let alike = out.get(..answered.length).map(<[u8]>::to_ascii_lowercase);
            // In the asker's case names may be compressed less.
            let is_lower = !message.iter().any(u8::is_ascii_uppercase);
            assert!(!is_lower || alike == Some(sent.to_ascii_lowercase()), "both ways answer alike");
        }
    }
}
