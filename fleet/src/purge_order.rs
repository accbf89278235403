//! What is ordered to be purged, as it is written in requests.

use caching::{Manner, Purge};
use serde::{Deserialize, Serialize};

/// An order to purge, as JSON: `{"url": [...], "prefix": [...], "tag": [...], "site": "shop", "soft": true}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PurgeOrder {
    /// URLs: every variant, over both schemes, with exactly this query.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub url: Vec<String>,
    /// URLs without a query: what lies there and below, by segment.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefix: Vec<String>,
    /// Tags that origins gave in `Cache-Tag` or `Surrogate-Key`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag: Vec<String>,
    /// A site: alone all of it, else only what of the others is its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// Whether what is reached becomes stale instead of going.
    pub soft: bool,
}

/// The most that one order names.
const MOST: usize = 1_000;

impl PurgeOrder {
    /// Hard or soft.
    #[must_use]
    pub fn manner(&self) -> Manner {
        if self.soft { Manner::Soft } else { Manner::Hard }
    }

    /// The purges it comes to.
    ///
    /// # Errors
    /// What is wrong with it, for who wrote it.
    pub fn purges(&self) -> Result<Vec<Purge>, String> {
        let named = self.url.len() + self.prefix.len() + self.tag.len();
        if named > MOST {
            return Err(format!("one order names at most {MOST} things, this one {named}"));
        }
        let wrong = |text: &str, why| format!("`{text}` cannot be purged: {}", tell(why));
        let urls = self.url.iter().map(|url| Purge::of_url(url).map_err(|why| wrong(url, why)));
        let prefixes = self.prefix.iter().map(|url| Purge::of_prefix(url).map_err(|why| wrong(url, why)));
        let tags = self.tag.iter().map(|tag| match tag.trim() {
            "" => Err("a tag is at least one character".to_owned()),
            tag if tag.len() > caching::LONGEST_TAG => {
                Err(format!("no tag is longer than {} bytes", caching::LONGEST_TAG))
            }
            tag => Ok(Purge::Tag { tag: tag.to_owned(), site: self.site.clone() }),
        });
        let mut purges = urls.chain(prefixes).chain(tags).collect::<Result<Vec<_>, _>>()?;
        match &self.site {
            Some(site) if purges.is_empty() => purges.push(Purge::Site { site: site.clone() }),
            None if purges.is_empty() => return Err("name a url, a prefix, a tag or a site".to_owned()),
            _ => {}
        }
        Ok(purges)
    }
}

fn tell(why: caching::NoTarget) -> String {
    match why {
        caching::NoTarget::NotAUrl => "write a whole URL, as in https://www.shop.example/a".to_owned(),
        caching::NoTarget::PrefixWithQuery => "a prefix has no query; for one URL use `url`".to_owned(),
        caching::NoTarget::Wildcard => "a host has no wildcard; for all of a site use `site`".to_owned(),
        caching::NoTarget::Space => "a space is written %20".to_owned(),
        caching::NoTarget::DotSegments => "nothing is stored under a path with . or .. in it".to_owned(),
        caching::NoTarget::TooDeep => format!("a prefix has at most {} segments", caching::MOST_SEGMENTS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(json: &str) -> Result<Vec<Purge>, String> {
        serde_json::from_str::<PurgeOrder>(json).map_err(|error| error.to_string())?.purges()
    }

    #[test]
    fn an_order_is_what_it_names() {
        let site = |site: &str| Purge::Site { site: site.to_owned() };
        let tag = |tag: &str, site: Option<&str>| Purge::Tag { tag: tag.to_owned(), site: site.map(str::to_owned) };
        assert_eq!(order(r#"{"site":"shop"}"#), Ok(vec![site("shop")]));
        assert_eq!(order(r#"{"tag":[" news "]}"#), Ok(vec![tag("news", None)]));
        assert_eq!(order(r#"{"tag":["news"],"site":"shop","soft":true}"#), Ok(vec![tag("news", Some("shop"))]));
        assert_eq!(order(r#"{"url":["http://h/a"],"prefix":["http://h/b"]}"#).map(|purges| purges.len()), Ok(2));
    }

    #[test]
    fn an_order_for_nothing_says_what_is_missing() {
        for (json, word) in [
            ("{}", "name a url"),
            (r#"{"url":["/a"]}"#, "whole URL"),
            (r#"{"prefix":["http://h/a?b"]}"#, "no query"),
            (r#"{"url":["http://h/a b"]}"#, "%20"),
            (r#"{"prefix":["http://h/a/%2E./b"]}"#, "with . or .."),
            (r#"{"tag":[" "]}"#, "at least one"),
            (r#"{"everything":true}"#, "unknown field"),
        ] {
            let error = order(json).unwrap_err();
            assert!(error.contains(word), "{json}: {error}");
        }
        let many = serde_json::json!({ "tag": vec!["a"; MOST + 1] }).to_string();
        assert!(order(&many).unwrap_err().contains("at most 1000"));
    }
}
