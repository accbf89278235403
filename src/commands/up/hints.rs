//! What `up` prints when all runs: lines to try.

use config::{Config, HostName, Site};

use crate::demo;
use crate::say::say;

/// Prints lines that show the whole way, made from the config.
pub(crate) fn print(config: &Config) {
    let program = std::env::current_exe().map_or_else(|_| "hither".to_owned(), |path| path.display().to_string());
    say(text(config, &program));
}

/// A command, and what it shows; nothing of one that says it.
type Try = (String, String);

fn text(config: &Config, program: &str) -> String {
    let named = config.sites.iter().find_map(|site| {
        site.hosts.iter().find_map(|host| match &host.name {
            HostName::Exact(name) => Some((site, name.to_string())),
            _ => None,
        })
    });
    let hither = format!("{program} -C {}", config.dir.display());
    let mut tries = Vec::new();
    let mut edit = String::new();
    if let Some((site, host)) = named {
        tries.extend(of_site(config, site, &host, &hither));
        edit = format!("Edit {}/sites/{}.toml and save: it is live at once.\n", config.dir.display(), site.id);
    }
    tries.push((format!("{hither} status"), String::new()));
    let about = tries.iter().filter(|(_, about)| !about.is_empty());
    let width = about.map(|(command, _)| command.chars().count()).max().unwrap_or_default();
    let line = |(command, about): &Try| match about.as_str() {
        "" => format!("  {command}\n"),
        about => format!("  {command:<width$}  # {about}\n"),
    };
    let lines: String = tries.iter().map(line).collect();
    let admin = config.network.admin.listen;
    format!(
        "\nTry, in another terminal:\n\n{lines}\n{edit}Console, status and metrics: http://{admin}/   End: Ctrl-C\n"
    )
}

/// The way of a client to a site, step by step.
fn of_site(config: &Config, site: &Site, host: &str, hither: &str) -> Vec<Try> {
    // A customer's name is answered here only where its zone is served here; the site's own always is.
    let within = |zone: &str| host == zone || host.ends_with(&format!(".{zone}"));
    let is_served = config.zones.iter().any(|zone| within(zone.name.to_string().trim_end_matches('.')));
    let asked = if is_served { host.to_owned() } else { format!("{}.{}", site.id, config.network.zone) };
    let mut tries: Vec<Try> = Vec::new();
    if let Some(server) = config.network.name_servers.first().and_then(|node| node.listen.first()) {
        let port = if server.port() == 53 { String::new() } else { format!(" -p {}", server.port()) };
        let dig = format!("dig @{}{port} {asked}", server.ip());
        tries.push((format!("{dig} +subnet=193.0.6.0/24"), "a client in Europe".to_owned()));
        tries.push((format!("{dig} +subnet=202.12.29.0/24"), "a client in Australia".to_owned()));
        let is_tokyo = |prefix: config::Prefix| prefix.to_string() == "127.0.66.0/24";
        let has_tokyo = config.routes.routes.iter().any(|route| route.prefix.is_some_and(is_tokyo));
        if server.ip().is_loopback() && has_tokyo {
            tries.push((format!("{dig} -b 127.0.66.1"), "a resolver in Tokyo, by routes.toml".to_owned()));
        }
    }
    if let Some((_, edge)) = config.network.edges().next() {
        if let Some(address) = config.network.http_of(edge).first() {
            let command = format!("curl -i --connect-to ::{address} http://{host}/");
            tries.push((command, format!("through {}", edge.id)));
        }
        let authority = config.dir.join(demo::AUTHORITY);
        let https = config.network.https_of(edge);
        if let Some(address) = https.first().filter(|_| site.tls.is_some() && authority.exists()) {
            let command = format!("curl -i --cacert {} --connect-to ::{address} https://{host}/", authority.display());
            tries.push((command, String::new()));
        }
    }
    tries.push((format!("{hither} explain {asked} --from 193.0.6.1"), String::new()));
    if is_served {
        tries.push((format!("{hither} get http://{host}/ --from 193.0.6.1"), String::new()));
    }
    tries
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn commands_are_this_network_s_and_what_they_show_stands_below_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let network = "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.53\"]\n\
            [[pop]]\nid = \"fra\"\nlocation = [50.1, 8.7]\n[[pop.edge]]\nid = \"fra-1\"\naddresses = [\"192.0.2.10\"]\n";
        fs::write(dir.path().join("hither.toml"), network).unwrap();
        let said = || text(&config::load(dir.path()).unwrap().config, "/opt/hither");
        let own = format!("  /opt/hither -C {}", dir.path().display());
        assert!(said().contains(&format!("{own} status\n\nConsole, ")) && !said().contains("dig "), "{}", said());

        fs::create_dir(dir.path().join("sites")).unwrap();
        let site = "hosts = [\"www.shop.example\"]\n[origin]\nservers = [\"https://o.example\"]\n";
        fs::write(dir.path().join("sites/shop.toml"), site).unwrap();
        let said = said();
        assert!(said.contains("  dig @192.0.2.53 shop.cdn.example +subnet=193.0.6.0/24 "), "{said}");
        assert!(said.contains(&format!("{own} explain shop.cdn.example --from 193.0.6.1\n{own} status\n")), "{said}");
        let places: Vec<usize> = said.lines().filter_map(|line| line.find("  # ")).collect();
        assert_eq!(places.len(), 3, "{said}");
        assert!(places.iter().all(|place| *place == places[0]), "{said}");
        assert!(said.contains("sites/shop.toml and save"), "{said}");
    }
}
