//! The name an object is found by (RFC 9111 §2).

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_128;

/// The scheme of a target URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Clear HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// As written in a URI.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> &'static str {
        match self {
            Self::Http => "80",
            Self::Https => "443",
        }
    }
}

/// The name an object is found by: the site and the target URI. Cheap to clone.
///
/// Equality compares the whole text, so that a crafted collision of the hash is a miss, never
/// another's object. The method is no part of it: what is stored answers GET and HEAD.
#[derive(Clone, Eq)]
pub struct CacheKey {
    hash: u128,
    /// `site scheme://host/path?query`.
    text: Arc<str>,
    uri_at: usize,
    path_at: usize,
    scheme: Scheme,
}

impl CacheKey {
    /// Builds a key. `host` may have a port; case, the scheme's own port (RFC 9110 §4.2.3) and the dot that makes a
    /// name absolute (RFC 3986 §3.2.2) make no difference. Path and query count byte by byte; an empty path is `/`.
    #[must_use]
    pub fn new(site: &str, scheme: Scheme, host: &str, path_and_query: &str) -> Self {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if port.is_empty() || port == scheme.default_port() => (name, ""),
            Some((name, _)) if !host.ends_with(']') => host.split_at(name.len()),
            _ => (host, ""),
        };
        let name = name.trim_end_matches('.');
        let slash = if path_and_query.starts_with('/') { "" } else { "/" };
        let parts = [site, " ", scheme.as_str(), "://", name, port, slash, path_and_query];
        let mut text = parts.concat();
        let uri_at = site.len() + 1;
        let host_at = uri_at + scheme.as_str().len() + "://".len();
        let path_at = host_at + name.len() + port.len();
        if let Some(host) = text.get_mut(host_at..path_at) {
            host.make_ascii_lowercase();
        }
        Self { hash: xxh3_128(text.as_bytes()), text: text.into(), uri_at, path_at, scheme }
    }

    /// Reads the text of a key back.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (site, uri) = text.split_once(' ')?;
        let (scheme, rest) = uri.split_once("://")?;
        let scheme = [Scheme::Http, Scheme::Https].into_iter().find(|known| known.as_str() == scheme)?;
        let (host, path_and_query) = rest.split_at(rest.find('/')?);
        Some(Self::new(site, scheme, host, path_and_query)).filter(|key| key.as_str() == text)
    }

    /// The hash of the text, the same on every node.
    #[must_use]
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// The whole text: the site, a space, the target URI.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The site's id.
    #[must_use]
    pub fn site(&self) -> &str {
        self.text.get(..self.uri_at.saturating_sub(1)).unwrap_or_default()
    }

    /// The target URI.
    #[must_use]
    pub fn uri(&self) -> &str {
        self.text.get(self.uri_at..).unwrap_or_default()
    }

    /// The target URI's scheme.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The target URI's host, with its port if that isn't the scheme's own.
    #[must_use]
    pub fn host(&self) -> &str {
        let start = self.uri_at + self.scheme.as_str().len() + "://".len();
        self.text.get(start..self.path_at).unwrap_or_default()
    }

    /// The target URI's path and query.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        self.text.get(self.path_at..).unwrap_or_default()
    }
}

impl PartialEq for CacheKey {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash && self.text == other.text
    }
}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.hash);
    }
}

impl fmt::Debug for CacheKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_site_scheme_host_path_and_query() {
        let key = CacheKey::new("shop", Scheme::Https, "WWW.Shop.example:443", "/a/B?q=1&q=2");
        assert_eq!(key.as_str(), "shop https://www.shop.example/a/B?q=1&q=2");
        assert_eq!((key.site(), key.host()), ("shop", "www.shop.example"));
        assert_eq!((key.path_and_query(), key.uri()), ("/a/B?q=1&q=2", "https://www.shop.example/a/B?q=1&q=2"));
        assert_eq!(CacheKey::parse(key.as_str()).as_ref(), Some(&key));
        for text in ["", "shop", "shop /", "shop ftp://h/", "shop https://H/", "shop https://h:443/", "shop https://h"]
        {
            assert_eq!(CacheKey::parse(text), None, "{text}");
        }
    }

    #[test]
    fn keys_differ_exactly_where_targets_do() {
        let base = CacheKey::new("s", Scheme::Http, "h", "/");
        assert_eq!(CacheKey::new("s", Scheme::Http, "h.:81", "/").host(), "h:81");
        assert_eq!(CacheKey::new("s", Scheme::Http, "[::1]:81", "/").host(), "[::1]:81");
        assert_eq!(CacheKey::new("s", Scheme::Http, "[::1]", "/").host(), "[::1]");
        let table = [
            (CacheKey::new("s", Scheme::Http, "H:80", ""), true),
            (CacheKey::new("s", Scheme::Http, "h:", "/"), true),
            (CacheKey::new("s", Scheme::Http, "h..", "/"), true),
            (CacheKey::new("s", Scheme::Http, "h.", "/"), true),
            (CacheKey::new("s", Scheme::Http, "h..", "/"), true),
            (CacheKey::new("s", Scheme::Http, "H.:80", "/"), true),
            (CacheKey::new("s", Scheme::Http, "h.:81", "/"), false),
            (CacheKey::new("s", Scheme::Https, "h", "/"), false),
            (CacheKey::new("s", Scheme::Http, "h:443", "/"), false),
            (CacheKey::new("s", Scheme::Http, "h", "/?"), false),
            (CacheKey::new("t", Scheme::Http, "h", "/"), false),
            (CacheKey::new("s", Scheme::Http, "[::80]", "/"), false),
        ];
        for (key, same) in table {
            assert_eq!(key == base, same, "{key:?}");
            assert_eq!(key.hash() == base.hash(), same, "{key:?}");
        }
        assert_eq!(CacheKey::new("s", Scheme::Http, "[::80]", "/").host(), "[::80]");
    }
}
