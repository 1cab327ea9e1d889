//! The words that the project's text avoids, listed with better ones in `xtask/prose.txt`.
//!
//! The step reads every tracked document, comment, string and function name. Code in backticks, code blocks and
//! link targets are left alone.

use std::collections::HashMap;
use std::fs;

use anyhow::{Context as _, Result, bail};

use super::repository;
use crate::workspace::Workspace;
use passages::{Kind, Passage};

mod passages;

/// The list, below the root.
const LIST: &str = "xtask/prose.txt";

/// Reads every tracked file that contains prose.
pub(super) fn check(workspace: &Workspace) -> Result<()> {
    let list = fs::read_to_string(workspace.root.join(LIST)).context(LIST)?;
    let rules = Rules::parse(&list)?;
    let mut findings = Vec::new();
    let mut excused = vec![false; rules.excuses.len()];
    for path in repository::tracked(workspace)? {
        let Some(read) = passages::reader(&path) else { continue };
        let file = workspace.root.join(&path);
        // A tracked file that was deleted and not committed yet is left out.
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for finding in read(&text).iter().flat_map(|passage| rules.findings(&path, passage)) {
            match rules.excuse(&path, &finding) {
                Some(excuse) => excused[excuse] = true,
                None => findings.push(format!("{path}:{}", finding.text)),
            }
        }
    }
    let idle = rules.excuses.iter().zip(excused).filter(|(_, excused)| !excused);
    findings.extend(idle.map(|(Excuse { path, phrase }, _)| {
        format!("{LIST}: the excuse `{path}: {phrase}` excuses nothing")
    }));
    if !findings.is_empty() {
        bail!("{}\n{} places to reword, see {LIST}", findings.join("\n"), findings.len());
    }
    Ok(())
}

/// The parsed list.
#[derive(Debug, Default)]
struct Rules {
    /// By their first word, in lower case.
    by_first_word: HashMap<String, Vec<Rule>>,
    excuses: Vec<Excuse>,
}

/// A phrase to avoid.
#[derive(Debug)]
struct Rule {
    phrase: String,
    words: Vec<String>,
    position: Position,
    better: String,
}

/// The place in which a phrase is to be avoided.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Position {
    Anywhere,
    /// The first words of a sentence, capitalised as in the list.
    Opening,
    /// The first words of a function's documentation.
    Method,
}

/// A phrase that one file or folder may use.
#[derive(Debug)]
struct Excuse {
    path: String,
    /// `*` for all phrases.
    phrase: String,
}

#[derive(Debug)]
struct Finding<'r> {
    phrase: &'r str,
    text: String,
}

impl Rules {
    /// Reads `phrase | better`, `^Opening | better`, `fn Opening | better` and `path: phrase | reason`.
    fn parse(list: &str) -> Result<Self> {
        let mut rules = Self::default();
        for (number, line) in (1..).zip(list.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let (left, better) = line
                .split_once(" | ")
                .filter(|(_, better)| !better.trim().is_empty())
                .with_context(|| format!("{LIST}:{number} has no ` | ` with a better phrase"))?;
            let phrase = left.trim();
            if let Some((path, phrase)) = phrase.split_once(": ") {
                rules.excuses.push(Excuse { path: path.to_owned(), phrase: phrase.to_owned() });
                continue;
            }
            let (position, words) = match (phrase.strip_prefix('^'), phrase.strip_prefix("fn ")) {
                (Some(words), _) => (Position::Opening, words),
                (_, Some(words)) => (Position::Method, words),
                _ => (Position::Anywhere, phrase),
            };
            let words: Vec<_> = words.split_whitespace().map(str::to_owned).collect();
            let first = words.first().with_context(|| format!("{LIST}:{number} has no phrase"))?;
            let same_first = rules.by_first_word.entry(first.to_lowercase()).or_default();
            let (phrase, better) = (phrase.to_owned(), better.trim().to_owned());
            same_first.push(Rule { phrase, words, position, better });
        }
        Ok(rules)
    }

