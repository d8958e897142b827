//! The controls of a node: brightness, exposure, the bitrate of a built-in encoder.

use std::io;

use v4l::v4l_sys as raw;

use super::{Node, sys};

/// Requests an IDR frame from an encoder.
pub(crate) const FORCE_KEY_FRAME: u32 = raw::V4L2_CID_MPEG_VIDEO_FORCE_KEY_FRAME;
/// Makes an encoder repeat its parameter sets.
pub(crate) const REPEAT_SEQ_HEADER: u32 = raw::V4L2_CID_MPEG_VIDEO_REPEAT_SEQ_HEADER;
/// The bitrate of an encoder, in bit/s.
pub(crate) const VIDEO_BITRATE: u32 = raw::V4L2_CID_MPEG_VIDEO_BITRATE;

/// Whether the lens is covered or the camera switched off.
pub(crate) const PRIVACY: u32 = raw::V4L2_CID_PRIVACY;

/// The ids of encoder controls, and some of their values.
pub(crate) mod codec {
    use v4l::v4l_sys as raw;

    pub(crate) const BITRATE_MODE: u32 = raw::V4L2_CID_MPEG_VIDEO_BITRATE_MODE;
    pub(crate) const CONSTANT: u32 = raw::v4l2_mpeg_video_bitrate_mode_V4L2_MPEG_VIDEO_BITRATE_MODE_CBR;
    pub(crate) const RATE_CONTROL: u32 = raw::V4L2_CID_MPEG_VIDEO_FRAME_RC_ENABLE;
    pub(crate) const HEADER_MODE: u32 = raw::V4L2_CID_MPEG_VIDEO_HEADER_MODE;
    pub(crate) const JOINED: u32 = raw::v4l2_mpeg_video_header_mode_V4L2_MPEG_VIDEO_HEADER_MODE_JOINED_WITH_1ST_FRAME;
    pub(crate) const GROUP: u32 = raw::V4L2_CID_MPEG_VIDEO_GOP_SIZE;
    pub(crate) const I_PERIOD: u32 = raw::V4L2_CID_MPEG_VIDEO_H264_I_PERIOD;
    pub(crate) const B_FRAMES: u32 = raw::V4L2_CID_MPEG_VIDEO_B_FRAMES;
    pub(crate) const SLICES: u32 = raw::V4L2_CID_MPEG_VIDEO_MULTI_SLICE_MODE;
    pub(crate) const ENTROPY: u32 = raw::V4L2_CID_MPEG_VIDEO_H264_ENTROPY_MODE;
    pub(crate) const TRANSFORM_8X8: u32 = raw::V4L2_CID_MPEG_VIDEO_H264_8X8_TRANSFORM;
    pub(crate) const LEVEL: u32 = raw::V4L2_CID_MPEG_VIDEO_H264_LEVEL;
    pub(crate) const LEVEL_1_0: u32 = raw::v4l2_mpeg_video_h264_level_V4L2_MPEG_VIDEO_H264_LEVEL_1_0;
    pub(crate) const PROFILE: u32 = raw::V4L2_CID_MPEG_VIDEO_H264_PROFILE;
    pub(crate) const BASELINE: u32 = raw::v4l2_mpeg_video_h264_profile_V4L2_MPEG_VIDEO_H264_PROFILE_BASELINE;
    pub(crate) const CONSTRAINED: u32 =
        raw::v4l2_mpeg_video_h264_profile_V4L2_MPEG_VIDEO_H264_PROFILE_CONSTRAINED_BASELINE;
}

/// How many controls are listed at most.
const MOST: usize = 512;

/// A control whose value is a number.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Control {
    #[serde(skip)]
    pub(crate) id: u32,
    /// Its name as in the configuration: lower case, with `_` between words.
    pub name: String,
    /// The lowest value.
    pub min: i64,
    /// The highest value.
    pub max: i64,
    /// The step between values.
    pub step: u64,
    /// The driver's default.
    pub default: i64,
    /// The current value, if it can be read.
    pub value: Option<i64>,
}

impl Node {
    /// All controls that can be set to a number.
    pub(crate) fn controls(&self) -> Vec<Control> {
        let mut controls = Vec::new();
        let mut id = 0;
        for _ in 0..MOST {
            let mut query: raw::v4l2_query_ext_ctrl = sys::zeroed();
            query.id = id | raw::V4L2_CTRL_FLAG_NEXT_CTRL;
            // A driver that returns the same id again would be asked for ever.
            if self.fd.call(&sys::QUERY_EXT_CTRL, &mut query).is_err() || query.id <= id {
                break;
            }
            id = query.id;
            controls.extend(self.control(&query));
        }
        controls
    }

    fn control(&self, query: &raw::v4l2_query_ext_ctrl) -> Option<Control> {
        let numeric = matches!(
            query.type_,
            raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER
                | raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN
                | raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU
                | raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU
                | raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK
        );
        let fixed = raw::V4L2_CTRL_FLAG_DISABLED | raw::V4L2_CTRL_FLAG_READ_ONLY;
        if !numeric || query.flags & fixed != 0 {
            return None;
        }
        let bytes: Vec<u8> = query.name.iter().map(|&c| c.to_ne_bytes()[0]).collect();
        Some(Control {
            id: query.id,
            name: name(&super::text(&bytes)),
            min: query.minimum,
            max: query.maximum,
            step: query.step,
            default: query.default_value,
            value: self.value(query.id),
        })
    }

    /// The value of a control, if it can be read.
    pub(crate) fn value(&self, id: u32) -> Option<i64> {
        self.read_control(id).ok()
    }

    /// The value of a control, or why it cannot be read.
    pub(crate) fn read_control(&self, id: u32) -> io::Result<i64> {
        let mut control = raw::v4l2_control { id, value: 0 };
        self.fd.call(&sys::G_CTRL, &mut control)?;
        Ok(control.value.into())
    }

    /// Whether the node has this control, of any type.
    pub(crate) fn has_control(&self, id: u32) -> bool {
        let mut query: raw::v4l2_query_ext_ctrl = sys::zeroed();
        query.id = id;
        self.fd.call(&sys::QUERY_EXT_CTRL, &mut query).is_ok() && query.flags & raw::V4L2_CTRL_FLAG_DISABLED == 0
    }

    /// Sets a control.
    pub(crate) fn set_control(&self, id: u32, value: i64) -> io::Result<()> {
        let value = i32::try_from(value).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.fd.call(&sys::S_CTRL, &mut raw::v4l2_control { id, value })
    }
}

/// The name as `v4l2-ctl` writes it: letters and digits in lower case, and one `_` for anything in between.
fn name(text: &str) -> String {
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_v4l2_ctl() {
        for (kernel, ours) in [
            ("Brightness", "brightness"),
            ("White Balance, Automatic", "white_balance_automatic"),
            ("Exposure, Dynamic Framerate", "exposure_dynamic_framerate"),
            ("Pan (Absolute)", "pan_absolute"),
            ("Inject V4L2_BUF_FLAG_ERROR", "inject_v4l2_buf_flag_error"),
        ] {
            assert_eq!(name(kernel), ours);
        }
    }
}
