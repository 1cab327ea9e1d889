//! Renders Markdown as GitHub does, with its tables and its anchors of headings.

use std::collections::HashMap;

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd, html};

pub(super) fn render(markdown: &str) -> String {
    let options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS;
    let mut events: Vec<_> = Parser::new_ext(markdown, options).collect();
    let mut seen = HashMap::new();
    let mut heading = None;
    let mut text = String::new();
    for index in 0..events.len() {
        if let Event::Text(part) | Event::Code(part) = &events[index] {
            text.push_str(part);
        } else if let Event::Start(Tag::Heading { .. }) = events[index] {
            heading = Some(index);
            text.clear();
        } else if let Event::End(TagEnd::Heading(_)) = events[index]
            && let Some(start) = heading.take()
            && let Event::Start(Tag::Heading { id, .. }) = &mut events[start]
        {
            *id = Some(anchor(&text, &mut seen).into());
        }
    }
    let mut body = String::new();
    html::push_html(&mut body, events.into_iter());
    body
}

/// Returns GitHub's anchor: lower case, without punctuation, numbered where it was seen before.
fn anchor(heading: &str, seen: &mut HashMap<String, usize>) -> String {
    let is_kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let anchor: String = heading.to_lowercase().chars().filter(is_kept).collect();
    let anchor = anchor.replace(' ', "-");
    let times = seen.entry(anchor.clone()).or_default();
    *times += 1;
    if *times == 1 { anchor } else { format!("{anchor}-{}", *times - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_have_the_anchors_of_github() {
        let html = render("# `a.b`: the *first* one\n\n## Same\n\n## Same\n");
        assert!(html.contains("<h1 id=\"ab-the-first-one\">"), "{html}");
        assert!(html.contains("<h2 id=\"same\">") && html.contains("<h2 id=\"same-1\">"), "{html}");
    }
}