    fn findings(&self, path: &str, passage: &Passage) -> Vec<Finding<'_>> {
        let words = words(&passage.text);
        let mut findings = Vec::new();
        for (index, word) in words.iter().enumerate() {
            let Some(rules) = self.by_first_word.get(&word.text.to_lowercase()) else { continue };
            for rule in rules.iter().filter(|rule| rule.matches(path, passage, &words, index)) {
                let line = passage.line + passage.text[..word.start].matches('\n').count();
                let Rule { phrase, better, .. } = rule;
                let text = format!("{line}: `{phrase}`: {better}");
                findings.push(Finding { phrase, text });
            }
        }
        findings
    }

    fn excuse(&self, path: &str, finding: &Finding<'_>) -> Option<usize> {
        self.excuses.iter().position(|excuse| {
            path.starts_with(&excuse.path) && ["*", finding.phrase].contains(&&*excuse.phrase)
        })
    }
}

impl Rule {
    fn matches(&self, path: &str, passage: &Passage, words: &[Word<'_>], index: usize) -> bool {
        let Some(found) = words.get(index..index + self.words.len()) else { return false };
        let is_phrase = found.iter().skip(1).all(|word| word.continues)
            && found
                .iter()
                .zip(&self.words)
                .all(|(word, ours)| word.text.eq_ignore_ascii_case(ours));
        is_phrase
            && match self.position {
                Position::Anywhere => true,
                Position::Method => index == 0 && passage.kind == Kind::Method,
                Position::Opening if passage.kind == Kind::Name => index == 0,
                Position::Opening => {
                    found[0].opens
                        && found[0].text == self.words[0]
                        && !is_troubleshooting_question(path, passage)
                }
            }
    }
}

/// Whether a reader asks this in a heading of the troubleshooting chapter.
fn is_troubleshooting_question(path: &str, passage: &Passage) -> bool {
    passage.kind == Kind::Heading
        && path.ends_with("troubleshooting.md")
        && passage.text.trim_end().ends_with('?')
}

#[derive(Debug)]
struct Word<'t> {
    text: &'t str,
    start: usize,
    /// Whether it begins a sentence, a list item or a table cell.
    opens: bool,
    /// Whether only spaces, quotation marks or emphasis separate it from the word before.
    continues: bool,
}

