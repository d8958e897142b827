//! Checks the rules of `docs/design/design.md`: imports go down only, never to the same floor, and modules of a part do
//! not import each other in circles; files, functions and lines stay short, and a public type has a name of its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Lines a file may have without a reason.
const LONG: usize = 420;
/// Lines a function may have outside tests, from its first line to its closing brace.
const LONG_FUNCTION: usize = 60;
/// Characters of a line. rustfmt and `documents.rs` have the same limit.
const LONG_LINE: usize = 120;
/// Endings of files that no formatter cuts.
const UNFORMATTED: [&str; 5] = ["js", "mjs", "py", "toml", "ts"];
/// A line with a word as long as this, such as an address, may be long.
const LONG_WORD: usize = 80;
/// Imports between modules of a part that close a circle. The list may only shrink.
const CIRCLES: &[&str] = &[
    "broker: client → transport",
    "broker: transport → client",
    "config: keys → values",
    "config: problem → syntax",
    "config: secret → section",
    "config: section → keys",
    "config: section → problem",
    "config: section → values",
    "config: syntax → keys",
    "config: syntax → problem",
    "config: values → secret",
    "protocol: command → parse",
    "protocol: parse → command",
    "setup: ask → settle",
    "setup: settle → ask",
    "trust: deny_list → issuers",
    "trust: issuers → deny_list",
    "trust: pairing → pairing_handle",
    "trust: pairing_handle → pairing",
    "video/encode: encoder_setup → hardware",
    "video/encode: hardware → encoder_setup",
    "video: capture → decode",
    "video: capture → h264",
    "video: capture → sources",
    "video: capture → v4l2",
    "video: decode → h264",
    "video: decode → sources",
    "video: h264 → decode",
    "video: h264 → sources",
    "video: sources → capture",
    "video: sources → decode",
    "video: sources → h264",
    "video: sources → v4l2",
    "video: v4l2 → capture",
    "video: v4l2 → decode",
    "viewer/send: interceptor → rtcp_senders",
    "viewer/send: rtcp_senders → interceptor",
];
/// How a file's first comment begins the sentence that says why it is longer.
const REASON: &str = "//! Long: ";

/// One import of one part by another.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    line: usize,
    part: String,
}

/// The floor of each part, from lines such as `4  broker viewer – threads of execution`.
fn floors(text: &str) -> BTreeMap<String, usize> {
    let mut floors = BTreeMap::new();
    for line in text.lines() {
        let Some((names, _remark)) = line.trim_start_matches("//!").split_once(" – ") else { continue };
        let mut names = names.split_whitespace();
        let Some(floor) = names.next().and_then(|floor| floor.parse().ok()) else { continue };
        for name in names {
            assert!(floors.insert(name.to_owned(), floor).is_none(), "{name} stands on two floors");
        }
    }
    floors
}

