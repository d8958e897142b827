//! Run-time options of OpenH264 for which its crate has no safe function.
#![allow(unsafe_code)] // the crate's `raw_api` is the only way to the encoder's SetOption

use std::os::raw::{c_int, c_void};

use openh264::encoder::Encoder;
use openh264_sys2::{
    ENCODER_OPTION, ENCODER_OPTION_BITRATE, ENCODER_OPTION_FRAME_RATE, ENCODER_OPTION_MAX_BITRATE,
    ENCODER_OPTION_TRACE_LEVEL, LAYER_NUM, SBitrateInfo, SPATIAL_LAYER_0, SPATIAL_LAYER_ALL, WELS_LOG_QUIET,
};

use crate::units::Bitrate;

/// Keeps the library from writing to standard error. Call it before the first frame. The crate itself does this only
/// after the encoder is initialised, which already writes a line or two.
pub(crate) fn hush(encoder: &mut Encoder) {
    let mut level: c_int = WELS_LOG_QUIET;
    // SAFETY: the option takes a pointer to one int, read during the call, and is allowed before initialisation.
    unsafe {
        encoder.raw_api().set_option(ENCODER_OPTION_TRACE_LEVEL, (&raw mut level).cast::<c_void>());
    }
}

/// Changes the bitrate of a running encoder from `before` to `bitrate`; `false` if the library refuses.
///
/// A target above the maximum is refused, so a rise sets the maximum first, and a fall the target. The maximum is set
/// for the only layer: set for all layers together, the library stores it but never uses it.
pub(crate) fn set_bitrate(encoder: &mut Encoder, before: Bitrate, bitrate: Bitrate) -> bool {
    let target = (ENCODER_OPTION_BITRATE, SPATIAL_LAYER_ALL);
    let maximum = (ENCODER_OPTION_MAX_BITRATE, SPATIAL_LAYER_0);
    let order = if bitrate > before { [maximum, target] } else { [target, maximum] };
    order.into_iter().all(|(option, layer)| set(encoder, option, layer, bitrate))
}

/// Sets the frames per second that a running encoder gets; `false` if the library refuses.
pub(crate) fn set_rate(encoder: &mut Encoder, mut fps: f32) -> bool {
    // SAFETY: the option takes a pointer to one float, read during the call; the encoder checks its range.
    unsafe { encoder.raw_api().set_option(ENCODER_OPTION_FRAME_RATE, (&raw mut fps).cast::<c_void>()) == 0 }
}

fn set(encoder: &mut Encoder, option: ENCODER_OPTION, layer: LAYER_NUM, bitrate: Bitrate) -> bool {
    let Ok(bits) = c_int::try_from(bitrate.as_bps()) else { return false };
    let mut info = SBitrateInfo { iLayer: layer, iBitrate: bits };
    // SAFETY: both options take a pointer to one SBitrateInfo, read during the call; the encoder checks the values and
    // that it was initialised.
    unsafe { encoder.raw_api().set_option(option, (&raw mut info).cast::<c_void>()) == 0 }
}
