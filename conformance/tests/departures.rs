//! The judge's table, DEPARTURES.md and the library's switches have the same rows.

use conformance::departures::TABLE;
use express_session::Departures;

#[test]
fn chapters_of_departures_md_are_the_rows_of_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../DEPARTURES.md");
    let text = std::fs::read_to_string(path).unwrap();
    let chapters: Vec<(u8, &str)> = text.lines().filter_map(chapter).collect();
    let numbers: Vec<u8> = chapters.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, TABLE.map(|row| row.number));
    for (row, (number, title)) in TABLE.iter().zip(chapters) {
        if let Some(field) = row.field {
            assert!(title.contains(field), "chapter {number} does not name {field}: {title}");
        }
    }
}

#[test]
fn switches_of_the_library_are_the_rows_of_the_table() {
    let rows = TABLE.iter().filter_map(|row| row.field.map(|field| (row.number, field)));
    assert!(Departures::all().active().eq(rows));
}

/// Reads a heading such as `### 14. clear_cookie: …`.
fn chapter(line: &str) -> Option<(u8, &str)> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').trim_start();
    let (number, title) = heading.split_once('.')?;
    Some((number.parse().ok()?, title))
}
