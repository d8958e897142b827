//! Random numbers for SSRCs, sequence numbers and ports. Whoever needs secrets takes them from `getrandom` and checks
//! the result.

/// A random number from the kernel.
pub(crate) fn random_u32() -> u32 {
    let mut bytes = [0; 4];
    // The kernel's generator does not fail after boot. A constant would still work, since SSRC collisions are legal
    // (RFC 3550 section 8.2).
    let _ = getrandom::fill(&mut bytes);
    u32::from_ne_bytes(bytes)
}
