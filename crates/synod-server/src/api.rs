//! What a process answers over HTTP: metrics, health, and the questions and commands of operators.
//!
//! Nothing is changed by a GET. What changes something needs the token, which is in a file that only the process's
//! user can read. Beyond loopback, everything needs it.

mod act;
mod look;
mod page;
pub(crate) mod view;

use std::{path::Path, sync::Arc};

use axum::{
    Json, Router,
    extract::{Path as UrlPath, Query, Request, State},
    http::{Method, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use synod::TxId;
use tokio::net::TcpListener;

use crate::{
    certs::{self, Mode},
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

/// Answers until it is aborted.
pub(crate) async fn serve(listener: TcpListener, process: Arc<Process>) {
    if !process.config().http.ip().is_loopback() {
        tracing::warn!(
            listen = %process.config().http,
            "operators' commands can be reached from other machines, in plain text: every call needs the token, and \
             the network must be one that you trust"
        );
    }
    let router = Router::new()
        .route("/", get(page))
        .route("/metrics", get(scrape))
        .route("/healthz", get(health))
        .route("/readyz", get(ready))
        .route("/api/status", get(status))
        .route("/api/in-doubt", get(in_doubt))
        .route("/api/open", get(open))
        .route("/api/members", get(members))
        .route("/api/transactions/{tx}", get(transaction))
        .route("/api/transactions/{tx}/inquire", post(inquire))
        .route("/api/transactions/{tx}/resolve", post(resolve))
        .route("/api/members/replace", post(replace))
        .route("/api/members/depart", post(depart))
        .fallback(nothing)
        .layer(from_fn_with_state(Arc::clone(&process), guard))
        .with_state(process);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "operators are not answered any more");
    }
}

/// Who may ask for this.
async fn guard(State(process): State<Arc<Process>>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let said = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = said.and_then(|said| said.strip_prefix("Bearer "));
    let is_local = process.config().http.ip().is_loopback();
    // A page in a browser of this machine may be made to ask for a name of its own that leads here.
    let host = headers.get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match token {
        Some(token) if is_same(token, &process.token) => next.run(request).await,
        Some(_) => {
            let remedy = format!("use the token of this very process: it is in {}", process.config().token.display());
            Failure::new(Exit::Refused, "the token is wrong", remedy).into_response()
        }
        None if is_local && only_reads && is_loopback(host) => next.run(request).await,
        None => {
            let remedy = format!(
                "send the token of this process, which is in {}: the commands of synod read it with --config, or \
                 --token-file FILE; curl takes -H \"Authorization: Bearer $(cat FILE)\"",
                process.config().token.display()
            );
            let cause = if only_reads { "it is asked from elsewhere" } else { "it changes something" };
            Failure::new(Exit::Refused, "this call needs the token", remedy).because(cause).into_response()
        }
    }
}

/// Takes as long for each wrong token.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len()
        && one.bytes().zip(other.bytes()).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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

async fn page(State(process): State<Arc<Process>>) -> Result<Html<String>, Failure> {
    let (status, in_doubt) = (look::status(&process).await, look::in_doubt(&process).await);
    Ok(Html(page::page(&status, &in_doubt)))
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
    match look::not_ready(&process).await {
        None => (StatusCode::OK, "ready\n".into()),
        Some(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
    }
}

async fn status(State(process): State<Arc<Process>>) -> Json<view::Status> {
    Json(look::status(&process).await)
}

async fn in_doubt(State(process): State<Arc<Process>>) -> Json<view::InDoubt> {
    Json(look::in_doubt(&process).await)
}

#[derive(Deserialize)]
struct Limit {
    limit: Option<usize>,
}

async fn open(State(process): State<Arc<Process>>, Query(limit): Query<Limit>) -> Json<view::Open> {
    Json(look::open(&process, limit.limit.unwrap_or(100).min(100_000)).await)
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
    let remedy =
        "see /, /metrics, /healthz, /readyz, and below /api: status, in-doubt, open, members, transactions/n1-5";
    Failure::new(Exit::Unknown, "there is nothing here", remedy)
}

/// A name in a URL: `n1-5`, for `#` would have to be encoded.
fn tx(name: &str) -> Result<TxId, Failure> {
    name.replace('-', "#").parse().map_err(|error| {
        let remedy = "write the transaction as n1-5 in a URL: its node, -, and its number";
        Failure::new(Exit::Usage, format!("{name:?} is no transaction"), remedy).caused_by(&error)
    })
}
