//! The program's own log: JSON lines on standard error.

use tracing_subscriber::EnvFilter;

/// Starts logging; `$HITHER_LOG` chooses what (default `info`).
pub(crate) fn start_logging() {
    let filter = EnvFilter::try_from_env("HITHER_LOG").unwrap_or_else(|_| EnvFilter::new("info,hickory_server=warn"));
    let subscriber = tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr);
    // Where standard error is a file on a full disk, a line is lost and nothing else.
    let subscriber = subscriber.log_internal_errors(false);
    // An error says that a log is there already.
    let _ = subscriber.with_target(false).flatten_event(true).try_init();
}
