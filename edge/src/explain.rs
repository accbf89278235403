//! Which rules apply to a request, for people who ask.

use std::net::IpAddr;

use caching::{CacheKey, Scheme, decode_unreserved};
use config::{Rule, SiteId};
use http::{HeaderMap, Method};

use crate::clock::today;
use crate::effect::{Facts, matches};
use crate::sites::Sites;
use crate::variables::Variables;

/// A request that somebody asks about.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its scheme.
    pub scheme: Scheme,
    /// Its host, with a port or without.
    pub host: &'a str,
    /// Its path and query.
    pub target: &'a str,
    /// Its fields.
    pub headers: &'a HeaderMap,
    /// Who asks.
    pub client: IpAddr,
}

/// What a site makes of a request.
#[derive(Clone, Debug)]
pub struct Ruled<'s> {
    /// The site.
    pub site: &'s SiteId,
    /// What it is stored under: scheme, host, and of the path and query what counts.
    pub key: String,
    /// The rules that apply, top to bottom.
    pub rules: Vec<&'s Rule>,
    /// How many there are.
    pub of: usize,
    /// Why it is refused.
    pub refused: Option<&'static str>,
}

impl Sites {
    /// What the site of a request makes of it; `None` where none has its host.
    #[must_use]
    pub fn explain(&self, asked: &Asked<'_>) -> Option<Ruled<'_>> {
        let port = match asked.scheme {
            Scheme::Http => 80,
            Scheme::Https => 443,
        };
        let site = self.find(asked.host, port)?;
        let variables = Variables {
            client: asked.client.to_canonical(),
            host: asked.host,
            scheme: asked.scheme.as_str(),
            target: asked.target,
            site: site.id.as_str(),
            edge: "",
        };
        let (method, headers, country) = (asked.method, asked.headers, self.country_of(variables.client));
        let facts = Facts { method, headers, now_seconds: today().seconds(), country, variables };
        let effect = site.effect(&facts);
        let counted = effect.counted(asked.target);
        let key = CacheKey::new(site.id.as_str(), asked.scheme, asked.host, &counted).uri().to_owned();
        let path = decode_unreserved(asked.target.split('?').next().unwrap_or_default());
        let rules = site.rules.iter().filter(|rule| matches(rule, &path, &facts)).collect();
        Some(Ruled { site: &site.id, key, rules, of: site.rules.len(), refused: effect.refused })
    }
}
