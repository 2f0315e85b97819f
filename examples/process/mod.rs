//! What the examples do as processes: where they listen, and when they stop.
#![allow(dead_code, reason = "not every example needs all of it")]

use std::{
    env::{VarError, var},
    str::FromStr,
    time::Duration,
};
use tokio::net::TcpListener;

/// Listens on `$PORT` of 127.0.0.1.
pub(crate) async fn listener(default_port: u16) -> Result<TcpListener, String> {
    listen(port(default_port)?).await
}

/// The error names the address.
pub(crate) async fn listen(port: u16) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(("127.0.0.1", port)).await;
    bound.map_err(|error| format!("127.0.0.1:{port}: {error}"))
}

/// `$PORT`.
pub(crate) fn port(default: u16) -> Result<u16, String> {
    setting("PORT", default, "a port number")
}

/// A variable of the environment; the error names it, and what it holds.
pub(crate) fn setting<T: FromStr>(name: &str, default: T, kind: &str) -> Result<T, String> {
    let wrong = |text: &str| format!("{name}={text} is not {kind}");
    match var(name) {
        Ok(text) => text.parse().map_err(|_| wrong(&text)),
        Err(VarError::NotPresent) => Ok(default),
        Err(VarError::NotUnicode(text)) => Err(wrong(&text.to_string_lossy())),
    }
}

/// A URL as it may be shown: without user, password and query.
pub(crate) fn without_secrets(url: &str) -> String {
    let shown = url.split('?').next().unwrap_or_default();
    match (shown.split_once("://"), shown.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, server))) => format!("{scheme}://{server}"),
        _ => shown.to_owned(),
    }
}

/// Serves until the last request is over; a client that is slow to send or to read holds that up for ten seconds at most,
/// or until the process is asked to stop once more.
#[allow(clippy::disallowed_methods, reason = "a process ends in real time")]
pub(crate) async fn finish(serving: impl IntoFuture<Output = std::io::Result<()>>) -> std::io::Result<()> {
    let asked_twice_or_late = async {
        asked_to_stop().await;
        tokio::select! {
            () = asked_to_stop() => {}
            () = tokio::time::sleep(Duration::from_secs(10)) => {}
        }
    };
    tokio::select! {
        served = serving.into_future() => served,
        () = asked_twice_or_late => Ok(()),
    }
}

/// Ctrl-C, or SIGTERM: what service managers and container runtimes send.
pub(crate) async fn asked_to_stop() {
    let terminated = async {
        #[cfg(unix)]
        if let Ok(mut signal) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            signal.recv().await;
            return;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
