//! What is around every page.

use super::html::{Html, html};
use crate::run::Process;

/// Which page it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Overview,
    History,
    Databases,
    Transaction,
}

const HEAD: &str = "<!doctype html>
<html lang=en>
<head>
<meta charset=utf-8>
<meta name=viewport content=\"width=device-width, initial-scale=1\">
<meta name=color-scheme content=\"light dark\">
<link rel=icon href=\"data:,\">
<link rel=stylesheet href=/console.css>
<script src=/console.js defer></script>
";

const DIALOGS: &str = include_str!("dialogs.html");

/// A whole page.
pub(super) fn page(tab: Tab, title: &str, process: &Process, show: impl FnOnce(&mut Html)) -> String {
    let mut page = Html::default();
    page.raw(HEAD);
    html!(&mut page, "<title>", (title), " \u{b7} synod</title>\n</head>\n<body>\n");
    html!(&mut page, "<a class=skip href=\"#main\">To the content</a>\n<header>\n<p class=brand>synod");
    html!(&mut page, " <span class=cluster title=\"", (process.config().cluster), "\">cluster ");
    html!(&mut page, (process.config().cluster.to_string().get(..8).unwrap_or_default()), "</span></p>\n");
    page.raw("<nav aria-label=Pages>");
    let tabs = [(Tab::Overview, "/", "Overview"), (Tab::History, "/history", "History")];
    for (each, to, name) in tabs.into_iter().chain([(Tab::Databases, "/databases", "Databases")]) {
        html!(&mut page, "<a href=\"", (to), "\"");
        if each == tab {
            page.raw(" aria-current=page");
        }
        html!(&mut page, ">", (name), "</a>");
    }
    page.raw(
        "</nav>\n<p class=who><span id=live class=live data-state=off>not refreshed</span> \
         <button type=button id=enter class=pending>Sign in to act</button></p>\n</header>\n<main id=main tabindex=-1>\n",
    );
    show(&mut page);
    page.raw("</main>\n");
    page.raw(DIALOGS);
    page.raw("</body>\n</html>\n");
    page.finish()
}

/// The page for one who has to say a token first. It says nothing about the cluster.
pub(super) fn sign_in() -> String {
    let mut page = Html::default();
    page.raw(HEAD);
    page.raw(
        "<title>Sign in \u{b7} synod</title>\n</head>\n<body>\n<header><p class=brand>synod</p><nav aria-label=Pages></nav>\
         <p class=who><span id=live class=live data-state=off>not refreshed</span> \
         <button type=button id=enter class=pending>Sign in</button></p></header>\n\
         <main id=main tabindex=-1 data-closed><h1>Sign in</h1>\n<p>This process asks for a token: that of an operator, or \
         one that only reads. They are in the files <code>token</code> and <code>read_token</code> beside its \
         <code>node.toml</code>. Over HTTPS a certificate of an operator or a reader will do, too. On the machine itself, reading needs none at \
         <code>http://127.0.0.1</code>, if that is where it listens.</p>\n\
         <noscript><p>Without a script, use the commands of <code>synod</code>.</p></noscript></main>\n",
    );
    page.raw(DIALOGS);
    page.raw("</body>\n</html>\n");
    page.finish()
}
