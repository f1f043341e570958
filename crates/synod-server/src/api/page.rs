//! One plain page for a browser: it only reads.

use std::fmt::Write;

use super::view;

const HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>
<title>synod</title><style>
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
table{border-collapse:collapse;width:100%;margin:1rem 0}
td,th{text-align:left;padding:.3rem .7rem;border-bottom:1px solid #ccc}
.bad{color:#b00020;font-weight:600}.good{color:#00702b}code{font-size:90%}</style>";

/// The page.
pub(super) fn page(status: &view::Status, in_doubt: &view::InDoubt) -> String {
    let mut page = String::from(HEAD);
    let _ = write!(
        page,
        "<h1>synod</h1><p>Cluster <code>{}</code>, process of <code>{}</code>, ",
        escaped(&status.cluster),
        escaped(&status.file)
    );
    let _ = match &status.not_ready {
        None => write!(page, "<span class=good>ready</span>."),
        Some(why) => write!(page, "<span class=bad>not ready: {}</span>.", escaped(why)),
    };
    page.push_str("<table><tr><th>node<th>role<th>state<th>open<th>in doubt<th>members connected<th>certificate, days");
    for node in &status.nodes {
        let connected = node.members.iter().filter(|peer| peer.connected).count();
        let state = node.why.as_ref().map_or(node.state.clone(), |why| format!("{}: {why}", node.state));
        let class = if node.state == "running" { "good" } else { "bad" };
        let _ = write!(
            page,
            "<tr><td>{}<td>{} {}<td class={class}>{}<td>{}<td>{}<td>{connected} of {}<td>{:.0}",
            node.node,
            escaped(&node.role),
            escaped(node.database.as_deref().unwrap_or_default()),
            escaped(&state),
            node.open,
            node.in_doubt,
            node.members.len(),
            node.certificate_days_left
        );
        for trouble in node.violations.iter().chain(&node.alarms).chain(&node.refused) {
            let _ = write!(page, "<tr><td><td colspan=6 class=bad>{}", escaped(trouble));
        }
    }
    let _ = write!(
        page,
        "</table><h2>In doubt: {}</h2><table><tr><th>transaction<th>at<th>participants<th>for",
        in_doubt.transactions.len()
    );
    for doubt in in_doubt.transactions.iter().take(100) {
        let _ = write!(
            page,
            "<tr><td><code>{}</code><td>{}<td>{:?}<td>{:.1} s",
            escaped(&doubt.tx),
            doubt.at,
            doubt.participants,
            doubt.age_seconds
        );
    }
    page.push_str("</table>");
    for silent in &in_doubt.silent {
        let _ = write!(page, "<p class=bad>Node {} does not answer: {}", silent.node, escaped(&silent.why));
    }
    page.push_str(
        "<p><a href=/metrics>metrics</a> <a href=/api/status>status</a> <a href=/api/open>open</a> <a \
     href=/api/members>members</a>",
    );
    page
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
