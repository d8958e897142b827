//! Memory that is given back: a board of 512 MB has other things to do than to keep what only a start or a session that is
//! over needed.
#![allow(unsafe_code)] // calls of the C library; each says why it is sound

use std::path::Path;

use tracing::debug;

/// Arenas of the allocator. Its default, eight a core, keeps what each thread once had.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;
/// From this size on a buffer is a mapping of its own, in bytes. Its default at the start; once set it stays, where else it would
/// rise with each buffer that is freed, and an encoder's pictures would end up among small things and keep their room for ever.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 128 << 10;

/// Keeps the allocator small. To be called before there are threads.
pub fn frugal() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets numbers inside the allocator; it checks them, and there is one thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

/// Gives back what is not in use: free heap, and the program's own code and constants, which are read from its file again
/// where they are needed next. To be called when everything has come to rest.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: releases free pages of the heap; safe at any time, from any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
    let (Ok(maps), Ok(program)) = (std::fs::read_to_string("/proc/self/maps"), std::env::current_exe()) else { return };
    for (start, len) in unchanged(&maps, &program) {
        // SAFETY: the range is a mapping of this process that is private, backed by a file, and was never written, so each
        // page of it equals the file's, from which the next access brings it back (madvise(2), MADV_DONTNEED).
        let done = unsafe { libc::madvise(start as *mut libc::c_void, len, libc::MADV_DONTNEED) };
        if done != 0 {
            debug!("give back memory: {}", std::io::Error::last_os_error());
        }
    }
}

/// Address and length of each mapping of the program's file that is as the file is, by `/proc/self/maps`
/// (proc_pid_maps(5)): the code, and what stands before it, the constants. What stands behind was relocated at the start.
fn unchanged(maps: &str, program: &Path) -> Vec<(usize, usize)> {
    let Some(program) = program.to_str() else { return Vec::new() };
    let one = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (range, flags, offset) = (words.next()?, words.next()?, words.next()?);
        let is_first = offset.bytes().all(|b| b == b'0');
        // Behind device and inode the rest of the line is the path, with its spaces, and ` (deleted)` as `current_exe` has it.
        let path = line.find('/').map(|start| &line[start..]);
        if !(flags == "r-xp" || flags == "r--p" && is_first) || path != Some(program) {
            return None;
        }
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        Some((start, end.checked_sub(start)?))
    };
    maps.lines().filter_map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_the_file_of_the_program_itself() {
        // Addresses that boards of 32 bits have, too.
        let maps = "\
            a0000000-a0100000 r--p 00000000 fe:00 11  /usr/bin/fanlight\n\
            a0100000-a0180000 r-xp 00100000 fe:00 11  /usr/bin/fanlight\n\
            a0180000-a0200000 r--p 00180000 fe:00 11  /usr/bin/fanlight\n\
            a0200000-a0210000 rw-p 00200000 fe:00 11  /usr/bin/fanlight\n\
            a0300000-a0310000 rwxp 00000000 00:00 0 \n\
            b6000000-b6100000 r-xp 00000000 fe:00 12  /usr/lib/libc.so.6\n\
            b6200000-b6300000 r-xp 00000000 fe:00 13  /other/usr/bin/fanlight\n\
            nonsense\n";
        let given = [(0xa000_0000, 0x10_0000), (0xa010_0000, 0x8_0000)];
        assert_eq!(unchanged(maps, Path::new("/usr/bin/fanlight")), given);
        assert!(unchanged(maps, Path::new("/usr/bin/other")).is_empty());
    }

    /// Kilobytes of the program's code that are mapped in now, by `/proc/self/smaps`.
    fn resident() -> u64 {
        let program = std::env::current_exe().unwrap();
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let lines =
            smaps.lines().skip_while(|line| !(line.contains(" r-xp ") && line.ends_with(program.to_str().unwrap())));
        let size = lines.into_iter().find_map(|line| line.strip_prefix("Rss:")).unwrap();
        size.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn the_program_goes_on_with_less_of_its_code() {
        let before = resident();
        give_back();
        let after = resident();
        assert!(after < before, "{after} of {before} kB are still mapped in");
    }
}
