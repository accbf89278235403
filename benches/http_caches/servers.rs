//! The caches: each before the same origin, with one core, logs off.

use std::collections::HashMap;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tls;

/// A server that runs.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    child: Child,
}

/// Writes a server's config to its directory; how to start it, if it is installed.
type Start = fn(&Path) -> Option<Command>;

/// The core of servers; the generator has the other.
const CORE: &str = "0";
/// The generator's core, and the origin's.
const OTHER_CORE: &str = "1";
/// Where each listens, by its place in the list.
const PORT: u16 = 8_300;
/// So much higher is the port of TLS.
const SECURE: u16 = 100;
/// Where everybody's origin listens, by the same rule.
const ORIGIN: usize = 50;
const STARTS: [(&str, Start); 9] = [
    ("bare loop", |_| bare(CORE, 0)),
    ("hither", hither),
    ("nginx", |home| nginx(home, 2, "sendfile off;")),
    ("nginx sendfile", |home| nginx(home, 3, "sendfile on; tcp_nopush off;")),
    ("Varnish", varnish),
    ("HAProxy", haproxy),
    ("Traffic Server", traffic_server),
    ("squid", squid),
    ("h2o", h2o),
];

impl Server {
    /// Starts the servers of these names, every one where there are none; what is not installed is left out, and told.
    pub(crate) fn all(dir: &Path, only: &[String]) -> Vec<Self> {
        let is_known = |name: &String| STARTS.iter().any(|(known, _)| known == name);
        assert!(only.iter().all(is_known), "servers are {:?}", STARTS.map(|(name, _)| name));
        fs::set_permissions(dir, fs::Permissions::from_mode(0o777)).unwrap();
        tls::write_certificate(dir);
        let mut servers = Vec::new();
        let origin = ("origin", (|_| bare(OTHER_CORE, ORIGIN)) as Start);
        let starts = std::iter::once((ORIGIN, origin)).chain((0..).zip(STARTS));
        for (number, (name, start)) in starts {
            if name != "origin" && !only.is_empty() && !only.iter().any(|one| one == name) {
                continue;
            }
            let home = dir.join(name.replace(' ', "-"));
            fs::create_dir_all(&home).unwrap();
            // Some of them give up their rights.
            fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).unwrap();
            let Some(mut command) = start(&home) else {
                println!("{name} is not installed: left out");
                continue;
            };
            let log = fs::File::create(home.join("output")).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            let child = command.spawn().unwrap();
            let server = Self { name, address: address(number), child };
            server.wait(&home);
            servers.push(server);
        }
        servers
    }

    fn wait(&self, home: &Path) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if TcpStream::connect(self.address).is_ok() {
                // Varnish listens before its child can answer.
                std::thread::sleep(Duration::from_millis(500));
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} does not listen:\n{}", self.name, fs::read_to_string(home.join("output")).unwrap_or_default());
    }

    /// Where it speaks TLS, if it does.
    pub(crate) fn secure_address(&self) -> SocketAddr {
        SocketAddr::new(self.address.ip(), self.address.port() + SECURE)
    }

    /// Seconds of CPU used so far, by it and what it has started.
    pub(crate) fn cpu_s(&self) -> f64 {
        // Of proc(5): 14 and 15 are hundredths of a second.
        self.sum(|fields| fields.get(11).zip(fields.get(12)).map_or(0.0, |(user, system)| (user + system) / 100.0))
    }

    /// Bytes of memory that are resident, of it and what it has started.
    pub(crate) fn resident_bytes(&self) -> f64 {
        // 24, in pages.
        self.sum(|fields| fields.get(21).map_or(0.0, |pages| pages * 4_096.0))
    }

    /// The sum of a figure of its processes, from what proc(5) says of each behind its name: the third field first.
    fn sum(&self, of: impl Fn(&[f64]) -> f64) -> f64 {
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let stats = processes.filter_map(|entry| {
            let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let fields: Vec<f64> =
                stat.rsplit(')').next()?.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
            // 4 is the parent.
            Some((pid, (fields.get(1).copied()? as u32, of(&fields))))
        });
        let stats: HashMap<u32, (u32, f64)> = stats.collect();
        let is_ours = |mut pid: u32| {
            while let Some((parent, _)) = stats.get(&pid).filter(|_| pid != self.child.id()) {
                pid = *parent;
            }
            pid == self.child.id()
        };
        stats.iter().filter(|(pid, _)| is_ours(**pid)).map(|(_, (_, figure))| figure).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // nginx, Varnish and HAProxy end their children when asked to.
        let pid = nix::unistd::Pid::from_raw(self.child.id().cast_signed());
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        std::thread::sleep(Duration::from_millis(300));
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn address(number: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, 4, 1], PORT + number as u16))
}

