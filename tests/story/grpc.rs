//! gRPC through an edge, between programs that are not ours.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Process, run, runtime, wait_for};
use crate::tls::Secured;
use crate::upgrades::{move_origin, python};

#[test]
fn grpc_goes_through_with_its_trailers_and_both_ways_at_once() {
    runtime().block_on(async {
        let site = Secured::new(197, "", "").await;
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let [python, script] = python("tests/story/grpc_peer.py");
        let mut command = Command::new(&python);
        command.args([&script, "serve", &address.port().to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
        let _origin = Process(command.spawn().unwrap());
        wait_for(Duration::from_secs(20), "the origin listens", || {
            TcpStream::connect(address).map_err(|error| error.to_string())
        });
        move_origin(&site, &format!("servers = [\"http://{address}\"]\nhttp2 = true"));
        let _edge = site.network.start("one-1");
        let ip = site.network.edge.ip().to_string();
        let said = tokio::task::block_in_place(|| run(&python, &[&script, "ask", &ip, "8143", &site.authority]));
        let talk = "one: b'hello' at the end\nlarge: True\nfail: NOT_FOUND there is no such thing\n\
                    nothing: UNIMPLEMENTED Method not found!\nmany: 1000 b'word 999'\ntalk: True OK\n";
        assert_eq!(said, talk);
    });
}
