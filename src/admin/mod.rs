//! The pages: health, readiness, metrics, status and users. They show; nothing can be changed here.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use axum::extract::{Path, State as Shared};
use axum::http::{StatusCode, header};
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
    axum::serve(listener, routes(pages)).with_graceful_shutdown(stop).await
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
    let mut stuck: Vec<String> = (pages.status.beats.stuck(now).into_iter())
        .map(|(name, silent)| format!("the {name} loop has not turned for {} s", silent.as_secs()))
        .collect();
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
