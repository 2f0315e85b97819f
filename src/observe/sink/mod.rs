//! Where lines go.

#[cfg(feature = "tracing")]
mod events;
mod file;
mod writer;

#[cfg(feature = "tracing")]
pub use events::TracingSink;
pub use file::RotatingFile;
pub use writer::{LogStats, LogWriter};

use super::event::RequestEvent;

/// Takes complete lines. Called on the request's own path: it must not block.
///
/// Any `Fn(&str, &RequestEvent<'_>)` is one.
pub trait LogSink: Send + Sync + 'static {
    /// One line, without its line end, and what it was made from.
    fn write(&self, line: &str, event: &RequestEvent<'_>);
}

impl<F: Fn(&str, &RequestEvent<'_>) + Send + Sync + 'static> LogSink for F {
    fn write(&self, line: &str, event: &RequestEvent<'_>) {
        self(line, event);
    }
}
