//! Measures code blocks, and tables in rustdoc's pages, in headless Chromium.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::page::unescaped;
use crate::process;

/// Opens the pages, all in one window, and returns their code blocks and tables that scroll sideways.
///
/// Two pages of known width come first, so that a browser that measures nothing is noticed.
pub(super) fn wide_blocks(folder: &Path, pages: Vec<(String, PathBuf)>) -> Result<Vec<String>> {
    let known = [("a narrow page", 10), ("a wide page", 300)].map(|(name, width)| {
        let html = format!("<pre style=\"overflow: auto\">{}</pre>", "x".repeat(width));
        (name.to_owned(), html)
    });
    let mut all = Vec::new();
    for (name, html) in known {
        let file = folder.join(format!("{}.html", name.replace(' ', "-")));
        fs::write(&file, html).with_context(|| file.display().to_string())?;
        all.push((name, file));
    }
    all.extend(pages);
    let index = folder.join("index.html");
    fs::write(&index, window(&all)).with_context(|| index.display().to_string())?;
    let mut findings = findings(&dump(folder, &index)?, &all)?;
    ensure!(
        findings.first().is_some_and(|first| first.starts_with("a wide page: ")),
        "Chromium does not measure: {findings:?}"
    );
    Ok(findings.split_off(1))
}

/// Returns the page's DOM after its scripts have run.
fn dump(folder: &Path, page: &Path) -> Result<String> {
    let mut chromium = Command::new("chromium");
    // Its sandbox refuses to be root's. The only pages are ours, and the network is out of reach.
    chromium.args([
        "--headless",
        "--no-sandbox",
        "--hide-scrollbars",
        "--allow-file-access-from-files",
    ]);
    chromium.args(["--no-proxy-server", "--host-resolver-rules=MAP * ~NOTFOUND"]);
    chromium.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    process::read(chromium.arg("--dump-dom").arg(format!("file://{}", page.display())))
}

/// Returns a page that shows all pages in frames, and writes a line for each wide block when they have loaded: the
/// number of the frame, the name of the element, the two widths, and the longest line.
fn window(pages: &[(String, PathBuf)]) -> String {
    let frame = |(_, file): &(String, PathBuf)| {
        format!("<iframe width=1000 height=800 src=\"file://{}\"></iframe>\n", file.display())
    };
    let frames: String = pages.iter().map(frame).collect();
    format!(
        "<!DOCTYPE html><meta charset=\"utf-8\">\n{frames}<pre id=\"measured\"></pre>\n{SCRIPT}"
    )
}

const SCRIPT: &str = "<script>
window.onload = () => {
  const longest = (text) => text.split('\\n').reduce((a, b) => b.length > a.length ? b : a).trim()
  const lines = [...document.querySelectorAll('iframe')].flatMap((frame, index) =>
    [...frame.contentDocument.querySelectorAll('pre, .docblock table')]
      .map((block) => [block, block.scrollWidth, (block.matches('pre') ? block : block.parentElement).clientWidth])
      .filter(([, needs, offers]) => needs > offers && offers > 0)
      .map(([block, ...widths]) => [index, block.localName, ...widths, longest(block.innerText)].join('\\t')))
  document.getElementById('measured').textContent = lines.join('\\n')
}
</script>
";

/// Reads the lines that the script wrote.
fn findings(dom: &str, pages: &[(String, PathBuf)]) -> Result<Vec<String>> {
    let (_, rest) = dom.split_once("<pre id=\"measured\">").context("the page was not shown")?;
    let lines = rest.split("</pre>").next().unwrap_or_default();
    let finding = |line: &str| {
        let fields: Vec<_> = line.splitn(5, '\t').collect();
        let [frame, element, needs, offers, text] = fields[..] else { return None };
        let (name, _) = pages.get(frame.parse::<usize>().ok()?)?;
        let block = if element == "pre" { "code" } else { "a table" };
        let text = unescaped(text);
        Some(format!("{name}: {block} needs {needs} pixels and has {offers}: {text}"))
    };
    let lines = lines.lines().filter(|line| !line.is_empty());
    lines.map(|line| finding(line).with_context(|| format!("unknown form: {line}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_blocks_are_reported_with_their_page_and_line() {
        let pages = [("a.md".to_owned(), PathBuf::new()), ("b.md".to_owned(), PathBuf::new())];
        let dom = "<body><pre id=\"measured\">1\tpre\t900\t800\tlet a = &amp;b;\n0\ttable\t810\t800\ta\tb</pre></body>";
        assert_eq!(
            findings(dom, &pages).unwrap(),
            [
                "b.md: code needs 900 pixels and has 800: let a = &b;",
                "a.md: a table needs 810 pixels and has 800: a\tb"
            ]
        );
        assert!(findings("<body><pre id=\"measured\"></pre>", &pages).unwrap().is_empty());
        assert!(findings("<body></body>", &pages).is_err());
        assert!(findings("<pre id=\"measured\">7\tpre\t900\t800\tx</pre>", &pages).is_err());
    }
}
