//! Waiting, in a command, for what the network answers.

use crate::exit::Failure;

/// Waits on this thread, with a runtime of its own.
///
/// # Errors
/// The system has no room for a runtime.
pub(crate) fn wait_for<T>(what: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::ours)?;
    Ok(runtime.block_on(what))
}