fn read(path: impl AsRef<Path>) -> String {
    let path = Path::new(ROOT).join(path);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// All Rust files below `folder`, from the root of the project.
fn sources(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(Path::new(ROOT).join(folder)).unwrap() {
        let name = format!("{folder}/{}", entry.as_ref().unwrap().file_name().display());
        match entry.unwrap().file_type().unwrap().is_dir() {
            true => found.extend(sources(&name)),
            false if name.ends_with(".rs") => found.push(name.into()),
            false => {}
        }
    }
    found.sort();
    found
}

/// The names of a file's module, from the root of the crate: `["viewer", "peer"]`.
fn module(file: &Path) -> Vec<String> {
    let path = file.strip_prefix("src").unwrap().with_extension("");
    let names = path.iter().map(|name| name.to_str().unwrap().to_owned());
    names.filter(|name| !["mod", "lib"].contains(&name.as_str())).collect()
}

/// What is compiled only for tests: they may reach for whatever they need.
fn is_test(file: &Path) -> bool {
    file.iter().any(|name| name.to_str().is_some_and(|n| n == "tests" || n == "tests.rs" || n.ends_with("_tests.rs")))
}

/// The code of a file without its comments and without its module `tests`, which is the last thing in it. Lines stay
/// where they are.
fn code(text: &str) -> String {
    let mut lines = Vec::new();
    let mut rest = text.lines().peekable();
    while let Some(line) = rest.next() {
        let tests = |next: &&str| next.contains("mod ") && next.ends_with('{');
        if line.trim() == "#[cfg(test)]" && rest.peek().is_some_and(tests) {
            break;
        }
        let comment = line.match_indices("//").find(|(at, _)| line[..*at].matches('"').count() % 2 == 0);
        lines.push(&line[..comment.map_or(line.len(), |(at, _)| at)]);
    }
    lines.join("\n")
}

/// The parts that the code of `module` names: by `crate::`, by `super::` up to the root, or, in `main`, by the crate's
/// name.
fn imports(code: &str, module: &[String]) -> Vec<Import> {
    let mut found = Vec::new();
    let roots: &[&str] = if module == ["main"] { &["fanlight::"] } else { &["crate::", "super::"] };
    for &root in roots {
        let mut from = 0;
        while let Some(at) = code[from..].find(root).map(|at| at + from) {
            let before = &code[..at];
            let mut rest = &code[at + root.len()..];
            let mut up = 1;
            while root == "super::" && rest.starts_with(root) {
                (rest, up) = (&rest[root.len()..], up + 1);
            }
            from = code.len() - rest.len();
            // `pub(in crate::…)` is no import, and `self::super::` or `my_crate::` no root.
            let inner =
                before.ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)) || before.ends_with("(in ");
            if inner || root == "super::" && up < module.len() {
                continue;
            }
            let line = before.lines().count().max(1);
            found.extend(heads(rest).into_iter().map(|(below, part)| Import { line: line + below, part }));
        }
    }
    found
}

