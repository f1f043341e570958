//! The first page: how things are, and what is not over.

use super::{
    html::{Html, html, link, nodes},
    picture,
};
use crate::api::{view, why::duration};

pub(super) fn show(
    page: &mut Html,
    status: &view::Status,
    cluster: &view::Cluster,
    waiting: &view::Waiting,
    databases: &view::Databases,
) {
    let troubles = troubles(status, cluster, waiting);
    page.raw("<h1 class=unseen>Overview</h1>\n");
    tiles(page, status, waiting, troubles.len());
    page.raw("<div class=columns>\n<div class=side>\n");
    picture::show(page, cluster);
    places(page, cluster, status);
    listed(page, databases);
    page.raw("<section class=card aria-labelledby=troubles><h2 id=troubles>Needs attention</h2>\n<ul>");
    for (is_bad, trouble) in &troubles {
        html!(page, "<li class=\"", (if *is_bad { "bad" } else { "warn" }), "\">", (trouble), "</li>");
    }
    if troubles.is_empty() {
        page.raw("<li class=quiet>Nothing.</li>");
    }
    page.raw("</ul></section>\n");
    page.raw("</div>\n");
    list(page, waiting);
    page.raw("</div>\n");
}

/// The figures that say at a glance whether all is well.
fn tiles(page: &mut Html, status: &view::Status, waiting: &view::Waiting, troubles: usize) {
    page.raw("<dl class=tiles aria-label=\"At a glance\">");
    let mut tile = |name: &'static str, to: Option<&'static str>, value: String, class: &'static str| {
        html!(page, "<div class=\"tile ", (class), "\"><dt>", (name), "</dt><dd>");
        match to {
            Some(to) => html!(page, "<a href=\"", (to), "\">", (value), "</a>"),
            None => page.text(value),
        }
        page.raw("</dd></div>");
    };
    let is = |bad: bool, class: &'static str| if bad { class } else { "" };
    match status.not_ready {
        None => tile("Process", None, "ready".into(), "good"),
        Some(_) => tile("Process", Some("#troubles"), "not ready".into(), "bad"),
    }
    let (in_doubt, oldest) = (waiting.in_doubt, waiting.oldest_in_doubt_seconds);
    tile("In doubt", Some("#waiting"), in_doubt.to_string(), is(in_doubt > 0, "warn"));
    let said = if in_doubt == 0 { "\u{2013}".into() } else { duration(oldest) };
    tile("In doubt for", None, said, is(oldest > 60.0, "bad"));
    tile("Open", Some("#waiting"), thousands(waiting.open), "");
    tile("Needs attention", Some("#troubles"), troubles.to_string(), is(troubles > 0, "warn"));
    page.raw("</dl>\n");
}

/// What an operator should see to; whether it is bad.
fn troubles(status: &view::Status, cluster: &view::Cluster, waiting: &view::Waiting) -> Vec<(bool, String)> {
    let mut troubles = Vec::new();
    if let Some(why) = &status.not_ready {
        troubles.push((true, format!("The process is not ready: {why}")));
    }
    for node in &status.nodes {
        if let Some(why) = &node.why {
            troubles.push((true, format!("n{} is {}: {why}", node.node, node.state)));
        }
        let says = |word: &'static str| move |what: &String| (true, format!("n{} {word} {what}", node.node));
        troubles.extend(node.violations.iter().chain(&node.alarms).map(says("needs an operator:")));
        troubles.extend(node.refused.iter().map(says("has refused")));
        for peer in node.members.iter().filter(|peer| peer.disagreements > 0) {
            troubles.push((true, format!("n{} and n{} disagree about the members", node.node, peer.node)));
        }
        if node.certificate_days_left < 14.0 {
            let days = node.certificate_days_left;
            troubles.push((true, format!("The certificate of n{} runs out in {days:.0} days", node.node)));
        }
    }
    // For how long is said elsewhere: here, a longer word would move what is below it.
    for place in cluster.nodes.iter().filter(|place| !place.is_here && place.silent_seconds.is_some()) {
        troubles.push((false, format!("n{} at {} does not answer", place.node, place.address)));
    }
    for silent in &waiting.silent {
        let is_said = troubles.iter().any(|(_, text)| text.starts_with(&format!("n{} ", silent.node)));
        if !is_said {
            troubles.push((false, format!("n{} at {} does not answer: {}", silent.node, silent.address, silent.why)));
        }
    }
    troubles
}

