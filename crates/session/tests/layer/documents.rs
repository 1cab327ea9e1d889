//! The documents say what is there: every departure has its chapter, every numbered behaviour its line,
//! every store and every option of it its place in the guide, and every test that is named exists.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use express_session::Departures;

/// The behaviours of express-session that are numbered.
const ITEMS: usize = 76;

/// The stores that are features of this crate.
const STORES: [&str; 6] = ["redis", "postgres", "mysql", "sqlite", "file", "memcached"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A document's chapters, by their number: `### 14. clear_cookie` with the text below it.
fn chapters(document: &str) -> BTreeMap<u8, (String, String)> {
    document
        .split("\n### ")
        .skip(1)
        .filter_map(|chapter| {
            let (heading, text) = chapter.split_once('\n')?;
            let (number, name) = heading.split_once(". ")?;
            let text = text.split("\n## ").next().unwrap_or_default();
            Some((number.parse().ok()?, (name.to_owned(), text.to_owned())))
        })
        .collect()
}

/// The rows of the tables of FIDELITY.md: the number, and what shows it.
fn items(document: &str) -> BTreeMap<usize, String> {
    let mut items = BTreeMap::new();
    for line in document.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _, shown] = cells[..] else { continue };
        let Ok(number) = number.parse() else { continue };
        assert!(items.insert(number, shown.to_owned()).is_none(), "item {number} has two rows");
    }
    items
}

/// A part of a chapter of the guide, by its heading.
fn section(chapter: &str, heading: &str) -> String {
    let (mut is_code, mut is_in) = (false, false);
    let mut section = String::new();
    for line in chapter.lines() {
        is_code ^= line.starts_with("```");
        // In an example, such a line is code that is not shown.
        if let Some(title) = line.strip_prefix("# ").filter(|_| !is_code) {
            is_in = title == heading;
        } else if is_in {
            section.extend([line, "\n"]);
        }
    }
    assert!(!section.is_empty(), "there is no part about {heading}");
    section
}

/// The public methods of a source file that take a store and give one: its options.
fn options(source: &str) -> impl Iterator<Item = &str> {
    source.split("    pub fn ").skip(1).filter_map(|function| {
        let (signature, _) = function.split_once(" {\n")?;
        let (name, arguments) = signature.split_once('(')?;
        (arguments.contains("self") && signature.ends_with("-> Self")).then_some(name)
    })
}

/// The options that `connect` knows for a store: the arms that make another store of it.
fn url_options(source: &str, store: &str) -> Vec<String> {
    let begins = |name: String| source.split_once(&format!("fn {name}(address"));
    let (_, function) = begins(format!("{store}_at")).or_else(|| begins(store.to_owned())).unwrap();
    let (function, _) = function.split_once("\n}\n").unwrap();
    let arms = function.lines().filter_map(|line| line.trim().split_once(" => "));
    let arms = arms.filter(|(_, then)| then.starts_with("store.") || *then == "{");
    let names = arms.flat_map(|(names, _)| names.split(" | "));
    names
        .filter_map(|name| Some(name.strip_prefix('"')?.trim_end_matches('"').to_owned()))
        .collect()
}

/// The texts between backticks of the form `file::test`.
fn named_tests(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('`').skip(1).step_by(2).filter_map(|code| code.split_once(".rs::"))
}

/// Searches below `crates/` too, which the documents leave out of the names of its files.
fn has_test(file: &str, test: &str) -> bool {
    ["", "crates/"].iter().any(|folder| {
        let source = fs::read_to_string(root().join(format!("{folder}{file}.rs")));
        source.is_ok_and(|source| {
            ["(", "<"].iter().any(|end| source.contains(&format!("fn {test}{end}")))
        })
    })
}

#[test]
fn every_departure_has_its_chapter_and_every_chapter_its_departure() {
    let chapters = chapters(&read("DEPARTURES.md"));
    let named: Vec<_> =
        chapters.iter().map(|(number, (name, _))| (*number, name.as_str())).collect();
    let mut expected = vec![(1, "option defaults")];
    expected.extend(Departures::all().active());
    assert_eq!(named, expected);
}

#[test]
fn every_chapter_says_what_why_how_to_turn_it_off_and_what_the_judge_allows() {
    for (number, (name, text)) in chapters(&read("DEPARTURES.md")) {
        for part in ["express-session", "Here", "Why", "Off", "Judge"] {
            assert!(text.contains(&format!("- **{part}**: ")), "{number}. {name} lacks {part}");
        }
        let switch = format!("`Departures::all().{name}(false)`");
        assert!(number == 1 || text.contains(&switch), "{number}. {name} lacks its switch");
    }
}

