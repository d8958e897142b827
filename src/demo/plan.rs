//! What the demo shows: the first camera and microphone that can be used, else a test picture and a tone.

use std::path::Path;

use crate::{
    audio, cli,
    config::{AudioSource, Config, Surroundings, VideoSource, parse},
    video,
};

/// The demo's configuration, and what a person is told about it.
#[derive(Debug)]
pub struct Plan {
    /// The configuration; the broker is filled in once it listens.
    pub config: Config,
    /// What was taken, and why not the others: a line each.
    pub notes: Vec<String>,
}

/// The options behind the keys that the demo's configuration is made of.
const OPTIONS: [(&str, &str); 6] = [
    ("video.source", "--video"),
    ("video.size", "--size"),
    ("video.fps", "--fps"),
    ("video.bitrate_kbps", "--bitrate-kbps"),
    ("audio.source", "--audio"),
    ("log.filter", "--log"),
];

/// Plans the demo. An error names the option that is not possible, and says what is.
pub fn plan(requests: &cli::Demo) -> Result<Plan, String> {
    let quote = |text: &str| toml::Value::String(text.to_owned()).to_string();
    // The config's own parser judges the wishes, so that flags and file agree on what is possible.
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
        .map_err(|e| e.problems.iter().map(|p| told(&p.key, &p.message)).collect::<Vec<_>>().join("\n"))?;
    let mut config = loaded.config;
    let mut notes = Vec::new();
    // What was named has to be there: nobody waits for it as a service does.
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
        let choice = video::choose(&config.video);
        notes.extend(choice.refused.iter().map(|why| format!("not taken: {why}")));
        config.video.source = match choice.source {
            Ok(VideoSource::Camera(path)) => {
                notes.push(format!("picture: camera {}", path.display()));
                VideoSource::Camera(path)
            }
            Ok(other) => other,
            Err(fault) => {
                notes.push(format!("picture: a moving test picture, because: {fault}"));
                VideoSource::Test
            }
        };
    }
    if config.audio.source == AudioSource::Auto {
        let choice = audio::choose(&config.audio);
        let why = choice.reasons("no microphone can be used");
        config.audio.source = match choice.taken {
            Some((source, what)) => {
                notes.push(format!("sound: {what}"));
                source
            }
            None => {
                notes.push(format!("sound: a test tone, because: {why}"));
                AudioSource::Tone
            }
        };
    }
    Ok(Plan { config, notes })
}

/// A fault of a key, told of the option that gave it.
fn told(key: &str, message: &str) -> String {
    let option = OPTIONS.iter().find(|(known, _)| *known == key).map_or(key, |(_, option)| option);
    format!("{option}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(video: &str, size: &str) -> cli::Demo {
        cli::Demo {
            video: video.into(),
            audio: "tone".into(),
            size: size.into(),
            fps: 30,
            bitrate_kbps: 2000,
            port: 8080,
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
                cli::Demo { audio: "clip:/no/such.wav".into(), ..requests("test", "640x360") },
                "--audio clip:/no/such.wav: ",
            ),
            (cli::Demo { fps: 1000, ..requests("test", "640x360") }, "--fps: 1000 is not possible"),
            (cli::Demo { log: "infoo".into(), ..requests("test", "640x360") }, "--log: \"infoo\" is not possible"),
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
