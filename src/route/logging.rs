//! What a stage wants logged of the execution of a method.

/// How much of an execution is logged (`loggingLevel`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum LoggingLevel {
    /// Nothing.
    #[default]
    Off,
    /// What went wrong, of executions that did.
    Error,
    /// Every step of every execution.
    Info,
}

/// Execution logging of a method (`loggingLevel`, `dataTraceEnabled`), read by
/// [`ExecutionLog`](crate::observe::ExecutionLog).
///
/// ```
/// use tower_gateway::route::{ExecutionLogging, LoggingLevel};
///
/// let logging = ExecutionLogging::new(LoggingLevel::Info).data_trace(true);
/// assert!(logging.traces_data());
/// assert!(!ExecutionLogging::new(LoggingLevel::Off).data_trace(true).traces_data());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExecutionLogging {
    level: LoggingLevel,
    data_trace: bool,
}

impl ExecutionLogging {
    /// At a level, without data.
    pub const fn new(level: LoggingLevel) -> Self {
        Self { level, data_trace: false }
    }

    /// Whether heads and bodies of requests and answers are logged too. At [`LoggingLevel::Error`] a failed execution
    /// is then logged whole. Credentials are masked, bodies are not: think before you turn it on. Default: no.
    #[must_use]
    pub const fn data_trace(mut self, enabled: bool) -> Self {
        self.data_trace = enabled;
        self
    }

    /// The level.
    pub const fn level(self) -> LoggingLevel {
        self.level
    }

    /// Whether data is logged.
    pub fn traces_data(self) -> bool {
        self.data_trace && self.level > LoggingLevel::Off
    }
}
