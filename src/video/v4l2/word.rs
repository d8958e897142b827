//! Checks values that a driver reports. Pure: numbers in, a decision out.

use v4l::v4l_sys as raw;

use super::{Colour, Given};

/// The entries of a driver's list: up to its end, and at most `most`, in case it never ends.
pub(crate) fn listed<T>(most: u32, next: impl FnMut(u32) -> Option<T>) -> impl Iterator<Item = T> {
    (0..most).map_while(next)
}

/// The begin and end of the data in a memory plane of `length` bytes. `bytesused` includes the bytes that `data_offset`
/// skips.
pub(crate) fn extent(data_offset: u32, bytesused: u32, length: usize) -> Result<(usize, usize), String> {
    let (from, to) = (data_offset as usize, bytesused as usize);
    if to > length {
        return Err(format!("the driver reports {to} bytes in a buffer of {length}"));
    }
    // Some drivers leave `bytesused` at 0 for a broken frame. It is then empty, which is plausible.
    if from > to && to > 0 {
        return Err(format!("the driver reports that the picture begins at byte {from} of {to}"));
    }
    Ok((from.min(to), to))
}

/// Which buffers the driver has.
#[derive(Debug, Default)]
pub(crate) struct QueuedBuffers(Vec<bool>);

impl QueuedBuffers {
    /// `count` buffers, none of them queued.
    pub(crate) fn new(count: usize) -> Self {
        Self(vec![false; count])
    }

    /// A buffer was queued.
    pub(crate) fn give(&mut self, index: u32) {
        if let Some(queued) = self.0.get_mut(index as usize) {
            *queued = true;
        }
    }

    /// A buffer was dequeued. The kernel checks its index, but a wrong one must not end the process.
    pub(crate) fn take(&mut self, index: u32) -> Result<(), String> {
        match self.0.get_mut(index as usize).map(std::mem::take) {
            Some(true) => Ok(()),
            Some(false) => Err(format!("the driver returned buffer {index} twice")),
            None => Err(format!("the driver returned buffer {index}, which it does not have")),
        }
    }
}

/// How a format differs from the one that was set, as a sentence.
pub(crate) fn changed(settled: &Given, now: &Given) -> Option<String> {
    let shown = |given: &Given| {
        let (width, height) = given.size;
        let rows: Vec<String> = given.strides.iter().map(usize::to_string).collect();
        format!("{width}x{height} {} in rows of {} bytes", given.fourcc, rows.join(" and "))
    };
    let key = |given: &Given| (given.fourcc, given.size, given.strides.clone());
    (key(settled) != key(now)).then(|| format!("set {}: the device has {} now", shown(settled), shown(now)))
}

/// The colour space of samples, by the kernel's defaults (`V4L2_MAP_YCBCR_ENC_DEFAULT`,
/// `V4L2_MAP_QUANTIZATION_DEFAULT`).
pub(crate) fn colour(space: u32, encoding: u32, quantization: u32) -> Colour {
    let hd_space =
        matches!(space, raw::v4l2_colorspace_V4L2_COLORSPACE_REC709 | raw::v4l2_colorspace_V4L2_COLORSPACE_DCI_P3);
    Colour {
        bt709: match encoding {
            raw::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_DEFAULT => hd_space,
            other => other == raw::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_709,
        },
        full_range: match quantization {
            raw::v4l2_quantization_V4L2_QUANTIZATION_DEFAULT => space == raw::v4l2_colorspace_V4L2_COLORSPACE_JPEG,
            other => other == raw::v4l2_quantization_V4L2_QUANTIZATION_FULL_RANGE,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video::capture::modes::FourCc;

    #[test]
    fn a_list_without_an_end_has_one() {
        for (most, ends_at, expected) in [(256, u32::MAX, 256), (64, u32::MAX, 64), (64, 3, 3), (64, 0, 0)] {
            assert_eq!(listed(most, |index| (index < ends_at).then_some(index)).count(), expected);
        }
        // It is not asked again after the end.
        let mut asked = 0;
        let count = listed(256, |_| {
            asked += 1;
            (asked < 3).then_some(())
        })
        .count();
        assert_eq!((count, asked), (2, 3));
    }

    #[test]
    fn a_picture_lies_within_its_buffer() {
        for (offset, used, length, expected) in [
            (0, 100, 100, Ok((0, 100))),
            (0, 0, 100, Ok((0, 0))),
            (16, 100, 100, Ok((16, 100))),
            (100, 100, 100, Ok((100, 100))),
            (16, 0, 100, Ok((0, 0))),
            (0, 101, 100, Err("101 bytes in a buffer of 100")),
            (0, u32::MAX, 100, Err("4294967295 bytes")),
            (17, 16, 100, Err("begins at byte 17 of 16")),
            (u32::MAX, 16, 100, Err("begins at byte 4294967295")),
            (0, 1, 0, Err("1 bytes in a buffer of 0")),
        ] {
            match (extent(offset, used, length), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(part)) => assert!(found.contains(part), "{found}"),
                (found, _) => panic!("{offset} {used} {length}: {found:?}"),
            }
        }
    }

    #[test]
    fn a_buffer_comes_back_once_for_each_time_it_was_given() {
        let mut queued = QueuedBuffers::new(3);
        assert!(queued.take(0).is_err(), "it was never given");
        (0..3).for_each(|index| queued.give(index));
        assert_eq!(queued.take(1), Ok(()));
        assert_eq!(queued.take(1), Err("the driver returned buffer 1 twice".into()));
        queued.give(1);
        assert_eq!(queued.take(1), Ok(()));
        for index in [3, u32::MAX] {
            queued.give(index);
            assert_eq!(queued.take(index), Err(format!("the driver returned buffer {index}, which it does not have")));
        }
    }

    #[test]
    fn a_format_that_is_another_after_it_was_set_is_told() {
        let settled = Given {
            fourcc: FourCc::NV12,
            size: (640, 480),
            strides: vec![640, 640],
            lengths: vec![307_200, 153_600],
            colour: Colour::default(),
            interlaced: false,
        };
        assert_eq!(
            changed(&settled, &Given { lengths: vec![0], ..settled.clone() }),
            None,
            "the driver reports the length of data in each buffer"
        );
        for (now, part) in [
            (Given { size: (1280, 720), ..settled.clone() }, "the device has 1280x720 NV12"),
            (Given { strides: vec![704, 704], ..settled.clone() }, "in rows of 704 and 704 bytes now"),
            (Given { strides: vec![], ..settled.clone() }, "rows of  bytes now"),
            (Given { fourcc: FourCc(0), ..settled.clone() }, "now"),
        ] {
            let told = changed(&settled, &now).unwrap();
            assert!(
                told.starts_with("set 640x480 NV12 in rows of 640 and 640 bytes: ") && told.contains(part),
                "{told}"
            );
        }
    }

    #[test]
    fn colours_follow_the_kernels_defaults() {
        let jpeg = raw::v4l2_colorspace_V4L2_COLORSPACE_JPEG;
        assert_eq!(colour(jpeg, 0, 0), Colour::JPEG);
        assert_eq!(colour(raw::v4l2_colorspace_V4L2_COLORSPACE_REC709, 0, 0), Colour::HD);
        assert_eq!(colour(raw::v4l2_colorspace_V4L2_COLORSPACE_SRGB, 0, 0), Colour::default());
        assert_eq!(colour(raw::v4l2_colorspace_V4L2_COLORSPACE_SRGB, 2, 1), Colour { bt709: true, full_range: true });
        assert_eq!(colour(jpeg, 0, 2), Colour::default());
    }
}
