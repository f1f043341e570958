//! The way to a process that runs.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, body::Bytes, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    cli::Asks,
    config::{Config, address},
    failure::{Exit, Failure},
};

/// How long an answer may take: the process itself may wait for others.
const PATIENCE: Duration = Duration::from_secs(15);

/// A process, and the token by which it obeys.
pub(super) struct Server {
    host: String,
    token: Option<String>,
    /// How it was found.
    found: String,
}

impl Server {
    /// The process to ask.
    pub(super) fn find(asks: &Asks) -> Result<Self, Failure> {
        let Asks { node, config, token_file } = asks;
        if let Some(url) = node {
            let host = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
            if address(host).is_none() {
                let remedy = "write the HTTP address of the process, such as http://127.0.0.1:7400 (http.listen in \
                 its node.toml)";
                return Err(Failure::new(Exit::Usage, format!("--node {url} is no address"), remedy));
            }
            let token = token_file.as_deref().map(read_token).transpose()?;
            return Ok(Self { host: host.to_owned(), token, found: format!("--node {url}") });
        }
        let file = match config {
            Some(file) => file.clone(),
            None => default_file()?,
        };
        let config = Config::read(&file)?;
        let token = match token_file {
            Some(file) => Some(read_token(file)?),
            // Whoever only looks needs none.
            None => read_token(&config.token).ok(),
        };
        let mut http = config.http;
        if http.ip().is_unspecified() {
            http.set_ip([127, 0, 0, 1].into());
        }
        Ok(Self { host: http.to_string(), token, found: format!("http.listen in {}", file.display()) })
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| self.no_sense(&error.to_string()))?;
        self.ask(Method::POST, path, body.into()).await
    }

    async fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, Failure> {
        let asked = timeout(PATIENCE, self.exchange(method, path, body)).await;
        let (is_success, text) = match asked {
            Ok(answer) => answer?,
            Err(_) => return Err(self.unreachable(&format!("no answer came within {} s", PATIENCE.as_secs()))),
        };
        if is_success {
            return serde_json::from_str(&text).map_err(|error| self.no_sense(&error.to_string()));
        }
        Err(Failure::from_json(&text).unwrap_or_else(|| self.no_sense(&text)))
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(bool, String), Failure> {
        let stream = TcpStream::connect(&self.host).await.map_err(|error| self.unreachable(&error.to_string()))?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| self.unreachable(&error.to_string()))?;
        // It ends with the connection.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::new(body)).map_err(|error| self.no_sense(&error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(|error| self.unreachable(&error.to_string()))?;
        let is_success = answer.status().is_success();
        let body = answer.into_body().collect().await.map_err(|error| self.unreachable(&error.to_string()))?;
        Ok((is_success, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
    }

    fn unreachable(&self, cause: &str) -> Failure {
        let what = format!("the process at http://{} ({}) does not answer", self.host, self.found);
        let remedy = "see that it runs (`systemctl status synod`, or `synod dev` in another terminal), or ask another \
         one with --node URL or --config FILE";
        Failure::new(Exit::Unreachable, what, remedy).because(cause)
    }

    fn no_sense(&self, cause: &str) -> Failure {
        let what = format!("what http://{} ({}) answers makes no sense", self.host, self.found);
        let remedy = "see that it is http.listen of a synod process of this version, and not another program's port";
        Failure::new(Exit::Failed, what, remedy).because(cause)
    }
}

fn default_file() -> Result<PathBuf, Failure> {
    let candidates = ["node.toml", "synod-data/node.toml"].map(PathBuf::from);
    candidates.into_iter().find(|file| file.exists()).ok_or_else(|| {
        let what = "no process is named: there is neither node.toml nor synod-data/node.toml here";
        let remedy = "name one with --config FILE (its node.toml) or --node URL (its HTTP address), or start one with \
         `synod dev`";
        Failure::new(Exit::Usage, what, remedy)
    })
}

fn read_token(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).map_err(|error| {
        let what = format!("the token in {} cannot be read", path.display());
        let remedy = "run this as the user of the process, or name a copy of its token with --token-file";
        Failure::new(Exit::Configuration, what, remedy).caused_by(&error)
    })
}
