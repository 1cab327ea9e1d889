//! Extracts the prose of a file: paragraphs of documents and comments, strings, and names of functions.

/// A run of prose.
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
        "rs" => Some(|text| code(text, Language::Rust)),
        "js" | "mjs" | "cjs" | "ts" | "mts" => Some(|text| code(text, Language::JavaScript)),
        "toml" => Some(|text| line_comments(text, "#")),
        "lua" => Some(|text| line_comments(text, "--")),
        _ => None,
    }
}

/// Splits Markdown into paragraphs, list items, headings and table rows, without its code.
fn paragraphs(first_line: usize, text: &str) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::new();
    let mut fence = None;
    let mut is_open = false;
    for (line, source) in (first_line..).zip(text.lines()) {
        let trimmed = source.trim_start_matches([' ', '>', '\t']);
        let marker = ["```", "~~~"].into_iter().find(|marker| trimmed.starts_with(marker));
        if marker.is_some() && (fence.is_none() || fence == marker) {
            fence = if fence.is_none() { marker } else { None };
            is_open = false;
            continue;
        }
        if fence.is_some() || trimmed.is_empty() {
            is_open = false;
            continue;
        }
        let (is_heading, is_row) = (trimmed.starts_with('#'), trimmed.starts_with('|'));
        let digits = trimmed.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_item = ["- ", "* ", "+ "].iter().any(|bullet| trimmed.starts_with(bullet))
            || (digits.len() < trimmed.len() && digits.starts_with(". "));
        match passages.last_mut() {
            Some(last) if is_open && !is_heading && !is_row && !is_item => {
                last.text.push('\n');
                last.text.push_str(source);
            }
            _ => {
                let kind = if is_heading { Kind::Heading } else { Kind::Text };
                // The number of an item is no word of its sentence.
                let text = if is_item { digits } else { source };
                passages.push(Passage { kind, line, text: text.to_owned() });
            }
        }
        is_open = !is_heading && !is_row;
    }
    for passage in &mut passages {
        passage.text = without_code(&passage.text);
    }
    passages
}

/// Replaces code in backticks by underscores, and the targets of links by spaces.
fn without_code(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['`', ']']) {
        plain.push_str(&rest[..start]);
        rest = &rest[start..];
        let ticks = rest.len() - rest.trim_start_matches('`').len();
        let (end, filler) = if ticks > 0 {
            let close = rest[ticks..].find(&rest[..ticks]).map(|offset| offset + 2 * ticks);
            (close.unwrap_or(ticks), '_')
        } else {
            (rest.starts_with("](").then(|| rest.find(')')).flatten().unwrap_or(1), ' ')
        };
        plain.extend(rest[..end].chars().map(|c| if c == '\n' { c } else { filler }));
        rest = &rest[end..];
    }
    plain + rest
}

