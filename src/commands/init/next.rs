//! What is to be done once a directory is written.

use std::fmt::Write;
use std::path::Path;

use config::{DomainName, HostName, HostPattern};

use crate::answers::Answers;
use crate::commands::table;

/// More nodes than that are not named where a line has room for a few.
const NAMED: usize = 3;

/// The steps, with the records and commands of this network.
pub(super) fn steps(dir: &Path, answers: &Answers) -> String {
    let (zone, dir) = (&answers.zone, dir.display());
    let mut out = format!(
        "Written to {dir}:\nhither.toml, routes.toml, sites/, secrets/ with a fleet key and an admin token\n\n"
    );
    let mut step = |title: &str, lines: &str| {
        let _ = writeln!(out, "{title}");
        for line in lines.lines() {
            let _ = writeln!(out, "     {line}");
        }
    };
    step("1. Check it, now and after every change:", &format!("hither check {dir}"));
    step(
        &format!("2. Have the zone above {zone}, at its registrar, delegate it with these records:"),
        &delegation(answers),
    );
    let pointed = format!("{}{}", aliases(answers), tops(answers));
    if pointed.is_empty() {
        step("3. Write a file for each site:", &format!("{dir}/sites/shop.toml    # what it says: docs/sites.md"));
    } else {
        step("3. Have each customer point its names here:", &pointed);
    }
    step("4. Open the ports:", &ports(answers));
    step(
        "5. Copy it to /etc/hither of each machine, secrets/ readable by hither's user alone, and run there:",
        &runs(answers),
    );
    let asked = answers.sites.first().map_or_else(|| "shop".to_owned(), |site| site.id.to_string());
    step(
        "6. See whether edges are reached and names lead here, and why a client is sent where it is:",
        &format!("hither check --online {dir}\nhither -C {dir} explain {asked}.{zone} --from 193.0.6.1"),
    );
    out
}

/// The zone's name servers, and their glue.
fn delegation(answers: &Answers) -> String {
    let zone = &answers.zone;
    let servers =
        answers.name_servers.iter().map(|node| [format!("{zone}."), "NS".to_owned(), format!("{}.{zone}.", node.id)]);
    let glue = answers.name_servers.iter().flat_map(|node| {
        node.addresses.iter().map(move |address| {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            [format!("{}.{zone}.", node.id), kind.to_owned(), address.to_string()]
        })
    });
    columns(servers.chain(glue))
}

/// The aliases that lead to sites: of names that have none in the zone already, and may have one.
fn aliases(answers: &Answers) -> String {
    let zone = &answers.zone;
    columns(answers.sites.iter().flat_map(|site| {
        let hosts = site.hosts.iter().filter_map(move |host| match &host.name {
            HostName::Exact(name) if !name.is_in(zone) && !is_likely_top(name, answers) => Some(name.to_string()),
            HostName::Below(name) if !name.is_in(zone) => Some(format!("*.{name}")),
            _ => None,
        });
        let to = format!("{}.{zone}.", site.id);
        hosts.map(move |host| [format!("{host}."), "CNAME".to_owned(), to.clone()])
    }))
}

