//! Extracts the prose of a file: paragraphs of documents and comments, strings, and names of functions.

use pulldown_cmark::{Event, Options, Parser as Markdown, Tag, TagEnd};
use tree_sitter::{Node, Parser, TreeCursor};

#[derive(Debug)]
pub(super) struct Passage {
    pub(super) kind: Kind,
    /// The line in which it begins, counted from 1.
    pub(super) line: usize,
    /// With the file's line breaks, so that each word has a line.
    pub(super) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Text,
    Heading,
    /// The first paragraph of a function's documentation.
    Method,
    /// A function's name, with spaces for underscores.
    Name,
}

/// Returns the function that extracts the prose of a file of this name.
pub(super) fn reader(path: &str) -> Option<fn(&str) -> Vec<Passage>> {
    let (_, extension) = path.rsplit_once('.')?;
    match extension {
        "md" => Some(|text| paragraphs(1, text)),
        "rs" => Some(|text| code(text, false)),
        "js" | "mjs" | "cjs" | "ts" | "mts" => Some(|text| code(text, true)),
        "toml" => Some(|text| line_comments(text, "#")),
        "lua" => Some(|text| line_comments(text, "--")),
        _ => None,
    }
}

/// Splits Markdown into paragraphs, list items, headings and cells of tables, without its code and its links' targets.
fn paragraphs(first_line: usize, text: &str) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::new();
    let (mut kind, mut is_open, mut is_code) = (Kind::Text, false, false);
    for (event, place) in Markdown::new_ext(text, Options::ENABLE_TABLES).into_offset_iter() {
        let words = match event {
            Event::Text(_) if is_code => continue,
            Event::Text(words) | Event::Html(words) | Event::InlineHtml(words) => {
                words.into_string()
            }
            // Code is a word that no phrase contains.
            Event::Code(_) => "_".to_owned(),
            Event::SoftBreak | Event::HardBreak => "\n".to_owned(),
            Event::Start(Tag::Emphasis | Tag::Strong | Tag::Link { .. } | Tag::Image { .. })
            | Event::End(TagEnd::Emphasis | TagEnd::Strong | TagEnd::Link | TagEnd::Image) => {
                continue;
            }
            other @ (Event::Start(_)
            | Event::End(_)
            | Event::Rule
            | Event::TaskListMarker(_)
            | Event::FootnoteReference(_)
            | Event::InlineMath(_)
            | Event::DisplayMath(_)) => {
                let is_heading = matches!(other, Event::Start(Tag::Heading { .. }));
                kind = if is_heading { Kind::Heading } else { Kind::Text };
                is_code = matches!(other, Event::Start(Tag::CodeBlock(_)));
                is_open = false;
                continue;
            }
        };
        match passages.last_mut() {
            Some(last) if is_open => last.text.push_str(&words),
            _ => {
                let line = first_line + text[..place.start].matches('\n').count();
                passages.push(Passage { kind, line, text: words });
            }
        }
        is_open = true;
    }
    passages
}

/// Returns comments that fill their line, for languages in which strings rarely contain prose.
fn line_comments(text: &str, marker: &str) -> Vec<Passage> {
    let comments = (1..).zip(text.lines()).filter_map(|(line, source)| {
        let text = source.trim_start().strip_prefix(marker)?;
        Some(Comment { line, text: text.to_owned() })
    });
    join(comments).iter().flat_map(|comment| paragraphs(comment.line, &comment.text)).collect()
}

#[derive(Debug)]
struct Comment {
    line: usize,
    text: String,
}

/// Joins comments on consecutive lines.
fn join(comments: impl IntoIterator<Item = Comment>) -> Vec<Comment> {
    let mut joined: Vec<Comment> = Vec::new();
    for comment in comments {
        match joined.last_mut() {
            Some(last) if last.line + last.text.matches('\n').count() + 1 == comment.line => {
                last.text.push('\n');
                last.text.push_str(&comment.text);
            }
            _ => joined.push(comment),
        }
    }
    joined
}

fn code(source: &str, is_javascript: bool) -> Vec<Passage> {
    let language =
        if is_javascript { tree_sitter_javascript::LANGUAGE } else { tree_sitter_rust::LANGUAGE };
    let mut parser = Parser::new();
    // The versions are locked together, and a parser without a time limit returns a tree.
    let tree = parser.set_language(&language.into()).ok().and_then(|()| parser.parse(source, None));
    let mut found = Found { source, comments: Vec::new(), passages: Vec::new() };
    found.visit(&mut tree.expect("the grammar fits the parser").walk());
    let Found { comments, mut passages, .. } = found;
    let lines: Vec<_> = source.lines().collect();
    for comment in join(comments) {
        let mut text = paragraphs(comment.line, &comment.text);
        let after = comment.line + comment.text.matches('\n').count();
        if let Some(first) = text.first_mut()
            && is_function(lines.get(after..).unwrap_or_default(), is_javascript)
        {
            first.kind = Kind::Method;
        }
        passages.extend(text);
    }
    passages.sort_by_key(|passage| passage.line);
    passages
}

/// Whether these lines begin with a function, after attributes.
fn is_function(lines: &[&str], is_javascript: bool) -> bool {
    let is_attribute = |line: &str| line.starts_with("#[") || line.ends_with(")]");
    let item = lines.iter().map(|line| line.trim()).find(|line| !is_attribute(line));
    item.is_some_and(|line| {
        line.contains('(') && (is_javascript || line.starts_with("fn ") || line.contains(" fn "))
    })
}

/// The comments, strings and names of a source file.
struct Found<'s> {
    source: &'s str,
    comments: Vec<Comment>,
    passages: Vec<Passage>,
}

impl Found<'_> {
    /// Reads a node with all inside of it.
    fn visit(&mut self, cursor: &mut TreeCursor<'_>) {
        let node = cursor.node();
        match node.kind() {
            "comment" | "line_comment" | "block_comment" => return self.comment(node),
            "string_literal" | "raw_string_literal" | "string" | "template_string" => {
                return self.string(node);
            }
            "function_item" | "function_signature_item" => self.name(node),
            _ => {}
        }
        if cursor.goto_first_child() {
            self.visit(cursor);
            while cursor.goto_next_sibling() {
                self.visit(cursor);
            }
            cursor.goto_parent();
        }
    }

    fn comment(&mut self, node: Node<'_>) {
        let text = self.source[node.byte_range()].trim_end();
        let text = if text.starts_with("/*") {
            let lines = text.trim_start_matches('/').trim_end_matches("*/").lines();
            let lines = lines.map(|line| line.trim_start().trim_start_matches('*'));
            lines.collect::<Vec<_>>().join("\n")
        } else {
            text.trim_start_matches(['/', '!']).to_owned()
        };
        self.comments.push(Comment { line: node.start_position().row + 1, text });
    }

    /// Keeps a string that has several words.
    fn string(&mut self, node: Node<'_>) {
        let text = self.source[node.byte_range()].trim_start_matches(['b', 'r', '#']);
        let text = text.trim_end_matches('#').trim_matches(['"', '\'', '`']);
        if text.contains(' ') {
            let text = text.replace("\\n", "  ").replace('\\', " ");
            self.passages.extend(paragraphs(node.start_position().row + 1, &text));
        }
    }

    fn name(&mut self, node: Node<'_>) {
        let Some(name) = node.child_by_field_name("name") else { return };
        let text = self.source[name.byte_range()].replace('_', " ");
        self.passages.push(Passage { kind: Kind::Name, line: name.start_position().row + 1, text });
    }
}