/// Returns comments that fill their line, for languages in which strings rarely contain prose.
fn line_comments(text: &str, marker: &str) -> Vec<Passage> {
    let comments = (1..).zip(text.lines()).filter_map(|(line, source)| {
        let text = source.trim_start().strip_prefix(marker)?;
        Some(Comment { line, text: text.to_owned() })
    });
    join(comments).iter().flat_map(|comment| paragraphs(comment.line, &comment.text)).collect()
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Language {
    Rust,
    JavaScript,
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

fn code(source: &str, language: Language) -> Vec<Passage> {
    let mut scanner =
        Scanner { source, language, at: 0, line: 1, comments: vec![], passages: vec![] };
    while scanner.at < source.len() {
        scanner.step();
    }
    let Scanner { comments, mut passages, .. } = scanner;
    let lines: Vec<_> = source.lines().collect();
    for comment in join(comments) {
        let mut text = paragraphs(comment.line, &comment.text);
        let after = comment.line + comment.text.matches('\n').count();
        if let Some(first) = text.first_mut()
            && is_function(lines.get(after..).unwrap_or_default(), language)
        {
            first.kind = Kind::Method;
        }
        passages.extend(text);
    }
    passages.sort_by_key(|passage| passage.line);
    passages
}

/// Whether these lines begin with a function, after attributes.
fn is_function(lines: &[&str], language: Language) -> bool {
    let is_attribute = |line: &str| line.starts_with("#[") || line.ends_with(")]");
    let item = lines.iter().map(|line| line.trim()).find(|line| !is_attribute(line));
    item.is_some_and(|line| {
        let is_js = language == Language::JavaScript;
        line.contains('(') && (is_js || line.starts_with("fn ") || line.contains(" fn "))
    })
}

/// Separates comments, strings and names from the rest of a source file.
struct Scanner<'s> {
    source: &'s str,
    language: Language,
    at: usize,
    line: usize,
    comments: Vec<Comment>,
    passages: Vec<Passage>,
}

impl<'s> Scanner<'s> {
    fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    /// Moves past so many bytes and returns them.
    fn advance(&mut self, length: usize) -> &'s str {
        let passed = &self.rest()[..length];
        self.at += length;
        self.line += passed.matches('\n').count();
        passed
    }

    fn step(&mut self) {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return };
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        if rest.starts_with("//") {
            let (line, length) = (self.line, rest.find('\n').unwrap_or(rest.len()));
            let text = self.advance(length).trim_start_matches(['/', '!']).to_owned();
            self.comments.push(Comment { line, text });
        } else if rest.starts_with("/*") {
            let (line, length) = (self.line, rest.find("*/").map_or(rest.len(), |end| end + 2));
            let body = self.advance(length).trim_start_matches('/').trim_end_matches("*/");
            let lines = body.lines().map(|line| line.trim_start().trim_start_matches('*'));
            let text = lines.collect::<Vec<_>>().join("\n");
            self.comments.push(Comment { line, text });
        } else if is_word(first) {
            let length = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            let word = self.advance(length);
            match word {
                "fn" => self.name(),
                "r" | "br" if self.language == Language::Rust => self.raw_string(),
                _ => {}
            }
        } else if first == '"' || (self.language == Language::JavaScript && "'`".contains(first)) {
            self.string(first);
        } else if first == '\'' {
            self.advance(character(rest));
        } else if first == '/' && self.language == Language::JavaScript {
            self.advance(regular_expression(&self.source[..self.at], rest));
        } else {
            self.advance(first.len_utf8());
        }
    }

    fn name(&mut self) {
        let name = self.rest().trim_start();
        let end = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
        let text = name[..end].replace('_', " ");
        self.passages.push(Passage { kind: Kind::Name, line: self.line, text });
    }

    fn raw_string(&mut self) {
        let rest = self.rest();
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if !rest[hashes..].starts_with('"') {
            return;
        }
        let close = format!("\"{}", &rest[..hashes]);
        let body = &rest[hashes + 1..];
        let length = body.find(&close).unwrap_or(body.len());
        self.advance(hashes + 1);
        self.prose(length);
        self.advance(close.len().min(self.rest().len()));
    }

    fn string(&mut self, quote: char) {
        self.advance(1);
        let mut is_escaped = false;
        let ends = |c: char| {
            let is_end = !is_escaped && (c == quote || (c == '\n' && quote == '\''));
            is_escaped = !is_escaped && c == '\\';
            is_end
        };
        let length = self.rest().find(ends).unwrap_or(self.rest().len());
        self.prose(length);
        self.advance(self.rest().len().min(1));
    }

    /// Keeps a string that has several words.
    fn prose(&mut self, length: usize) {
        let line = self.line;
        let text = self.advance(length);
        if text.contains(' ') {
            let text = without_code(&text.replace("\\n", "  ").replace('\\', " "));
            self.passages.push(Passage { kind: Kind::Text, line, text });
        }
    }
}

/// Returns the length of a character literal, or of the tick of a lifetime.
fn character(rest: &str) -> usize {
    let mut characters = rest.char_indices().skip(1);
    match (characters.next(), characters.next()) {
        (Some((_, '\\')), Some((escaped, c))) => {
            let from = escaped + c.len_utf8();
            rest[from..].find('\'').map_or(1, |end| from + end + 1)
        }
        (Some(_), Some((end, '\''))) => end + 1,
        _ => 1,
    }
}

/// Returns the length of a regular expression, or of a division sign.
fn regular_expression(before: &str, rest: &str) -> usize {
    let before = before.trim_end().chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || ")]}_$'\"`".contains(c)) {
        return 1;
    }
    let (mut is_escaped, mut is_class) = (false, false);
    let ends = |c: char| {
        let is_end = !is_escaped && !is_class && c == '/';
        match c {
            '[' if !is_escaped => is_class = true,
            ']' if !is_escaped => is_class = false,
            _ => {}
        }
        is_escaped = !is_escaped && c == '\\';
        is_end || c == '\n'
    };
    rest[1..].find(ends).map_or(1, |end| end + 2)
}
