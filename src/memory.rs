//! Returns free heap to the kernel, for boards with 512 MB: what the start or an ended session needed is not kept.
#![allow(unsafe_code)] // calls of the C library; each says why it is sound

/// Arenas of glibc's allocator (`M_ARENA_MAX`, mallopt(3)). The default is eight for each core, and each keeps free
/// memory.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;
/// From this size in bytes, a buffer is a mapping of its own (`M_MMAP_THRESHOLD`, mallopt(3)). This is the initial
/// default. Setting it turns off its automatic growth, after which an encoder's frames would be on the heap and
/// fragment it.
#[cfg(target_env = "gnu")]
const MAPPED: libc::c_int = 128 << 10;

/// Configures the allocator to keep little memory. Call this before there are threads.
pub fn configure_allocator() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets numbers inside the allocator, which checks them. There is only one thread.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, ARENAS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, MAPPED);
    }
}

/// Returns free pages of the heap to the kernel (malloc_trim(3)). Call this when the daemon is idle. Pages of the
/// program's code stay: the kernel drops them when memory is short, and reading them again would cost page faults.
pub fn return_free() {
    #[cfg(target_env = "gnu")]
    // SAFETY: releases free pages of the heap. It is safe at any time and from any thread (malloc_trim(3)).
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
    fn free_heap_is_returned_and_the_code_stays_in_memory() {
        // Small pieces below one that stays, so the free memory is not at the end of the heap.
        let pieces: Vec<Vec<u8>> = (0..20_000).map(|n| vec![n as u8; 1_000]).collect();
        let last = vec![1_u8; 1_000];
        drop(pieces);
        let (heap, all) = (kilobytes("Anonymous:"), kilobytes("Rss:"));
        return_free();
        let (heap_after, all_after) = (kilobytes("Anonymous:"), kilobytes("Rss:"));
        assert!(heap_after + 10_000 < heap, "{heap_after} of {heap} kB are still in use");
        let code = (all - heap, all_after - heap_after);
        // The kernel may take a few pages meanwhile. Code that is given up is most of it.
        assert!(code.1 * 10 > code.0 * 9, "kB of files before and after: {code:?}");
        assert_eq!(last[0], 1);
    }
}
