//! How transactions ended.

use super::{
    html::{Html, html, link, nodes},
    overview::state_class,
};
use crate::api::{view, why::duration};

pub(super) fn show(page: &mut Html, recent: &view::Recent) {
    page.raw(
        "<section class=card aria-labelledby=history><h1 id=history>History</h1>\n<p class=quiet>The outcomes that the nodes of \
         this process have learned last, since it was started. How an older one ended: \
         <code>synod status TX</code>, or its page.</p>\n\
         <form id=find class=\"find pending\"><label>Transaction <input name=tx placeholder=\"n1#5\" autocomplete=off \
         spellcheck=false required></label> <button type=submit>Show</button></form>\n\
         <table class=rows><caption class=unseen>Outcomes, the latest first</caption><thead><tr><th scope=col>Transaction<th \
         scope=col>Outcome<th scope=col>When (UTC)<th scope=col class=number>Took<th scope=col>Known at</tr></thead>\n<tbody \
         data-list>",
    );
    for each in &recent.outcomes {
        html!(page, "<tr data-key=\"", (each.tx), "\"><th scope=row>");
        link(page, &each.tx);
        html!(page, "</th><td><span class=\"state ", (class(&each.outcome)), "\">", (each.outcome), "</span>");
        html!(page, "<td class=number>", (each.at), "<td class=number>");
        match each.took_seconds {
            Some(took) if took < 1.0 => html!(page, (format!("{:.1} ms", took * 1_000.0))),
            Some(took) => html!(page, (duration(took))),
            None => page.raw("\u{2013}"),
        }
        html!(page, "<td>", (nodes(&each.known_at)), "</tr>\n");
    }
    page.raw("</tbody></table>\n");
    if recent.outcomes.is_empty() {
        page.raw("<p class=quiet>Nothing has ended here since the process was started.</p>\n");
    }
    page.raw("</section>\n");
}

fn class(outcome: &str) -> &'static str {
    if outcome == "aborted" { "calm" } else { state_class(outcome) }
}
