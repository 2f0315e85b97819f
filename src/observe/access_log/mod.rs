//! The access log: one line a request, by a compiled format, into a sink.

mod escape;
mod format;
mod names;
mod presets;
mod sampling;
mod value;

pub use escape::Escaping;
pub use format::AccessLogFormat;
pub use presets::{LogApi, LogPreset};
pub use sampling::Sampling;

#[cfg(any(feature = "admin", feature = "tracing", feature = "xray"))]
pub(super) use escape::mask;
#[cfg(any(feature = "admin", feature = "tracing", feature = "xray"))]
pub(super) use names::is_secret_name;
pub(super) use value::{Value, Variable};

use super::{event::RequestEvent, layer::Observer, sink::LogSink};
use std::{cell::RefCell, fmt, sync::Arc};

/// A format, a sink, and which requests are written: an [`Observer`].
pub struct AccessLog {
    format: AccessLogFormat,
    sink: Arc<dyn LogSink>,
    sampling: Sampling,
}

impl AccessLog {
    /// Writes all requests to `sink`.
    pub fn new(format: AccessLogFormat, sink: impl LogSink) -> Self {
        Self { format, sink: Arc::new(sink), sampling: Sampling::all() }
    }

    /// Which requests are written. Default: all.
    #[must_use]
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.sampling = sampling;
        self
    }

    fn write(&self, line: &mut String, event: &RequestEvent<'_>) {
        line.clear();
        self.format.render(event, line);
        self.sink.write(line, event);
    }
}

thread_local! {
    /// Lines are made in place of the last one.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Observer for AccessLog {
    fn ended(&self, event: &RequestEvent<'_>) {
        if !self.sampling.takes(event) {
            return;
        }
        LINE.with(|line| match line.try_borrow_mut() {
            Ok(mut line) => self.write(&mut line, event),
            // A sink that calls a service of ours, which is logged too.
            Err(_) => self.write(&mut String::new(), event),
        });
    }

    fn needs_user_agent(&self) -> bool {
        self.format.names("identity.userAgent")
    }

    fn needs_endpoint_request_id(&self) -> bool {
        let names = ["awsEndpointRequestId", "awsEndpointRequestId2", "integration.requestId"];
        names.iter().any(|name| self.format.names(name))
    }

    fn needs_phases(&self) -> bool {
        self.format.asks_for_phases()
    }
}

impl fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("AccessLog");
        debug.field("format", &self.format).field("sampling", &self.sampling).finish_non_exhaustive()
    }
}
