//! Embeds the built viewer (`viewer/dist`) for the demo, compressed. Without one, a page that says how to build it.

use std::{
    env, fs,
    io::{Error, Result},
    path::{Path, PathBuf},
    process::Command,
};

/// The viewer is some hundred kilobytes; a directory far larger is a mistake, and would end up in every binary.
const TOTAL_MAX: u64 = 8 << 20;

fn main() -> Result<()> {
    let var = |name| env::var_os(name).map(PathBuf::from).ok_or_else(|| Error::other(format!("{name} is not set")));
    let dist = var("CARGO_MANIFEST_DIR")?.join("viewer/dist");
    // Cargo takes a missing path for a changed one and would build everything anew each time.
    if dist.parent().is_some_and(Path::is_dir) && !dist.exists() {
        let _ = fs::create_dir(&dist);
    }
    println!("cargo::rerun-if-changed=build.rs");
    // A PIE has 35,000 relocations; packed (DT_RELR) they need a twentieth of the space. Debian 12's C library is the
    // first that reads them; a linker that does not know the option warns and goes on.
    println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    println!("cargo::rerun-if-changed={}", dist.display());

    let mut files = Vec::new();
    walk(&dist, &mut files)?;
    files.sort();
    let total: u64 = files.iter().map(|file| fs::metadata(file).map_or(0, |meta| meta.len())).sum();
    if total > TOTAL_MAX {
        return Err(Error::other(format!("{}: {total} bytes are too many to embed", dist.display())));
    }

    let out = var("OUT_DIR")?;
    let mut table = String::from("&[\n");
    for (n, file) in files.iter().enumerate() {
        let packed = out.join(format!("viewer_{n}.gz"));
        fs::write(&packed, gzip(file)?)?;
        let name = file.strip_prefix(&dist).map_err(Error::other)?;
        let (Some(name), Some(path)) = (name.to_str(), packed.to_str()) else {
            return Err(Error::other(format!("{}: the name is not UTF-8", file.display())));
        };
        table += &format!("    ({name:?}, include_bytes!({path:?})),\n");
    }
    table += "]\n";
    fs::write(out.join("viewer_files.rs"), table)
}

/// A file's bytes as `gzip` packs them, without name or time: every browser unpacks them, and the page takes a third.
fn gzip(file: &Path) -> Result<Vec<u8>> {
    let failed = |said: &dyn std::fmt::Display| Error::other(format!("gzip -9nc {}: {said}", file.display()));
    let done = Command::new("gzip").arg("-9nc").arg(file).output().map_err(|error| failed(&error))?;
    if done.status.success() { Ok(done.stdout) } else { Err(failed(&String::from_utf8_lossy(&done.stderr).trim())) }
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(&path, files)?;
        } else if path.extension().is_none_or(|extension| extension != "map") {
            files.push(path);
        }
    }
    Ok(())
}
