//! Text of which only what is written here is HTML.

use std::fmt::{self, Display, Write};

use crate::api::why::clean;

/// HTML. What comes from elsewhere gets into it only as text.
#[derive(Default)]
pub(super) struct Html(String);

impl Html {
    /// Adds HTML.
    pub(super) fn raw(&mut self, html: &'static str) {
        self.0.push_str(html);
    }

    /// Adds text, which may be in quotes, as the value of an attribute.
    pub(super) fn text(&mut self, text: impl Display) {
        let _ = write!(Escaped(&mut self.0), "{text}");
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in clean(text).chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

/// Adds to a page: literals are HTML, and what is in parentheses is text.
macro_rules! html {
    ($page:expr $(, $part:tt)* $(,)?) => {{
        let page: &mut $crate::console::html::Html = $page;
        $(html!(@ page $part);)*
    }};
    (@ $page:ident $html:literal) => { $page.raw($html) };
    (@ $page:ident ($text:expr)) => { $page.text(&$text) };
}

pub(super) use html;

/// A transaction, as a link to its page.
pub(super) fn link(page: &mut Html, tx: &str) {
    html!(page, "<a class=tx href=\"/transactions/", (tx.replace('#', "-")), "\">", (tx), "</a>");
}

/// Nodes as people write them.
pub(super) fn nodes(nodes: &[u64]) -> String {
    match nodes {
        [] => "\u{2013}".into(),
        nodes => nodes.iter().map(|node| format!("n{node}")).collect::<Vec<_>>().join(" "),
    }
}
