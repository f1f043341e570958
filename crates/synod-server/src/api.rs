//! What a process answers over HTTP: metrics, health, and the questions and commands of operators.
//!
//! Nothing is changed by a GET. What changes something needs the operators' token, which is in a file that only the
//! process's user can read. Beyond loopback, everything needs that, or, for what only reads, the readers' token.

mod act;
pub(crate) mod guard;
mod https;
mod kept;
pub(crate) mod listed;
pub(crate) mod look;
pub(crate) mod places;
pub(crate) mod recent;
mod serve;
pub(crate) mod view;
pub(crate) mod waiting;
pub(crate) mod why;

use std::{path::Path, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::{Path as UrlPath, Query, State},
    http::{StatusCode, header},
    middleware::{from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use synod::TxId;
use tokio::net::TcpListener;

pub(crate) use self::{
    https::{Https, name as certified, word},
    kept::Kept,
};
use crate::{
    certs::{self, Mode},
    console,
    failure::{Exit, Failure},
    metrics,
    run::Process,
};

type Answer<T> = Result<Json<T>, Failure>;

/// The token in the file at `path`, which is made if it is not there.
pub(crate) fn token(path: &Path) -> Result<String, Failure> {
    let no_use = || {
        Failure::new(
            Exit::Configuration,
            format!("the token in {} cannot be used", path.display()),
            "let this user alone read the file; or remove it, and a new token is made at the next start",
        )
    };
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().len() >= 16 => Ok(text.trim().to_owned()),
        Ok(_) => Err(no_use().because("it is shorter than 16 characters")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let token = certs::random_hex::<24>()?;
            certs::write(path, &token, Mode::Secret)?;
            Ok(token)
        }
        Err(error) => Err(no_use().caused_by(&error)),
    }
}

/// Answers until it is aborted: in plain text, and over TLS, if there is a port for it.
pub(crate) async fn serve(http: TcpListener, https: Option<(TcpListener, Arc<Https>)>, process: Arc<Process>) {
    if !process.config().http.ip().is_loopback() {
        tracing::warn!(
            listen = %process.config().http,
            "operators' commands can be reached from other machines, in plain text: every call needs a token, and \
             the network must be one that you trust"
        );
    }
    let router = Router::new()
        .merge(console::pages())
        .route("/metrics", get(scrape))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/api/role", get(role))
        .route("/api/status", get(status))
        .route("/api/cluster", get(cluster))
        .route("/api/in-doubt", get(in_doubt))
        .route("/api/open", get(open))
        .route("/api/waiting", get(waiting))
        .route("/api/databases", get(databases))
        .route("/api/history", get(history))
        .route("/api/members", get(members))
        .route("/api/transactions/{tx}", get(transaction))
        .route("/api/transactions/{tx}/inquire", post(inquire))
        .route("/api/transactions/{tx}/resolve", post(resolve))
        .route("/api/transactions/{tx}/finished", post(finished))
        .route("/api/members/replace", post(replace))
        .route("/api/members/depart", post(depart))
        .fallback(nothing)
        .layer(from_fn(serve::read))
        .layer(from_fn_with_state(Arc::clone(&process), guard::guard))
        .with_state(process)
        // What is in these says nothing of any cluster.
        .merge(console::files())
        .layer(from_fn(guard::headers));
    let plain = serve::serve(http, None, router.clone());
    let Some((listener, tls)) = https else { return plain.await };
    tokio::join!(plain, serve::serve(listener, Some(tls), router));
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = match self.exit() {
            Exit::Usage | Exit::Configuration => StatusCode::BAD_REQUEST,
            Exit::Refused => StatusCode::FORBIDDEN,
            Exit::Unknown => StatusCode::NOT_FOUND,
            Exit::Unreachable => StatusCode::BAD_GATEWAY,
            Exit::Undecided => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, [(header::CONTENT_TYPE, "application/json")], self.json()).into_response()
    }
}

