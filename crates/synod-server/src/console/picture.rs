//! The cluster as a picture.

use std::{collections::BTreeMap, f64::consts::TAU};

use super::html::{Html, html};
use crate::api::{view, why::duration};

/// The picture is so wide, in units of its own, and shows so many agents.
const WIDTH: f64 = 360.0;
const AGENTS: usize = 9;
const IN_A_ROW: usize = 3;

/// The ring of the members, and how far rows of agents are apart.
const CENTRE: (f64, f64) = (180.0, 104.0);
const RING: f64 = 72.0;
const ROW: f64 = 62.0;
const FIRST_ROW: f64 = 238.0;

/// How a node is, by its class.
pub(super) fn class(place: &view::Place) -> &'static str {
    match &*place.state {
        "running" | "connected" => "good",
        "away" | "silent" => "bad",
        "starting" => "warn",
        _ => "calm",
    }
}

/// How a node is, in a word or two.
pub(super) fn says(place: &view::Place) -> String {
    match (&*place.state, place.silent_seconds) {
        ("away", _) => "database away".into(),
        ("silent", Some(age)) => format!("silent for {}", duration(age)),
        ("running", _) => "running here".into(),
        (state, _) => state.into(),
    }
}

pub(super) fn show(page: &mut Html, cluster: &view::Cluster) {
    let (members, agents): (Vec<_>, Vec<_>) = cluster.nodes.iter().partition(|place| place.role == "member");
    let shown = agents.len().min(AGENTS);
    let rows = shown.div_ceil(IN_A_ROW);
    let height = if rows == 0 { 208.0 } else { FIRST_ROW + ROW * rows as f64 - 20.0 };
    let at = positions(&members, &agents[..shown]);

    page.raw("<section class=card aria-labelledby=cluster><h2 id=cluster>Cluster</h2>\n<svg class=picture role=img ");
    html!(page, "aria-label=\"", (sentence(cluster)), "\" viewBox=\"0 0 ", (WIDTH), " ", (height), "\">\n");
    for link in &cluster.links {
        let (Some(from), Some(to)) = (at.get(&link.from), at.get(&link.to)) else { continue };
        html!(page, "<line class=\"", (if link.is_up { "up" } else { "down" }), "\" x1=", (tenth(from.0)), " y1=");
        html!(page, (tenth(from.1)), " x2=", (tenth(to.0)), " y2=", (tenth(to.1)), "></line>");
    }
    let epoch = cluster.epoch.map_or("no epoch yet".into(), |epoch| format!("epoch {epoch}"));
    html!(page, "<text class=epoch x=", (CENTRE.0), " y=", (CENTRE.1 + 4.0), ">", (epoch), "</text>\n");
    for place in members.iter().chain(&agents[..shown]) {
        let Some(&(x, y)) = at.get(&place.node) else { continue };
        html!(page, "<g class=\"node ", (class(place)), (if place.is_here { " here" } else { "" }), "\"><title>n");
        html!(page, (place.node), ", ", (place.role), ", ", (says(place)), "</title>");
        if place.role == "member" {
            html!(page, "<circle cx=", (tenth(x)), " cy=", (tenth(y)), " r=23></circle>");
        } else {
            html!(page, "<rect x=", (tenth(x - 50.0)), " y=", (tenth(y - 17.0)), " width=100 height=34 rx=7></rect>");
        }
        let below = match &place.name {
            Some(name) => short(name, 14),
            None if place.role == "member" => String::new(),
            None => place.role.clone(),
        };
        let up = if below.is_empty() { 4.5 } else { -2.0 };
        html!(page, "<text x=", (tenth(x)), " y=", (tenth(y + up)), ">n", (place.node), "</text>");
        if !below.is_empty() {
            html!(page, "<text class=small x=", (tenth(x)), " y=", (tenth(y + 11.0)), ">", (below), "</text>");
        }
        let under = if place.role == "member" { 36.0 } else { 30.0 };
        html!(page, "<text class=says x=", (tenth(x)), " y=", (tenth(y + under)), ">", (word(place)), "</text></g>\n");
    }
    page.raw("</svg>\n<p class=quiet>");
    if cluster.is_changing {
        page.raw("The members are about to change. ");
    }
    if agents.len() > shown {
        html!(page, "\u{2026} and ", (agents.len() - shown), " more agents: see below. ");
    }
    page.raw("Filled: nodes of this process. Dashed: no connection.</p></section>\n");
}

/// Where everybody is.
fn positions(members: &[&view::Place], agents: &[&view::Place]) -> BTreeMap<u64, (f64, f64)> {
    let mut at = BTreeMap::new();
    for (number, place) in members.iter().enumerate() {
        let angle = TAU * (number as f64 / members.len() as f64 - 0.25);
        let reach = if members.len() == 1 { 0.0 } else { RING };
        // Wider than high, as a page is.
        at.insert(place.node, (CENTRE.0 + 1.5 * reach * angle.cos(), CENTRE.1 + reach * angle.sin()));
    }
    for (row, places) in agents.chunks(IN_A_ROW).enumerate() {
        let step = WIDTH / places.len() as f64;
        for (number, place) in places.iter().enumerate() {
            at.insert(place.node, (step * (number as f64 + 0.5), FIRST_ROW + ROW * row as f64));
        }
    }
    at
}

/// All that the picture shows, for those who do not see it.
fn sentence(cluster: &view::Cluster) -> String {
    let one = |place: &view::Place| format!("{} n{} {}", place.role, place.node, says(place));
    let all: Vec<String> = cluster.nodes.iter().map(one).collect();
    let down = cluster.links.iter().filter(|link| !link.is_up).count();
    format!("The cluster: {}. {down} of {} connections are down.", all.join("; "), cluster.links.len())
}

/// How a node is, in the room that there is.
fn word(place: &view::Place) -> String {
    match (&*place.state, place.silent_seconds) {
        ("away", Some(age)) => format!("away {}", duration(age)),
        ("silent", Some(age)) => format!("silent {}", duration(age)),
        (state, _) => state.into(),
    }
}

fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text.into(),
    }
}

fn tenth(number: f64) -> String {
    format!("{number:.1}")
}
