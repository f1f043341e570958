//! Answers as people read them: first the answer, then a table.

use std::fmt::Write;

use crate::{
    api::{view, why::duration},
    table::table,
};

pub(super) fn list(nodes: &[u64]) -> String {
    if nodes.is_empty() {
        return "-".into();
    }
    nodes.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn silent(text: &mut String, silent: &[view::Silent]) {
    for view::Silent { node, address, why } in silent {
        let _ = writeln!(text, "Node {node} at {address} does not answer: {why}");
    }
}

pub(super) fn status(status: &view::Status) -> String {
    let mut text = match &status.not_ready {
        None => format!("ready: cluster {}, process of {}\n", status.cluster, status.file),
        Some(why) => format!("not ready: {why}\ncluster {}, process of {}\n", status.cluster, status.file),
    };
    let rows = status.nodes.iter().map(|node| {
        let up = node.members.iter().filter(|peer| peer.connected).count();
        [
            node.node.to_string(),
            node.role.clone(),
            node.state.clone(),
            node.epoch.map_or("-".into(), |epoch| epoch.to_string()),
            node.open.to_string(),
            if node.in_doubt == 0 {
                "0".into()
            } else {
                format!("{}, oldest {:.1} s", node.in_doubt, node.oldest_in_doubt_seconds)
            },
            format!("{up} of {}", node.members.len()),
            format!("{:.0} days", node.certificate_days_left),
        ]
    });
    let header = ["node", "role", "state", "epoch", "open", "in doubt", "other members connected", "certificate"];
    text.push_str(&table(header, rows));
    for node in &status.nodes {
        if let Some(database) = &node.database {
            let _ = writeln!(text, "Node {} stands beside {database}", node.node);
        }
        if let Some(why) = &node.why {
            let _ = writeln!(text, "Node {} is {}: {why}", node.node, node.state);
        }
        for peer in node.members.iter().filter(|peer| !peer.connected || peer.disagreements > 0) {
            let what = if peer.connected { "disagrees about the members" } else { "is not connected" };
            let _ = writeln!(text, "Node {} sees that member {} {what}", node.node, peer.node);
        }
        for refused in &node.refused {
            let _ = writeln!(text, "Node {} has refused {refused}", node.node);
        }
        for trouble in node.violations.iter().chain(&node.alarms) {
            let _ = writeln!(text, "Node {} needs an operator: {trouble}", node.node);
        }
    }
    text
}

pub(super) fn transaction(seen: &view::Transaction) -> String {
    let view::Transaction { tx, .. } = seen;
    let mut text = match seen.answer {
        view::Ended::Committed => format!("committed: {tx}\n"),
        view::Ended::Aborted => format!("aborted: {tx} has changed nothing anywhere\n"),
        view::Ended::Undecided => format!("undecided: {tx} is under way; ask again, or `synod inquire {tx}`\n"),
        view::Ended::Forgotten => format!(
            "forgotten: {tx} is over everywhere, and nobody who answers remembers how; its databases know: look there \
             by your own keys\n"
        ),
        view::Ended::Unknown if seen.silent.is_empty() => {
            format!(
                "unknown: nobody has heard of {tx}; it was never begun, or everyone who heard of it has aborted it\n"
            )
        }
        view::Ended::Unknown => format!("unknown: nobody who answers has heard of {tx}, but some do not answer\n"),
    };
    if let Some(why) = &seen.why {
        let _ = writeln!(text, "Why: {why}");
    }
    if let Some(age) = seen.age_seconds {
        let _ = writeln!(
            text,
            "Open here for {}, among {}; waits for {}",
            duration(age),
            list(&seen.participants),
            list(&seen.waits_for)
        );
    }
    let rows = seen.seen.iter().map(|seen| [seen.node.to_string(), seen.says.clone()]);
    text.push_str(&table(["node", "says"], rows));
    silent(&mut text, &seen.silent);
    text
}

pub(super) fn in_doubt(listed: &view::InDoubt) -> String {
    let mut text = match listed.transactions.len() {
        0 if listed.silent.is_empty() => "none: no transaction is in doubt\n".into(),
        0 => "none at the databases that answer\n".into(),
        count => format!("{count} in doubt\n"),
    };
    if !listed.transactions.is_empty() {
        let rows = listed.transactions.iter().map(|each| {
            let age = duration(each.age_seconds);
            [each.tx.clone(), each.at.to_string(), list(&each.participants), age, each.why.clone()]
        });
        text.push_str(&table(["transaction", "at", "participants", "for", "why"], rows));
        text.push_str(
            "They end as soon as a majority of the members answers. `synod inquire` of one has that tried at once.\n",
        );
    }
    silent(&mut text, &listed.silent);
    text
}

pub(super) fn open(listed: &view::Open) -> String {
    if listed.transactions.is_empty() {
        return "none: no transaction is open here\n".into();
    }
    let rows = listed.transactions.iter().map(|each| {
        [
            each.tx.clone(),
            each.at.to_string(),
            list(&each.participants),
            each.fence.clone().or(each.outcome.clone()).unwrap_or_else(|| "undecided".into()),
            duration(each.age_seconds),
            each.why.clone(),
        ]
    });
    let table = table(["transaction", "seen by", "participants", "outcome", "for", "why"], rows);
    format!("{} open here\n{table}", listed.transactions.len())
}

/// What to do about a node that is invited to be a member, and does not answer.
pub(super) const NOT_THERE: &str = "see that it runs and is reached at its address; if its log says that no member which it believes \
    speaks to it, its file is too old: start it again with the present members in cluster.members";

fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).chain(['.']).collect()
}

pub(super) fn members(members: &view::Members) -> String {
    let rows = members.members.iter().map(|member| {
        [member.node.to_string(), member.address.clone(), if member.answers { "yes" } else { "no" }.into()]
    });
    let mut text = format!("epoch {}\n{}", members.epoch, table(["member", "address", "connected"], rows));
    if members.is_changing {
        text.push_str("A change of the members is under way.\n");
    }
    if !members.awaited.is_empty() {
        let _ = writeln!(text, "Invited, and not there: {}. {}", list(&members.awaited), sentence(NOT_THERE));
    }
    if !members.left.is_empty() {
        let may = if members.may_leave { "may be switched off for good" } else { "may not be switched off yet" };
        let _ = writeln!(text, "Former members {} {may}.", list(&members.left));
    }
    if !members.departed.is_empty() {
        let _ = writeln!(text, "Written off: {}.", list(&members.departed));
    }
    text
}
