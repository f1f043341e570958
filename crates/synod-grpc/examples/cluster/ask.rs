//! What an operator asks a running cluster, over the same network and with a certificate of its own.

use std::{path::Path, time::Duration};

use anyhow::bail;
use comfy_table::{Table, presets::UTF8_FULL_CONDENSED};
use synod::{
    TxId,
    commit::{InDoubt, Status},
};
use synod_grpc::{CallError, Client, Identity};
use tokio::time::timeout;

use crate::{
    cast::{CAST, CLUSTER, Name, OPERATOR},
    page, papers,
    places::{Places, options},
    say,
};

/// Whoever takes longer than this is away.
const PATIENCE: Duration = Duration::from_secs(2);

/// What each node knows of `tx`; without one, how each node is.
pub(crate) async fn status(data: &Path, tx: Option<TxId>) -> anyhow::Result<bool> {
    let mut table = table(match tx {
        Some(_) => &["", "address", "what it knows"],
        None => &["", "address", "", "in doubt", "for up to (ms)"],
    });
    let mut answered = 0;
    for (name, address, client) in clients(data)? {
        let mut row = vec![name.to_string(), address];
        match tx {
            Some(tx) => match patiently(client.status(tx)).await {
                Ok(status) => {
                    answered += 1;
                    row.push(words(status));
                }
                Err(away) => row.push(away),
            },
            None => match patiently(client.in_doubt()).await {
                Ok(in_doubt) => {
                    answered += 1;
                    let age = in_doubt.iter().map(|each| each.age).max().unwrap_or(0);
                    row.extend(["up".to_owned(), in_doubt.len().to_string(), age.to_string()]);
                }
                Err(away) => row.extend([away, String::new(), String::new()]),
            },
        }
        table.add_row(row);
    }
    say::out!("{table}");
    Ok(answered > 0)
}

/// What is in doubt, everywhere.
pub(crate) async fn in_doubt(data: &Path) -> anyhow::Result<bool> {
    let mut table = table(&["", "transaction", "among", "state", "for (ms)"]);
    let (mut answered, mut listed) = (0, 0);
    for (name, _, client) in clients(data)? {
        match patiently(client.in_doubt()).await {
            Ok(in_doubt) => {
                answered += 1;
                listed += in_doubt.len();
                for InDoubt { transaction, state, age } in in_doubt {
                    let among = transaction.participants().iter().filter_map(|node| CAST.name(*node));
                    let among: Vec<String> = among.map(|name| name.to_string()).collect();
                    let (tx, state) = (transaction.id().to_string(), format!("{state:?}"));
                    table.add_row([name.to_string(), tx, among.join(", "), state, age.to_string()]);
                }
            }
            Err(away) => say::err!("{}", line(name, &away)),
        }
    }
    say::out!("{table}");
    say::out!("{listed} in doubt");
    Ok(answered > 0)
}

/// Has every node where `tx` is open drive it to its outcome.
pub(crate) async fn inquire(data: &Path, tx: TxId) -> anyhow::Result<bool> {
    let mut asked = 0;
    for (name, _, client) in clients(data)? {
        match patiently(client.status(tx)).await {
            Ok(Status::Open { .. }) => match patiently(client.inquire(tx)).await {
                Ok(()) => {
                    asked += 1;
                    say::out!("{name}: asked");
                }
                Err(refused) => say::out!("{}", line(name, &refused)),
            },
            Ok(status) => say::out!("{}", line(name, &words(status))),
            Err(away) => say::out!("{}", line(name, &away)),
        }
    }
    if asked == 0 {
        bail!("{tx} is open nowhere");
    }
    Ok(true)
}

fn clients(data: &Path) -> anyhow::Result<Vec<(Name, String, Client)>> {
    let places = Places::read(data)?;
    let security = papers::security(data, Identity::client(CLUSTER, OPERATOR))?;
    let client = |name| {
        let address = places.of(name)?;
        let client = Client::new(CLUSTER, CAST.node(name), address, &security, &options())?;
        Ok((name, address.to_owned(), client))
    };
    places.names().map(client).collect()
}

/// The answer, or what went wrong, in words.
async fn patiently<T>(asked: impl Future<Output = Result<T, CallError>>) -> Result<T, String> {
    match timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(
            CallError::Failed(status)
            | CallError::Unknown(status)
            | CallError::Forgotten(status)
            | CallError::MayHaveBegun(status)
            | CallError::Refused { status, .. },
        )) => Err(status.message().to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer".to_owned()),
    }
}

fn words(status: Status) -> String {
    match status {
        Status::Unknown => "nothing".to_owned(),
        Status::Retired { outcome: None } => "it is over everywhere".to_owned(),
        Status::Retired { outcome: Some(outcome) } => format!("it is over everywhere: {outcome:?}").to_lowercase(),
        Status::Fenced(fence) => format!("fenced: {fence}"),
        Status::Open { state, outcome } => {
            let state = state.map_or("open".to_owned(), |state| format!("{state:?}").to_lowercase());
            outcome.map_or(state.clone(), |outcome| format!("{state}; it is {outcome:?}").to_lowercase())
        }
    }
}

fn table(header: &[&str]) -> Table {
    page::table(UTF8_FULL_CONDENSED, header.to_vec())
}

/// What one node has to say.
fn line(name: Name, text: &str) -> String {
    page::folded(&format!("{name}: {text}"))
}
