//! What `up` prints: lines to try, and what became of an edited file.

use std::path::PathBuf;

use config::{Config, HostName, Loaded, Refused};

use crate::{demo, directory};

/// Prints lines that show the whole way, made from the config.
pub(crate) fn print(config: &Config) {
    let Some(server) = config.network.name_servers.first().and_then(|node| node.listen.first()) else {
        return;
    };
    let site = config.sites.iter().find_map(|site| {
        site.hosts.iter().find_map(|host| match &host.name {
            HostName::Exact(name) => Some((site, name.to_string())),
            _ => None,
        })
    });
    let Some((site, host)) = site else {
        return;
    };
    let dig = format!("dig @{} -p {} {host}", server.ip(), server.port());
    println!("\nTry, in another terminal:\n");
    println!("  {dig} +subnet=193.0.6.0/24        # a client in Europe");
    println!("  {dig} +subnet=202.12.29.0/24      # a client in Australia");
    if server.ip().is_loopback() && config.routes.routes.len() >= 2 {
        println!("  {dig} -b 127.0.66.1               # a resolver in Tokyo, by routes.toml");
    }
    if let Some((_, edge)) = config.network.edges().next() {
        let http = config.network.http_of(edge);
        let https = config.network.https_of(edge);
        if let Some(address) = http.first() {
            println!("  curl -i --connect-to ::{address} http://{host}/    # through {}", edge.id);
        }
        let authority = config.dir.join(demo::AUTHORITY);
        if let Some(address) = https.first().filter(|_| site.tls.is_some() && authority.exists()) {
            println!("  curl -i --cacert {} --connect-to ::{address} https://{host}/", authority.display());
        }
    }
    println!("  hither explain {host} --from 193.0.6.1");
    println!("  hither get http://{host}/ --from 193.0.6.1");
    println!("\nEdit {}/sites/{}.toml and save: it is live at once.", config.dir.display(), site.id);
    println!("Status and metrics: http://{}/status   End: Ctrl-C\n", config.network.admin.listen);
}

/// Says once what became of an edit; the nodes themselves load it each on its own.
pub(crate) async fn follow_config(dir: PathBuf) {
    let (sender, mut changes) = tokio::sync::mpsc::channel(1);
    let Ok(_watcher) = crate::node::watch(&dir, &[], sender) else {
        return;
    };
    while changes.recv().await.is_some() {
        while tokio::time::timeout(config::limits::RELOAD_SETTLE, changes.recv()).await.is_ok() {}
        match config::load(&dir) {
            Ok(Loaded { config, warnings }) => {
                directory::print(&warnings);
                println!("config loaded: version {}", config.version);
            }
            Err(Refused(problems)) => {
                directory::print(&problems);
                println!("config refused: every node keeps the one before");
            }
        }
    }
}