async fn scrape(State(process): State<Arc<Process>>) -> Response {
    let text = metrics::render(&process).await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// The process is there.
async fn health() -> &'static str {
    "ok\n"
}

/// All its nodes can take part.
async fn ready(State(process): State<Arc<Process>>) -> (StatusCode, String) {
    match process.not_ready().await {
        None => (StatusCode::OK, "ready\n".into()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

async fn role(Extension(role): Extension<guard::Role>, Extension(door): Extension<guard::Door>) -> Json<view::Whoami> {
    Json(view::Whoami { role, by_certificate: matches!(door, guard::Door::Tls(Some(_))) })
}

async fn cluster(State(process): State<Arc<Process>>) -> Json<view::Cluster> {
    let status = look::status(&process).await;
    Json(places::cluster(&process, &status).await)
}

async fn status(State(process): State<Arc<Process>>) -> Json<view::Status> {
    Json(look::status(&process).await)
}

async fn in_doubt(State(process): State<Arc<Process>>) -> Json<view::InDoubt> {
    Json(waiting::in_doubt(&process).await)
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn open(State(process): State<Arc<Process>>, Query(limit): Query<Limit>) -> Json<view::Open> {
    Json(waiting::open(&process, limit.limit.unwrap_or(100).min(100_000)).await)
}

async fn waiting(State(process): State<Arc<Process>>, Query(limit): Query<Limit>) -> Json<view::Waiting> {
    Json(waiting::waiting(&process, limit.limit.unwrap_or(100).min(1_000)).await)
}

async fn databases(State(process): State<Arc<Process>>) -> Json<view::Databases> {
    Json(listed::databases(&process).await)
}

async fn history(State(process): State<Arc<Process>>, Query(limit): Query<Limit>) -> Json<view::Recent> {
    Json(recent::recent(&process, limit.limit.unwrap_or(100).min(10_000)).await)
}

async fn members(State(process): State<Arc<Process>>) -> Answer<view::Members> {
    Ok(Json(look::members(&process).await?))
}

async fn transaction(State(process): State<Arc<Process>>, UrlPath(name): UrlPath<String>) -> Answer<view::Transaction> {
    Ok(Json(look::transaction(&process, tx(&name)?).await))
}

async fn inquire(State(process): State<Arc<Process>>, UrlPath(name): UrlPath<String>) -> Answer<view::Done> {
    Ok(Json(act::inquire(&process, tx(&name)?).await?))
}

async fn finished(
    State(process): State<Arc<Process>>,
    UrlPath(name): UrlPath<String>,
    Json(wish): Json<view::Finished>,
) -> Answer<view::Done> {
    Ok(Json(act::finished(&process, tx(&name)?, wish).await?))
}

async fn resolve(
    State(process): State<Arc<Process>>,
    UrlPath(name): UrlPath<String>,
    Json(wish): Json<view::Resolve>,
) -> Answer<view::Done> {
    Ok(Json(act::resolve(&process, tx(&name)?, wish).await?))
}

async fn replace(State(process): State<Arc<Process>>, Json(wish): Json<view::Replace>) -> Answer<view::Changing> {
    Ok(Json(act::replace(&process, wish).await?))
}

async fn depart(State(process): State<Arc<Process>>, Json(wish): Json<view::Depart>) -> Answer<view::Changing> {
    Ok(Json(act::depart(&process, wish).await?))
}

async fn nothing() -> Failure {
    let remedy = "see /, /metrics, /healthz, /readyz, and below /api: status, cluster, in-doubt, open, waiting, databases, \
         history, members, transactions/n1-5";
    Failure::new(Exit::Unknown, "there is nothing here", remedy)
}

/// A name in a URL: `n1-5`, for `#` would have to be encoded.
pub(crate) fn tx(name: &str) -> Result<TxId, Failure> {
    name.replace('-', "#").parse().map_err(|error| {
        let remedy = "write the transaction as n1-5 in a URL: its node, -, and its number";
        Failure::new(Exit::Usage, format!("{name:?} is no transaction"), remedy).caused_by(&error)
    })
}
