//! The body of a fuzz target: a WAV file as audio source.

use std::path::Path;

use super::clip::SoundClip;

/// Plays one second in steps of 20 ms.
pub(crate) fn clip(path: &Path) {
    for channels in [1, 2] {
        let Ok(mut clip) = SoundClip::open(path, channels) else { return };
        let mut out = vec![0.0; 960 * channels];
        for _ in 0..50 {
            if clip.render(&mut out).is_err() {
                return;
            }
            assert!(out.iter().all(|sample| sample.is_finite()), "a sample is no number");
        }
    }
}
