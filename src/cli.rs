//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand};
use config::DomainName;

use crate::answers::{self, NewEdge, NewNameServer, NewPop, NewSite};

mod examples;

/// A CDN in one program: DNS that answers with the nearest edge, and the edges.
#[derive(Debug, Parser)]
#[command(name = "hither", version, max_term_width = 100, after_help = examples::ALL)]
pub(crate) struct Cli {
    /// The config directory. Left out: $HITHER_DIR, else the hither.toml here, else that of an
    /// `up` that answers at 127.0.0.1:9300, else /etc/hither
    #[arg(short = 'C', long = "dir", global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run every node of a directory on this machine; without one, a demo to be edited
    Up(Up),
    /// Write a config directory to start from, by asking or by options
    Init(Init),
    /// Run one node: name server, edge, or both
    Run(Run),
    /// Check a config directory: all faults and warnings at once
    Check(Check),
    /// Which edges a client is sent to, in which order, and why
    Explain(Explain),
    /// Resolve through our DNS as that client, fetch from the chosen edge, show each step
    Get(Get),
    /// Nodes, health, load, versions
    Status(Status),
    /// What sites took by day, on all edges: requests, bytes, hit ratio, byte offload, as CSV
    Report(Report),
    /// Take back what edges have stored; returns when every edge has acknowledged, and names those that have not
    Purge(Purge),
    /// Send no new clients to an edge; returns when nobody is sent there any more, so that it may be stopped
    Drain(Drain),
    /// Send clients to an edge again
    #[command(after_help = examples::UNDRAIN)]
    Undrain(Drain),
    /// What another config would do: clients moved, cost, load of each PoP, caches to fill
    Plan(Plan),
    /// Sign a URL of a site whose rules ask for signed ones
    Sign(Sign),
    /// DNSSEC keys of the zones served here: make, show, roll
    Keys(Keys),
    /// What the map is worth, and what it has learned
    Map(Map),
    /// What a shell completes, as a script for it
    Completions(Completions),
    /// Manual pages, one for each command
    Man(ManPages),
    /// Serve a directory as a customer's origin would (used by the demo)
    #[command(hide = true)]
    SampleOrigin(SampleOrigin),
}

#[derive(Debug, Args)]
#[command(after_help = examples::UP)]
pub(crate) struct Up {
    /// The config directory. Left out: ./hither-demo, the demo, which is written if it is not there
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = examples::INIT)]
pub(crate) struct Init {
    /// The directory to write, new or empty. Left out: ./cdn
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// The zone that you will delegate to your name servers: site `shop` answers as shop.NAME
    #[arg(long, value_name = "NAME", value_parser = answers::zone)]
    pub(crate) zone: Option<DomainName>,
    /// The mail address of who is in charge of it. Left out: hostmaster@ZONE
    #[arg(long, value_name = "MAIL", value_parser = answers::contact)]
    pub(crate) contact: Option<String>,
    /// A name server with its public addresses. May be given again
    #[arg(long, value_name = "ID=IP[,IP]", value_parser = answers::name_server)]
    pub(crate) nameserver: Vec<NewNameServer>,
    /// A PoP, a place with edges: degrees north and east, and the country. May be given again
    #[arg(long, value_name = "ID@LAT,LON[,COUNTRY]", value_parser = answers::pop)]
    pub(crate) pop: Vec<NewPop>,
    /// An edge in a PoP, with what DNS hands out for it. May be given again
    #[arg(long, value_name = "ID@POP=IP[,IP]", value_parser = answers::edge)]
    pub(crate) edge: Vec<NewEdge>,
    /// A site: the names that it answers to, and where its content comes from. May be given again
    #[arg(long, value_name = "ID=HOST[,HOST]=URL", value_parser = answers::site)]
    pub(crate) site: Vec<NewSite>,
    /// Where a node keeps its state: purges, certificates, logs. Left out: /var/lib/hither
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<String>,
    /// Ask nothing: what has no option gets its default. So it is too where there is no terminal
    #[arg(long)]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::RUN)]
pub(crate) struct Run {
    /// The config directory. Left out: as for -C
    #[arg(long, value_name = "DIR")]
    pub(crate) config: Option<PathBuf>,
    /// The id of the node to run
    #[arg(long, value_name = "ID", env = "HITHER_NODE")]
    pub(crate) node: String,
    /// Where this node's admin address listens, in place of the config's
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) admin: Option<SocketAddr>,
    /// Take over from the process of this node that serves: nobody is refused, nobody cut, and if it fails that one serves on
    #[arg(long)]
    pub(crate) take_over: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::CHECK)]
