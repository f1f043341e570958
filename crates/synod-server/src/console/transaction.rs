//! One transaction: who knows what, and what happened.

use std::collections::BTreeMap;

use super::{
    html::{Html, html, nodes},
    story,
};
use crate::api::{view, why::duration};

pub(super) fn show(page: &mut Html, seen: &view::Transaction, names: &BTreeMap<u64, String>) {
    let (class, answer) = match seen.answer {
        view::Ended::Committed => ("good", "committed"),
        view::Ended::Aborted => ("calm", "aborted"),
        view::Ended::Undecided => ("warn", "undecided"),
        view::Ended::Forgotten => ("calm", "over; how, is forgotten"),
        view::Ended::Unknown => ("calm", "unknown"),
    };
    html!(
        page,
        "<section class=card aria-labelledby=tx><h1 id=tx>",
        (seen.tx),
        " <span class=\"state ",
        (class),
        "\">"
    );
    html!(page, (answer), "</span></h1>\n<p class=sentence>", (sentence(seen)), "</p>\n<dl class=facts>");
    let mut fact =
        |name: &'static str, value: String| html!(page, "<div><dt>", (name), "</dt><dd>", (value), "</dd></div>");
    fact("Participants", named(&seen.participants, names));
    fact("Waits for", named(&seen.waits_for, names));
    fact("Open here for", seen.age_seconds.map_or("\u{2013}".into(), duration));
    page.raw("</dl>\n<p class=acts>");
    let is_over = !matches!(seen.answer, view::Ended::Undecided | view::Ended::Unknown);
    button(page, "inquire", "Drive it to its end\u{2026}", seen, is_over);
    button(page, "resolve", "End it by hand\u{2026}", seen, !seen.seen.iter().any(|seen| seen.is_in_doubt));
    page.raw("</p></section>\n");
    story::show(page, seen, names);
    knows(page, seen);
}

fn button(page: &mut Html, act: &'static str, says: &'static str, seen: &view::Transaction, is_off: bool) {
    let at: Vec<String> = seen.seen.iter().filter(|seen| seen.is_in_doubt).map(|seen| seen.node.to_string()).collect();
    html!(page, "<button type=button class=act data-act=\"", (act), "\" data-tx=\"", (seen.tx), "\" data-at=\"");
    html!(page, (at.join(" ")), "\"");
    if is_off {
        page.raw(" disabled");
    }
    html!(page, ">", (says), "</button> ");
}

fn named(list: &[u64], names: &BTreeMap<u64, String>) -> String {
    if list.is_empty() {
        return nodes(list);
    }
    let one = |node: &u64| match names.get(node) {
        Some(name) => format!("{name} (n{node})"),
        None => format!("n{node}"),
    };
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn sentence(seen: &view::Transaction) -> String {
    if let Some(why) = &seen.why {
        return format!("{why}.");
    }
    match seen.answer {
        view::Ended::Committed => "All its participants commit, or have committed.",
        view::Ended::Aborted => "It has changed nothing anywhere.",
        view::Ended::Undecided => "It is under way at nodes of other processes.",
        view::Ended::Forgotten => "Nobody who answers remembers how it ended; its databases know.",
        view::Ended::Unknown if seen.silent.is_empty() => {
            "Nobody has heard of it: it was never begun, or all who heard of it have aborted it."
        }
        view::Ended::Unknown => "Nobody who answers has heard of it, but some do not answer.",
    }
    .into()
}

fn knows(page: &mut Html, seen: &view::Transaction) {
    page.raw(
        "<section class=card aria-labelledby=knows><h2 id=knows>Who knows what</h2>\n<table class=plain><caption \
         class=unseen>What each node knows of the transaction</caption><thead><tr><th scope=col>Node<th \
         scope=col>Says</tr></thead>\n<tbody>",
    );
    for each in &seen.seen {
        html!(
            page,
            "<tr data-key=\"n",
            (each.node),
            "\"><th scope=row>n",
            (each.node),
            "</th><td>",
            (each.says),
            "</tr>\n"
        );
    }
    for silent in &seen.silent {
        html!(page, "<tr data-key=\"n", (silent.node), "\"><th scope=row>n", (silent.node), "</th><td class=bad>");
        html!(page, "does not answer: ", (silent.why), "</tr>\n");
    }
    page.raw("</tbody></table></section>\n");
}
