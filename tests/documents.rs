//! Checks the documents: short lines, links that lead to files and headings, quotations that are in the program, and
//! rows for all commands and test files.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Characters of a line. Tables, code and lines with a long address are excepted.
const WIDE: usize = 120;
const TROUBLESHOOTING: &str = "docs/guide/troubleshooting.md";

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The files below `folder` with one of these extensions, without what was installed, built or generated.
fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    fn look(folder: &Path, extensions: &[&str], into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules", "dist", "cache"].contains(&name) {
                    look(&path, extensions, into);
                }
            } else if path.extension().is_some_and(|e| extensions.iter().any(|wanted| e == *wanted)) {
                into.push(path.strip_prefix(ROOT).unwrap().to_owned());
            }
        }
    }
    let mut found = Vec::new();
    look(&Path::new(ROOT).join(folder), extensions, &mut found);
    found.sort();
    found
}

/// The lines of a document outside of its code blocks, each with its number.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut code = false;
    let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line));
    lines
        .filter(|(_, line)| {
            let fence = line.trim_start().starts_with("```");
            code ^= fence;
            !code && !fence
        })
        .collect()
}

/// The name by which a link reaches a heading, as GitHub makes it: no punctuation, lower case, hyphens for blanks.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.flat_map(char::to_lowercase).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).into_iter().filter_map(|(_, line)| {
        let heading = line.trim_start_matches('#');
        (heading.len() < line.len() && heading.starts_with(' ')).then(|| anchor(heading))
    });
    let mut found = BTreeSet::new();
    for name in headings {
        // The second heading of one name has `-1` behind it.
        let again = (1..).map(|n| format!("{name}-{n}")).find(|other| !found.contains(other));
        let name = if found.contains(&name) { again.unwrap() } else { name };
        found.insert(name);
    }
    found
}