/// The same as the picture, for those who read rather than look.
fn places(page: &mut Html, cluster: &view::Cluster, status: &view::Status) {
    page.raw(
        "<section class=card aria-labelledby=nodes><h2 id=nodes>Nodes</h2>\n<table class=nodes><caption class=unseen>The \
         nodes of the cluster, as this process sees them</caption><colgroup><col><col><col><col></colgroup><thead><tr><th \
         scope=col>Node<th scope=col>What it is<th scope=col>State<th scope=col class=number>Open</tr></thead>\n<tbody>",
    );
    for place in &cluster.nodes {
        let open = status.nodes.iter().find(|node| node.node == place.node).map(|node| node.open.to_string());
        html!(page, "<tr data-key=\"n", (place.node), "\"><th scope=row>n", (place.node), "</th><td title=\"");
        html!(page, (place.name.as_deref().unwrap_or(&place.address)), "\">", (place.role));
        if let Some(name) = &place.name {
            html!(page, " of ", (name));
        }
        html!(page, "<td><span class=\"state ", (picture::class(place)), "\">", (picture::says(place)), "</span>");
        html!(page, "<td class=number>", (open.as_deref().unwrap_or("\u{2013}")), "</tr>\n");
    }
    page.raw(
        "</tbody></table>\n<p class=acts><button type=button class=act data-act=replace>Replace a member\u{2026}</button> \
         <button type=button class=act data-act=depart aria-label=\"Write off a participant\u{2026}\">Write off\u{2026}</button></p></section>\n",
    );
}

/// What the databases list, in a line each.
fn listed(page: &mut Html, databases: &view::Databases) {
    page.raw("<section class=card aria-labelledby=listed><h2 id=listed>Prepared in the databases here</h2>\n<ul class=lines>");
    if databases.databases.is_empty() {
        page.raw("<li class=quiet>None is here, or none has answered yet</li>");
    }
    for database in &databases.databases {
        let name = database.name.as_deref().unwrap_or("database");
        html!(page, "<li data-key=\"d", (database.node), "\">");
        match &database.silent {
            Some(_) => page.raw("<span class=bad>no answer</span>"),
            None => html!(page, (database.prepared), " prepared"),
        }
        let strange = database.branches.iter().filter(|branch| branch.knows != view::Knows::Open).count();
        if strange > 0 {
            html!(page, " (<span class=warn>", (strange), " not open here</span>)");
        }
        html!(page, " in <a href=/databases>", (name), " (n", (database.node), ")</a>");
        page.raw("</li>");
    }
    page.raw("</ul></section>\n");
}

/// What is not over.
fn list(page: &mut Html, waiting: &view::Waiting) {
    page.raw(
        "<section class=\"card list\" aria-labelledby=waiting><h2 id=waiting>Open and in doubt</h2>\n<table class=wait><caption \
         class=unseen>Transactions that are not over: those in doubt first, then the oldest</caption><colgroup><col \
         class=c-tx><col class=c-age><col></colgroup><thead><tr><th scope=col>Transaction<th scope=col class=number>Age<th \
         scope=col>Why</tr></thead>\n<tbody data-list>",
    );
    for each in &waiting.transactions {
        html!(page, "<tr data-key=\"", (each.tx), "\"><th scope=row>");
        link(page, &each.tx);
        html!(page, "<span class=\"state ", (state_class(&each.state)), "\">", (each.state), "</span></th>");
        html!(
            page,
            "<td class=number>",
            (duration(each.age_seconds)),
            "<td><div class=why title=\"",
            (each.why),
            "\">"
        );
        html!(page, (each.why));
        if !each.listed_at.is_empty() {
            html!(page, "; the database of ", (nodes(&each.listed_at)), " lists it as prepared");
        }
        page.raw("</div></tr>\n");
    }
    page.raw("</tbody></table>\n<p id=more class=quiet>");
    match (waiting.transactions.len(), waiting.more) {
        (0, _) => page.raw("Nothing is open, and nothing is in doubt."),
        (_, 0) => page.raw("That is all."),
        (_, more) => html!(page, "\u{2026} and ", (thousands(more)), " more."),
    }
    page.raw("</p></section>\n");
}

pub(super) fn state_class(state: &str) -> &'static str {
    match state {
        "needs an operator" => "bad",
        "in doubt" => "warn",
        "committed" | "aborted" => "good",
        _ => "calm",
    }
}

/// 9,800.
fn thousands(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
