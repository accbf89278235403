//! Asking whether a stored response still holds (RFC 9111 §4.3).

use http::StatusCode;
use http::header::{
    AGE, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName, IF_MATCH,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

use crate::control::Directives;
use crate::date::ensure_date;
use crate::forward::{remove_hop_by_hop, remove_where};
use crate::reuse::may_hide;
use crate::time::Moment;
use crate::validator::{Validators, equal_strongly, equal_weakly, is_strong};

/// What the answer to a validation means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// The stored response holds: `merge` and judge it anew.
    Holds,
    /// The answer replaces the stored response, or removes it if it may not be stored itself.
    Replaces,
    /// A 304 about another response than ours: ask again without conditions.
    Mismatch,
    /// The origin failed: the stored response may stand in by its `Fallback`.
    Failed,
}

/// Removes the client's own conditions and Range from a request that the cache makes for itself; what
/// the client asked is worked out afterwards, against what is then stored.
///
/// If-Match and If-Unmodified-Since go too: RFC 9111 §4.3.2, they "are not applicable to a cache".
pub fn remove_conditions(request: &mut HeaderMap) {
    remove_where(request, is_condition);
}

/// Whether a request has conditions or a Range: the whole response is not what it asks for.
#[must_use]
pub fn has_conditions(request: &HeaderMap) -> bool {
    request.keys().any(is_condition)
}

/// Whether a field sets a condition, or asks for a part.
fn is_condition(name: &HeaderName) -> bool {
    matches!(*name, IF_MATCH | IF_NONE_MATCH | IF_MODIFIED_SINCE | IF_UNMODIFIED_SINCE | IF_RANGE | RANGE)
}

/// Makes a request into a validation of a stored response, in place of the client's own conditions.
///
/// RFC 9111 §4.3.1: a cache "MUST send the relevant entity tags (using If-Match, If-None-Match, or
/// If-Range) if the entity tags were provided in the stored response(s) being validated" and "SHOULD
/// send the Last-Modified value". Both go out as they came in, byte for byte.
pub fn add_validators(request: &mut HeaderMap, validators: &Validators) {
    remove_conditions(request);
    if let Some(etag) = &validators.etag {
        request.insert(IF_NONE_MATCH, etag.clone());
    }
    if let Some(last_modified) = &validators.last_modified {
        request.insert(IF_MODIFIED_SINCE, last_modified.clone());
    }
}

/// Decides what the answer to a validation with these validators means (RFC 9111 §4.3.3).
#[must_use]
pub fn conclude(validators: &Validators, status: StatusCode, answer: &HeaderMap) -> Conclusion {
    match status {
        StatusCode::NOT_MODIFIED if may_use(validators, answer) => Conclusion::Holds,
        StatusCode::NOT_MODIFIED => Conclusion::Mismatch,
        _ if may_hide(status) => Conclusion::Failed,
        _ => Conclusion::Replaces,
    }
}

/// Whether an answer that is not stored itself ends what is stored: it does where it speaks for
/// everybody. One to a client's Authorization, or to a request not to be stored, tells nothing of what
/// others would get; neither does an error other than that the resource is gone. Else any client could
/// strip a key of what it would fall back on.
#[must_use]
pub fn displaces(request: &HeaderMap, status: StatusCode) -> bool {
    let is_gone = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    let is_word = status.is_success() || status.is_redirection() || is_gone;
    is_word && !request.contains_key(AUTHORIZATION) && !Directives::of(request).no_store
}

/// RFC 9111 §4.3.4: if the 304 has strong validators and "none of the initial set contains at least one
/// of the same strong validators, then the cache MUST NOT use the new response to update any stored
/// responses." A 304 without an entity tag can only be about the one response we asked for.
fn may_use(validators: &Validators, answer: &HeaderMap) -> bool {
    if validators.is_empty() {
        return false;
    }
    let (Some(new), Some(stored)) = (answer.get(ETAG), &validators.etag) else {
        return true;
    };
    let (new, stored) = (new.as_bytes(), stored.as_bytes());
    if is_strong(new) { equal_strongly(new, stored) } else { equal_weakly(new, stored) }
}

/// Fields of the stored response that stay: they describe its body (RFC 9111 §3.2).
const KEPT: [HeaderName; 4] = [CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderName::from_static("content-md5")];

/// The stored response's fields, updated by those of a 304 or a HEAD's 200 that came in at this
/// moment. What is to be stored and served then follows from judging them anew.
///
/// RFC 9111 §3.2: "the cache MUST add each header field in the provided response to the stored
/// response, replacing field values that are already present", with exceptions.
///
/// A strong entity tag stays where the new one is the same but weak: the representation has not changed, and by the
/// weak one alone its parts could no longer be asked for. So it is still told to clients as it was.
#[must_use]
pub fn merge(stored: &HeaderMap, answer: &HeaderMap, received_at: Moment) -> HeaderMap {
    let mut news = answer.clone();
    remove_hop_by_hop(&mut news);
    for name in &KEPT {
        news.remove(name);
    }
    if let (Some(before), Some(new)) = (stored.get(ETAG), news.get(ETAG))
        && is_strong(before.as_bytes())
        // RFC 9110 §8.8.3.2, weak comparison: "equivalent if their opaque-tags match character-by-character, regardless
        // of either or both being tagged as "weak"".
        && equal_weakly(before.as_bytes(), new.as_bytes())
    {
        news.remove(ETAG);
    }
    ensure_date(&mut news, received_at);
    let mut merged = stored.clone();
    // The stored Age tells of a journey that this answer did not make.
    merged.remove(AGE);
    for name in news.keys() {
        merged.remove(name);
    }
    for (name, value) in &news {
        merged.append(name.clone(), value.clone());
    }
    merged
}

#[cfg(test)]
mod tests;
