//! Any zone file is read, or refused with places that are in it.

#![no_main]

use std::path::Path;

use config::{DomainName, Severity, Source, ZoneFile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(name) = DomainName::parse("shop.example") else { return };
    let text = String::from_utf8_lossy(bytes).into_owned();
    let path = Path::new("zones/shop.example");
    let file = ZoneFile { name, source: Ok(Source::new(path, text)), path: path.to_owned() };
    let problems = dns::check_zones(std::slice::from_ref(&file));
    for problem in &problems {
        let place = problem.place.as_ref();
        let is_there = place.is_none_or(|place| place.source.text.get(place.span.clone()).is_some());
        assert!(is_there && !problem.message.chars().any(char::is_control), "{problem:?}");
    }
    let is_faulty = problems.iter().any(|problem| problem.severity == Severity::Fault);
    assert_eq!(dns::largest_ttl(&file).is_none(), is_faulty);
});
