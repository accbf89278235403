//! What a directory's files alone make of its answers: nobody is asked.

use std::path::Path;

use crate::directory::{print, refused};
use crate::exit::Failure;
use crate::node::{self, Unprobed};

/// Reads a directory; faults become the failure's text, warnings are printed.
pub(crate) fn unprobed(dir: &Path) -> Result<Unprobed, Failure> {
    let loaded = config::load(dir).map_err(|found| refused(&found.problems))?;
    print(&loaded.warnings);
    node::unprobed(loaded).map_err(|problems| refused(&problems))
}
