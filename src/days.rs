//! Of which days, and of which site, a report is wanted.

use admin::Asked;
use config::SiteId;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;

/// The days, and perhaps the only site, of which a report is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) from: Date,
    pub(crate) to: Date,
    pub(crate) site: Option<SiteId>,
}

/// The day in UTC.
fn today() -> Date {
    Offset::UTC.to_datetime(Timestamp::now()).date()
}

impl Wanted {
    /// As texts say it; by default this month until today.
    ///
    /// # Errors
    /// A text is no day, or no site's id; or the days are the wrong way round.
    fn parse((from, to): (Option<&str>, Option<&str>), site: Option<&str>, today: Date) -> Result<Self, String> {
        let day = |text: &str| text.parse::<Date>().map_err(|_| format!("`{text}` is no day; write it as {today}"));
        let to = to.map(day).transpose()?;
        let from = from.map(day).transpose()?.unwrap_or_else(|| to.unwrap_or(today).first_of_month());
        let to = to.unwrap_or(today.max(from));
        if to < from {
            return Err(format!("{to} is before {from}: write the first day first"));
        }
        let site = site.map(SiteId::parse).transpose().map_err(|wrong| wrong.to_string())?;
        Ok(Self { from, to, site })
    }

    /// As an admin address is asked.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub(crate) fn of(asked: &Asked) -> Result<Self, String> {
        Self::parse((asked.from.as_deref(), asked.to.as_deref()), asked.site.as_deref(), today())
    }

    /// Where an edge is asked for it.
    pub(crate) fn path(&self) -> String {
        let site = self.site.as_ref().map(|site| format!("&site={site}"));
        format!("/report?from={}&to={}{}", self.from, self.to, site.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_this_month_until_today_where_nothing_else_is_said() {
        let today = "2026-11-30".parse().unwrap();
        for (from, to, expected) in [
            (None, None, "/report?from=2026-11-01&to=2026-11-30"),
            (Some("2026-11-29"), None, "/report?from=2026-11-29&to=2026-11-30"),
            (None, Some("2026-10-31"), "/report?from=2026-10-01&to=2026-10-31"),
            (Some("2026-01-01"), Some("2026-01-01"), "/report?from=2026-01-01&to=2026-01-01"),
            (Some("2027-01-01"), None, "/report?from=2027-01-01&to=2027-01-01"),
        ] {
            assert_eq!(Wanted::parse((from, to), None, today).unwrap().path(), expected);
        }
        let of_site = Wanted::parse((None, None), Some("shop"), today).unwrap();
        assert_eq!(of_site.path(), "/report?from=2026-11-01&to=2026-11-30&site=shop");
        for (from, to, site, why) in [
            (Some("yesterday"), None, None, "`yesterday` is no day; write it as 2026-11-30"),
            (Some("2026-02-30"), None, None, "`2026-02-30` is no day"),
            (Some("2026-11-30"), Some("2026-11-01"), None, "2026-11-01 is before 2026-11-30"),
            (None, None, Some("Shop&x"), "Shop&x"),
        ] {
            let told = Wanted::parse((from, to), site, today).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
