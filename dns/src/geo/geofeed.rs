//! Geofeeds (RFC 8805): networks with their countries, as their owners publish them.

use std::path::Path;

use config::{CountryCode, Prefix, Problem, Source, limits};

/// Reads the networks of a feed with their countries. RFC 8805 §2.1.1: regions and cities may follow; they have no
/// coordinates, and are passed over. Those without a country say nothing (§2.1.1.1: "the country ... MAY be empty").
pub(super) fn read(path: &Path) -> Result<Vec<(Prefix, CountryCode)>, Problem> {
    let unreadable =
        |why: &dyn std::fmt::Display| Problem::general(format!("{} cannot be read: {why}", path.display()));
    let meta = std::fs::metadata(path).map_err(|error| unreadable(&error))?;
    if !meta.is_file() || meta.len() > limits::ROUND_TRIPS_BYTES {
        return Err(unreadable(&format!("it is no file of at most {} MiB", limits::ROUND_TRIPS_BYTES >> 20)));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(&error))?;
    let source = Source::new(path, text);
    let mut feed = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        // §2.1: "#" begins a comment.
        let text = line.split('#').next().unwrap_or_default().trim().trim_start_matches('\u{feff}');
        if text.is_empty() {
            continue;
        }
        let mut fields = text.split(',').map(|field| field.trim().trim_matches('"'));
        let fault =
            |message: String, help: Option<String>| Problem { help, ..Problem::fault(source.line(number), message) };
        let prefix = Prefix::parse(fields.next().unwrap_or_default());
        let prefix = prefix.map_err(|wrong| fault(wrong.message, wrong.help))?;
        let country = fields.next().unwrap_or_default();
        if country.is_empty() {
            continue;
        }
        let help = "write prefix,country, as in 192.0.2.0/24,DE";
        let country = CountryCode::parse(country)
            .ok_or_else(|| fault(format!("`{country}` is not a country code"), Some(help.to_owned())))?;
        feed.push((prefix, country));
    }
    Ok(feed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Result<Vec<(String, String)>, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let path = file.path().display().to_string();
        match read(file.path()) {
            Ok(feed) => Ok(feed.iter().map(|(prefix, country)| (prefix.to_string(), country.to_string())).collect()),
            Err(problem) => Err(problem.to_string().replace(&path, "feed.csv")),
        }
    }

    #[test]
    fn rfc8805_2_1_a_feed_is_read_and_a_wrong_line_is_named() {
        let feed = "# IETF106\n192.0.2.0/24,US,US-AL,Alabaster,\n\n2001:db8::/32,de,,,\n198.51.100.0/24,,,, # nowhere\n203.0.113.7,SG";
        let expected = [("192.0.2.0/24", "US"), ("2001:db8::/32", "DE"), ("203.0.113.7/32", "SG")];
        assert_eq!(told(feed).unwrap(), expected.map(|(prefix, country)| (prefix.to_owned(), country.to_owned())));
        let wrong = told("192.0.2.0/24,US\n192.0.2.0/33,US").unwrap_err();
        assert!(wrong.starts_with("feed.csv:2:1: `192.0.2.0/33` is not an address prefix"), "{wrong}");
        let wrong = told("192.0.2.0/24,Germany").unwrap_err();
        assert!(wrong.contains("feed.csv:1:1: `Germany` is not a country code"), "{wrong}");
    }
}
