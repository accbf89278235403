//! What is fresh is within its lifetime, and never gets fresher as time goes by (RFC 9111 §3, §4.2).

#![no_main]

use std::time::Duration;

use caching::{
    Asked, CDN_CACHE_CONTROL, CacheKey, Directives, Fallback, Keep, Moment, Payload, Policy, Received, Reuse, Scheme,
    SetCookiePolicy, Sharing, Terms, Validation, Verdict, age, judge, reuse, set_age, ttl,
};
use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE, DATE, ETAG,
    EXPIRES, HeaderName, LAST_MODIFIED, RANGE, SET_COOKIE, TRANSFER_ENCODING, VARY,
};
use http::{Method, StatusCode};
use input::Input;
use libfuzzer_sys::fuzz_target;

const ASKED: [HeaderName; 3] = [CACHE_CONTROL, AUTHORIZATION, RANGE];
const ANSWERED: [HeaderName; 14] = [
    AGE,
    CACHE_CONTROL,
    CDN_CACHE_CONTROL,
    CONNECTION,
    CONTENT_LENGTH,
    CONTENT_LOCATION,
    CONTENT_RANGE,
    DATE,
    ETAG,
    EXPIRES,
    LAST_MODIFIED,
    SET_COOKIE,
    TRANSFER_ENCODING,
    VARY,
];
const METHODS: [&Method; 4] = [&Method::GET, &Method::HEAD, &Method::POST, &Method::PUT];
const POLICIES: [SetCookiePolicy; 3] = [SetCookiePolicy::Pass, SetCookiePolicy::Strip, SetCookiePolicy::Store];

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    let key = CacheKey::new("shop", Scheme::Https, "shop.example", "/a?b");
    let method = input.one_of(&METHODS);
    let payload = input.one_of(&[Payload::Empty, Payload::Present]);
    let status = StatusCode::from_u16(u16::from(input.byte()) + u16::from(input.byte()) + 100);
    let status = status.unwrap_or(StatusCode::OK);
    let policy = policy(&mut input);
    let (asked_at, received_at) = (input.moment(), input.moment());
    let nows = [input.moment(), input.moment()];
    let (request, response) = (input.head(&ASKED), input.head(&ANSWERED));
    let asked = Asked { method, key: &key, headers: &request, payload };
    let received = Received { status, headers: &response, asked_at, received_at };

    let judgement = judge(&asked, &received, &policy);
    assert_eq!(judge(&asked, &received, &policy), judgement, "judging twice");
    let keep = match &judgement.verdict {
        Verdict::Store(keep) => keep,
        Verdict::StorePart(keep, range) => {
            assert!(status == StatusCode::PARTIAL_CONTENT && request.contains_key(RANGE), "{range:?} of {request:?}");
            keep
        }
        Verdict::Share(keep) => {
            assert_eq!(judgement.sharing, Sharing::Shared);
            keep
        }
        Verdict::Not(_) => {
            assert_ne!(judgement.sharing, Sharing::Shared, "what none may have is shared: {response:?}");
            return;
        }
    };
    may_be_kept(&asked, &received, &policy, keep);
    let is_stored = !matches!(judgement.verdict, Verdict::Share(_));
    assert_eq!(is_stored, !Directives::of(&request).no_store, "no-store of the request: {request:?}");
    let is_of_use = matches!(reuse(&keep.terms, received_at), Reuse::Fresh | Reuse::Grace);
    assert_eq!(judgement.sharing == Sharing::Shared, is_of_use, "{:?}", keep.terms);
    ages(keep, nows);
});

fn policy(input: &mut Input<'_>) -> Policy {
    let given = input.byte();
    Policy {
        ttl: (given & 1 != 0).then(|| input.seconds()),
        force_ttl: (given & 2 != 0).then(|| input.seconds()),
        grace: input.seconds(),
        ttl_by_status: (given & 4 != 0).then(|| (400..=599, input.seconds())).into_iter().collect(),
        stale_if_error: (given & 8 != 0).then(|| input.seconds()),
        nominated: Vec::new(),
        set_cookie: input.one_of(&POLICIES),
        compress: false,
    }
}

