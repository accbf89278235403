use super::*;
use http::header::CONTENT_LANGUAGE;
use proptest::prelude::*;

const SEED: u64 = 7;

type Fields<'a> = &'a [(&'static str, &'a str)];

fn headers(fields: Fields<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn a_star_anywhere_never_matches() {
    let names = |names: &[&'static str]| Vary::Fields(names.iter().map(|name| HeaderName::from_static(name)).collect());
    let table: [(Fields<'_>, Vary); 9] = [
        (&[], names(&[])),
        (&[("vary", "")], names(&[])),
        (&[("vary", "Foo, ,bar,"), ("vary", "foo")], names(&["bar", "foo"])),
        (&[("vary", "*")], Vary::Never),
        (&[("vary", ", *")], Vary::Never),
        (&[("vary", "a, *")], Vary::Never),
        (&[("vary", "*, a")], Vary::Never),
        (&[("vary", ""), ("vary", "*")], Vary::Never),
        (&[("vary", "a b")], Vary::Never),
    ];
    for (fields, expected) in table {
        assert_eq!(Vary::of(&headers(fields)), expected, "{fields:?}");
    }
}

#[test]
fn too_many_names_never_match() {
    let vary = |count: usize| {
        let names: Vec<String> = (0..count).map(|name| format!("x-{name}")).collect();
        Vary::of(&headers(&[("vary", &names.join(","))]))
    };
    assert!(matches!(vary(32), Vary::Fields(names) if names.len() == 32));
    assert_eq!(vary(33), Vary::Never);
}

#[test]
fn requests_match_by_what_they_say_in_the_nominated_fields() {
    let table: [(Fields<'_>, Fields<'_>, bool); 14] = [
        (&[("a", "1")], &[("a", "1")], true),
        (&[("a", "1")], &[("a", "2")], false),
        (&[("a", "1")], &[("a", "1"), ("other", "x")], true),
        (&[("a", "1"), ("b", "2")], &[("b", "2"), ("a", "1")], true),
        (&[("a", "1"), ("b", "2")], &[("a", "2"), ("b", "1")], false),
        (&[("a", "1, 2")], &[("a", "1"), ("a", "2")], true),
        (&[("a", "1, 2")], &[("a", "  1\t,2 ")], true),
        (&[("a", "1, 2")], &[("a", "2, 1")], false),
        (&[("a", "\"1, 2\"")], &[("a", "\"1,2\"")], false),
        (&[("a", "x y")], &[("a", "xy")], false),
        (&[], &[], true),
        (&[], &[("a", "")], false),
        (&[("a", "")], &[("a", "")], true),
        (&[("a", "X")], &[("a", "x")], false),
    ];
    for (first, second, expected) in table {
        let Vary::Fields(nominated) = Vary::of(&headers(&[("vary", "b, a")])) else { panic!() };
        let selector = Selector::new(nominated, &headers(first), &HeaderMap::new(), SEED);
        assert_eq!(selector.matches(&headers(second), SEED), expected, "{first:?} {second:?}");
    }
}

#[test]
fn an_object_in_the_preferred_language_matches_too() {
    // Language asked for first, language of the response, language asked for next.
    let table = [
        ("en, de", "de", "de, en", true),
        ("en, de", "de", "DE", true),
        ("en, de", "de", "de, fr;q=0.5", true),
        ("en, de", "de", "de, fr", false),
        ("en, de", "de", "fr, de;q=0.5", false),
        ("en, de", "de, en", "de", false),
        ("en, de", "de", "de-AT", false),
        ("en", "", "en;q=1.0", true),
    ];
    for (first, spoken, second, expected) in table {
        let response = HeaderMap::from_iter([(CONTENT_LANGUAGE, HeaderValue::from_static(spoken))]);
        let first = [("accept-language", first)];
        let second = [("accept-language", second)];
        let selector = Selector::new(vec![ACCEPT_LANGUAGE], &headers(&first), &response, SEED);
        assert_eq!(selector.matches(&headers(&second), SEED), expected, "{first:?} {spoken} {second:?}");
        // Not where another nominated field differs.
        let nominated = vec![HeaderName::from_static("a"), ACCEPT_LANGUAGE];
        let selector = Selector::new(nominated, &headers(&first), &response, SEED);
        assert!(!selector.matches(&headers(&[second[0], ("a", "1")]), SEED));
    }
}

#[test]
fn the_newest_match_is_chosen_and_one_that_varies_before_one_that_does_not() {
    let selector = |nominated: &[HeaderName], value: &str| {
        Selector::new(nominated.to_vec(), &headers(&[("a", value)]), &HeaderMap::new(), SEED)
    };
    let name = [HeaderName::from_static("a")];
    let stored = [
        (&selector(&name, "1"), Moment::from_seconds(10)),
        (&selector(&name, "1"), Moment::from_seconds(20)),
        (&selector(&name, "2"), Moment::from_seconds(30)),
        (&selector(&[], ""), Moment::from_seconds(40)),
    ];
    for (value, expected) in [("1", 1), ("2", 2), ("3", 3)] {
        assert_eq!(choose(stored, &headers(&[("a", value)]), SEED), Some(expected), "{value}");
    }
    assert_eq!(choose(stored[..3].iter().copied(), &headers(&[]), SEED), None);
}

#[test]
fn without_the_seed_nobody_knows_the_hash() {
    let request = headers(&[("a", "1")]);
    let name = [HeaderName::from_static("a")];
    assert_ne!(Variant::of(&name, &request, 1), Variant::of(&name, &request, 2));
}

proptest! {
    #[test]
    fn normalising_twice_is_normalising_once(value in r#"[a-c" \t,;=\\]{0,30}"#) {
        let once = normalise(value.as_bytes());
        prop_assert_eq!(normalise(&once), once);
    }

    #[test]
    fn normalising_a_language_twice_is_normalising_once(value in "[a-c;q=01.,* ]{0,30}") {
        let once = language::normalise(normalise(value.as_bytes()));
        prop_assert_eq!(language::normalise(once.clone()), once);
    }
}
