//! The operators' console: pages for a browser, which only read.
//!
//! They are made here, whole, so that they can be read without any script. The script in `console.js` fetches them again
//! every two seconds and takes over what has changed; it sends commands to `/api`, with the operator's token.

mod databases;
mod frame;
mod history;
mod html;
mod overview;
mod picture;
mod story;
mod transaction;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Path, State},
    http::header,
    response::{Html, IntoResponse},
    routing::get,
};

use self::frame::Tab;
use crate::{api, failure::Failure, run::Process};

/// How many rows a list has.
const ROWS: usize = 200;

/// The pages.
pub(crate) fn pages() -> Router<Arc<Process>> {
    Router::new()
        .route("/", get(overview))
        .route("/history", get(history))
        .route("/databases", get(databases))
        .route("/transactions/{tx}", get(transaction))
}

/// What the pages load, which anybody may have.
pub(crate) fn files() -> Router {
    let style = || async { ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("console/console.css")) };
    let script =
        || async { ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("console/console.js")) };
    Router::new().route("/console.css", get(style)).route("/console.js", get(script))
}

/// The page for one who has to say the token first.
pub(crate) fn sign_in() -> impl IntoResponse {
    Html(frame::sign_in())
}

async fn overview(State(process): State<Arc<Process>>) -> Html<String> {
    let status = api::look::status(&process).await;
    let cluster = api::places::cluster(&process, &status).await;
    let waiting = api::waiting::waiting(&process, ROWS).await;
    let databases = api::listed::databases(&process).await;
    Html(frame::page(Tab::Overview, "Overview", &process, |page| {
        overview::show(page, &status, &cluster, &waiting, &databases);
    }))
}

async fn history(State(process): State<Arc<Process>>) -> Html<String> {
    let recent = api::recent::recent(&process, ROWS).await;
    Html(frame::page(Tab::History, "History", &process, |page| history::show(page, &recent)))
}

async fn databases(State(process): State<Arc<Process>>) -> Html<String> {
    let listed = api::listed::databases(&process).await;
    Html(frame::page(Tab::Databases, "Databases", &process, |page| databases::show(page, &listed)))
}

async fn transaction(State(process): State<Arc<Process>>, Path(name): Path<String>) -> Result<Html<String>, Failure> {
    let seen = api::look::transaction(&process, api::tx(&name)?).await;
    let names = process.slots().iter().filter_map(|slot| Some((slot.id().0, slot.name()?))).collect();
    let page = frame::page(Tab::Transaction, &seen.tx, &process, |page| transaction::show(page, &seen, &names));
    Ok(Html(page))
}
