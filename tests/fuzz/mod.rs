//! Runs every fuzz target with its seeds and with mutations of them, for a moment and without coverage. `./fuzz` runs
//! them for a minute each, guided by coverage.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::Command,
};

use fanlight::fuzz::TARGETS;

/// Mutations of each seed.
const MUTATIONS: u64 = 100;

/// A generator that gives the same numbers in every run (xorshift64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// A few changes that find faults in parsers: bits, extreme bytes, cuts, repetitions, a piece of another seed.
fn mutate(seed: &[u8], others: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(data.len() + 1);
        let length = 1 + numbers.below(16);
        let end = (at + length).min(data.len());
        match numbers.below(6) {
            0 if at < data.len() => data[at] ^= 1 << numbers.below(8),
            1 if at < data.len() => data[at] = [0, 1, 0x7f, 0x80, 0xfe, 0xff][numbers.below(6)],
            2 => drop(data.drain(at..end)),
            3 => {
                let piece = data[at..end].to_vec();
                (0..=numbers.below(8)).for_each(|_| drop(data.splice(at..at, piece.iter().copied())));
            }
            4 => data.truncate(at),
            _ => {
                let other = &others[numbers.below(others.len())];
                let from = numbers.below(other.len() + 1);
                let piece = &other[from..(from + 4 * length).min(other.len())];
                data.splice(at..end, piece.iter().copied());
            }
        }
    }
    data
}

#[test]
fn every_target_survives_its_seeds_and_their_mutations() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds.py");
    let made = Command::new("python3").arg(script).arg(folder.path()).status().expect("python3 runs");
    assert!(made.success());
    let mut told = Vec::new();
    for (name, target) in TARGETS {
        let files = fs::read_dir(folder.path().join(name)).unwrap_or_else(|e| panic!("seeds of {name}: {e}"));
        let mut files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        files.sort();
        let seeds: Vec<Vec<u8>> = files.iter().map(|file| fs::read(file).unwrap()).collect();
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
        for (seed, file) in seeds.iter().zip(&files) {
            for n in 0..=MUTATIONS {
                let data = if n == 0 { seed.clone() } else { mutate(seed, &seeds, &mut numbers) };
                if catch_unwind(AssertUnwindSafe(|| target(&data))).is_err() {
                    told.push(format!(
                        "{name}, {}, mutation {n}: {:?}",
                        file.display(),
                        String::from_utf8_lossy(&data)
                    ));
                    break;
                }
            }
        }
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn every_target_has_its_program_and_its_seeds() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"targets/{name}.rs\"")), "{name} is in Cargo.toml");
        let program = fs::read_to_string(root.join(format!("targets/{name}.rs"))).unwrap();
        assert!(program.contains(&format!("fanlight::fuzz::{name}(")), "targets/{name}.rs runs {name}");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