/// The first names of a path or of a tree of paths, and how many lines further down each stands.
fn heads(path: &str) -> Vec<(usize, String)> {
    let name = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let Some(tree) = path.strip_prefix('{') else { return vec![(0, name(path))] };
    let (mut found, mut depth, mut lines, mut start) = (Vec::new(), 1, 0, true);
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            '\n' => lines += 1,
            ',' if depth == 1 => start = true,
            _ if start && depth == 1 && !c.is_whitespace() => {
                found.push((lines, name(&tree[at..])));
                start = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

#[test]
fn the_plans_of_floors_are_equal_and_name_every_part() {
    let (design, library) = (floors(&read("docs/design/design.md")), floors(&read("src/lib.rs")));
    assert_eq!(design, library, "the floors in docs/design/design.md and those in src/lib.rs");
    let mut parts: Vec<String> = sources("src").iter().filter_map(|file| module(file).into_iter().next()).collect();
    parts.sort();
    parts.dedup();
    let planned: Vec<String> = design.into_keys().collect();
    assert_eq!(planned, parts, "the parts in the plan and those in src/");
}

#[test]
fn imports_go_down_only_and_never_to_the_same_floor() {
    let floors = floors(&read("src/lib.rs"));
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in sources("src").into_iter().filter(|file| !is_test(file)) {
        let module = module(&file);
        let Some(own) = module.first() else { continue };
        for Import { line, part } in imports(&code(&read(&file)), &module) {
            let why = match (floors.get(own), floors.get(&part)) {
                _ if *own == part => continue,
                (Some(from), Some(to)) if from > to => {
                    seen += 1;
                    continue;
                }
                (Some(from), Some(to)) if from == to => {
                    format!("both are on floor {to}: siblings do not know each other")
                }
                (Some(from), Some(to)) => {
                    format!("{own} is on floor {from}, {part} on floor {to}: imports go down only")
                }
                _ => format!("{own} or {part} is on no floor of src/lib.rs"),
            };
            wrong.push(format!("{}:{line}: {own} imports {part}; {why}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(seen > 50, "only {seen} imports were found: this test no longer reads the code");
}

/// The parts of a tree of paths, without its braces: `{a::{b, c}, d}` has `a::{b, c}` and `d`.
fn branches(tree: &str) -> Vec<&str> {
    let (mut found, mut depth, mut start) = (Vec::new(), 0, 1);
    for (at, c) in tree.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => {
                found.push(&tree[start..at]);
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 1 => {
                found.push(&tree[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// Adds each path of a path or a tree of paths, with `base` before it.
fn add_paths(path: &str, mut base: Vec<String>, into: &mut Vec<Vec<String>>) {
    let path = path.trim_start();
    if path.starts_with('{') {
        branches(path).into_iter().for_each(|branch| add_paths(branch, base.clone(), into));
        return;
    }
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    base.extend((end > 0).then(|| path[..end].to_owned()));
    match path[end..].strip_prefix("::") {
        Some(rest) => add_paths(rest, base, into),
        None => into.push(base),
    }
}

/// The paths that the code of `module` names by `crate::`, `super::` and `self::`, from the root of the crate.
fn paths(code: &str, module: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for root in ["crate::", "self::", "super::"] {
        for (at, _) in code.match_indices(root) {
            let before = &code[..at];
            if before.ends_with(|c: char| c.is_alphanumeric() || "_:$".contains(c)) || before.ends_with("(in ") {
                continue;
            }
            let mut rest = code[at..].trim_start_matches("self::");
            let mut base = if root == "crate::" { Vec::new() } else { module.to_vec() };
            while let Some(up) = rest.strip_prefix("super::") {
                base.pop();
                rest = up;
            }
            add_paths(rest.trim_start_matches("crate::"), base, &mut found);
        }
    }
    found
}

/// The imports between modules of one folder that close a circle, from all such imports: the folder, and both names.
fn circles(imports: &BTreeSet<(String, String, String)>) -> BTreeSet<String> {
    let reaches = |folder: &String, from: &String, to: &String| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(here) = next.pop() {
            if here == to {
                return true;
            }
            if seen.insert(here) {
                next.extend(imports.iter().filter(|(of, a, _)| of == folder && a == here).map(|(_, _, b)| b));
            }
        }
        false
    };
    let closing = imports.iter().filter(|(folder, from, to)| reaches(folder, to, from));
    closing.map(|(folder, from, to)| format!("{folder}: {from} → {to}")).collect()
}

/// It does not see what a module names by the re-export of a third one.
#[test]
fn modules_of_a_part_import_each_other_in_no_new_circle() {
    let files: Vec<_> = sources("src").into_iter().filter(|file| !is_test(file)).collect();
    let modules: BTreeSet<_> = files.iter().map(|file| module(file)).collect();
    // A folder without a file of its own is a module, too.
    let modules: BTreeSet<_> = modules.iter().flat_map(|module| (1..=module.len()).map(|n| &module[..n])).collect();
    let mut imports = BTreeSet::new();
    for file in &files {
        let own = module(file);
        for path in paths(&code(&read(file)), &own) {
            let Some(target) = (1..=path.len()).rev().map(|n| &path[..n]).find(|path| modules.contains(path)) else {
                continue;
            };
            let shared = own.iter().zip(target).take_while(|(a, b)| a == b).count();
            if let (1.., Some(from), Some(to)) = (shared, own.get(shared), target.get(shared)) {
                imports.insert((own[..shared].join("/"), from.clone(), to.clone()));
            }
        }
    }
    assert!(imports.len() > 200, "only {} imports were found: this test no longer reads the code", imports.len());
    let (found, known) = (circles(&imports), CIRCLES.iter().map(|line| (*line).to_owned()).collect::<BTreeSet<_>>());
    let new: Vec<_> = found.difference(&known).collect();
    assert!(new.is_empty(), "new circles of imports: move what both modules need below both: {new:#?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "take these out of CIRCLES: {gone:#?}");
}

#[test]
fn the_parser_of_paths_finds_circles() {
    let text = "use super::{b::{self, c}, d};\nuse crate::a::d::E;\nfn f() -> super::super::x::Y { self::z() }";
    let module = ["a", "m"].map(str::to_owned);
    let mut found: Vec<_> = paths(text, &module).into_iter().map(|path| path.join("::")).collect();
    found.sort();
    assert_eq!(found, ["a::b::c", "a::b::self", "a::d", "a::d::E", "a::m::z", "x::Y"]);
    let import = |[folder, from, to]: [&str; 3]| (folder.to_owned(), from.to_owned(), to.to_owned());
    let imports = [["a", "b", "c"], ["a", "c", "d"], ["a", "d", "b"], ["a", "d", "e"], ["z", "e", "d"]].map(import);
    let expected = ["a: b → c", "a: c → d", "a: d → b"].map(str::to_owned);
    assert_eq!(circles(&BTreeSet::from(imports)), BTreeSet::from(expected));
}

#[test]
fn the_packaged_access_list_is_the_one_of_the_protocol() {
    let rules = |text: &str| -> Vec<String> {
        let lines =
            text.lines().filter(|line| ["user ", "topic ", "pattern "].iter().any(|word| line.starts_with(word)));
        lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    };
    let packaged = rules(&read("package/examples/mosquitto.acl"));
    assert!(packaged.len() == 12 && packaged.iter().all(|rule| !rule.starts_with("pattern ")), "{packaged:?}");
    assert_eq!(rules(&read("docs/reference/protocol.md")), packaged, "protocol.md and mosquitto.acl");
    let viewer = rules(&read("docs/guide/viewer.md"));
    assert!(viewer.len() > 3 && viewer.iter().all(|rule| packaged.contains(rule)), "docs/guide/viewer.md: {viewer:?}");
}

#[test]
fn a_long_file_gives_its_reason() {
    let mut wrong = Vec::new();
    for file in sources("src") {
        let text = read(&file);
        let lines = text.lines().count();
        let told = text.lines().take_while(|line| line.starts_with("//!")).any(|line| line.starts_with(REASON));
        if lines > LONG && !told {
            wrong.push(format!(
                "{}: {lines} lines; split it, or say why in its first comment: {REASON}…",
                file.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// All files below `folder`, without what was installed, built or generated.
fn tree(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let kind = entry.file_type().unwrap();
        let left_out = ["target", "node_modules", "dist", "types", "cache"].contains(&name.as_str());
        if kind.is_dir() && !left_out && (!name.starts_with('.') || name == ".ci") {
            tree(&entry.path(), into);
        } else if kind.is_file() {
            into.push(entry.path());
        }
    }
}

#[test]
fn a_line_that_no_formatter_cuts_is_short() {
    let (mut all, mut seen, mut wrong) = (Vec::new(), 0, Vec::new());
    tree(Path::new(ROOT), &mut all);
    for path in all {
        // rustfmt cuts code, and leaves comments alone.
        let is_checked: fn(&str) -> bool = match path.extension().and_then(|ending| ending.to_str()) {
            Some("rs") => |line| line.trim_start().starts_with("//"),
            Some(ending) if UNFORMATTED.contains(&ending) => |_| true,
            _ => continue,
        };
        for (at, line) in read(&path).lines().enumerate().filter(|(_, line)| is_checked(line)) {
            seen += 1;
            let length = line.chars().count();
            let has_long_word = line.split_whitespace().any(|word| word.chars().count() > LONG_WORD);
            if length > LONG_LINE && !has_long_word {
                wrong.push(format!("{}:{}: {length} characters", path.display(), at + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(seen > 30_000, "only {seen} lines were found: this test no longer reads the files");
}

/// The name, the first line and the length of each function in formatted code. Tests are left out.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = code.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let head = line.trim_start();
        let Some((before, rest)) = head.split_once("fn ") else { continue };
        let keyword = |word: &str| {
            ["const", "async", "unsafe", "extern"].contains(&word)
                || word.starts_with(['p', '"'])
                || word.ends_with(')')
        };
        let mut attributes = lines[..at].iter().rev().take_while(|line| line.trim_start().starts_with("#["));
        let is_test = attributes.any(|attribute| attribute.contains("test"));
        if !before.split_whitespace().all(keyword) || line.ends_with('}') || is_test {
            continue;
        }
        let close = format!("{}}}", &line[..line.len() - head.len()]);
        let body = lines[at..].iter().position(|line| *line == close).map_or(1, |below| below + 1);
        // A declaration without a body ends with a semicolon before any brace.
        let has_body =
            lines[at..at + body].iter().find_map(|line| line.trim_end().chars().last().filter(|c| "{;".contains(*c)));
        if has_body == Some('{') {
            let name = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push((name, at + 1, body));
        }
    }
    found
}

#[test]
fn a_function_is_short() {
    let (mut seen, mut wrong) = (0, Vec::new());
    for file in sources("src").into_iter().filter(|file| !is_test(file)) {
        for (name, line, length) in functions(&code(&read(&file))) {
            seen += 1;
            if length > LONG_FUNCTION {
                wrong.push(format!("{}:{line}: {name} has {length} lines; split it by idea", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    assert!(seen > 1000, "only {seen} functions were found: this test no longer reads the code");
}

#[test]
fn the_parser_of_functions_finds_their_lengths() {
    let text = "impl A {\n    pub(crate) async fn long(\n        &self,\n    ) -> u8 {\n        1\n    }\n\n    \
                fn short() {}\n}\n\ntrait B {\n    fn declared(&self);\n}\n\n\
                const unsafe fn two() {\n}\n\n#[test]\nfn test() {\n}\n";
    let expected = [("long", 2, 5), ("two", 15, 2)];
    assert_eq!(functions(text), expected.map(|(name, line, length)| (name.to_owned(), line, length)));
}

/// The name of the public type that a line declares.
fn public_type(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub")?;
    let rest = rest.strip_prefix('(').map_or(rest, |scope| scope.split_once(')').map_or("", |(_, rest)| rest));
    let (keyword, rest) = rest.trim_start().split_once(' ')?;
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    ["struct", "enum", "trait", "type", "union"].contains(&keyword).then_some(name)
}

#[test]
fn a_public_type_has_a_name_of_its_own() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in sources("src").into_iter().filter(|file| !is_test(file)) {
        for (at, line) in code(&read(&file)).lines().enumerate() {
            if let Some(name) = public_type(line) {
                places.entry(name.to_owned()).or_default().push(format!("{}:{}", file.display(), at + 1));
            }
        }
    }
    let wrong: Vec<_> = places.iter().filter(|(_name, places)| places.len() > 1).collect();
    assert!(wrong.is_empty(), "one name, one meaning: {wrong:#?}");
    assert!(places.len() > 300, "only {} types were found: this test no longer reads the code", places.len());
    let found =
        ["pub struct A;", "    pub(in crate::b) enum B {", "pub(super) type C<T> = T;", "pub fn d()", "struct E;"];
    assert_eq!(found.map(public_type), [Some("A"), Some("B"), Some("C"), None, None]);
}

/// A skip that matches no test skips nothing: the test has another name now, or is gone.
#[test]
fn every_test_that_is_skipped_under_qemu_user_exists() {
    let mut functions = Vec::new();
    for file in sources("src") {
        let module = module(&file).join("::");
        let text = read(&file);
        let names = text.lines().filter_map(|line| line.trim_start().trim_start_matches("async ").strip_prefix("fn "));
        functions.extend(names.map(|name| format!("{module}::{name}")));
    }
    let list = read("cross/skipped-tests.txt");
    let skips: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let gone: Vec<_> =
        skips.iter().filter(|skip| **skip != "#" && !functions.iter().any(|name| name.contains(**skip))).collect();
    assert!(skips.len() > 3 && gone.is_empty(), "cross/skipped-tests.txt names no test: {gone:?}");
}

#[test]
fn the_parser_of_imports_finds_exactly_the_imports() {
    let text = r#"//! crate::said
use crate::{
    clock::{self, Mono},
    config, // crate::commented
    feed,
};
use super::{near, super::nearer};
use super::super::far::Thing;
pub(in crate::viewer) fn f() -> crate::ice::Ice { let url = "mqtt://x"; crate::grant::g() }

#[cfg(test)]
mod tests {
    use crate::devices;
}
"#;
    let module: Vec<String> = ["viewer", "peer"].map(str::to_owned).to_vec();
    let mut found: Vec<_> = imports(&code(text), &module).into_iter().map(|i| (i.line, i.part)).collect();
    found.sort();
    let expected = [(3, "clock"), (4, "config"), (5, "feed"), (8, "far"), (9, "grant"), (9, "ice")];
    assert_eq!(found, expected.map(|(line, part)| (line, part.to_owned())));
    let plan = "//! 1  feed demand   – what travels\n0  clock config – leaves\nno 0 – floor";
    let expected =
        [("clock", 0), ("config", 0), ("demand", 1), ("feed", 1)].map(|(part, floor)| (part.to_owned(), floor));
    assert_eq!(floors(plan), BTreeMap::from(expected));
}
