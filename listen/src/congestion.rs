//! By which congestion control a connection is sent on: the kernel's own, or the one that the operator names.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::sync::Arc;

use config::{Config, Congestion, Problem, Severity};
use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Says which congestion control new connections have; none leaves them the kernel's own. It must not wait.
pub type CongestionNow = Arc<dyn Fn() -> Option<Congestion> + Send + Sync>;

/// What this machine's kernel has, one name after the other.
const AVAILABLE: &str = "/proc/sys/net/ipv4/tcp_available_congestion_control";

/// Gives a TCP connection its congestion control.
pub(crate) fn choose(socket: &impl AsFd, congestion: &Congestion) -> io::Result<()> {
    SockRef::from(socket).set_tcp_congestion(congestion.as_str().as_bytes())
}

/// A warning where this machine's kernel does not give a connection the congestion control of a config: connections keep
/// the kernel's own then.
#[must_use]
pub fn warn_of_congestion(config: &Config) -> Option<Problem> {
    let congestion = config.network.edge.congestion.as_ref()?;
    // Tried, not looked up: a kernel may load a module for who asks, and may keep one for root.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).ok()?;
    let error = choose(&socket, congestion).err()?;
    let (what, help) = match error.kind() {
        ErrorKind::PermissionDenied => (
            format!("this machine's kernel gives `{congestion}` to root alone"),
            format!("add it to net.ipv4.tcp_allowed_congestion_control: {}", kept_meanwhile()),
        ),
        _ => {
            let available = fs::read_to_string(AVAILABLE).unwrap_or_default();
            let has = available.split_whitespace().collect::<Vec<_>>().join(", ");
            let has = if has.is_empty() { String::new() } else { format!("; it has {has}") };
            (
                format!("this machine's kernel has no congestion control `{congestion}`{has}"),
                format!("where an edge runs, `modprobe tcp_{congestion}`, or name another: {}", kept_meanwhile()),
            )
        }
    };
    let problem = Problem::general(format!("[edge] congestion: {what}")).help(help);
    Some(Problem { severity: Severity::Warning, ..problem })
}

fn kept_meanwhile() -> &'static str {
    "until then connections here keep the kernel's own"
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// A config with more in its `[edge]`.
    fn config(edge: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let text = format!(
            "zone = \"cdn.example\"\n[edge]\n{edge}\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.1\"]\n\
             [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"192.0.2.2\"]\n"
        );
        fs::write(dir.path().join("hither.toml"), text).unwrap();
        config::load(dir.path()).unwrap().config
    }

    fn of(socket: &impl AsFd) -> String {
        let name = SockRef::from(socket).tcp_congestion().unwrap();
        String::from_utf8(name.into_iter().take_while(|byte| *byte != 0).collect()).unwrap()
    }

    #[test]
    fn a_connection_has_the_congestion_control_that_is_named() {
        // Every Linux has it, for everybody.
        let reno = config("congestion = \"reno\"").network.edge.congestion.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (served, _) = listener.accept().unwrap();
        choose(&served, &reno).unwrap();
        assert_eq!(of(&served), "reno");
    }

    #[test]
    fn what_the_kernel_has_not_is_a_warning_that_names_what_it_has() {
        assert!(warn_of_congestion(&config("")).is_none());
        assert!(warn_of_congestion(&config("congestion = \"reno\"")).is_none());
        let problem = warn_of_congestion(&config("congestion = \"no_such\"")).unwrap();
        assert_eq!(problem.severity, Severity::Warning);
        assert!(problem.message.contains("no congestion control `no_such`; it has "), "{}", problem.message);
        assert!(problem.message.contains("reno"), "{}", problem.message);
    }
}
