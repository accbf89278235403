//! A congestion control, by the kernel's name for it.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;

use crate::shape;
use crate::wrong::Wrong;

/// The kernel's name of a congestion control, such as `bbr`. Whether a machine's kernel has it, only that machine knows.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", transform = shape::text("name", r"^[a-z0-9_]{1,15}$"))]
pub struct Congestion(Arc<str>);

/// Linux's names have room for so many letters (`TCP_CA_NAME_MAX`, less the NUL).
const MOST_LETTERS: usize = 15;

impl Congestion {
    /// Reads a name.
    pub(crate) fn parse(text: &str) -> Result<Self, Wrong> {
        let is_name = !text.is_empty()
            && text.len() <= MOST_LETTERS
            && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'));
        let wrong = || {
            Wrong::new(format!("`{text}` is not the name of a congestion control"))
                .help("as in \"bbr\"; `sysctl net.ipv4.tcp_available_congestion_control` lists a machine's")
        };
        is_name.then(|| Self(text.into())).ok_or_else(wrong)
    }

    /// As the kernel spells it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Congestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
