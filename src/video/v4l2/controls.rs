//! The controls of a node: brightness, exposure, the bitrate of a built-in encoder.

use std::io;

use v4l::v4l_sys as raw;

use super::{Node, sys, text};
use crate::feed::{ControlDescription, ControlKind, ControlUnit, MenuItem};

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
/// How many items of a menu are listed at most.
const ITEMS: usize = 64;
/// The longest name of a control that is listed for viewers, in bytes.
const NAME: usize = 64;
/// The bits of an id that are its class.
const CLASS: u32 = 0x0FFF_0000;

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
        self.queries().iter().filter_map(|query| self.control(query)).collect()
    }

    /// All controls that viewers can set, with their ids. Those of a built-in encoder are left out: the video thread
    /// sets them.
    pub(crate) fn described_controls(&self) -> Vec<(u32, ControlDescription)> {
        let queries = self.queries();
        let of_viewers = queries.iter().filter(|query| query.id & CLASS != raw::V4L2_CTRL_CLASS_CODEC);
        of_viewers.filter_map(|query| Some((query.id, self.description(query)?))).collect()
    }

    fn queries(&self) -> Vec<raw::v4l2_query_ext_ctrl> {
        let mut queries = Vec::new();
        let mut id = 0;
        for _ in 0..MOST {
            let mut query: raw::v4l2_query_ext_ctrl = sys::zeroed();
            query.id = id | raw::V4L2_CTRL_FLAG_NEXT_CTRL;
            // A driver that returns the same id again would be asked for ever.
            if self.fd.call(&sys::QUERY_EXT_CTRL, &mut query).is_err() || query.id <= id {
                break;
            }
            id = query.id;
            queries.push(query);
        }
        queries
    }

    fn description(&self, query: &raw::v4l2_query_ext_ctrl) -> Option<ControlDescription> {
        let kind = kind(query.type_)?;
        let name = name_of(query);
        let is_fixed = query.flags & (raw::V4L2_CTRL_FLAG_DISABLED | raw::V4L2_CTRL_FLAG_READ_ONLY) != 0;
        if is_fixed || name.is_empty() || name.len() > NAME || !name.is_ascii() {
            return None;
        }
        let is_readable = kind != ControlKind::Button && query.flags & raw::V4L2_CTRL_FLAG_WRITE_ONLY == 0;
        Some(ControlDescription {
            unit: ControlUnit::of(&name),
            name,
            kind,
            min: query.minimum,
            max: query.maximum,
            step: query.step,
            default: query.default_value,
            value: if is_readable { self.value(query.id) } else { None },
            items: self.items(query, kind),
            inactive: query.flags & raw::V4L2_CTRL_FLAG_INACTIVE != 0,
        })
    }

    /// The items of a menu. A driver leaves out those that it does not have.
    fn items(&self, query: &raw::v4l2_query_ext_ctrl, kind: ControlKind) -> Vec<MenuItem> {
        if !matches!(kind, ControlKind::Menu | ControlKind::IntegerMenu) {
            return Vec::new();
        }
        let item = |value: i64| {
            let mut item: raw::v4l2_querymenu = sys::zeroed();
            item.id = query.id;
            item.index = u32::try_from(value).ok()?;
            self.fd.call(&sys::QUERYMENU, &mut item).ok()?;
            let (name, number) = sys::menu_item(&item);
            let name = if kind == ControlKind::Menu { text(&name) } else { number.to_string() };
            Some(MenuItem { value, name })
        };
        (query.minimum..=query.maximum).take(ITEMS).filter_map(item).collect()
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
        Some(Control {
            id: query.id,
            name: name_of(query),
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

/// The kind of a control that viewers can set. `None`: its value is not a number.
fn kind(of: u32) -> Option<ControlKind> {
    Some(match of {
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER => ControlKind::Integer,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_BOOLEAN => ControlKind::Boolean,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_MENU => ControlKind::Menu,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER_MENU => ControlKind::IntegerMenu,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_BITMASK => ControlKind::Bitmask,
        raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON => ControlKind::Button,
        _ => return None,
    })
}

fn name_of(query: &raw::v4l2_query_ext_ctrl) -> String {
    let bytes: Vec<u8> = query.name.iter().map(|&c| c.to_ne_bytes()[0]).collect();
    name(&text(&bytes))
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

    #[test]
    fn a_control_is_listed_for_viewers_if_its_value_is_a_number() {
        for (of, expected) in [
            (raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_INTEGER, Some(ControlKind::Integer)),
            (raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_BUTTON, Some(ControlKind::Button)),
            (raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_CTRL_CLASS, None),
            (raw::v4l2_ctrl_type_V4L2_CTRL_TYPE_STRING, None),
            (u32::MAX, None),
        ] {
            assert_eq!(kind(of), expected, "{of}");
        }
        // Brightness is for viewers; the bitrate of an encoder is not.
        assert_ne!(raw::V4L2_CID_BRIGHTNESS & CLASS, raw::V4L2_CTRL_CLASS_CODEC);
        assert_eq!(VIDEO_BITRATE & CLASS, raw::V4L2_CTRL_CLASS_CODEC);
    }
}