/// What is said of names that no alias may lead from.
fn tops(answers: &Answers) -> String {
    let tops: Vec<&str> = hosts(answers)
        .filter_map(|host| match &host.name {
            HostName::Exact(name) if !name.is_in(&answers.zone) && is_likely_top(name, answers) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    if tops.is_empty() {
        return String::new();
    }
    let tops = names(tops.into_iter(), "several names");
    format!("({tops}: at the top of a zone no CNAME may stand; docs/how-to/apex.md tells what does)\n")
}

/// Whether a name is likely the top of a zone: it has two parts, or others lie below it.
fn is_likely_top(name: &DomainName, answers: &Answers) -> bool {
    let is_above = || {
        hosts(answers).any(|host| match &host.name {
            HostName::Exact(other) => other != name && other.is_in(name),
            HostName::Below(other) => other.is_in(name),
            HostName::Address(_) => false,
        })
    };
    name.as_str().split('.').count() == 2 || is_above()
}

fn hosts(answers: &Answers) -> impl Iterator<Item = &HostPattern> {
    answers.sites.iter().flat_map(|site| &site.hosts)
}

fn ports(answers: &Answers) -> String {
    let servers = names(answers.name_servers.iter().map(|node| node.id.as_str()), "each name server");
    let edges = names(answers.edges.iter().map(|edge| edge.id.as_str()), "each edge");
    let row = |port: &str, whose: &str, from: &str| [port.to_owned(), whose.to_owned(), from.to_owned()];
    columns([
        row("53 UDP and TCP", &servers, "from everywhere"),
        row("80 TCP", &edges, "from everywhere, every node too"),
        row("443 TCP and UDP", &edges, "from everywhere, once a site has `tls`"),
        row("8444 TCP", &edges, "from every node and where `hither purge` runs; no client"),
    ])
}

/// A few by their names, more in a word.
fn names<'n>(all: impl Iterator<Item = &'n str>, in_a_word: &str) -> String {
    match all.collect::<Vec<_>>() {
        few if few.len() <= NAMED => few.join(", "),
        _ => in_a_word.to_owned(),
    }
}

fn runs(answers: &Answers) -> String {
    let servers = answers.name_servers.iter().map(|node| (node.id.as_str(), &node.addresses));
    let others = answers.edges.iter().filter(|edge| answers.name_servers.iter().all(|node| node.id != edge.id));
    let others = others.map(|edge| (edge.id.as_str(), &edge.addresses));
    columns(servers.chain(others).map(|(id, addresses)| {
        let at: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        [format!("hither run --config /etc/hither --node {id}"), String::new(), format!("# at {}", at.join(", "))]
    }))
}

/// Rows whose cells stand below each other.
fn columns(rows: impl IntoIterator<Item = [String; 3]>) -> String {
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    let drawn = if rows.is_empty() { String::new() } else { table::draw(&["", "", ""], &rows) };
    // Without the line of headings, which there are none of.
    drawn.lines().skip(1).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answers;

    #[test]
    fn the_steps_have_the_network_s_own_records_and_commands() {
        let mut all = Answers {
            zone: answers::zone("cdn.example").unwrap(),
            contact: String::new(),
            state: String::new(),
            name_servers: vec![answers::name_server("ns1=192.0.2.53,2001:db8::53").unwrap()],
            pops: vec![answers::pop("fra@50.11,8.68").unwrap()],
            edges: ["fra-1@fra=192.0.2.10", "ns1@fra=192.0.2.53"].map(|one| answers::edge(one).unwrap()).into(),
            sites: vec![
                answers::site("shop=www.shop.example,*.img.shop.example,x.cdn.example,192.0.2.7=https://o.example")
                    .unwrap(),
            ],
        };
        let said = steps(Path::new("/srv/cdn"), &all);
        for line in [
            "     hither check /srv/cdn",
            "     cdn.example.      NS    ns1.cdn.example.",
            "     ns1.cdn.example.  A     192.0.2.53",
            "     ns1.cdn.example.  AAAA  2001:db8::53",
            "     www.shop.example.    CNAME  shop.cdn.example.",
            "     *.img.shop.example.  CNAME  shop.cdn.example.",
            "     hither -C /srv/cdn explain shop.cdn.example --from 193.0.6.1",
        ] {
            assert!(said.lines().any(|said| said == line), "{line}\n{said}");
        }
        assert_eq!(
            said.matches("CNAME").count(),
            2,
            "nothing is to be done for names in the zone, and for addresses\n{said}"
        );
        assert_eq!(said.matches("--node ").count(), 2, "a node of both roles is one\n{said}");
        assert!(said.contains("80 TCP           fra-1, ns1") && !said.contains("at the top of a zone"), "{said}");
        all.sites.push(answers::site("blog=blog.example,www.blog.example=https://o.example").unwrap());
        let more = ["fra-2@fra=192.0.2.11", "fra-3@fra=192.0.2.12"].map(|one| answers::edge(one).unwrap());
        all.edges.extend(more);
        let said = steps(Path::new("/srv/cdn"), &all);
        assert!(said.contains("     (blog.example: at the top of a zone no CNAME may stand"), "{said}");
        let has_alias = |name: &str| said.lines().any(|line| line.trim_start().starts_with(&format!("{name}. ")));
        assert!(has_alias("www.blog.example") && !has_alias("blog.example"), "{said}");
        assert!(said.contains("80 TCP           each edge"), "{said}");
        assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
        all.sites.clear();
        let said = steps(Path::new("/srv/cdn"), &all);
        assert!(said.contains("/srv/cdn/sites/shop.toml") && !said.contains("CNAME"), "{said}");
    }
}
