//! The pages: health, readiness, metrics, status and users. They show; nothing can be changed here.

mod server;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Path, Request, State as Shared};
use axum::http::uri::Authority;
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus::TextEncoder;
use serde_json::json;
use tokio::net::TcpListener;

use crate::metrics::ProgramMetrics;
use crate::ports::{Clock, Ports};
use crate::status::Status;

/// What the pages need.
pub struct Pages<P> {
    /// For the time.
    pub ports: P,
    /// What they show.
    pub status: Status,
    /// The gauges that are set when they are read.
    pub metrics: ProgramMetrics,
    /// All metrics.
    pub registry: prometheus::Registry,
    /// `http.expose_users`.
    pub expose_users: bool,
}

/// Serves the pages until `stop` ends.
///
/// # Errors
/// When the socket fails.
pub async fn serve<P: Ports>(
    listener: TcpListener,
    pages: Pages<P>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let mut routes = routes(pages);
    if listener.local_addr()?.ip().to_canonical().is_loopback() {
        routes = routes.layer(middleware::from_fn(to_this_host));
    }
    server::serve(listener, routes, stop).await
}

/// Refuses what was not asked of this host by a name of its own. A page in a browser on this host can
/// have its own name point to loopback (DNS rebinding), and then read what is meant for this host alone.
async fn to_this_host(request: Request, next: Next) -> Response {
    let in_uri = request.uri().authority().map(|authority| Some(authority.as_str()));
    let in_headers = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().ok());
    let mut asked: Vec<_> = in_uri.into_iter().chain(in_headers).collect();
    let wrong = |host: &Option<&str>| !host.is_some_and(is_this_host);
    if !asked.is_empty() && !asked.iter().any(wrong) {
        return next.run(request).await;
    }
    let host = asked.pop().flatten().unwrap_or_default().to_owned();
    let error =
        format!("{host:?} is not this host: on loopback only localhost, 127.0.0.1 and [::1] are answered");
    (StatusCode::MISDIRECTED_REQUEST, Json(json!({"error": error}))).into_response()
}

fn is_this_host(authority: &str) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback())
}

fn routes<P: Ports>(pages: Pages<P>) -> Router {
    Router::new()
        .route("/healthz", get(health::<P>))
        .route("/readyz", get(ready::<P>))
        .route("/metrics", get(metrics::<P>))
        .route("/status", get(status::<P>))
        .route("/users", get(users::<P>))
        .route("/users/{name}", get(user::<P>))
        .with_state(Arc::new(pages))
}

/// 200 while every loop makes progress. A failing user or a throttled API is no reason to restart.
async fn health<P: Ports>(Shared(pages): Shared<Arc<Pages<P>>>) -> Response {
    let now = pages.ports.clock().monotonic();
    let mut stuck = pages.status.beats.faults(now);
    stuck.extend(pages.status.feed.stalled(now));
    if stuck.is_empty() {
        return Json(json!({"status": "ok"})).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "stuck", "stuck": stuck}))).into_response()
}

async fn ready<P: Ports>(Shared(pages): Shared<Arc<Pages<P>>>) -> Response {
    match pages.status.ready(pages.ports.clock()) {
        Ok(role) => Json(json!({"status": "ready", "role": role})).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "not ready", "reason": why})))
            .into_response(),
    }
}

async fn metrics<P: Ports>(Shared(pages): Shared<Arc<Pages<P>>>) -> Response {
    pages.metrics.refresh(&pages.status, pages.ports.clock());
    match TextEncoder::new().encode_to_string(&pages.registry.gather()) {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn status<P: Ports>(Shared(pages): Shared<Arc<Pages<P>>>) -> Response {
    let states: BTreeMap<_, _> =
        pages.status.users.count_states().into_iter().map(|(state, count)| (state.as_str(), count)).collect();
    let progress = pages.status.progress().clone();
    let mut deletions = serde_json::to_value(&progress.deletions).unwrap_or_default();
    if let Some(deletions) = deletions.as_object_mut().filter(|_| !pages.expose_users) {
        deletions.remove("names");
    }
    Json(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "role": progress.role_now(pages.ports.clock()),
        "leader": progress.leader,
        "token": progress.token,
        "started": progress.started,
        "waits_for": progress.waits_for,
        "stopping": progress.stopping,
        "clock_trusted": progress.clock_trusted,
        "stream": pages.status.feed.snapshot(),
        "last_sweep": progress.last_sweep,
        "sweep_failure": progress.sweep_failure,
        "deletions": deletions,
        "users": states,
    }))
    .into_response()
}

async fn users<P: Ports>(Shared(pages): Shared<Arc<Pages<P>>>) -> Response {
    if !pages.expose_users {
        return hidden();
    }
    let now = pages.ports.clock().now();
    let users = pages.status.users.read();
    let users: BTreeMap<_, _> = users.iter().map(|(name, report)| (name, report.shown(now))).collect();
    Json(json!({"users": users})).into_response()
}

async fn user<P: Ports>(Shared(pages): Shared<Arc<Pages<P>>>, Path(name): Path<String>) -> Response {
    if !pages.expose_users {
        return hidden();
    }
    match pages.status.users.get(&name) {
        Some(report) => Json(report.shown(pages.ports.clock().now())).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"error": "no such user is known"}))).into_response(),
    }
}

fn hidden() -> Response {
    let error = "names of users are not shown here; http.expose_users = true shows them";
    (StatusCode::NOT_FOUND, Json(json!({"error": error}))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn on_loopback_only_this_host_is_answered() {
        for host in
            ["localhost", "LocalHost:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:80", "[::1]", "127.1.2.3"]
        {
            assert!(is_this_host(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:8080",
            "10.0.0.1",
            "[fe80::1]:1",
            "a b",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_this_host(host), "{host}");
        }
    }
}