fn secure_address(number: usize) -> SocketAddr {
    SocketAddr::new(address(number).ip(), address(number).port() + SECURE)
}

/// A file of the certificate that all servers have.
fn tls_file(home: &Path, name: &str) -> String {
    home.with_file_name(name).display().to_string()
}

fn pinned(program: &str) -> Option<Command> {
    pinned_to(CORE, program)
}

fn pinned_to(core: &str, program: &str) -> Option<Command> {
    let found = ["/usr/sbin", "/usr/bin"].iter().map(|dir| Path::new(dir).join(program)).find(|path| path.exists());
    let path = if program.starts_with('/') { Some(program.into()) } else { found };
    let mut command = Command::new("taskset");
    command.args(["-c", core]).arg(path.filter(|path| path.exists())?);
    Some(command)
}

fn bare(core: &str, number: usize) -> Option<Command> {
    let own = std::env::current_exe().unwrap();
    let mut command = pinned_to(core, own.to_str().unwrap())?;
    command.args(["bare", &address(number).to_string()]);
    Some(command)
}

fn hither(home: &Path) -> Option<Command> {
    let (here, secure) = (address(1), secure_address(1));
    let network = format!(
        "zone = \"cdn.example\"\n[admin]\nlisten = \"127.0.4.1:8390\"\n[edge]\nmemory = \"512MiB\"\nhttp = [\"{here}\"]\nhttps = [\"{secure}\"]\n\
         [[nameserver]]\nid = \"ns1\"\naddresses = [\"127.0.4.1\"]\nlisten = [\"127.0.4.1:8391\"]\n\
         [[pop]]\nid = \"one\"\nlocation = [50.0, 8.0]\n[[pop.edge]]\nid = \"one-1\"\naddresses = [\"127.0.4.1\"]\n"
    );
    let site = format!(
        "hosts = [\"www.shop.example\"]\ntls = {{ cert = \"shop.pem\", key = \"shop.key\" }}\n[origin]\nservers = [\"http://{}\"]\nallow_private = true\n\
         [[rule]]\npath = \"/p/**\"\nbypass = true\n[[rule]]\npath = \"/o/**\"\nheaders = {{ set = {{ X-Served-By = \"${{edge}}\" }} }}\n",
        address(ORIGIN)
    );
    for dir in ["sites", "secrets"] {
        fs::create_dir_all(home.join(dir)).unwrap();
    }
    for file in [tls::CERTIFICATE, tls::KEY] {
        let own = home.join("secrets").join(file);
        fs::copy(tls_file(home, file), &own).unwrap();
        fs::set_permissions(own, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::write(home.join("hither.toml"), network).unwrap();
    fs::write(home.join("sites/shop.toml"), site).unwrap();
    let program = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/hither");
    let mut command = pinned(program)?;
    command.arg("run").arg("--config").arg(home).args(["--node", "one-1"]);
    Some(command)
}

fn nginx(home: &Path, number: usize, sending: &str) -> Option<Command> {
    let (cache, home_path) = (home.join("cache"), home.display());
    let config = format!(
        "worker_processes 1; daemon off; pid {home_path}/pid; error_log {home_path}/error.log;\n\
         events {{ worker_connections 8192; }}\n\
         http {{ access_log off; {sending} tcp_nodelay on; keepalive_requests 1000000000;\n\
         client_body_temp_path {home_path}/body; proxy_temp_path {home_path}/temp; fastcgi_temp_path {home_path}/f; uwsgi_temp_path {home_path}/u; scgi_temp_path {home_path}/s;\n\
         open_file_cache max=1000;\n\
         proxy_cache_path {} keys_zone=k:10m max_size=256m use_temp_path=off;\n\
         upstream origin {{ server {}; keepalive 128; keepalive_requests 1000000000; }}\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;\n\
         ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.2 TLSv1.3;\n\
         server {{ listen {}; listen {} ssl http2; location / {{ proxy_pass http://origin; proxy_cache k; add_header X-Cache $upstream_cache_status; }}\n\
         location /p/ {{ proxy_pass http://origin; }} }} }}\n",
        cache.display(),
        address(ORIGIN),
        tls_file(home, tls::CERTIFICATE),
        tls_file(home, tls::KEY),
        address(number),
        secure_address(number),
    );
    fs::write(home.join("nginx.conf"), config).unwrap();
    let mut command = pinned("nginx")?;
    command.arg("-e").arg(home.join("error.log")).arg("-p").arg(home).arg("-c").arg(home.join("nginx.conf"));
    Some(command)
}

fn varnish(home: &Path) -> Option<Command> {
    let origin = address(ORIGIN);
    let vcl = format!(
        "vcl 4.1;\nbackend default {{ .host = \"{}\"; .port = \"{}\"; }}\nsub vcl_recv {{ if (req.url ~ \"^/p/\") {{ return (pass); }} }}\n",
        origin.ip(),
        origin.port()
    );
    fs::write(home.join("default.vcl"), vcl).unwrap();
    let mut command = pinned("varnishd")?;
    command.arg("-F").arg("-n").arg(home.join("work")).arg("-f").arg(home.join("default.vcl"));
    command.args(["-a", &address(4).to_string(), "-s", "malloc,256m", "-T", "none", "-j", "none"]);
    Some(command)
}

fn haproxy(home: &Path) -> Option<Command> {
    let origin = address(ORIGIN);
    let config = format!(
        "global\n  nbthread 1\n  maxconn 1000\ndefaults\n  mode http\n  timeout connect 5s\n  timeout client 50s\n  timeout server 50s\n\
         cache c\n  total-max-size 256\n  max-object-size 2000000\n  max-age 3600\n\
         frontend f\n  bind {}\n  bind {} ssl crt {} alpn http/1.1\n  use_backend p if {{ path_beg /p/ }}\n  default_backend b\n\
         backend b\n  http-request cache-use c\n  http-response cache-store c\n  server s {origin}\nbackend p\n  server s {origin}\n",
        address(5),
        secure_address(5),
        tls_file(home, tls::BOTH),
    );
    fs::write(home.join("haproxy.cfg"), config).unwrap();
    let mut command = pinned("haproxy")?;
    command.arg("-db").arg("-f").arg(home.join("haproxy.cfg"));
    Some(command)
}

fn traffic_server(home: &Path) -> Option<Command> {
    let etc = home.join("etc");
    for dir in ["etc", "run", "log", "cache"] {
        fs::create_dir_all(home.join(dir)).unwrap();
    }
    let (here, secure) = (address(6), secure_address(6));
    let records = format!(
        "CONFIG proxy.config.http.server_ports STRING {}:ip-in={} {}:ssl:ip-in={}\n\
         CONFIG proxy.config.ssl.server.cert.path STRING {dir}\nCONFIG proxy.config.ssl.server.private_key.path STRING {dir}\n\
         CONFIG proxy.config.exec_thread.autoconfig INT 0\nCONFIG proxy.config.exec_thread.limit INT 1\n\
         CONFIG proxy.config.cache.ram_cache.size INT 256M\nCONFIG proxy.config.cache.min_average_object_size INT 8000\n\
         CONFIG proxy.config.http.cache.required_headers INT 0\nCONFIG proxy.config.log.logging_enabled INT 0\n\
         CONFIG proxy.config.net.max_connections_in INT 2000\nCONFIG proxy.config.net.connections_throttle INT 4000\n\
         CONFIG proxy.config.admin.user_id STRING #-1\n",
        here.port(),
        here.ip(),
        secure.port(),
        secure.ip(),
        dir = tls_file(home, ""),
    );
    let origin = address(ORIGIN);
    let remap =
        format!("map http://www.shop.example/ http://{origin}/\nmap https://www.shop.example/ http://{origin}/\n");
    let certificates = format!("dest_ip=* ssl_cert_name={} ssl_key_name={}\n", tls::CERTIFICATE, tls::KEY);
    let never = "url_regex=.*/p/.* action=never-cache\n".to_owned();
    let place = |name: &str| home.join(name).display().to_string();
    let root = format!(
        "prefix: {home}\nexec_prefix: {home}\nbindir: /usr/bin\nsbindir: /usr/sbin\nsysconfdir: {etc}\ndatadir: {home}\n\
         includedir: {home}\nlibdir: /usr/lib\nlibexecdir: /usr/lib/trafficserver/modules\nlocalstatedir: {home}\n\
         runtimedir: {}\nlogdir: {}\ncachedir: {}\n",
        place("run"),
        place("log"),
        place("cache"),
        home = home.display(),
        etc = etc.display(),
    );
    let allowed = "ip_allow:\n  - apply: in\n    ip_addrs: 0/0\n    action: allow\n    methods: ALL\n".to_owned();
    let storage = format!("{} 512M\n", place("cache"));
    for (name, text) in [
        ("records.config", records),
        ("remap.config", remap),
        ("ssl_multicert.config", certificates),
        ("cache.config", never),
        ("storage.config", storage),
        ("ip_allow.yaml", allowed),
    ] {
        fs::write(etc.join(name), text).unwrap();
    }
    fs::write(home.join("runroot.yaml"), root).unwrap();
    let mut command = pinned("traffic_server")?;
    command.arg(format!("--run-root={}", home.join("runroot.yaml").display()));
    Some(command)
}

fn squid(home: &Path) -> Option<Command> {
    let (here, origin, place) = (address(7), address(ORIGIN), home.display());
    let config = format!(
        "http_port {here} accel defaultsite=www.shop.example\ncache_peer {} parent {} 0 no-query originserver\n\
         acl passed urlpath_regex ^/p/\ncache deny passed\nhttp_access allow all\ncache_mem 256 MB\n\
         maximum_object_size_in_memory 2 MB\naccess_log none\ncache_log {place}/cache.log\ncache_store_log none\n\
         pid_filename {place}/pid\ncoredump_dir {place}\nshutdown_lifetime 0 seconds\nmemory_pools_limit 64 MB\n",
        origin.ip(),
        origin.port()
    );
    fs::write(home.join("squid.conf"), config).unwrap();
    let mut command = pinned("squid")?;
    command.arg("-N").arg("-f").arg(home.join("squid.conf"));
    Some(command)
}

fn h2o(home: &Path) -> Option<Command> {
    let files = home.join("files/o");
    fs::create_dir_all(&files).unwrap();
    for (_, size) in crate::OBJECTS {
        fs::write(files.join(size.to_string()), vec![b'x'; size]).unwrap();
    }
    let (here, secure) = (address(8), secure_address(8));
    let config = format!(
        "listen:\n  host: {}\n  port: {}\nlisten:\n  host: {}\n  port: {}\n  ssl:\n    certificate-file: {}\n    key-file: {}\nnum-threads: 1\nhosts:\n  default:\n    paths:\n      /:\n        file.dir: {}\n",
        here.ip(),
        here.port(),
        secure.ip(),
        secure.port(),
        tls_file(home, tls::CERTIFICATE),
        tls_file(home, tls::KEY),
        home.join("files").display()
    );
    fs::write(home.join("h2o.conf"), config).unwrap();
    let mut command = pinned("h2o")?;
    command.arg("-c").arg(home.join("h2o.conf"));
    Some(command)
}
