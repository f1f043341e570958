//! Who may ask for what.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

use crate::{
    console,
    failure::{Exit, Failure},
    run::Process,
};

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Role {
    /// Only look.
    Reader,
    /// Everything.
    Operator,
}

/// By which way somebody has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// In plain text.
    Plain,
    /// Over TLS, perhaps with a certificate that is good for something.
    Tls(Option<Role>),
}

/// Lets those through who may ask for this. Their role goes along with the request.
pub(super) async fn guard(State(process): State<Arc<Process>>, mut request: Request, next: Next) -> Response {
    let only_reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let door = request.extensions().get().copied().unwrap_or(Door::Tls(None));
    match role(&process, door, request.headers(), only_reads) {
        Ok(role) => {
            request.extensions_mut().insert(role);
            next.run(request).await
        }
        // Whoever looks with a browser is asked for the token by a page.
        Err(_) if only_reads && is_for_people(&request) => (StatusCode::FORBIDDEN, console::sign_in()).into_response(),
        Err(failure) => failure.into_response(),
    }
}

fn role(process: &Process, door: Door, headers: &HeaderMap, only_reads: bool) -> Result<Role, Failure> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let files = process.config();
    let Some(token) = text(header::AUTHORIZATION).and_then(|said| said.strip_prefix("Bearer ")) else {
        if let Door::Tls(Some(role)) = door {
            return by_certificate(role, headers, only_reads);
        }
        // A page in a browser of this machine may be made to ask for a name of its own that leads here.
        let is_local =
            door == Door::Plain && files.http.ip().is_loopback() && is_loopback(text(header::HOST).unwrap_or_default());
        if is_local && only_reads {
            return Ok(Role::Reader);
        }
        let remedy = format!(
            "send the token of this process, which is in {}: the commands of synod read it with --config, or \
             --token-file FILE; curl takes -H \"Authorization: Bearer $(cat FILE)\"; for what only reads, that in {} \
             will do",
            files.token.display(),
            files.read_token.display()
        );
        let cause = if only_reads { "it is asked from elsewhere" } else { "it changes something" };
        return Err(Failure::new(Exit::Refused, "this call needs the token", remedy).because(cause));
    };
    // Both are looked at, so that it takes as long for each wrong one.
    match (is_same(token, &process.tokens.operator), is_same(token, &process.tokens.reader)) {
        (true, _) => Ok(Role::Operator),
        (false, true) if only_reads => Ok(Role::Reader),
        (false, true) => {
            let remedy = format!("send the operators' token, which is in {}", files.token.display());
            Err(Failure::new(Exit::Refused, "this token only reads", remedy).because("it changes something"))
        }
        (false, false) => {
            let remedy = format!("use the token of this very process: it is in {}", files.token.display());
            Err(Failure::new(Exit::Refused, "the token is wrong", remedy))
        }
    }
}

/// A browser shows its certificate to whichever page makes it ask. So only the console's own pages may change something.
fn by_certificate(role: Role, headers: &HeaderMap, only_reads: bool) -> Result<Role, Failure> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_own = text("sec-fetch-site").is_none_or(|site| matches!(site, "same-origin" | "none"))
        && text("origin").is_none_or(|origin| origin.strip_prefix("https://") == text("host"));
    match role {
        _ if only_reads => Ok(role),
        Role::Reader => {
            let remedy = "use a certificate of an operator: `synod certs operator 1` issues one";
            Err(Failure::new(Exit::Refused, "this certificate only reads", remedy).because("it changes something"))
        }
        Role::Operator if is_own => Ok(role),
        Role::Operator => {
            let remedy = "use the console itself, or a program that is no browser";
            Err(Failure::new(Exit::Refused, "this is asked by the page of another site", remedy))
        }
    }
}

fn is_for_people(request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    // The console's own script shows what is wrong itself.
    accepts.contains("text/html") && !request.headers().contains_key(header::AUTHORIZATION)
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

/// What a browser must not do with any answer: keep it, guess at it, frame it, or run what is not a file of the console.
pub(super) async fn headers(request: Request, next: Next) -> Response {
    const ALL: [(header::HeaderName, &str); 7] = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        ),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    let mut response = next.run(request).await;
    for (name, value) in ALL {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
