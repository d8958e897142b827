//! The values of a hardware encoder's controls. Pure.

use crate::{
    config::Video,
    units::Bitrate,
    video::v4l2::{Control, REPEAT_SEQ_HEADER, VIDEO_BITRATE, codec},
};

/// A control and its wanted values; the first that the driver accepts is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The control's id (`V4L2_CID_…`).
    pub(crate) id: u32,
    /// Values, the best first.
    pub(crate) values: Vec<i64>,
}

/// The settings before the start, for the controls that an encoder has. Values are moved into the range that the driver
/// reports.
pub(crate) fn plan(controls: &[Control], bitrate: Bitrate, level: u8, config: &Video) -> Vec<Setting> {
    // Keyframes are forced when needed. If that fails, one follows after twice the interval. The period is never 1, at
    // which bcm2835-codec hangs.
    let period = 2 * config.key_interval.as_secs() * u64::from(config.fps);
    let period = i64::try_from(period).unwrap_or(i64::MAX).max(2);
    let [constrained, baseline] = [codec::CONSTRAINED, codec::BASELINE].map(i64::from);
    let requests = [
        (codec::RATE_CONTROL, vec![1]),
        (codec::BITRATE_MODE, vec![codec::CONSTANT.into()]),
        (VIDEO_BITRATE, vec![bitrate.as_bps().into()]),
        (codec::PROFILE, vec![constrained, baseline]),
        (codec::LEVEL, vec![menu_level(level)]),
        (codec::ENTROPY, vec![0]),
        (codec::TRANSFORM_8X8, vec![0]),
        (codec::B_FRAMES, vec![0]),
        (codec::SLICES, vec![0]),
        (codec::GROUP, vec![period]),
        (codec::I_PERIOD, vec![period]),
        (codec::HEADER_MODE, vec![codec::JOINED.into()]),
        // Set before the start: bcm2835-codec accepts it only then.
        (REPEAT_SEQ_HEADER, vec![1]),
    ];
    let settings = requests.into_iter().filter_map(|(id, values)| {
        let control = controls.iter().find(|control| control.id == id)?;
        let values = values.into_iter().map(|value| within(control, value)).collect();
        Some(Setting { id, values })
    });
    settings.collect()
}

/// The nearest value that a control accepts; between two, the lower one.
pub(crate) fn within(control: &Control, value: i64) -> i64 {
    let step = i64::try_from(control.step).unwrap_or(1).max(1);
    let value = value.clamp(control.min, control.max.max(control.min));
    control.min + (value - control.min) / step * step
}

/// The index of a level in V4L2's menu: 1.0, 1b, 1.1, 1.2, 1.3, 2.0, …
fn menu_level(idc: u8) -> i64 {
    let levels = [10, 9, 11, 12, 13, 20, 21, 22, 30, 31, 32, 40, 41, 42, 50, 51, 52];
    let place = levels.iter().position(|level| *level == idc).unwrap_or(levels.len() - 1);
    i64::from(codec::LEVEL_1_0) + place as i64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn control(id: u32, min: i64, max: i64, step: u64) -> Control {
        Control { id, name: String::new(), min, max, step, default: 0, value: None }
    }

    /// The controls of bcm2835-codec.
    fn raspberry_pi() -> Vec<Control> {
        vec![
            control(codec::BITRATE_MODE, 0, 1, 1),
            control(VIDEO_BITRATE, 25_000, 25_000_000, 25_000),
            control(codec::HEADER_MODE, 0, 1, 1),
            control(REPEAT_SEQ_HEADER, 0, 1, 1),
            control(codec::I_PERIOD, 0, 0x7FFF_FFFF, 1),
            control(codec::LEVEL, 0, 13, 1),
            control(codec::PROFILE, 0, 4, 1),
        ]
    }

    #[test]
    fn a_raspberry_pis_encoder_is_set_up_for_browsers() {
        let config = Video { fps: 30, key_interval: Duration::from_secs(10), ..Video::default() };
        let plan = plan(&raspberry_pi(), Bitrate::from_kbps(1_990), 31, &config);
        let of = |id| plan.iter().find(|setting| setting.id == id).map(|setting| setting.values.clone());
        for (id, expected) in [
            (codec::BITRATE_MODE, Some(vec![1])),
            (VIDEO_BITRATE, Some(vec![1_975_000])),
            (codec::HEADER_MODE, Some(vec![1])),
            (REPEAT_SEQ_HEADER, Some(vec![1])),
            (codec::I_PERIOD, Some(vec![600])),
            (codec::LEVEL, Some(vec![9])),
            (codec::PROFILE, Some(vec![1, 0])),
            // Controls that an encoder lacks are not set.
            (codec::GROUP, None),
            (codec::B_FRAMES, None),
        ] {
            assert_eq!(of(id), expected, "{id:#x}");
        }
    }

    #[test]
    fn levels_and_periods_stay_within_what_a_driver_takes() {
        let config = Video { fps: 1, key_interval: Duration::from_secs(1), ..Video::default() };
        let controls = [control(codec::LEVEL, 0, 13, 1), control(codec::GROUP, 0, 120, 1)];
        let values = |level, config: &Video| {
            plan(&controls, Bitrate::from_kbps(1_000), level, config)
                .into_iter()
                .map(|setting| setting.values[0])
                .collect::<Vec<_>>()
        };
        assert_eq!(values(52, &config), [13, 2], "the highest level it has; never each picture a keyframe");
        assert_eq!(values(10, &Video { key_interval: Duration::from_secs(600), ..config }), [0, 120]);
    }

    #[test]
    fn values_are_moved_into_the_range_of_a_control() {
        let bitrate = control(VIDEO_BITRATE, 25_000, 25_000_000, 25_000);
        for (wish, expected) in
            [(0, 25_000), (49_999, 25_000), (50_000, 50_000), (60_000_000, 25_000_000), (i64::MIN, 25_000)]
        {
            assert_eq!(within(&bitrate, wish), expected, "{wish}");
        }
        assert_eq!(within(&control(1, 5, 1, 0), 9), 5, "a driver without sense");
    }
}