pub(crate) struct Check {
    /// The config directory. Left out: as for -C
    #[arg(value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Also look whether every edge is reached at its port of clear HTTP, and whether the zone is delegated and sites'
    /// names lead here, as the resolver of /etc/resolv.conf finds them: some seconds
    #[arg(long)]
    pub(crate) online: bool,
    /// With --online: the resolver to ask in place of that one, as `9.9.9.9`, or with a port
    #[arg(long, value_name = "IP[:PORT]", requires = "online", value_parser = resolver)]
    pub(crate) resolver: Option<SocketAddr>,
    /// Also tell what it would do beside the config that serves: as `hither plan`
    #[arg(long)]
    pub(crate) plan: bool,
    /// With --plan: a name server's `queries.jsonl`. Left out: every country's people, for every site
    #[arg(long, value_name = "FILE", requires = "plan")]
    pub(crate) queries: Option<PathBuf>,
    /// Print JSON, once all is known
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::EXPLAIN)]
pub(crate) struct Explain {
    /// A name that is routed, or an alias of one
    #[arg(value_name = "NAME", required_unless_present = "url")]
    pub(crate) name: Option<String>,
    /// The client's or resolver's address. Needed with NAME, unless --batch has them
    #[arg(long, value_name = "IP", required_unless_present_any = ["batch", "url"], conflicts_with = "batch")]
    pub(crate) from: Option<IpAddr>,
    /// Tell of a URL instead which rules of its site apply, and what each says
    #[arg(long, value_name = "URL", conflicts_with_all = ["name", "batch"])]
    pub(crate) url: Option<String>,
    /// With --url: the request's method
    #[arg(long, value_name = "METHOD", default_value = "GET", requires = "url")]
    pub(crate) method: String,
    /// With --url: a field of the request, as `User-Agent: Googlebot`. May be given again
    #[arg(short = 'H', long, value_name = "FIELD", requires = "url")]
    pub(crate) header: Vec<String>,
    /// A file with an address on each line: a row of a table for each
    #[arg(long, value_name = "FILE")]
    pub(crate) batch: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::SIGN)]
pub(crate) struct Sign {
    /// The URL to sign
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// How long it is good for, as `1h` or `30d`
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    pub(crate) expires: std::time::Duration,
    /// The key's id. Left out: the first of the rule
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// Good for this client alone
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
}

#[derive(Debug, Args)]
#[command(after_help = examples::GET)]
pub(crate) struct Get {
    /// The URL to fetch
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// The client's address
    #[arg(long, value_name = "IP")]
    pub(crate) from: IpAddr,
    /// A PEM file with the authority that signed the site's certificate. Left out: the public ones
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::STATUS)]
pub(crate) struct Status {
    /// Look every second: on a terminal a live table with rates, until `q` or Ctrl-C; else a table for each look
    #[arg(long)]
    pub(crate) watch: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::REPORT)]
pub(crate) struct Report {
    /// Of this site alone. Left out: of every site
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<String>,
    /// The first day, in UTC, as 2026-11-01. Left out: the first of the last day's month
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<String>,
    /// The last day. Left out: today, which is not over
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::PURGE)]
#[command(group(ArgGroup::new("target").required(true).multiple(true).args(["url", "prefix", "tag", "site"])))]
pub(crate) struct Purge {
    /// A URL: every variant, over http and https, with exactly this query. May be given again
    #[arg(long, value_name = "URL")]
    pub(crate) url: Vec<String>,
    /// A URL without a query: all that lies there and below, by segment. May be given again
    #[arg(long, value_name = "URL")]
    pub(crate) prefix: Vec<String>,
    /// A tag of the origin's `Cache-Tag` or `Surrogate-Key`. May be given again
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,
    /// A site: alone all of it, else only what of the others is its own
    #[arg(long, value_name = "SITE")]
    pub(crate) site: Option<String>,
    /// Make it stale instead: it is validated, and served in its grace and when the origin fails
    #[arg(long)]
    pub(crate) soft: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::DRAIN)]
pub(crate) struct Drain {
    /// The edge's id
    #[arg(value_name = "ID")]
    pub(crate) edge: String,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::PLAN)]