#[test]
fn the_lines_of_the_documents_are_short() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files("", &["md"]) {
        let text = read(&file);
        for (number, line) in prose(&text) {
            seen += 1;
            let length = line.chars().count();
            let excepted = line.trim_start().starts_with('|') || line.split_whitespace().any(|word| word.len() > 80);
            if length > WIDE && !excepted {
                wrong.push(format!("{}:{number}: {length} characters, {WIDE} are the most", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(seen > 500, "only {seen} lines were found");
}

#[test]
fn every_link_of_the_documents_leads_to_a_file_and_a_heading() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files("", &["md"]) {
        let text = read(&file);
        for (number, line) in prose(&text) {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if link.contains(':') {
                    continue;
                }
                seen += 1;
                let (path, heading) =
                    link.split_once('#').map_or((link, None), |(path, heading)| (path, Some(heading)));
                let target = if path.is_empty() { file.clone() } else { file.with_file_name("").join(path) };
                let there = Path::new(ROOT).join(&target);
                let reached = match heading {
                    None => there.exists(),
                    Some(heading) => fs::read_to_string(&there).is_ok_and(|text| anchors(&text).contains(heading)),
                };
                if !reached {
                    wrong.push(format!("{}:{number}: {link} leads nowhere", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(seen > 60, "only {seen} links were found");
}

#[test]
fn a_keyframe_is_one_word() {
    let two = ["key", "frame"].join(" ");
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in files("", &["go", "js", "json", "md", "mjs", "py", "rs", "sh", "toml", "ts"]) {
        seen += 1;
        // Without line breaks and the marks of comments, so that a term that is broken over two lines is found.
        let text = read(&file).to_lowercase();
        let lines = text
            .lines()
            .map(|line| line.trim().trim_end_matches('\\').trim_start_matches(['/', '!', '#', '*', '>']).trim());
        if lines.collect::<Vec<_>>().join(" ").contains(&two) {
            wrong.push(format!("{}: write keyframe", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(seen > 500, "only {seen} files were found");
}

/// What the troubleshooting page says that a person sees: headings, and the cells of tables that show a text.
fn quotations(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut column = None;
    for (number, line) in prose(text) {
        let cells: Vec<_> = line.trim().trim_matches('|').split('|').map(str::trim).collect();
        let shown = match () {
            () if line.starts_with("### ") || line.starts_with("- **Text:**") => line,
            () if !line.starts_with('|') => {
                column = None;
                continue;
            }
            () if column.is_none() => {
                column = Some(cells.iter().position(|cell| ["text", "the page adds"].contains(cell)));
                continue;
            }
            () => column.flatten().and_then(|column| cells.get(column)).copied().unwrap_or_default(),
        };
        for mark in ['`', '"'] {
            let quoted = shown.split(mark).skip(1).step_by(2);
            // What is quoted in code may have quotation marks of its own.
            let quoted = quoted.filter(|_| mark == '`' || !shown.contains('`'));
            found.extend(quoted.map(|text| (number, text.to_owned())));
        }
    }
    found
}

#[test]
fn every_quotation_of_the_troubleshooting_page_is_in_the_program() {
    // Without Rust's escapes and the line breaks within its strings.
    let mut said = String::new();
    let sources = [files("src", &["rs"]), files("viewer/src", &["ts"])].concat();
    for file in sources.into_iter().chain([PathBuf::from("demo")]) {
        let text = read(&file).replace("\\\"", "\"");
        let mut pieces = text.split("\\\n");
        said += pieces.next().unwrap();
        pieces.for_each(|piece| said += piece.trim_start());
        said += "\n";
    }
    let text = read(TROUBLESHOOTING);
    let (mut seen, mut wrong) = (0, Vec::new());
    for (number, quoted) in quotations(&text) {
        for part in quoted.split('…').map(str::trim).filter(|part| part.len() > 3) {
            seen += 1;
            if !said.contains(part) {
                wrong.push(format!("{TROUBLESHOOTING}:{number}: nothing says `{part}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(seen > 60, "only {seen} quotations were found");
}

#[test]
fn the_parser_of_quotations_finds_headings_and_cells() {
    let page = "### 1. `log …: no`\n### \"Off\"\ntext `no`\n| text | cure |\n|---|---|\n| `a \"b\"` | `c` |\n\n| x |\n|---|\n| `d` |\n";
    let found: Vec<_> = quotations(page).into_iter().map(|(_, text)| text).filter(|text| text != "---").collect();
    assert_eq!(found, ["log …: no", "Off", "a \"b\""]);
    assert_eq!(anchor(" 12. `log in with …: refused`"), "12-log-in-with--refused");
    assert_eq!(anchor(" `[[webrtc.ice_servers]]`"), "webrtcice_servers");
}

#[test]
fn the_page_of_commands_names_every_command_and_option() {
    let page = read("docs/reference/commands.md");
    let help = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_fanlight")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let commands = help(&["--help"]);
    let commands = commands.split("\nCommands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names = commands.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names: Vec<_> =
        names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect();
    assert!(names.len() > 5, "{commands}");
    for name in names {
        assert!(page.contains(&format!("`fanlight {name}")), "docs/reference/commands.md lacks fanlight {name}");
        let help = help(&[name, "--help"]);
        for option in help.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2) {
            let option = option.trim_end_matches(|c: char| !c.is_alphanumeric());
            assert!(page.contains(option), "docs/reference/commands.md lacks {option} of fanlight {name}");
        }
    }
}

#[test]
fn the_table_of_tests_has_a_row_for_every_test_file() {
    let page = read("tests/README.md");
    let groups = read("test");
    let groups = groups.lines().find_map(|line| line.strip_prefix("all=")).unwrap().trim_matches('"');
    let mut rows = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [name, promise, _rig, group] = cells[..] else { panic!("tests/README.md: four cells are needed: {row}") };
        assert!(!promise.is_empty() && groups.split(' ').any(|known| known == group), "tests/README.md: {row}");
        assert!(rows.insert(Path::new("tests").join(name.trim_matches('`'))), "tests/README.md: {name} has two rows");
    }
    // A part of another file's tests has a suite, but not the name of a test file.
    let is_test = |file: &PathBuf| {
        let text = read(file);
        let marks: &[&str] =
            if file.extension().unwrap() == "rs" { &["\n#[test]", "\n#[tokio::test"] } else { &["describe("] };
        file.to_str().unwrap().ends_with(".test.mjs") || marks.iter().any(|mark| text.contains(mark))
    };
    let tests: BTreeSet<_> = files("tests", &["rs", "mjs"]).into_iter().filter(is_test).collect();
    assert_eq!(rows, tests, "the rows of tests/README.md, and the test files");
}

#[test]
fn every_row_of_the_tour_names_a_function_and_its_file() {
    let page = read("CONTRIBUTING.md");
    let rows: Vec<_> = page.lines().skip_while(|line| !line.starts_with("| you look for ")).skip(2).collect();
    let rows: Vec<_> = rows.into_iter().take_while(|line| line.starts_with('|')).collect();
    let mut wrong = Vec::new();
    for row in &rows {
        let cells: Vec<_> = row.trim_matches('|').split('|').collect();
        let [_question, searches, place] = cells[..] else { panic!("CONTRIBUTING.md: three cells are needed: {row}") };
        // `a/b.rs`, `c.rs`: the second one is in the folder of the first.
        let files: Vec<_> = place.split(';').next().unwrap().split('`').skip(1).step_by(2).collect();
        let folder = Path::new(files[0]).parent().unwrap();
        let path = |file: &&str| if file.contains('/') { PathBuf::from(file) } else { folder.join(file) };
        let text: String = files.iter().map(|file| read(path(file))).collect();
        for search in searches.split('`').skip(1).step_by(2) {
            let name = search.rsplit("::").next().unwrap();
            let found = ["(", "<"].iter().any(|end| text.contains(&format!("fn {name}{end}")));
            if !found {
                wrong.push(format!("CONTRIBUTING.md: {place} has no `fn {name}` of `{search}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(rows.len() > 4, "only {} rows were found", rows.len());
}

#[test]
fn every_requirement_of_the_security_page_has_a_proof_that_exists() {
    let page = read("docs/security.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| 17.")).collect();
    let numbers: Vec<_> = rows.iter().map(|row| row.split('|').nth(1).unwrap().trim()).collect();
    let expected = [(1, 2), (2, 8), (3, 2)].map(|(part, count)| (1..=count).map(move |n| format!("17.{part}.{n}")));
    assert_eq!(numbers, expected.into_iter().flatten().collect::<Vec<_>>());
    for row in rows {
        let proofs: Vec<_> = row.split('`').skip(1).step_by(2).filter_map(|span| span.split_once(": ")).collect();
        assert!(!proofs.is_empty() || row.contains("does not apply"), "no proof: {row}");
        for (file, name) in proofs {
            let text = read(file);
            let (rust, script) = (text.find(&format!("fn {name}(")), text.contains(&format!("test('{name}'")));
            let is_test = rust.is_some_and(|at| {
                let before = text[..at].lines().rev().take(3).collect::<Vec<_>>().join("\n");
                before.contains("#[test]") || before.contains("#[tokio::test")
            });
            assert!(is_test || script, "{file} has no test {name}");
        }
    }
}
