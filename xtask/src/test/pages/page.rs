//! One HTML page: its links, the elements that links can lead to, and tables that show as text.

use std::collections::{BTreeSet, HashSet};

/// Dead links in the documentation of other crates, which rustdoc copies to each type that has their traits.
const FOREIGN: &[&str] = &["dispatcher#setting-the-default-subscriber"];

#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) html: String,
    /// The values of `id` and `name`, to which fragments lead.
    anchors: HashSet<String>,
    /// Relative links and images, as written.
    pub(super) links: BTreeSet<String>,
}

impl Page {
    pub(super) fn parse(html: String) -> Self {
        let anchors = ["id", "name"].iter().flat_map(|name| attributes(&html, name)).collect();
        let links = ["href", "src"].iter().flat_map(|name| attributes(&html, name));
        let is_relative = |link: &String| {
            let scheme = link.split(['/', '#', '?']).next().unwrap_or_default();
            !scheme.contains(':') && !link.starts_with("//") && !FOREIGN.contains(&&**link)
        };
        let links = links.filter(is_relative).collect();
        Self { html, anchors, links }
    }

    /// Whether a fragment leads to an element of this page, or of the page to which this one redirects.
    pub(super) fn accepts(&self, fragment: &str) -> bool {
        fragment.is_empty()
            || self.anchors.contains(fragment)
            || self.html.contains("<meta http-equiv=\"refresh\"")
    }

    /// Returns the lines of paragraphs that begin as a row of a table does.
    pub(super) fn raw_rows(&self) -> Vec<String> {
        let paragraphs = self.html.split("<p>").skip(1);
        let paragraphs = paragraphs.filter_map(|rest| rest.split("</p>").next());
        let lines = paragraphs.flat_map(str::lines).map(plain);
        lines.filter(|line| line.starts_with('|') && line[1..].contains('|')).collect()
    }
}

/// Returns the values of all attributes of this name, which rustdoc and pulldown-cmark write in double quotes.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let start = format!(" {name}=\"");
    let values = html.split(&start).skip(1).filter_map(|rest| rest.split('"').next());
    values.map(unescaped).collect()
}

/// Returns the text of a piece of HTML.
fn plain(html: &str) -> String {
    let mut text = String::new();
    for piece in html.split_inclusive('>') {
        text.push_str(piece.split('<').next().unwrap_or_default());
    }
    unescaped(text.trim())
}

/// Resolves the entities that a serialiser writes.
pub(super) fn unescaped(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"");
    text.replace("&#39;", "'").replace("&#x27;", "'").replace("&amp;", "&")
}

#[cfg(test)]
mod tests {
    use super::super::markdown;
    use super::*;

    #[test]
    fn a_table_that_an_empty_line_breaks_is_found() {
        let broken = "| a | b |\n|---|---|\n| 1 | 2 |\n\n| `3` | 4 |\n";
        assert_eq!(Page::parse(markdown::render(broken)).raw_rows(), ["| 3 | 4 |"]);
        let missing_column = "| a | b |\n|---|\n";
        assert_eq!(Page::parse(markdown::render(missing_column)).raw_rows().len(), 2);
    }

    #[test]
    fn a_table_and_text_with_bars_pass() {
        let text =
            "| a | b |\n|---|---|\n| 1 | 2 |\n\nEither a | b or | c.\n\n```text\n| x | y |\n```\n";
        assert_eq!(Page::parse(markdown::render(text)).raw_rows(), Vec::<String>::new());
    }

    #[test]
    fn links_with_a_scheme_are_not_relative() {
        let html = r##"<a href="https://a.example/">a</a> <a href="mailto:b">b</a> <a href="c.md#d&amp;e">c</a>
            <img src="f.svg"/> <h2 id="g">g</h2>"##;
        let page = Page::parse(html.to_owned());
        assert_eq!(page.links, ["c.md#d&e", "f.svg"].map(str::to_owned).into());
        assert!(page.accepts("g") && page.accepts("") && !page.accepts("h"));
    }

    #[test]
    fn fragments_pass_a_redirection() {
        let html = r#"<meta http-equiv="refresh" content="0;URL=../trait.Clock.html">"#;
        assert!(Page::parse(html.to_owned()).accepts("tymethod.now"));
    }
}
