//! The tables `[video]`, `[audio]` and `[speaker]`.

use std::{collections::BTreeMap, os::unix::fs::FileTypeExt, path::Path};

use toml::de::DeValue;

use super::{
    Audio, AudioSource, EncoderChoice, FormatChoice, PixelFormat, Speaker, SpeakerOutput, Video, VideoSource,
    secret::absolute,
    section::{Section, integer},
    values::parse_size,
};

/// Reads `[video]`.
pub(super) fn video(section: &mut Section<'_, '_, '_>) -> Video {
    let video = Video {
        source: section.text("source", VideoSource::parse),
        format: section.choice("format", &FormatChoice::WORDS),
        size: section.text("size", parse_size),
        fps: section.number("fps"),
        encoder: section.choice("encoder", &EncoderChoice::WORDS),
        openh264_library: section.optional("openh264_library", absolute),
        bitrate: section.kilobits("bitrate_kbps"),
        floor: section.number("floor_percent"),
        key_interval: section.seconds("key_interval_s"),
        clock: section.flag("clock"),
        linger: section.seconds("linger_s"),
        controls: controls(section),
    };
    if let Some(message) = wrong_kind(&video.source) {
        section.problem("source", message);
    }
    if video.clock && is_coded(&video) {
        section.problem(
            "clock",
            "true is not possible with a source that delivers H.264, which is sent unchanged; \
             choose another format or source",
        );
    }
    video
}

/// The fault of an existing file that can never be a source. Opening such a file might block for ever or do harm. A
/// missing file is no fault, because it may come later. A character device is tested when it is opened.
fn wrong_kind(source: &VideoSource) -> Option<String> {
    match source {
        VideoSource::Camera(path) => {
            let device = std::fs::metadata(path).ok()?.file_type().is_char_device();
            let message =
                "is not a camera: a V4L2 device is possible, such as /dev/video0; `fanlight probe` lists them";
            (!device).then(|| format!("{} {message}", path.display()))
        }
        VideoSource::Clip(path) => not_a_file(path),
        VideoSource::Auto | VideoSource::Test | VideoSource::Off => None,
    }
}

fn not_a_file(path: &Path) -> Option<String> {
    let about = std::fs::metadata(path).ok()?;
    (!about.is_file()).then(|| format!("{} is not a regular file", path.display()))
}

/// Whether the source is known to deliver H.264.
fn is_coded(video: &Video) -> bool {
    match &video.source {
        VideoSource::Auto | VideoSource::Camera(_) => video.format == FormatChoice::Only(PixelFormat::H264),
        VideoSource::Clip(path) => path.extension().is_some_and(|e| e == "h264"),
        VideoSource::Test | VideoSource::Off => false,
    }
}

/// Reads `video.controls`.
fn controls(section: &mut Section<'_, '_, '_>) -> BTreeMap<String, i64> {
    let mut controls = BTreeMap::new();
    let Some((key, value)) = section.take("controls") else { return controls };
    let span = value.span();
    let Some(table) = value.get_ref().as_table().filter(|table| table.len() <= 64) else {
        let shown = section.report.shown(&span);
        section.report.problem(key.path(), &span, format!("{shown} is not possible: {}", key.accepts()));
        return controls;
    };
    for (name, value) in table.iter() {
        let word = name.get_ref().as_ref();
        let named = (1..=64).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if !named {
            let shown = section.report.shown(&name.span());
            section.report.problem(
                key.path(),
                &name.span(),
                format!("{shown} is not the name of a control: a-z 0-9 _ are possible; `fanlight probe` lists them"),
            );
            continue;
        }
        let number = match value.get_ref() {
            DeValue::Boolean(flag) => Some(i64::from(*flag)),
            other => integer(other),
        };
        match number {
            Some(number) => {
                controls.insert(word.to_owned(), number);
            }
            None => {
                let shown = section.report.shown(&value.span());
                section.report.problem(
                    format!("{}.{word}", key.path()),
                    &value.span(),
                    format!("{shown} is not possible: a whole number, true or false"),
                );
            }
        }
    }
    controls
}

/// Reads `[audio]`.
pub(super) fn audio(section: &mut Section<'_, '_, '_>) -> Audio {
    let audio = Audio {
        source: section.text("source", AudioSource::parse),
        channels: section.number("channels"),
        bitrate: section.kilobits("bitrate_kbps"),
        fec: section.flag("fec"),
        linger: section.seconds("linger_s"),
    };
    if let AudioSource::Clip(path) = &audio.source
        && let Some(message) = not_a_file(path)
    {
        section.problem("source", message);
    }
    audio
}

/// Reads `[speaker]`.
pub(super) fn speaker(section: &mut Section<'_, '_, '_>) -> Speaker {
    Speaker { output: section.text("output", SpeakerOutput::parse), linger: section.seconds("linger_s") }
}
