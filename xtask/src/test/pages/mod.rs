//! The documentation as a reader sees it: rustdoc's pages, and each Markdown file rendered as on GitHub.
//!
//! 1. No table shows as raw text, as the rows after an empty line do.
//! 2. Each relative link leads to a file, and each fragment to an element of its page.
//! 3. No code block scrolls sideways in a window of 1,000 pixels, and no table of a chapter does.

use std::path::Path;

use anyhow::{Result, bail};

use super::{cargo, repository};
use crate::tools;
use crate::workspace::Workspace;
use page::Page;
use site::Site;

mod browser;
mod markdown;
mod page;
mod site;

pub(super) fn check(workspace: &Workspace) -> Result<()> {
    cargo::document(workspace)?;
    let crates: Vec<_> = workspace.published().map(|it| it.name.replace('-', "_")).collect();
    let documentation = Site::of_rustdoc(&workspace.target.join("doc"), &crates)?;
    let documents =
        Site::of_markdown(&workspace.root, &packages(workspace), &documents(workspace)?)?;
    let mut findings = documentation.findings();
    findings.extend(documents.findings());
    let chapters = documentation.pages.iter().filter(|(path, _)| path.ends_with("/index.html"));
    let chapters = chapters.map(|(path, _)| (path.clone(), documentation.root.join(path)));
    let scratch = workspace.target.join("pages");
    let rendered = documents.write(&scratch)?;
    findings.extend(browser::wide_blocks(&scratch, chapters.chain(rendered).collect())?);
    println!("{} pages", documentation.pages.len() + documents.pages.len());
    if !findings.is_empty() {
        bail!("{}", findings.join("\n"));
    }
    Ok(())
}

/// Returns the paths of the tracked Markdown files.
fn documents(workspace: &Workspace) -> Result<Vec<String>> {
    let is_document = |path: &String| path.ends_with(".md") && exists(&workspace.root, path);
    Ok(repository::tracked(workspace)?.into_iter().filter(is_document).collect())
}

/// Whether Rust sources include this document. Its links and its code are checked where rustdoc renders it.
fn is_chapter(path: &str) -> bool {
    path.contains("/src/") && path.ends_with(".md")
}

/// The folders that are published without the rest of the repository.
fn packages(workspace: &Workspace) -> Vec<String> {
    let node = tools::node_package(workspace);
    let node = node.strip_prefix(&workspace.root).unwrap_or(&node).to_owned();
    let folders = workspace.published().map(|package| package.folder.clone());
    folders.chain([node]).map(|folder| folder.display().to_string()).collect()
}

/// Returns the path to which a link on a page leads, or nothing where it leaves the site.
fn resolve(page: &str, link: &str) -> Option<String> {
    if link.is_empty() {
        return Some(page.to_owned());
    }
    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

/// Whether the file exists below this root; the root itself exists.
fn exists(root: &Path, path: &str) -> bool {
    root.join(path).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_from_the_folder_of_their_page() {
        assert_eq!(resolve("a/b.md", "c.md").as_deref(), Some("a/c.md"));
        assert_eq!(resolve("a/b.md", "./../c/").as_deref(), Some("c"));
        assert_eq!(resolve("a/b.md", "").as_deref(), Some("a/b.md"));
        assert_eq!(resolve("a.md", "../b.md"), None);
    }
}
