//! Memory that is given back: a board of 512 MB has other things to do than to keep what only a start or a session that is
//! over needed.
#![allow(unsafe_code)] // calls of the C library; each says why it is sound

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

/// Gives back what is not in use: free pages of the heap. To be called when everything has come to rest. The program's own code
/// stays: the kernel takes clean pages by itself where memory is short, and reading them again would cost page faults.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: releases free pages of the heap; safe at any time, from any thread (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kilobytes of `field` of this process's mappings, by `/proc/self/smaps_rollup`.
    fn kilobytes(field: &str) -> u64 {
        let all = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let size = all.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        size.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn free_heap_goes_back_and_the_program_keeps_its_code() {
        // Small pieces below one that stays: free, and yet not at the heap's end.
        let pieces: Vec<Vec<u8>> = (0..20_000).map(|n| vec![n as u8; 1_000]).collect();
        let last = vec![1_u8; 1_000];
        drop(pieces);
        let (heap, all) = (kilobytes("Anonymous:"), kilobytes("Rss:"));
        give_back();
        let (heap_after, all_after) = (kilobytes("Anonymous:"), kilobytes("Rss:"));
        assert!(heap_after + 10_000 < heap, "{heap_after} of {heap} kB are still there");
        let code = (all - heap, all_after - heap_after);
        assert!(code.1 + 256 > code.0, "kB of files before and after: {code:?}");
        assert_eq!(last[0], 1);
    }
}
