//! What `up` prints when all runs: lines to try.

use config::{Config, HostName};

use crate::demo;
use crate::say::say;

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
    // A customer's name is answered here only where its zone is served here; the site's own always is.
    let within = |zone: &str| host == zone || host.ends_with(&format!(".{zone}"));
    let is_served = config.zones.iter().any(|zone| within(zone.name.to_string().trim_end_matches('.')));
    let asked = if is_served { host.clone() } else { format!("{}.{}", site.id, config.network.zone) };
    let dig = format!("dig @{} -p {} {asked}", server.ip(), server.port());
    say("\nTry, in another terminal:\n");
    say(format!("  {dig} +subnet=193.0.6.0/24        # a client in Europe"));
    say(format!("  {dig} +subnet=202.12.29.0/24      # a client in Australia"));
    let is_tokyo = |prefix: config::Prefix| prefix.to_string() == "127.0.66.0/24";
    let has_tokyo = config.routes.routes.iter().any(|route| route.prefix.is_some_and(is_tokyo));
    if server.ip().is_loopback() && has_tokyo {
        say(format!("  {dig} -b 127.0.66.1               # a resolver in Tokyo, by routes.toml"));
    }
    if let Some((_, edge)) = config.network.edges().next() {
        let http = config.network.http_of(edge);
        let https = config.network.https_of(edge);
        if let Some(address) = http.first() {
            say(format!("  curl -i --connect-to ::{address} http://{host}/    # through {}", edge.id));
        }
        let authority = config.dir.join(demo::AUTHORITY);
        if let Some(address) = https.first().filter(|_| site.tls.is_some() && authority.exists()) {
            say(format!("  curl -i --cacert {} --connect-to ::{address} https://{host}/", authority.display()));
        }
    }
    let program = std::env::current_exe().map_or_else(|_| "hither".to_owned(), |path| path.display().to_string());
    let hither = format!("{program} -C {}", config.dir.display());
    say(format!("  {hither} explain {asked} --from 193.0.6.1"));
    if is_served {
        say(format!("  {hither} get http://{host}/ --from 193.0.6.1"));
    }
    say(format!("  {hither} status"));
    say(format!("\nEdit {}/sites/{}.toml and save: it is live at once.", config.dir.display(), site.id));
    say(format!("Console, status and metrics: http://{}/   End: Ctrl-C\n", config.network.admin.listen));
}
