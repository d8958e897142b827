//! Decides what the demo shows: the first usable camera and microphone, else a test picture and a test tone.

use std::path::Path;

use crate::{
    audio, cli,
    config::{self, AudioSource, Config, Surroundings, VideoSource, parse},
    video,
};

/// The demo's configuration, and notes for the user.
#[derive(Debug)]
pub struct DemoPlan {
    /// The configuration; the broker is filled in once it listens.
    pub config: Config,
    /// The sources used, and why others are not: one line each.
    pub notes: Vec<String>,
}

/// The command-line option of each configuration key that the demo sets.
const OPTIONS: [(&str, &str); 6] = [
    ("video.source", "--video"),
    ("video.size", "--size"),
    ("video.fps", "--fps"),
    ("video.bitrate_kbps", "--bitrate-kbps"),
    ("audio.source", "--audio"),
    ("log.filter", "--log"),
];

/// Makes the configuration of the demo. An error names the option, and what is possible.
pub fn plan(requests: &cli::DemoOptions) -> Result<DemoPlan, String> {
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    // The configuration's parser checks the options, so that both have the same limits.
    let text = format!(
        "device = \"demo\"\nname = \"Demo\"\n[broker]\nurl = \"mqtt://127.0.0.1\"\n[access]\nmode = \"broker\"\n\
         the_broker_can_watch = true\n[video]\nsource = {}\nsize = {}\nfps = {}\nbitrate_kbps = {}\n[audio]\nsource = {}\n\
         [webrtc]\nloopback = true\n[limits]\nstarts_per_minute = 60\n[log]\nfilter = {}\n",
        quote(&requests.video),
        quote(&requests.size),
        requests.fps,
        requests.bitrate_kbps,
        quote(&requests.audio),
        quote(&requests.log),
    );
    let loaded = parse(&text, Path::new("demo"), &Surroundings::default())
        .map_err(|e| e.problems.iter().map(|p| error(&p.key, &p.message)).collect::<Vec<_>>().join("\n"))?;
    let mut config = loaded.config;
    let mut notes = Vec::new();
    // A named device must be present. The demo does not wait for it like the service does.
    if !matches!(config.video.source, VideoSource::Auto | VideoSource::Off)
        && let Err(fault) = video::choose(&config.video).source
    {
        return Err(format!("--video {}: {fault}", config.video.source));
    }
    if !matches!(config.audio.source, AudioSource::Auto | AudioSource::Off) {
        let choice = audio::choose(&config.audio);
        if choice.taken.is_none() {
            return Err(format!("--audio {}: {}", config.audio.source, choice.reasons("it cannot be used")));
        }
    }
    if config.video.source == VideoSource::Auto {
        config.video.source = choose_picture(&config.video, &mut notes);
    }
    if config.audio.source == AudioSource::Auto {
        config.audio.source = choose_sound(&config.audio, &mut notes);
    }
    Ok(DemoPlan { config, notes })
}

/// The first usable camera, else the test picture.
fn choose_picture(config: &config::Video, notes: &mut Vec<String>) -> VideoSource {
    let choice = video::choose(config);
    notes.extend(choice.refused.iter().map(|why| format!("not used: {why}")));
    match choice.source {
        Ok(VideoSource::Camera(path)) => {
            notes.push(format!("picture: camera {}", path.display()));
            VideoSource::Camera(path)
        }
        Ok(other) => other,
        Err(fault) => {
            notes.push(format!("picture: a moving test picture, because: {fault}"));
            VideoSource::Test
        }
    }
}

/// The first usable microphone, else the test tone.
fn choose_sound(config: &config::Audio, notes: &mut Vec<String>) -> AudioSource {
    let choice = audio::choose(config);
    let why = choice.reasons("no microphone can be used");
    match choice.taken {
        Some((source, what)) => {
            notes.push(format!("sound: {what}"));
            source
        }
        None => {
            notes.push(format!("sound: a test tone, because: {why}"));
            AudioSource::Tone
        }
    }
}

/// The error of a key, with the option that set it.
fn error(key: &str, message: &str) -> String {
    let option = OPTIONS.iter().find(|(known, _)| *known == key).map_or(key, |(_, option)| option);
    format!("{option}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(video: &str, size: &str) -> cli::DemoOptions {
        cli::DemoOptions {
            video: video.into(),
            audio: "tone".into(),
            size: size.into(),
            fps: 30,
            bitrate_kbps: 2000,
            port: 8080,
            lan: false,
            log: "info".into(),
        }
    }

    #[test]
    fn a_wish_that_is_not_possible_is_answered_with_what_is() {
        for (requests, words) in [
            (requests("test", "wide"), "--size: \"wide\" is not possible"),
            (requests("video7", "640x360"), "--video: \"video7\" is not possible"),
            (requests("/dev/no-such-camera", "640x360"), "--video /dev/no-such-camera: "),
            (requests("clip:/no/such.mjpeg", "640x360"), "--video clip:/no/such.mjpeg: "),
            (
                cli::DemoOptions { audio: "clip:/no/such.wav".into(), ..requests("test", "640x360") },
                "--audio clip:/no/such.wav: ",
            ),
            (cli::DemoOptions { fps: 1000, ..requests("test", "640x360") }, "--fps: 1000 is not possible"),
            (
                cli::DemoOptions { log: "infoo".into(), ..requests("test", "640x360") },
                "--log: \"infoo\" is not possible",
            ),
        ] {
            let error = plan(&requests).unwrap_err();
            assert!(error.starts_with(words), "{error}, expected {words}");
        }
    }

    #[test]
    fn what_is_asked_for_is_taken() {
        let plan = plan(&requests("test", "640x360")).unwrap();
        assert_eq!((plan.config.video.source, plan.config.video.size), (VideoSource::Test, (640, 360)));
        assert!(plan.config.webrtc.loopback && plan.notes.is_empty());
    }
}