fn words(text: &str) -> Vec<Word<'_>> {
    let mut words: Vec<Word<'_>> = Vec::new();
    let mut rest = 0;
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '\'' | '’');
    while let Some(start) = text[rest..].find(is_part).map(|offset| rest + offset) {
        let end = text[start..].find(|c| !is_part(c)).map_or(text.len(), |offset| start + offset);
        let gap = &text[rest..start];
        let ends_sentence = gap.contains('|')
            || (gap.contains(['.', '!', '?']) && gap.contains(char::is_whitespace));
        words.push(Word {
            text: text[start..end].trim_matches(['\'', '_']),
            start,
            opens: words.is_empty() || ends_sentence,
            continues: !gap.contains(['.', '!', '?', ',', ';', ':', '(', ')', '|', '/', '–']),
        });
        rest = end;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The phrases that a list finds in a file of this name, each with its finding.
    fn findings(list: &str, path: &str, text: &str) -> Vec<(String, String)> {
        let rules = Rules::parse(list).unwrap();
        let passages = passages::reader(path).expect("a file with prose")(text);
        let findings = passages.iter().flat_map(|passage| rules.findings(path, passage));
        findings.map(|finding| (finding.phrase.to_owned(), finding.text)).collect()
    }

    /// The phrases that the real list finds.
    fn found(path: &str, text: &str) -> Vec<String> {
        let findings = findings(include_str!("../../../prose.txt"), path, text);
        findings.into_iter().map(|(phrase, _)| phrase).collect()
    }

    #[test]
    fn sentences_with_a_listed_phrase_fail() {
        for (text, phrase) in [
            ("Nobody closes it.", "nobody"),
            ("It answers at\nonce.", "at once"),
            ("the record is read *anew*", "anew"),
            ("Start it by hand.", "by hand"),
            ("The caller is told so.", "is told"),
            ("Whose time is over is destroyed.", "^Whose"),
            ("Fine. Who waits shares the failure.", "^Who"),
            ("> - **What** is kept", "^What"),
            ("| name | What it does |", "^What"),
            ("## What is kept?", "^What"),
        ] {
            assert_eq!(found("a.md", text), [phrase], "{text}");
        }
    }

    #[test]
    fn plain_sentences_pass() {
        for text in [
            "The semaphore is never closed.",
            "Queued callers receive the same error, whose kind is `Unavailable`.",
            "Look at it. Once is enough; at last, once.",
            "Call `is_told(nobody)` or [read](nobody.md#at-once).",
            "A reader who knows HTTP knows what this is.",
            "```text\nnobody\n```",
        ] {
            assert_eq!(found("a.md", text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_troubleshooting_heading_may_ask() {
        assert!(found("docs/troubleshooting.md", "## What does a 503 mean?").is_empty());
        assert_eq!(found("docs/troubleshooting.md", "What does it mean?"), ["^What"]);
    }

    #[test]
    fn rust_comments_strings_and_names_are_read_and_code_is_not() {
        let clean =
            "let nobody = \"x\".anew(); // fine\nlet c = '\"'; let life: &'static str = r#\"\"#;";
        assert_eq!(found("a.rs", clean), Vec::<String>::new());
        for (text, phrase) in [
            ("let x = 1; // nobody reads it", "nobody"),
            ("    //! It is read\n    //! anew.", "anew"),
            ("/* by hand */", "by hand"),
            ("bail!(\"do it \\\n    by hand\")", "by hand"),
            ("fn nobody_sees_a_cookie() {}", "nobody"),
            ("fn what_was_saved_is_loaded() {}", "^What"),
            ("/// Gives the key.\n#[must_use]\npub(crate) const fn key(&self) {}", "fn Gives"),
        ] {
            assert_eq!(found("a.rs", text), [phrase], "{text}");
        }
        assert!(found("a.rs", "/// Gives way.\nstruct Giver;").is_empty());
    }

    #[test]
    fn javascript_comments_and_strings_are_read_and_code_is_not() {
        let clean = "const anew = /['\"]/.test(nobody) // fine\nlet url = 'http://at.once'";
        assert_eq!(found("a.mjs", clean), Vec::<String>::new());
        assert_eq!(found("a.mjs", "/**\n * Nobody reads it.\n */"), ["nobody"]);
        assert_eq!(found("a.d.ts", "// Read anew."), ["anew"]);
        assert_eq!(found("a.js", "// Gives the key.\nkey () {"), ["fn Gives"]);
        assert_eq!(found("a.js", "test('the caller is told why', () => {})"), ["is told"]);
    }

    #[test]
    fn a_finding_names_its_line_and_the_better_phrase() {
        let text = "# A heading\n\nFirst line,\nall at\nonce.\n\n- Whose?\n";
        let list = "at once | immediately\n^Whose | a clause\n";
        let texts: Vec<_> =
            findings(list, "a.md", text).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["4: `at once`: immediately", "7: `^Whose`: a clause"]);
    }

    #[test]
    fn an_excuse_holds_for_its_path_and_phrase_only() {
        let rules =
            Rules::parse("anew | again\na/b.md: anew | a quotation\nc/: * | data\n").unwrap();
        let finding = Finding { phrase: "anew", text: String::new() };
        assert_eq!(rules.excuse("a/b.md", &finding), Some(0));
        assert_eq!(rules.excuse("c/d/e.rs", &finding), Some(1));
        assert_eq!(rules.excuse("d/c/e.rs", &finding), None);
        assert_eq!(rules.excuse("a/b.md", &Finding { phrase: "nobody", ..finding }), None);
    }

    #[test]
    fn a_line_without_a_better_phrase_is_an_error() {
        for list in ["anew", "anew | ", "^ | again"] {
            assert!(Rules::parse(list).is_err(), "{list}");
        }
    }
}
