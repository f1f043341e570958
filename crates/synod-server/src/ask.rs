//! The operator's commands: they ask a process that runs.

mod http;
mod tell;

use std::{
    collections::BTreeMap,
    io::{BufRead, Write},
    path::PathBuf,
    time::Duration,
};

use synod::{NodeId, TxId};
use tokio::time::{Instant, sleep};

use self::http::Server;
use crate::{
    api::view,
    cli::{Asks, Depart, Finished, Inquire, Open, Replace, Resolve, Status, Word},
    failure::{Exit, Failure},
    run::say,
};

/// How long a change of members is waited for.
const CHANGE: Duration = Duration::from_secs(30);

/// A transaction in a URL, where `#` would have to be encoded.
fn name(tx: TxId) -> String {
    tx.to_string().replace('#', "-")
}

/// Says `answer` as JSON, or as `text`.
fn tell<T: serde::Serialize>(json: bool, answer: &T, text: impl FnOnce(&T) -> String) {
    match json {
        true => say(&format!("{}\n", serde_json::to_string_pretty(answer).unwrap_or_default())),
        false => say(&text(answer)),
    }
}

pub(crate) async fn status(json: bool, args: Status) -> Result<Exit, Failure> {
    let server = Server::find(&args.asks)?;
    let Some(tx) = args.tx else {
        let status: view::Status = server.get("/api/status").await?;
        tell(json, &status, tell::status);
        return Ok(Exit::Done);
    };
    let seen: view::Transaction = server.get(&format!("/api/transactions/{}", name(tx))).await?;
    tell(json, &seen, tell::transaction);
    Ok(match seen.answer {
        view::Ended::Committed => Exit::Done,
        view::Ended::Aborted => Exit::Aborted,
        view::Ended::Undecided => Exit::Undecided,
        view::Ended::Forgotten | view::Ended::Unknown => Exit::Unknown,
    })
}

pub(crate) async fn in_doubt(json: bool, asks: Asks) -> Result<Exit, Failure> {
    let listed: view::InDoubt = Server::find(&asks)?.get("/api/in-doubt").await?;
    tell(json, &listed, tell::in_doubt);
    // Whoever looks must not take silence for good news.
    Ok(if listed.silent.is_empty() { Exit::Done } else { Exit::Unreachable })
}

pub(crate) async fn open(json: bool, args: Open) -> Result<Exit, Failure> {
    let listed: view::Open = Server::find(&args.asks)?.get(&format!("/api/open?limit={}", args.limit)).await?;
    tell(json, &listed, tell::open);
    Ok(Exit::Done)
}

pub(crate) async fn inquire(json: bool, args: Inquire) -> Result<Exit, Failure> {
    let server = Server::find(&args.asks)?;
    let done: view::Done = server.post(&format!("/api/transactions/{}/inquire", name(args.tx)), &()).await?;
    tell(json, &done, |done| {
        format!("asked node {} to bring {} to its end; see `synod status {}`\n", done.at, done.tx, done.tx)
    });
    Ok(Exit::Done)
}

pub(crate) async fn resolve(json: bool, args: Resolve) -> Result<Exit, Failure> {
    let server = Server::find(&args.asks)?;
    let outcome = match args.outcome {
        Word::Commit => "commit",
        Word::Abort => "abort",
    };
    warn(&format!(
        "This ends {} in one database, and nowhere else. If another database ended it the other way, or will, the two \
         contradict each\n\
         other for ever, and nothing will mend that. First see how it ended elsewhere: `synod status {}`.\n",
        args.tx, args.tx
    ));
    confirm("Type the name of the transaction to go on", &args.tx.to_string())?;
    confirm(&format!("Type {outcome} to {outcome} it by your word"), outcome)?;
    let wish = view::Resolve { outcome: outcome.into(), at: args.at };
    let done: view::Done = server.post(&format!("/api/transactions/{}/resolve", name(args.tx)), &wish).await?;
    tell(json, &done, |done| format!("{} is ended by your word at node {}: {outcome}\n", done.tx, done.at));
    Ok(Exit::Done)
}

pub(crate) async fn finished(json: bool, args: Finished) -> Result<Exit, Failure> {
    let server = Server::find(&args.asks)?;
    warn(&format!(
        "After this the agent asks its database no more for its part of {}, and the transaction is over. Before it, do in the \
         database what\n\
         the branch would have done, or undo what it has: `synod status {}` says how the others ended it.\n",
        args.tx, args.tx
    ));
    confirm("Type the name of the transaction once that is done", &args.tx.to_string())?;
    let path = format!("/api/transactions/{}/finished", name(args.tx));
    let done: view::Done = server.post(&path, &view::Finished { at: args.at }).await?;
    tell(json, &done, |done| {
        format!("{} is over at node {}: its agent asks no more, and the alarm goes\n", done.tx, done.at)
    });
    Ok(Exit::Done)
}

