//! What happened of a transaction at the nodes of this process, as a space-time diagram: time goes down.

use std::collections::{BTreeMap, BTreeSet};

use super::html::{Html, html};
use crate::api::{
    view::{self, What},
    why::duration,
};

const LANE: f64 = 96.0;
const MARGIN: f64 = 64.0;
const TOP: f64 = 46.0;
const HEIGHT: f64 = 190.0;
const LANES: usize = 12;

pub(super) fn show(page: &mut Html, seen: &view::Transaction, names: &BTreeMap<u64, String>) {
    let here = seen.moments.iter().map(|moment| moment.node).chain(seen.seen.iter().map(|seen| seen.node));
    let others = seen.participants.iter().copied().chain(seen.silent.iter().map(|silent| silent.node));
    let lanes: Vec<u64> = here.chain(others).collect::<BTreeSet<_>>().into_iter().take(LANES).collect();
    page.raw("<section class=card aria-labelledby=story><h2 id=story>Its story</h2>\n");
    if lanes.is_empty() || seen.moments.is_empty() {
        page.raw("<p class=quiet>The nodes of this process remember no moment of it.</p></section>\n");
        return;
    }
    let span = seen.moments.iter().map(|moment| moment.ago_seconds).fold(0.001, f64::max);
    // The last moment is not at the end: now is.
    let y = |ago: f64| TOP + HEIGHT * (1.0 - (ago / span).clamp(0.0, 1.0));
    let x = |node: u64| lanes.iter().position(|lane| *lane == node).map(|at| MARGIN + LANE * (at as f64 + 0.5));
    let (width, height) =
        (MARGIN + LANE * lanes.len() as f64, TOP + HEIGHT + 24.0 + 10.0 * seen.waits_for.len().min(LANES) as f64);

    page.raw("<div class=scroll tabindex=0 role=group aria-label=\"Space-time diagram\"><svg class=story role=img ");
    html!(page, "aria-label=\"", (sentence(seen)), "\" width=", (width), " height=", (height), " viewBox=\"0 0 ");
    html!(page, (width), " ", (height), "\">\n");
    for (ago, says) in [(span, format!("{} ago", duration(span))), (0.0, "now".into())] {
        html!(
            page,
            "<line class=grid x1=",
            (MARGIN),
            " x2=",
            (width),
            " y1=",
            (tenth(y(ago))),
            " y2=",
            (tenth(y(ago)))
        );
        html!(page, "></line><text class=time x=4 y=", (tenth(y(ago) + 4.0)), ">", (says), "</text>\n");
    }
    for node in &lanes {
        let Some(x) = x(*node) else { continue };
        let is_silent = seen.silent.iter().any(|silent| silent.node == *node);
        html!(page, "<text class=lane x=", (x), " y=16>n", (node), "</text><text class=small x=", (x), " y=32>");
        html!(
            page,
            (role(*node, seen, names, is_silent)),
            "</text><line class=\"lane",
            (if is_silent { " down" } else { "" })
        );
        html!(page, "\" x1=", (x), " x2=", (x), " y1=", (TOP), " y2=", (TOP + HEIGHT), "></line>\n");
    }
    for moment in &seen.moments {
        let Some(x) = x(moment.node) else { continue };
        let (y, says) = (y(moment.ago_seconds), word(moment.what));
        html!(page, "<g class=\"moment ", (says), "\"><title>n", (moment.node), " ", (says), ", ");
        html!(
            page,
            (duration(moment.ago_seconds)),
            " ago</title><circle cx=",
            (x),
            " cy=",
            (tenth(y)),
            " r=5></circle>"
        );
        html!(page, "<text class=says x=", (x + 9.0), " y=", (tenth(y + 4.0)), ">", (says), "</text></g>\n");
    }
    waits(page, seen, &lanes, x);
    page.raw(
        "</svg></div>\n<p class=quiet>Times are those of this process. Arrows: who is waited for now.</p></section>\n",
    );
}

/// Arrows along the bottom, from a node that is open here to those that are waited for.
fn waits(page: &mut Html, seen: &view::Transaction, lanes: &[u64], x: impl Fn(u64) -> Option<f64>) {
    let heard = seen.moments.iter().find(|moment| moment.what == What::Heard).map(|moment| moment.node);
    let Some(from) = heard.and_then(&x) else { return };
    for (at, node) in seen.waits_for.iter().filter(|node| lanes.contains(node)).enumerate() {
        let y = TOP + HEIGHT + 14.0 + 10.0 * at as f64;
        let Some(to) = x(*node).filter(|to| (to - from).abs() > 1.0) else { continue };
        let head = if to > from { to - 8.0 } else { to + 8.0 };
        html!(
            page,
            "<g class=waits><title>waits for n",
            (node),
            "</title><line x1=",
            (from),
            " x2=",
            (to),
            " y1=",
            (y)
        );
        html!(
            page,
            " y2=",
            (y),
            "></line><path d=\"M",
            (to),
            " ",
            (y),
            " L",
            (head),
            " ",
            (y - 4.0),
            " L",
            (head),
            " "
        );
        html!(page, (y + 4.0), " Z\"></path></g>\n");
    }
}

fn role(node: u64, seen: &view::Transaction, names: &BTreeMap<u64, String>, is_silent: bool) -> String {
    match names.get(&node) {
        Some(name) if name.chars().count() > 14 => name.chars().take(13).chain(['\u{2026}']).collect(),
        Some(name) => name.clone(),
        None if is_silent => "silent".into(),
        None if seen.participants.contains(&node) => "participant".into(),
        None => "member".into(),
    }
}

fn word(what: What) -> &'static str {
    match what {
        What::Begun => "begun",
        What::Heard => "heard",
        What::Committed => "committed",
        What::Aborted => "aborted",
    }
}

fn sentence(seen: &view::Transaction) -> String {
    let one =
        |moment: &view::Moment| format!("{} ago: n{} {}", duration(moment.ago_seconds), moment.node, word(moment.what));
    let all: Vec<String> = seen.moments.iter().map(one).collect();
    format!("What happened of {}: {}", seen.tx, all.join("; "))
}

fn tenth(number: f64) -> String {
    format!("{number:.1}")
}
