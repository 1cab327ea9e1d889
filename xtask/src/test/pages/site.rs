//! Pages that link to each other and to files below one folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{Page, exists, is_chapter, markdown, resolve};

#[derive(Debug, Default)]
pub(super) struct Site {
    pub(super) root: PathBuf,
    /// By their paths below the root.
    pub(super) pages: BTreeMap<String, Page>,
    /// Folders whose pages are published without what is outside of them.
    packages: Vec<String>,
}

impl Site {
    /// Reads the pages of these crates that their front pages lead to. Rustdoc keeps the pages of items that are
    /// gone, so that not every file counts.
    pub(super) fn of_rustdoc(root: &Path, crates: &[String]) -> Result<Self> {
        let mut site = Self { root: root.to_owned(), ..Self::default() };
        let mut paths: Vec<_> = crates.iter().map(|name| format!("{name}/index.html")).collect();
        while let Some(path) = paths.pop() {
            let is_ours = crates.iter().any(|name| path.starts_with(&format!("{name}/")));
            let is_new = !site.pages.contains_key(&path);
            if !(is_ours && is_new && path.ends_with(".html") && exists(root, &path)) {
                continue;
            }
            let page = Page::parse(read(&root.join(&path))?);
            let links = page.links.iter().map(|link| target(link).0);
            paths.extend(links.filter_map(|link| resolve(&path, link)));
            site.pages.insert(path, page);
        }
        Ok(site)
    }

    pub(super) fn of_markdown(root: &Path, packages: &[String], paths: &[String]) -> Result<Self> {
        let render = |path: &String| -> Result<_> {
            let page = Page::parse(markdown::render(&read(&root.join(path))?));
            Ok((path.clone(), page))
        };
        let pages = paths.iter().map(render).collect::<Result<_>>()?;
        Ok(Self { root: root.to_owned(), pages, packages: packages.to_vec() })
    }

    /// Writes the documents to a folder, styled as on GitHub, and returns them with their files.
    pub(super) fn write(&self, folder: &Path) -> Result<Vec<(String, PathBuf)>> {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let write = |(path, page): (&String, &Page)| -> Result<_> {
            let file = folder.join(format!("{}.html", path.replace('/', "-")));
            fs::write(&file, format!("{GITHUB}{}", page.html))
                .with_context(|| file.display().to_string())?;
            Ok((path.clone(), file))
        };
        self.pages.iter().filter(|(path, _)| !is_chapter(path)).map(write).collect()
    }

    /// Returns the raw rows of tables and the dead links of all pages.
    pub(super) fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (path, page) in &self.pages {
            let rows = page.raw_rows().into_iter();
            findings.extend(rows.map(|row| format!("{path}: a table shows as text: {row}")));
            if is_chapter(path) {
                continue;
            }
            let dead = page.links.iter().filter_map(|link| {
                self.death(path, link).map(|reason| format!("{path}: {link} {reason}"))
            });
            findings.extend(dead);
        }
        findings
    }

    /// Returns the reason why a link is dead.
    fn death(&self, page: &str, link: &str) -> Option<&'static str> {
        let (file, fragment) = target(link);
        let Some(path) = resolve(page, file) else { return Some("leaves the repository") };
        let in_folder = |path: &str, folder: &str| Path::new(path).starts_with(folder);
        let package = self.packages.iter().find(|folder| in_folder(page, folder));
        if package.is_some_and(|folder| !in_folder(&path, folder)) {
            return Some("leaves the package");
        }
        match self.pages.get(&path) {
            None if !exists(&self.root, &path) => Some("leads to no file"),
            Some(page) if !page.accepts(fragment) => Some("leads to no element of that page"),
            _ => None,
        }
    }
}

/// Splits a link into its file and its fragment, without a query.
fn target(link: &str) -> (&str, &str) {
    let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
    (file.split('?').next().unwrap_or_default(), fragment)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// The measures of GitHub's page of a file in a window of 1,000 pixels, and its fonts.
const GITHUB: &str = r#"<!DOCTYPE html><meta charset="utf-8"><style>
body { margin: 0 24px; padding: 32px; border: 1px solid #d1d9e0; font: 16px/1.5 "Noto Sans", Helvetica, Arial, sans-serif }
code { font: 85%/1.45 "Liberation Mono", "DejaVu Sans Mono", monospace; background: #f6f8fa }
pre { padding: 16px; overflow: auto; background: #f6f8fa }
pre code { font-size: 13.6px }
table { border-collapse: collapse } td, th { padding: 6px 13px; border: 1px solid #d1d9e0 }
</style>
"#;

#[cfg(test)]
mod tests {
    use super::*;

    fn site(pages: &[(&str, &str)]) -> Site {
        let page =
            |(path, text): &(&str, &str)| ((*path).to_owned(), Page::parse(markdown::render(text)));
        Site {
            root: Path::new(env!("CARGO_MANIFEST_DIR")).to_owned(),
            pages: pages.iter().map(page).collect(),
            packages: vec!["package".to_owned()],
        }
    }

    #[test]
    fn dead_links_are_found() {
        for (path, link, reason) in [
            ("a.md", "gone.md", "leads to no file"),
            ("a.md", "../a.md", "leaves the repository"),
            ("a.md", "#gone", "leads to no element of that page"),
            ("a.md", "c/src/b.md#gone", "leads to no element of that page"),
            ("package/README.md", "../Cargo.toml", "leaves the package"),
        ] {
            let text = format!("[text]({link})");
            let findings =
                site(&[(path, &text), ("c/src/b.md", "# b\n\n[c](Self::chapter)")]).findings();
            assert_eq!(findings, [format!("{path}: {link} {reason}")]);
        }
    }

    #[test]
    fn links_to_files_folders_and_headings_pass() {
        let text = "# A title\n\n[a](Cargo.toml) [b](src/) [c](#a-title) [d](src/b.md#b) [e](src/main.rs#L1)";
        let findings = site(&[("a.md", text), ("src/b.md", "# b")]).findings();
        assert_eq!(findings, Vec::<String>::new());
    }

    #[test]
    fn the_pages_that_a_front_page_leads_to_are_read() {
        let name = format!("express-session-pages-{}", std::process::id());
        let root = std::env::temp_dir().join(name);
        let write = |path: &str, html: &str| {
            let file = root.join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, html).unwrap();
        };
        write(
            "ours/index.html",
            r#"<a href="m/index.html#x">m</a> <a href="../other/index.html">o</a>"#,
        );
        write("ours/m/index.html", r#"<p>| a | b |</p> <a href="struct.Gone.html">g</a>"#);
        write("ours/struct.Stale.html", "<p>| a | b |</p>");
        write("other/index.html", "<p>| a | b |</p>");
        let findings = Site::of_rustdoc(&root, &["ours".to_owned()]).unwrap().findings();
        fs::remove_dir_all(root).unwrap();
        assert_eq!(
            findings,
            [
                "ours/index.html: m/index.html#x leads to no element of that page",
                "ours/m/index.html: a table shows as text: | a | b |",
                "ours/m/index.html: struct.Gone.html leads to no file",
            ]
        );
    }
}
