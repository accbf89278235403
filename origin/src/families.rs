//! What asking for a name's IPv4 and IPv6 addresses comes to, each by itself.

use std::net::IpAddr;
use std::time::Duration;

use crate::error::FetchError;
use crate::known::Asked;

/// What asking for the addresses of one family brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// These, for so long; never none.
    Found(Vec<IpAddr>, Duration),
    /// There are none.
    Nothing,
    /// Nobody knew, or not in time.
    Failed(FetchError),
}

/// What two families come to. That one of them is not known says nothing of it: what was known stays.
pub(crate) fn join(v4: Family, v6: Family) -> Asked {
    match (v4, v6) {
        (Family::Found(mut addresses, ttl), Family::Found(more, other)) => {
            addresses.extend(more);
            Asked::Found(addresses, ttl.min(other))
        }
        (Family::Found(addresses, ttl), Family::Nothing) | (Family::Nothing, Family::Found(addresses, ttl)) => {
            Asked::Found(addresses, ttl)
        }
        (Family::Found(addresses, ttl), Family::Failed(_)) | (Family::Failed(_), Family::Found(addresses, ttl)) => {
            Asked::Half(addresses, ttl)
        }
        (Family::Nothing, Family::Nothing) => Asked::Nothing,
        (Family::Failed(error), _) | (_, Family::Failed(error)) => Asked::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_both_say_so_there_is_nothing() {
        let (one, two) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]));
        let found = |address, seconds| Family::Found(vec![address], Duration::from_secs(seconds));
        let failed = Family::Failed(FetchError::DnsTimeout);
        let seconds = Duration::from_secs;
        let table = [
            (found(one, 60), found(two, 20), Asked::Found(vec![one, two], seconds(20))),
            (found(one, 60), Family::Nothing, Asked::Found(vec![one], seconds(60))),
            (Family::Nothing, found(two, 20), Asked::Found(vec![two], seconds(20))),
            (found(one, 60), failed.clone(), Asked::Half(vec![one], seconds(60))),
            (failed.clone(), found(two, 20), Asked::Half(vec![two], seconds(20))),
            (Family::Nothing, Family::Nothing, Asked::Nothing),
            (Family::Nothing, failed.clone(), Asked::Failed(FetchError::DnsTimeout)),
            (failed.clone(), Family::Nothing, Asked::Failed(FetchError::DnsTimeout)),
            (failed.clone(), failed, Asked::Failed(FetchError::DnsTimeout)),
        ];
        for (v4, v6, expected) in table {
            assert_eq!(join(v4.clone(), v6.clone()), expected, "{v4:?} {v6:?}");
        }
    }
}
