//! `hither explain --url`: which rule of a site says what of a request.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use caching::Scheme;
use config::Config;
use edge::{Asked, Ruled, Sites};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use mapping::Geography;

use crate::cli::Explain;
use crate::commands::table;
use crate::directory;
use crate::exit::{Done, Exit, Failure};
use crate::say::say;

/// Keys that say when a rule applies.
const CONDITIONS: [&str; 5] = ["path", "method", "header", "client", "country"];
/// Keys of which later rules add to earlier ones.
const ADDING: [&str; 2] = ["headers", "request_headers"];

pub(super) fn run(args: &Explain, url: &str, dir: &Path) -> Done {
    let loaded = config::load(dir).map_err(|refused| directory::refused(&refused.problems))?;
    let sites = Sites::build(&loaded.config, geography(&loaded.config)?);
    let wrong = || Failure::operator(format!("`{url}` is not a URL such as https://www.shop.example/a"));
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let scheme = match uri.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        _ => return Err(wrong()),
    };
    let host = uri.authority().ok_or_else(wrong)?.as_str();
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let method = Method::from_bytes(args.method.as_bytes());
    let method = method.map_err(|_| Failure::operator(format!("`{}` is not a method", args.method)))?;
    let headers: HeaderMap = args.header.iter().map(|line| field(line)).collect::<Result<_, _>>()?;
    let client = args.from.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let asked = Asked { method: &method, scheme, host, target, headers: &headers, client };
    let ruled = sites.explain(&asked).ok_or_else(|| {
        Failure::operator(format!("no site has the host `{host}`; add it to `hosts` of one under sites/"))
    })?;
    let rows = rows(&ruled);
    if args.json {
        let rules: Vec<_> = rows
            .iter()
            .map(|row| serde_json::json!({ "key": row.key, "value": row.value, "line": row.line, "overridden_at": row.loses_to }))
            .collect();
        let told = serde_json::json!({ "site": ruled.site.as_str(), "stored_as": ruled.key, "refused": ruled.refused, "rules": rules });
        say(serde_json::to_string_pretty(&told).map_err(Failure::ours)?);
    } else {
        say(show(&ruled, &rows).trim_end());
    }
    Ok(Exit::Done)
}

/// Where clients are, if sites ask for it.
fn geography(config: &Config) -> Result<Option<Arc<Geography>>, Failure> {
    if !edge::asks_for_countries(config) {
        return Ok(None);
    }
    let world = dns::geo::load(&config.network.geo, None, SystemTime::now());
    Ok(Some(world.map_err(|problem| directory::refused(&[problem]))?.geography))
}

/// A line of a curl command: `Name: value`.
fn field(line: &str) -> Result<(HeaderName, HeaderValue), Failure> {
    let read = || {
        let (name, value) = line.split_once(':')?;
        Some((name.trim().parse().ok()?, HeaderValue::from_str(value.trim()).ok()?))
    };
    read().ok_or_else(|| Failure::operator(format!("`{line}` is not a field such as `User-Agent: Googlebot`")))
}

/// What one rule says of one key.
struct Row {
    key: String,
    value: String,
    line: usize,
    /// The line of a later rule that says something else.
    loses_to: Option<usize>,
}

fn rows(ruled: &Ruled<'_>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for rule in &ruled.rules {
        for written in rule.written.iter().filter(|written| !CONDITIONS.contains(&&*written.key)) {
            let (key, value, line) = (written.key.clone(), written.value.clone(), written.line);
            for earlier in rows.iter_mut().filter(|row| row.key == key && !ADDING.contains(&&*row.key)) {
                earlier.loses_to = Some(line);
            }
            rows.push(Row { key, value, line, loses_to: None });
        }
    }
    rows
}

fn show(ruled: &Ruled<'_>, rows: &[Row]) -> String {
    let mut out = format!("site {}, stored as {}\n", ruled.site, ruled.key);
    if let Some(why) = ruled.refused {
        out.push_str(&format!("refused: {why}\n"));
    }
    out.push_str(&format!("{} of {} rules apply\n", ruled.rules.len(), ruled.of));
    if rows.is_empty() {
        return out;
    }
    let cells = |row: &Row| {
        let lost = row.loses_to.map_or_else(String::new, |line| format!("line {line} wins"));
        vec![row.key.clone(), row.value.clone(), format!("sites/{}.toml:{}", ruled.site, row.line), lost]
    };
    out.push('\n');
    out.push_str(&table::draw(&["key", "value", "rule", ""], &rows.iter().map(cells).collect::<Vec<_>>()));
    out
}