pub(crate) async fn members(json: bool, asks: Asks) -> Result<Exit, Failure> {
    let members: view::Members = Server::find(&asks)?.get("/api/members").await?;
    tell(json, &members, tell::members);
    Ok(Exit::Done)
}

/// The members as they are now, and where, as the process of a file knows them.
pub(crate) async fn present(file: PathBuf) -> Result<BTreeMap<NodeId, String>, Failure> {
    let asks = Asks { config: Some(file), ..Asks::default() };
    let members: view::Members = Server::find(&asks)?.get("/api/members").await?;
    let at = |member: view::Member| {
        let address = member.address.split_once("://").map_or(&*member.address, |(_, address)| address).to_owned();
        (NodeId(member.node), address)
    };
    Ok(members.members.into_iter().map(at).collect())
}

pub(crate) async fn replace(json: bool, args: Replace) -> Result<Exit, Failure> {
    let server = Server::find(&args.asks)?;
    let wish = view::Replace { old: args.old, new: args.with, address: args.address.clone() };
    let begun: view::Changing = server.post("/api/members/replace", &wish).await?;
    let is_there = |members: &view::Members| {
        let is_member = |node| members.members.iter().any(|member| member.node == node);
        is_member(args.with) && !is_member(args.old)
    };
    let members = changed(&server, &begun, is_there).await?;
    tell(json, &members, |members| {
        let old = args.old;
        let may = if members.may_leave {
            "may be switched off now, for good"
        } else {
            "may NOT be switched off yet: see `synod members`"
        };
        format!(
            "done: node {} is a member in the place of node {old}, since epoch {}\nNode {old} {may}.\n\
             Now write the members as they are into cluster.members of every node.toml:\n\n{}",
            args.with,
            members.epoch,
            tell::members(members)
        )
    });
    Ok(Exit::Done)
}

pub(crate) async fn depart(json: bool, args: Depart) -> Result<Exit, Failure> {
    let server = Server::find(&args.asks)?;
    let number = args.number.to_string();
    if !args.yes {
        warn(&format!(
            "This writes node {number} off for good. Its transactions end without it, and its database must never be \
             used again.\n"
        ));
        confirm("Type the number of the node to go on", &number)?;
    }
    let begun: view::Changing = server.post("/api/members/depart", &view::Depart { node: args.number }).await?;
    let members = changed(&server, &begun, |members| members.departed.contains(&args.number)).await?;
    tell(json, &members, |members| format!("done: node {number} is written off, since epoch {}\n", members.epoch));
    Ok(Exit::Done)
}

/// Waits until the members have changed.
async fn changed(
    server: &Server,
    begun: &view::Changing,
    is_there: impl Fn(&view::Members) -> bool,
) -> Result<view::Members, Failure> {
    let end = Instant::now() + CHANGE;
    let (mut changed, mut awaited): (Option<view::Members>, Vec<u64>) = (None, Vec::new());
    while Instant::now() < end {
        sleep(Duration::from_millis(100)).await;
        let members: view::Members = server.get("/api/members").await?;
        if members.epoch > begun.from {
            if !is_there(&members) {
                let remedy = "look at `synod members`, and ask again";
                let what = "another change of the members came first";
                return Err(Failure::new(Exit::Refused, what, remedy));
            }
            // Until then the old one may be the only one that knows.
            if members.may_leave {
                return Ok(members);
            }
            changed = Some(members);
        } else {
            awaited = members.awaited;
        }
    }
    changed.ok_or_else(|| {
        let what = format!("the members have not changed within {} s", CHANGE.as_secs());
        if awaited.is_empty() {
            let remedy =
                "see that a majority of the members runs: it goes on as soon as they answer; `synod members` tells";
            return Failure::new(Exit::Unreachable, what, remedy);
        }
        let what = format!("{what}: invited, and not there: {}", tell::list(&awaited));
        Failure::new(Exit::Unreachable, what, format!("{}; `synod members` tells how it goes on", tell::NOT_THERE))
    })
}

fn warn(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Asks for `wanted`, word for word.
fn confirm(question: &str, wanted: &str) -> Result<(), Failure> {
    warn(&format!("{question}: "));
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    if read.is_ok() && line.trim() == wanted {
        return Ok(());
    }
    let remedy = format!("type {wanted:?} when you are asked, if you are sure");
    Err(Failure::new(Exit::Refused, "nothing was done: it was not confirmed", remedy))
}
