//! Connections, of which none can hold anything for ever.

use std::{pin::pin, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    body::to_bytes,
    extract::Request,
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};

use super::{guard::Door, https::Https};
use crate::failure::{Exit, Failure};

/// How many connections there are at once. One more waits until another has ended.
const CONNECTIONS: usize = 128;

/// How long the head of a request may take, and the next request over the same connection.
const HEAD: Duration = Duration::from_secs(5);

/// How long the rest of it may take, and how large it may be.
const BODY: Duration = Duration::from_secs(5);
const LARGEST: usize = 1 << 16;

/// For how long a connection is used, and how long the last answer over it may then take to be read.
const LIFE: Duration = Duration::from_secs(60);
const LAST: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be taken, for want of files perhaps.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers until it is aborted: over TLS, if there is something to show.
pub(super) async fn serve(listener: TcpListener, tls: Option<Arc<Https>>, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (router, tls) = (router.clone(), tls.clone());
                tokio::spawn(async move {
                    let _ = stream.set_nodelay(true);
                    match tls {
                        None => talk(stream, router.layer(Extension(Door::Plain))).await,
                        Some(tls) => match timeout(HEAD, tls.greet(stream)).await {
                            Ok(Ok((stream, role))) => talk(stream, router.layer(Extension(Door::Tls(role)))).await,
                            Ok(Err(error)) => tracing::info!(%error, "an operator's handshake failed"),
                            Err(_) => tracing::info!("an operator's handshake took too long"),
                        },
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "a connection of an operator was not taken");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) {
    let mut options = http1::Builder::new();
    options.timer(TokioTimer::new()).header_read_timeout(HEAD).max_headers(64).max_buf_size(1 << 16);
    let mut connection = pin!(options.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = sleep(LIFE) => connection.as_mut().graceful_shutdown(),
    }
    let _ = timeout(LAST, connection).await;
}

/// Reads the whole of a request before anything is done about it.
pub(super) async fn read(request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    match timeout(BODY, to_bytes(body, LARGEST)).await {
        Ok(Ok(bytes)) => next.run(Request::from_parts(head, bytes.into())).await,
        Ok(Err(error)) => {
            let remedy = format!("send a whole request, of at most {LARGEST} bytes");
            let failure = Failure::new(Exit::Usage, "the request cannot be read", remedy).caused_by(&error);
            (StatusCode::PAYLOAD_TOO_LARGE, failure).into_response()
        }
        Err(_) => {
            let remedy = "send all of it at once";
            let failure =
                Failure::new(Exit::Usage, format!("the request took longer than {} s", BODY.as_secs()), remedy);
            (StatusCode::REQUEST_TIMEOUT, failure).into_response()
        }
    }
}
