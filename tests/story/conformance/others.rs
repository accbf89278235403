//! RFC 5861 (stale content), RFC 9211 (Cache-Status), RFC 9213 (targeted fields).

use std::time::Duration;

use super::Stage;
use crate::support::wait_for;

#[test]
fn rfc5861_stale_content() {
    let stage = Stage::new(140, "");
    let case = stage.case("grace answers at once and renews behind it");
    case.serves(200, "cache-control: max-age=10, stale-while-revalidate=60\nage: 20\netag: \"a\"", "one");
    case.serves(200, "cache-control: max-age=60", "two");
    case.get("");
    let stale = case.get("");
    assert!(stale.is_hit() && stale.body == b"one", "{stale:?}");
    for _ in 0..100 {
        if case.get("").body == b"two" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    case.get("").must_be(200, "two");
    assert_eq!(case.seen().len(), 2);

    for (name, control, status, failing, at_a_500) in [
        ("by default an origin that is gone is covered, an error is not", "max-age=10", 200, "", 500),
        ("stale-if-error covers both", "max-age=10, stale-if-error=60", 200, "", 200),
        ("its window ends", "max-age=10, stale-if-error=5", 504, "", 500),
        ("must-revalidate forbids", "max-age=10, must-revalidate, stale-if-error=60", 504, "", 500),
        ("proxy-revalidate forbids", "max-age=10, proxy-revalidate", 504, "", 500),
        ("s-maxage forbids the default", "s-maxage=10", 504, "", 500),
        ("what s-maxage allows itself", "s-maxage=10, stale-if-error=60", 200, "", 200),
        ("no-cache forbids", "no-cache, max-age=99", 504, "", 500),
    ] {
        let case = stage.case(name);
        case.serves(200, &format!("cache-control: {control}\nage: 20\netag: \"a\""), "one");
        case.get("");
        case.fails();
        assert_eq!(case.get(failing).status, status, "{name}: {control}, gone");
        case.serves(500, "", "error");
        assert_eq!(case.get("").status, at_a_500, "{name}: {control}, 500");
    }
}

#[test]
fn an_error_that_is_kept_ends_nothing_that_was_good() {
    let stage = Stage::new(243, "[[rule]]\nttl_by_status = { 5xx = \"3s\" }\n");
    let pause = |millis| std::thread::sleep(Duration::from_millis(millis));
    let case = stage.case("an origin that fails once and then is gone");
    case.serves(200, "cache-control: max-age=1\netag: \"a\"", "one");
    case.get("").must_be(200, "one");
    pause(1_200);
    case.serves(500, "", "error");
    case.get("").must_be(500, "error");
    assert!(case.get("").must_be(500, "error").is_hit(), "kept for its time");
    pause(3_200);
    case.fails();
    case.get("").must_be(200, "one");
    case.serves(503, "", "again");
    case.get("").must_be(503, "again");
    pause(3_200);
    case.serves(304, "cache-control: max-age=60\netag: \"a\"", "");
    assert!(case.get("").must_be(200, "one").is("fwd-status=304"));
    assert_eq!(case.asked_for("if-none-match").as_deref(), Some("\"a\""));
    assert!(case.get("").must_be(200, "one").is_hit());
    let case = stage.case("an error of what nothing good is known");
    case.serves(500, "", "error");
    case.get("").must_be(500, "error");
    pause(3_200);
    case.fails();
    assert_eq!(case.get("").status, 504, "a stale error stands in for nothing");
}

#[test]
fn rfc9211_cache_status() {
    let stage = Stage::new(141, "");
    let case = stage.case("a miss, a hit, a stale one, another variant");
    case.serves(200, "cache-control: max-age=60\nvary: x-a\ncache-status: inner; hit", "one");
    let miss = case.get("x-a: 1").field("cache-status");
    assert!(miss.starts_with("inner; hit | one-1;fwd=uri-miss;fwd-status=200;stored;ttl="), "{miss}");
    let hit = case.get("x-a: 1").field("cache-status");
    assert!(hit.starts_with("inner; hit | one-1;hit;ttl="), "{hit}");
    case.serves(200, "cache-control: no-store", "two");
    case.get("x-a: 2").must_have("cache-status", "one-1;fwd=vary-miss;fwd-status=200");
    let case = stage.case("a stale one");
    case.serves(200, "cache-control: max-age=10\nage: 20\netag: \"a\"", "one");
    let stale = case.get("").field("cache-status");
    assert!(stale.starts_with("one-1;fwd=uri-miss;fwd-status=200;stored;ttl=-1"), "{stale}");
    case.serves(304, "cache-control: max-age=60", "");
    let validated = case.get("").field("cache-status");
    assert!(validated.starts_with("one-1;fwd=stale;fwd-status=304;stored;ttl="), "{validated}");
    case.serves(200, "", "");
    case.ask("POST", "", "x").must_have("cache-status", "one-1;fwd=method;fwd-status=200");
    case.ask("PURGE", "", "").must_have("cache-status", "one-1");
    let got = case.get("cache-control: only-if-cached");
    got.must_have("cache-status", "one-1;detail=\"only-if-cached\"");
}

#[test]
fn rfc9213_targeted_fields() {
    let stage = Stage::new(142, "");
    for (name, lines, is_stored) in [
        ("before Cache-Control", "cdn-cache-control: max-age=60\ncache-control: no-store", true),
        ("also where it forbids", "cdn-cache-control: no-store\ncache-control: max-age=60", false),
        ("ours before that", "hither-cdn-cache-control: max-age=60\ncdn-cache-control: no-store", true),
        ("one that is no dictionary is absent", "cdn-cache-control: max-age=60,,\ncache-control: no-store", false),
        ("an empty one is absent", "cdn-cache-control:\ncache-control: max-age=60", true),
        (
            "with a key in capitals it is no dictionary",
            "cdn-cache-control: MAX-AGE=60\ncache-control: max-age=60",
            true,
        ),
        ("an unknown key leaves no lifetime", "cdn-cache-control: maxage=60\ncache-control: max-age=60", false),
        ("a string is no number", "cdn-cache-control: max-age=\"60\"\ncache-control: max-age=60", false),
        ("its age counts", "cdn-cache-control: max-age=60\nage: 61", false),
        ("Expires is ignored too", "cdn-cache-control: max-age=60\nexpires: 0", true),
    ] {
        stage.stores(name, 200, lines, is_stored);
    }
    let case = stage.case("the general one is forwarded, ours is not");
    case.serves(200, "cdn-cache-control: max-age=60\nhither-cdn-cache-control: max-age=60", "one");
    for _ in 0..2 {
        let got = case.get("");
        got.must_have("cdn-cache-control", "max-age=60");
        assert!(!got.has("hither-cdn-cache-control"), "{got:?}");
    }
}

#[test]
fn rfc9110_8_4_1_what_is_compressed_here() {
    let stage = Stage::new(178, "[[rule]]\ncompress = true\n");
    let text = "all work and no play. ".repeat(200);
    let plain =
        "cache-control: max-age=2, stale-if-error=60\netag: \"a\"\ncontent-type: text/plain\nrepr-digest: sha-256=:x:";
    let case = stage.case("a text is stored compressed and the origin is asked by its own tag");
    case.serves(200, plain, &text);
    case.get("accept-encoding: br, gzip")
        .must_be(200, &text)
        .must_have("etag", "\"a\"")
        .must_have("vary", "accept-encoding");
    assert_eq!(case.asked_for("accept-encoding").as_deref(), Some("br"));
    // Compressing goes on when the answer has gone.
    let (coded, _) = wait_for(Duration::from_secs(5), "it is stored", || {
        let got = case.get("accept-encoding: gzip, br");
        if got.is_hit() { Ok(got) } else { Err(format!("{got:?}")) }
    });
    coded.must_have("content-encoding", "br").must_have("etag", "W/\"a\"").must_have("vary", "accept-encoding");
    assert!(coded.is_hit() && coded.body.len() < text.len() / 10 && !coded.has("repr-digest"), "{coded:?}");
    let part = case.get("accept-encoding: br\nrange: bytes=0-9");
    assert_eq!((part.status, part.body == coded.body), (200, true), "no part of other bytes");
    let same = case.get("accept-encoding: br\nif-none-match: \"a\"");
    assert_eq!((same.status, same.field("vary").as_str()), (304, "accept-encoding"));
    std::thread::sleep(Duration::from_millis(2_100));
    case.serves(304, "etag: \"a\"\nrepr-digest: sha-256=:x:\ncache-control: max-age=60", "");
    let renewed = case.get("accept-encoding: br");
    assert_eq!(case.asked_for("if-none-match").as_deref(), Some("\"a\""));
    renewed.must_have("content-encoding", "br").must_have("etag", "W/\"a\"");
    assert!(renewed.body == coded.body && !renewed.has("repr-digest"), "{renewed:?}");
    assert!(case.get("accept-encoding: br").is_hit());

    for (name, lines) in [
        ("no-transform", "cache-control: max-age=60, no-transform\ncontent-type: text/plain"),
        ("a picture", "cache-control: max-age=60\ncontent-type: image/png"),
        ("what the origin compressed", "cache-control: max-age=60\ncontent-type: text/plain\ncontent-encoding: gzip"),
    ] {
        let case = stage.case(name);
        case.serves(200, lines, &text);
        for _ in 0..2 {
            case.get("accept-encoding: br").must_be(200, &text);
        }
        assert!(case.get("accept-encoding: br").is_hit(), "{name}");
    }
    let picture = stage.case("a picture has no variants");
    picture.serves(200, "cache-control: max-age=60\ncontent-type: image/png", &text);
    picture.get("accept-encoding: br");
    for coding in ["gzip", "zstd", "gzip;x=1", "gzip;x=2"] {
        assert!(picture.get(&format!("accept-encoding: {coding}")).is_hit(), "{coding}");
    }
}

#[test]
fn rfc9110_7_7_what_is_compressed_here_no_longer() {
    let stage = Stage::new(180, "[[rule]]\ncompress = true\n");
    let text = "all work and no play. ".repeat(200);
    let fresh = "etag: \"a\"\ncontent-type: text/plain\ncache-control: max-age=60";
    let is_coded = |case: &super::Case<'_>| {
        wait_for(Duration::from_secs(5), "it is stored", || {
            let got = case.get("accept-encoding: br");
            if got.is_hit() { Ok(got) } else { Err(format!("{got:?}")) }
        })
        .0
    };
    let case = stage.case("an origin that forbids it later");
    case.serves(200, "etag: \"a\"\ncontent-type: text/plain\ncache-control: max-age=2", &text);
    case.get("accept-encoding: br").must_be(200, &text);
    is_coded(&case).must_have("content-encoding", "br");
    std::thread::sleep(Duration::from_millis(2_100));
    case.serves(304, "etag: \"a\"\ncache-control: max-age=60, no-transform", "");
    case.serves(200, &format!("{fresh}, no-transform"), &text);
    case.get("accept-encoding: br").must_be(200, &text).must_have("content-encoding", "");

    let case = stage.case("whoever asks for a part first");
    let part = |range: &str| format!("{fresh}\ncontent-range: bytes {range}/{}", text.len());
    case.serves(206, &part(&format!("0-{}", text.len() - 1)), &text);
    case.serves(206, &part("0-0"), "a");
    assert_eq!(case.get("accept-encoding: br\nrange: bytes=0-0").body, b"a");
    case.serves(200, fresh, &text);
    case.get("accept-encoding: br").must_be(200, &text);
    is_coded(&case).must_have("content-encoding", "br");

    let case = stage.case("a HEAD says what a GET does of Vary");
    case.serves(200, fresh, "");
    case.ask("HEAD", "accept-encoding: br", "").must_have("vary", "accept-encoding");
}