/// Nothing is kept that the origin, the request or the site forbids.
fn may_be_kept(asked: &Asked<'_>, received: &Received<'_>, policy: &Policy, keep: &Keep) {
    let said = caching::directives(received.headers).0;
    assert!(policy.force_ttl.is_some() || !said.no_store || said.must_understand, "no-store: {:?}", received.headers);
    assert!(matches!(*asked.method, Method::GET | Method::POST), "{}", asked.method);
    assert!(!received.status.is_informational() && received.status != StatusCode::NOT_MODIFIED, "{received:?}");
    for name in [&CONNECTION, &TRANSFER_ENCODING] {
        assert!(!keep.headers.contains_key(name), "{name} is kept: {:?}", keep.headers);
    }
    assert!(keep.headers.contains_key(DATE), "{:?}", keep.headers);
    let has_cookie = keep.headers.contains_key(SET_COOKIE);
    assert!(!has_cookie || policy.set_cookie == SetCookiePolicy::Store, "{:?}", keep.headers);
    if asked.headers.contains_key(AUTHORIZATION) {
        let allows = said.public || said.must_revalidate || said.s_maxage.is_some();
        assert!(allows, "credentials: {:?}", received.headers);
    }
}

/// Time makes what is kept older and staler, never the reverse.
fn ages(keep: &Keep, nows: [Moment; 2]) {
    let terms = &keep.terms;
    let [now, later] = if nows[0] <= nows[1] { nows } else { [nows[1], nows[0]] };
    assert!(age(terms, now) <= age(terms, later), "{terms:?}");
    assert!(ttl(terms, now) >= ttl(terms, later), "{terms:?}");
    let (sooner_use, later_use) = (staleness(terms, now), staleness(terms, later));
    assert!(
        sooner_use.iter().zip(&later_use).all(|(sooner, later)| sooner <= later),
        "{terms:?} is {sooner_use:?} at {now:?}, {later_use:?} at {later:?}"
    );
    for now in [now, later] {
        let is_fresh = reuse(terms, now) == Reuse::Fresh;
        let is_within = terms.lifetime > age(terms, now) && terms.validation == Validation::WhenStale;
        assert_eq!(is_fresh, is_within, "{terms:?} at {now:?}");
        assert!(!is_fresh || ttl(terms, now) >= 0, "{terms:?} at {now:?}");
        expires(*terms, now);
        let mut headers = keep.headers.clone();
        set_age(&mut headers, terms, now);
        let written = headers.get(AGE).and_then(|age| age.to_str().ok()).and_then(|age| age.parse().ok());
        assert_eq!(written, Some(age(terms, now).as_secs().min(1 << 31)), "{terms:?} at {now:?}");
        assert_eq!(headers.get_all(AGE).iter().count(), 1, "{headers:?}");
    }
}

/// How stale it is for each occasion: as it is, without an answer, with an error for one.
fn staleness(terms: &Terms, now: Moment) -> [u8; 3] {
    let of = |fallback| match fallback {
        Fallback::Serve => 2,
        Fallback::Fail => 3,
    };
    match reuse(terms, now) {
        Reuse::Fresh => [0; 3],
        Reuse::Grace => [1; 3],
        Reuse::Stale { on_unreachable, on_error } => [2, of(on_unreachable), of(on_error)],
        Reuse::Validate => [4; 3],
    }
}

/// What is expired is not fresh from then on, and what was stale stays as stale as it was.
fn expires(mut terms: Terms, now: Moment) {
    let before = reuse(&terms, now);
    terms.expire(now);
    let after = reuse(&terms, now);
    assert_ne!(after, Reuse::Fresh, "{terms:?} at {now:?}");
    assert!(before == Reuse::Fresh || before == after, "{terms:?} at {now:?}: {before:?} became {after:?}");
    assert!(terms.lifetime <= age(&terms, now).max(Duration::ZERO), "{terms:?}");
}
