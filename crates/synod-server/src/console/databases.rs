//! What the databases themselves list as prepared, beside what the nodes know.

use super::html::{Html, html, link};
use crate::api::{view, why::duration};

/// How many rows a database has.
const ROWS: usize = 200;

pub(super) fn show(page: &mut Html, listed: &view::Databases) {
    page.raw(
        "<h1>Databases</h1>\n<p class=quiet>What each database of this process lists as prepared, and who knows of it. What \
         is prepared holds locks. Databases of other processes are on those processes' pages.</p>\n",
    );
    if listed.databases.is_empty() {
        page.raw("<p>No database stands beside a node of this process.</p>\n");
    }
    for database in &listed.databases {
        let name = database.name.as_deref().unwrap_or("database");
        html!(
            page,
            "<section class=card aria-labelledby=\"database-",
            (database.node),
            "\" data-key=\"d",
            (database.node)
        );
        html!(
            page,
            "\"><h2 id=\"database-",
            (database.node),
            "\">",
            (name),
            " (n",
            (database.node),
            ")</h2>\n<p><code>"
        );
        html!(page, (database.url), "</code></p>\n");
        if let Some(why) = &database.silent {
            html!(page, "<p class=bad>It does not answer: ", (why), "</p></section>\n");
            continue;
        }
        table(page, name, database);
        page.raw("</section>\n");
    }
}

fn table(page: &mut Html, name: &str, database: &view::Database) {
    html!(page, "<table class=rows><caption class=unseen>Prepared in ", (name), "</caption><thead><tr><th scope=col>");
    page.raw("Transaction<th scope=col class=number>For<th scope=col>Who knows it<th scope=col>Its name there</tr></thead>\n<tbody data-list>");
    for branch in database.branches.iter().take(ROWS) {
        html!(page, "<tr data-key=\"", (branch.name), "\"><th scope=row>");
        match &branch.tx {
            Some(tx) => link(page, tx),
            None => page.raw("\u{2013}"),
        }
        page.raw("</th><td class=number>");
        match branch.age_seconds {
            Some(age) => html!(page, (duration(age))),
            None => page.raw("\u{2013}"),
        }
        let (class, says) = knows(branch.knows);
        html!(page, "<td><span class=\"state ", (class), "\">", (says), "</span><td class=name><code>", (branch.name));
        page.raw("</code></tr>\n");
    }
    page.raw("</tbody></table>\n");
    let shown = database.branches.len().min(ROWS);
    match (shown, database.prepared.saturating_sub(shown)) {
        (0, _) => page.raw("<p class=quiet>Nothing is prepared.</p>"),
        (_, 0) => {}
        (_, more) => html!(page, "<p class=quiet>\u{2026} and ", (more), " more.</p>"),
    }
}

fn knows(knows: view::Knows) -> (&'static str, &'static str) {
    match knows {
        view::Knows::Open => ("good", "open at a node here"),
        view::Knows::Over => ("bad", "over, and still prepared"),
        view::Knows::Nobody => ("warn", "no node here knows it"),
        view::Knows::Others => ("calm", "another cluster\u{2019}s or participant\u{2019}s"),
        view::Knows::Foreign => ("calm", "not synod\u{2019}s"),
    }
}
