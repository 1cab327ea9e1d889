//! The README's first example is this application.

/// Without lines of documentation at its top, which a reader of the README does not need.
fn source() -> String {
    let lines = include_str!("../src/main.rs").lines();
    let code = lines.skip_while(|line| line.starts_with("//!") || line.is_empty());
    code.map(|line| format!("{line}\n")).collect()
}

fn first_rust_block(markdown: &str) -> String {
    let mut lines = markdown.lines().skip_while(|line| !line.starts_with("```rust"));
    lines.next();
    lines.take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect()
}

#[test]
fn first_example_of_the_readme_is_the_application_word_for_word() {
    let readme = include_str!("../../../README.md");
    assert_eq!(first_rust_block(readme), source());
}
