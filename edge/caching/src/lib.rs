//! The rules of an HTTP shared cache. Pure: no clock, no socket, no file, no randomness.
//!
//! ```text
//! request ── admit ──> Cache | Pass ──> Selector::matches ──> reuse(terms, now)
//!                                                               │
//!     ┌── Fresh, Grace: evaluate (304?), plan (206?), set_age <─┤
//!     │                                                         │ Stale, Validate, nothing stored
//! response <── append_status <── merge <── conclude <── add_validators ── fetch
//!                                  └──────> judge ──> Store(terms) | Not(why), Shared | Alone
//! ```
//!
//! Every decision is a function of its arguments that returns an enum; none of them remembers
//! anything. Each file names the sections of the standards it obeys.

mod admit;
mod age;
mod coding;
mod condition;
mod content_range;
mod control;
mod date;
mod encoding;
mod field;
mod forward;
mod freshness;
mod head;
mod invalidate;
mod key;
mod language;
mod path;
mod policy;
mod purge;
mod quality;
mod range;
mod reference;
mod reuse;
mod status;
mod store;
mod switch;
mod tags;
mod targeted;
mod terms;
mod time;
mod understood;
mod validate;
mod validator;
mod vary;

pub use admit::{Admission, admit};
pub use age::{age, age_seconds, set_age};
pub use coding::{CODED_BYTES, Coding, may_code, narrow_encoding, set_coding, set_unlike, vary_by_coding};
pub use condition::{Condition, evaluate, not_modified};
pub use content_range::ContentRange;
pub use control::{Directives, Reach};
pub use date::{ensure_date, read_date, write_date};
pub use encoding::normalise_encoding;
pub use forward::{
    CDN_LOOP, Passage, add_cdn_loop, add_via, count_forward, forward, hops, remove_hop_by_hop, remove_where,
};
pub use head::{HeadWord, compare_head};
pub use invalidate::invalidated;
pub use key::{CacheKey, Scheme};
pub use path::{canonical, decode_unreserved, is_ambiguous};
pub use policy::{Policy, SetCookiePolicy};
pub use purge::{MOST_SEGMENTS, Manner, NoTarget, Position, Purge, Purges, Since, Word};
pub use range::{Part, Plan, ask_for_part, plan, set_part, set_whole, unsatisfiable, widen};
pub use reuse::{Fallback, Reuse, may_hide, reuse, ttl};
pub use status::{CACHE_STATUS, CacheStatus, ForwardReason, Handled, append_status};
pub use store::{ALONE_FOR, Asked, Judgement, Keep, Payload, Received, Sharing, Verdict, Why, judge};
pub use switch::passage;
pub use tags::{CACHE_TAG, LONGEST_TAG, MOST_TAGS, SURROGATE_KEY, Tag, tags};
pub use targeted::{CDN_CACHE_CONTROL, HITHER_CDN_CACHE_CONTROL, Voice, directives, forbids_transform};
pub use terms::{Terms, Validation};
pub use time::Moment;
pub use validate::{Conclusion, add_validators, conclude, displaces, has_conditions, merge, remove_conditions};
pub use validator::{Validators, has_strong_tag, is_same_representation, is_same_whole};
pub use vary::{MOST_VARIANTS, Selector, Variant, Vary, choose};
