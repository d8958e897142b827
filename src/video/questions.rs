//! Answers what commands ask of a source: its newest picture, and its controls.

use std::{sync::Arc, time::Duration};

use openh264::formats::YUVSource;

use crate::{
    clock::Mono,
    feed::{CameraRefusal, CameraRequests, TakenPicture},
    picture::{RawPicture, SampleColours},
    video::{decode::planes::Planes, sources::Source},
};

/// How long a camera that was just opened sends pictures before one of them is given: its exposure has to settle.
const SETTLING: Duration = Duration::from_millis(500);

/// What is known of a source for the answers.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// When its first raw frame was captured.
    first: Option<Mono>,
}

impl Questions {
    /// A raw frame was captured.
    pub(crate) fn saw_frame(&mut self, at: Mono) {
        self.first.get_or_insert(at);
    }

    /// Whether the next raw frame is for somebody who asked. It must be unpacked then.
    pub(crate) fn is_picture_due(&self, requests: &CameraRequests, now: Mono) -> bool {
        self.first.is_some_and(|first| now.since(first) >= SETTLING) && requests.wants_picture()
    }

    /// Answers what does not need a frame.
    pub(crate) fn answer(&self, requests: &CameraRequests, source: &Source) {
        if source.is_coded() && requests.wants_picture() {
            let why = format!("{source}: it sends H.264 itself, and this board does not decode it");
            for answer in requests.take_pictures() {
                // Whoever asked may have gone, here and below.
                let _ = answer.send(Err(CameraRefusal::Unsupported(why.clone())));
            }
        }
        requests.take_controls().into_iter().for_each(|question| source.answer(question));
    }

    /// Gives the frame to those who asked for one.
    pub(crate) fn give(&mut self, requests: &CameraRequests, planes: &Planes, at: Mono) {
        self.saw_frame(at);
        if !self.is_picture_due(requests, at) {
            return;
        }
        let samples = SampleColours { bt709: planes.colour.bt709, full_range: planes.colour.full_range };
        let picture = RawPicture::new(planes.size(), samples, [planes.y(), planes.u(), planes.v()]).map(Arc::new);
        for answer in requests.take_pictures() {
            let taken = picture.clone().map(|picture| TakenPicture { picture, at });
            let failed = || CameraRefusal::Failed("the picture has another size than it says".to_owned());
            let _ = answer.send(taken.ok_or_else(failed));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Video, VideoSource},
        video::decode::planes::Colour,
    };

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    #[test]
    fn a_picture_is_given_once_the_exposure_has_settled() {
        let (requests, mut questions) = (CameraRequests::default(), Questions::default());
        let planes = Planes::new((64, 32), Colour::HD).unwrap();
        let mut asked = requests.ask_picture().unwrap();
        for (at, given) in [(1_000, false), (1_033, false), (1_499, false), (1_500, true)] {
            questions.give(&requests, &planes, ms(at));
            assert_eq!(asked.try_recv().is_ok(), given, "{at} ms");
        }
        let [mut first, mut second] = [requests.ask_picture().unwrap(), requests.ask_picture().unwrap()];
        assert!(questions.is_picture_due(&requests, ms(1_510)));
        questions.give(&requests, &planes, ms(1_533));
        let [first, second] = [first.try_recv().unwrap().unwrap(), second.try_recv().unwrap().unwrap()];
        assert!(Arc::ptr_eq(&first.picture, &second.picture) && first.at == ms(1_533));
        assert!(!questions.is_picture_due(&requests, ms(1_540)), "nobody waits");
    }

    #[test]
    fn questions_about_controls_need_no_frame() {
        let config = Video { source: VideoSource::Test, ..Video::default() };
        let (requests, source) = (CameraRequests::default(), Source::open(&config, true).unwrap());
        let mut controls = requests.ask_controls().unwrap();
        let mut picture = requests.ask_picture().unwrap();
        Questions::default().answer(&requests, &source);
        assert_eq!(controls.try_recv().unwrap(), Ok(Vec::new()));
        assert!(picture.try_recv().is_err(), "that needs a frame");
    }
}