#[test]
fn every_numbered_behaviour_is_shown_departed_from_or_explained() {
    let items = items(&read("FIDELITY.md"));
    assert_eq!(items.keys().copied().collect::<Vec<_>>(), (1..=ITEMS).collect::<Vec<_>>());
    let departures: BTreeSet<u8> = chapters(&read("DEPARTURES.md")).into_keys().collect();
    for (number, shown) in items {
        // The text above the table defines the vectors, and is checked there.
        let is_tested = named_tests(&shown).next().is_some() || shown.contains("vectors");
        let is_departed = shown.split("departure ").skip(1).any(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().is_ok_and(|number| departures.contains(&number))
        });
        let is_explained = shown.contains("Node only: ") || shown.contains("No switch: ");
        assert!(is_tested || is_departed || is_explained, "item {number}: {shown}");
    }
}

#[test]
fn every_test_that_a_document_names_exists() {
    for document in ["FIDELITY.md", "SECURITY.md", "DEPARTURES.md"] {
        let text = read(document);
        let missing: Vec<_> =
            named_tests(&text).filter(|(file, test)| !has_test(file, test)).collect();
        assert!(missing.is_empty(), "{document} names tests that are not there: {missing:?}");
    }
}

/// A row that names a file or a departure alone outlives its test.
#[test]
fn every_attack_and_every_advisory_names_a_test() {
    let security = read("SECURITY.md");
    let tables: Vec<_> = security.split("| shown by |").skip(1).collect();
    assert_eq!(tables.len(), 2);
    for table in tables {
        let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
        let unproven: Vec<_> = rows.filter(|row| named_tests(row).next().is_none()).collect();
        assert!(unproven.is_empty(), "{unproven:?}");
    }
}

#[test]
fn every_file_that_a_document_links_to_exists() {
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "COMPARE.md",
        "CONTRIBUTING.md",
        "DEPARTURES.md",
        "FIDELITY.md",
        "SECURITY.md",
    ];
    for document in documents {
        for link in read(document).split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap_or_default();
            if !target.starts_with("http") && !target.is_empty() {
                assert!(root().join(target).exists(), "{document} links to {target}");
            }
        }
    }
}

#[test]
fn every_example_of_the_readme_is_compiled_elsewhere() {
    let readme = read("README.md");
    let elsewhere =
        [read("examples/view-counter/src/main.rs"), read("crates/session/src/docs/quickstart.md")];
    let examples: Vec<_> = readme.split("\n```rust").skip(1).collect();
    assert_eq!(examples.len(), elsewhere.len());
    for (example, elsewhere) in examples.into_iter().zip(elsewhere) {
        let (_, code) = example.split_once('\n').unwrap();
        let (code, _) = code.split_once("\n```").unwrap();
        assert!(elsewhere.contains(code), "the README shows code that no test compiles:\n{code}");
    }
}

#[test]
fn every_store_has_its_feature_and_its_page() {
    let (manifest, readme) = (read("crates/session/Cargo.toml"), read("README.md"));
    for store in STORES {
        assert!(manifest.contains(&format!("\n{store} = [")), "{store} is not a feature");
        let page = format!("crates/session/src/docs/stores/{store}.md");
        assert!(root().join(&page).is_file(), "{page} is missing");
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{store}` |")));
        assert!(row.is_some_and(|row| row.contains(&format!("({page})"))), "README lacks {page}");
    }
}

#[test]
fn every_option_of_a_store_is_on_its_page() {
    for store in STORES {
        let source = read(&format!("crates/session/src/store/{store}/mod.rs"));
        let page = read(&format!("crates/session/src/docs/stores/{store}.md"));
        let missing: Vec<_> = options(&source)
            .filter(|option| !page.contains(&format!("\n| `{option}` |")))
            .collect();
        assert!(missing.is_empty(), "the page about {store} lacks {missing:?}");
        assert!(options(&source).count() >= 4, "the options of {store} are not found");
    }
}

#[test]
fn every_option_of_a_url_is_in_the_table() {
    let source = read("crates/session/src/store/connect.rs");
    let chapter = read("crates/session/src/docs/stores.md");
    let section = section(&chapter, "A store by its URL");
    for store in STORES.into_iter().chain(["memory"]) {
        let row = section.lines().find(|line| line.starts_with(&format!("| `{store}://")));
        let row = row.unwrap_or_else(|| panic!("there is no row for {store}"));
        let options = url_options(&source, store);
        let missing: Vec<_> =
            options.iter().filter(|option| !row.contains(&format!("`{option}`"))).collect();
        assert!(missing.is_empty(), "the row of {store} lacks {missing:?}");
        assert!(options.len() >= 3, "the options of {store} are not found");
    }
}