pub(crate) struct Plan {
    /// The config directory as it is
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The config directory as it would be
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    /// A name server's `queries.jsonl`. Left out: every country's people, for every site
    #[arg(long, value_name = "FILE")]
    pub(crate) queries: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::MAP)]
pub(crate) struct Map {
    #[command(subcommand)]
    pub(crate) command: MapCommand,
}

#[derive(Debug, Args)]
#[command(after_help = examples::KEYS)]
pub(crate) struct Keys {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Option<KeysCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Make keys for every zone that has none, under secrets/dnssec; then copy these to every name server
    #[command(after_help = examples::KEYS_CREATE)]
    Create(KeysCreate),
    /// Begin to replace a zone's key: publish a new one beside it
    #[command(after_help = examples::KEYS_ROLL)]
    Roll(KeysRoll),
    /// End it, once the zone's parent has had the new DS for as long as the old one's TTL
    #[command(after_help = examples::KEYS_FINISH)]
    Finish(KeysFinish),
}

#[derive(Debug, Args)]
pub(crate) struct KeysCreate {
    /// What they sign by
    #[arg(long, value_enum, default_value_t = Signing::EcdsaP256)]
    pub(crate) algorithm: Signing,
    /// Two keys each: a KSK, which the parent vouches for, and a ZSK, which can be rolled without it
    #[arg(long)]
    pub(crate) split: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Signing {
    /// ECDSA P-256 with SHA-256
    #[value(name = "ecdsa")]
    EcdsaP256,
    /// Ed25519
    Ed25519,
}

#[derive(Debug, Args)]
pub(crate) struct KeysRoll {
    /// The zone
    #[arg(value_name = "ZONE")]
    pub(crate) zone: String,
    /// Its ZSK, where it has one, which needs nothing from the parent. Left out: its CSK or KSK
    #[arg(long)]
    pub(crate) zsk: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeysFinish {
    /// The zone
    #[arg(value_name = "ZONE")]
    pub(crate) zone: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MapCommand {
    /// Judge the map by a matrix of round trips: random, geography, prior, learned, optimal
    #[command(after_help = examples::MAP_BENCH)]
    Bench(MapBench),
    /// How much is measured, how old it is, and what it gains over geography
    #[command(after_help = examples::MAP_STATS)]
    Stats(MapStats),
    /// What was measured, as a file of latency/ has it, sorted: to be compared, and kept in git
    #[command(after_help = examples::MAP_EXPORT)]
    Export(MapExport),
}

#[derive(Debug, Args)]
pub(crate) struct MapExport {
    /// Print JSON: for programs, not for latency/
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MapStats {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MapBench {
    /// Round trips in milliseconds from each node (a line) to each (comma-separated); `nan` where not known
    #[arg(long, value_name = "FILE")]
    pub(crate) matrix: PathBuf,
    /// Lines `name,latitude,longitude` in the matrix's order. Left out: coordinates are fitted on half of the
    /// nodes' round trips, and the map is judged on the other half
    #[arg(long, value_name = "FILE")]
    pub(crate) nodes: Option<PathBuf>,
    /// A node to be a PoP, by its name or row, from 0. May be given again. Left out: nodes far from each other
    #[arg(long, value_name = "NODE")]
    pub(crate) pop: Vec<String>,
    /// How many PoPs to pick where no --pop names them
    #[arg(long, value_name = "N", default_value_t = 12, conflicts_with = "pop")]
    pub(crate) pops: usize,
    /// Also draw the shares of clients by round trip, as SVG
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Where randomness begins; the same seed gives the same table
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = examples::COMPLETIONS)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(crate) shell: CompletedShell,
}

/// A shell that completes.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum CompletedShell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
#[command(after_help = examples::MAN)]
pub(crate) struct ManPages {
    /// The directory to write a page for each command to. Left out: hither's own, on standard output
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SampleOrigin {
    /// The directory to serve
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Where to listen
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) listen: SocketAddr,
}

/// A resolver's address, at port 53 unless it says another.
fn resolver(text: &str) -> Result<SocketAddr, String> {
    let at_53 = || text.parse::<IpAddr>().map(|address| SocketAddr::new(address, 53));
    text.parse().or_else(|_| at_53()).map_err(|_| "write an address such as 9.9.9.9 or 192.0.2.1:5300".to_owned())
}

/// A length of time as config files write it.
fn time(text: &str) -> Result<std::time::Duration, String> {
    config::parse_duration(text).map_err(|wrong| wrong.to_string())
}

#[cfg(test)]
mod tests;
