//! An order to purge: whether it is for what is served here, and for who gives it.

use caching::{Position, Purge};
use config::SiteId;
use fleet::{PurgeLogError, PurgeOrder};

use crate::shared::Shared;
use crate::sites::Sites;

/// Why a purge is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeError {
    /// The order is wrong.
    Wrong(String),
    /// It reaches beyond the site that it may.
    OtherSite(String),
    /// It could not be written down.
    Log(PurgeLogError),
}

impl Shared {
    /// Takes back what is stored; `within` is the only site it may reach. Waits for the disk, and returns
    /// the position in this edge's log: from then on nothing that it reaches is served, whatever happens.
    ///
    /// # Errors
    /// Nothing has been purged.
    pub fn purge(&self, order: &PurgeOrder, within: Option<&SiteId>) -> Result<Position, PurgeError> {
        let mut purges = order.purges().map_err(PurgeError::Wrong)?;
        let sites = self.sites.load_full();
        for purge in &mut purges {
            check(purge, sites.as_deref(), within)?;
        }
        if let (Some(site), true) = (&order.site, purges.iter().any(|purge| purge.host().is_some())) {
            let site = SiteId::parse(site).map_err(|wrong| PurgeError::Wrong(wrong.message))?;
            purges.iter_mut().try_for_each(|purge| check(purge, sites.as_deref(), Some(&site)))?;
        }
        let counted: Vec<Purge> = purges.iter().flat_map(|purge| counted(purge, sites.as_deref())).collect();
        let new: Vec<Purge> = counted.into_iter().filter(|purge| !purges.contains(purge)).collect();
        purges.extend(new);
        self.purging.purge(&purges, order.manner()).map_err(PurgeError::Log)
    }
}

/// Whether a purge is for a site that is served here, and may be.
fn check(purge: &mut Purge, sites: Option<&Sites>, within: Option<&SiteId>) -> Result<(), PurgeError> {
    let by_host = |host: &str| {
        let site = sites.and_then(|sites| sites.find(host, 80).or_else(|| sites.find(host, 443)));
        site.map(|site| site.id.to_string())
            .ok_or_else(|| PurgeError::Wrong(format!("no site here has the host `{host}`")))
    };
    let site = match purge {
        Purge::Url { host, .. } | Purge::Prefix { host, .. } => by_host(host)?,
        // A site's own token reaches its tags alone, without having to say so.
        Purge::Tag { site, .. } => match (site.as_deref(), within) {
            (None, Some(only)) => site.insert(only.to_string()).clone(),
            (None, None) => return Ok(()),
            (Some(named), _) => named.to_owned(),
        },
        Purge::Site { site } => site.clone(),
    };
    if sites.is_none_or(|sites| !sites.has(&site)) {
        return Err(PurgeError::Wrong(format!("there is no site `{site}` here")));
    }
    match within {
        Some(only) if only.as_str() != site => {
            Err(PurgeError::OtherSite(format!("this reaches the site `{site}`, and may reach only `{only}`")))
        }
        _ => Ok(()),
    }
}

/// What a URL is stored as where a site's rules leave out some of its query.
fn counted(purge: &Purge, sites: Option<&Sites>) -> Vec<Purge> {
    let Purge::Url { host, path_and_query } = purge else { return Vec::new() };
    let site = sites.and_then(|sites| sites.find(host, 80).or_else(|| sites.find(host, 443)));
    let targets = site.map(|site| site.counted(path_and_query)).unwrap_or_default();
    targets.into_iter().map(|path_and_query| Purge::Url { host: host.clone(), path_and_query }).collect()
}
