//! `hither sign`: a URL that a site's rules let through.

use std::path::PathBuf;

use config::SigningKey;
use http::Uri;
use jiff::Timestamp;

use crate::cli::Sign;
use crate::directory;
use crate::exit::{Done, Exit, Failure};
use crate::say::say;

pub(crate) fn run(args: &Sign, dir: Option<PathBuf>) -> Done {
    let dir = directory::find(dir);
    let loaded = config::load(&dir).map_err(|refused| directory::refused(&refused.problems))?;
    let sites = edge::Sites::build(&loaded.config, None);
    let wrong = || Failure::operator(format!("`{}` is not a URL such as https://www.shop.example/film.mp4", args.url));
    let uri: Uri = args.url.parse().map_err(|_| wrong())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(wrong()) };
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let port = authority.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let keys = sites.signing_keys(authority.as_str(), port, target);
    let keys = keys.ok_or_else(|| {
        Failure::operator(format!("no site has the host `{}`; add it to `hosts` of one under sites/", authority.host()))
    })?;
    let key = chosen(keys, args)?;
    let until = Timestamp::now().as_second().saturating_add(i64::try_from(args.expires.as_secs()).unwrap_or(i64::MAX));
    say(format!("{scheme}://{authority}{}", edge::sign(target, key, until, args.address)));
    Ok(Exit::Done)
}

fn chosen<'k>(keys: &'k [SigningKey], args: &Sign) -> Result<&'k SigningKey, Failure> {
    let none = || Failure::operator("no rule asks for signed URLs there: add `signed` to one that matches the path");
    let first = keys.first().ok_or_else(none)?;
    let Some(id) = &args.key else { return Ok(first) };
    let known = || keys.iter().map(|key| key.id.as_str()).collect::<Vec<_>>().join(", ");
    keys.iter()
        .find(|key| key.id == *id)
        .ok_or_else(|| Failure::operator(format!("there is no key `{id}` for this path; known: {}", known())))
}
