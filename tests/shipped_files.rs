//! The files of the package agree with each other: links of documents, the examples of addresses, and statements about
//! the code that a test can count.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Where each file of the project is in the package, from the lines of `[package.metadata.deb]`.
fn shipped() -> BTreeMap<PathBuf, PathBuf> {
    let manifest = read("Cargo.toml");
    let assets = manifest.split("\nassets = [\n").nth(1).unwrap().split("\n]").next().unwrap();
    let mut shipped = BTreeMap::new();
    for line in assets.lines().filter(|line| line.trim_start().starts_with('[')) {
        let words: Vec<_> = line.split('"').collect();
        let (from, to) = (Path::new(words[1]), words[3]);
        let into =
            |name: &Path| if to.ends_with('/') { Path::new(to).join(name.file_name().unwrap()) } else { to.into() };
        let Some(pattern) = from.file_name().and_then(|name| name.to_str()).filter(|name| name.contains('*')) else {
            shipped.insert(from.to_owned(), into(from));
            continue;
        };
        let (begin, end) = pattern.split_once('*').unwrap();
        let Ok(folder) = fs::read_dir(Path::new(ROOT).join(from.parent().unwrap())) else { continue };
        for entry in folder {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with(begin) && name.ends_with(end) {
                let file = from.with_file_name(&name);
                shipped.insert(file.clone(), into(&file));
            }
        }
    }
    shipped
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(out.pop()),
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}

#[test]
fn links_of_shipped_documents_lead_to_shipped_files() {
    let shipped = shipped();
    let (mut seen, mut wrong) = (0, Vec::new());
    for (source, place) in shipped.iter().filter(|(source, _)| source.extension().is_some_and(|e| e == "md")) {
        let text = read(source);
        for link in text.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            if link.is_empty() || link.contains(':') {
                continue;
            }
            seen += 1;
            let at = plain(&place.with_file_name("").join(link));
            if !shipped.values().any(|other| *other == at || other.starts_with(&at)) {
                wrong.push(format!("{} leads to {link}, which is not shipped as {}", source.display(), at.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(seen > 10, "only {seen} links were found");
    for page in ["docs/guide/troubleshooting.md", "docs/guide/install.md", "docs/reference/config.md", "SECURITY.md"] {
        assert!(shipped.contains_key(Path::new(page)), "{page} is not shipped");
    }
}

#[test]
fn the_files_that_setup_writes_are_no_conffiles() {
    let places = shipped();
    let ours: Vec<_> = places.values().filter(|place| place.starts_with("etc")).collect();
    assert!(ours.is_empty(), "files in /etc become conffiles, and dpkg asks about them: {ours:?}");
}

/// The examples of `config.json` in a document.
fn page_configs(document: &str) -> Vec<String> {
    let text = read(document);
    text.lines().map(str::trim).filter(|line| line.starts_with("{ \"broker\"")).map(str::to_owned).collect()
}

#[test]
fn the_examples_of_config_json_are_equal_and_fit_the_templates() {
    let documents = ["docs/guide/install.md", "docs/guide/viewer.md"];
    let examples: Vec<_> = documents.iter().flat_map(|document| page_configs(document)).collect();
    assert_eq!(examples.len(), documents.len(), "{examples:?}");
    assert!(examples.iter().all(|example| *example == examples[0]), "{examples:#?}");
    let json: serde_json::Value = serde_json::from_str(&examples[0]).unwrap();
    let broker = json["broker"].as_str().unwrap();
    // The listener for browsers, of the template; and the names that the other examples have.
    let template = read("package/examples/mosquitto.conf");
    let mut listener = "";
    for line in template.lines() {
        match line.split_once(' ') {
            Some(("listener", port)) => listener = port,
            Some(("protocol", "websockets")) => break,
            _ => {}
        }
    }
    assert_eq!(broker, format!("wss://broker.example.org:{listener}"));
    assert!(template.contains(&format!("# Browsers: {broker}\n")), "{template}");
    assert_eq!(json["root"], "fanlight/v1");
    let board = json["device"].as_str().unwrap();
    for document in ["docs/guide/install.md", "docs/reference/config.md"] {
        let text = read(document);
        assert!(
            text.contains(&format!("device = \"{board}\"")) || text.contains(&format!("--device {board}")),
            "{document}"
        );
        assert!(text.contains("mqtts://broker.example.org"), "{document}");
    }
    assert!(read("package/examples/mosquitto.acl").contains(&format!("\nuser {board}\n")));
}

#[test]
fn security_md_names_every_file_with_unsafe_code() {
    fn look(folder: &Path, into: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                look(&path, into);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
                let unsafe_line = |line: &str| {
                    let line = line.split("//").next().unwrap_or_default();
                    ["unsafe {", "unsafe fn", "unsafe impl", "unsafe extern"].iter().any(|word| line.contains(word))
                };
                if code.lines().any(unsafe_line) {
                    into.push(path.strip_prefix(ROOT).unwrap().display().to_string());
                }
            }
        }
    }
    let mut found = Vec::new();
    look(&Path::new(ROOT).join("src"), &mut found);
    found.sort();
    let text = read("SECURITY.md");
    let sentence = text.split("`unsafe` code is in ").nth(1).expect("SECURITY.md says where unsafe code is");
    let sentence = sentence.split(". ").next().unwrap_or_default();
    let mut named: Vec<_> = sentence.split('`').filter(|word| word.starts_with("src/")).map(str::to_owned).collect();
    named.sort();
    assert_eq!(named, found, "the files with unsafe code: those that SECURITY.md names, and those that there are");
}
