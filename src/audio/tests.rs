//! Capture through the real alsa-lib.
