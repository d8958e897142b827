//! What the buttons of the board do: the doorbell rings, the other one stops camera and microphone for everybody.
//!
//! All of this is called by the button's own thread, and waits for nothing.

use tracing::{info, warn};

use crate::{
    audit::{AuditLog, AuditRecord},
    broker::Outbox,
    clock,
    config::{AccessMode, Button, ButtonInput, Config},
    gpio::{
        ButtonWiring, WatchedButton,
        button::{ButtonEvent, ButtonTerms},
    },
    privacy::{PrivacyFault, PrivacyHandle, PrivacyRequest, PrivacySource},
    protocol::doorbell,
};

const DOORBELL: &str = "button.doorbell";
const PRIVACY: &str = "button.privacy";

/// Starts the threads of the configured buttons. They end when the result is dropped.
pub(super) fn start(config: &Config, audit: &AuditLog, outbox: &Outbox, privacy: &PrivacyHandle) -> Vec<WatchedButton> {
    let button = &config.button;
    // In the other modes, messages are sealed: a ring goes to viewers with the right `events`, as audit records do.
    let outbox = (config.access.mode == AccessMode::Broker).then(|| outbox.clone());
    let (audit, privacy, lifts) = (audit.clone(), privacy.clone(), button.privacy_lifts);
    let bell = watch(DOORBELL, &button.doorbell, button, move |event| ring(event, &audit, outbox.as_ref()));
    let switch = watch(PRIVACY, &button.privacy, button, move |event| press(event, &privacy, lifts));
    bell.into_iter().chain(switch).collect()
}

fn watch(
    key: &'static str,
    input: &ButtonInput,
    button: &Button,
    on: impl FnMut(ButtonEvent) + Send + 'static,
) -> Option<WatchedButton> {
    let line = input.line()?.clone();
    let wiring = ButtonWiring { key, line, bias: button.bias, terms: ButtonTerms::new(button) };
    WatchedButton::start(wiring, on).map_err(|e| warn!("{key}: start a thread for it: {e}")).ok()
}

/// The doorbell.
fn ring(event: ButtonEvent, audit: &AuditLog, outbox: Option<&Outbox>) {
    match event {
        ButtonEvent::Ring(at) => {
            audit.record(AuditRecord::doorbell());
            let at = clock::is_synced().then(|| at.wall().as_secs());
            if outbox.is_some_and(|outbox| !outbox.publish_event(doorbell(at))) {
                warn!("{DOORBELL}: a ring was not published: too many messages wait for the broker");
            }
        }
        // The button counts it.
        ButtonEvent::TooSoon => {}
        ButtonEvent::Stuck => stuck(DOORBELL),
    }
}

/// The button of the privacy switch. A press that comes too soon after another one can set the switch, and not lift it.
fn press(event: ButtonEvent, privacy: &PrivacyHandle, lifts: bool) {
    let now = clock::Mono::now();
    let request = match event {
        ButtonEvent::Ring(_) if privacy.state(now).is_on => PrivacyRequest::Lift { change: None },
        ButtonEvent::Ring(_) | ButtonEvent::TooSoon => PrivacyRequest::Set,
        ButtonEvent::Stuck => return stuck(PRIVACY),
    };
    match privacy.ask(&request, PrivacySource::Button, None, lifts, now) {
        // The devices log a change.
        Ok(_) => {}
        Err(PrivacyFault::NotAllowed) => {
            info!("{PRIVACY}: it does not lift the privacy switch, because button.privacy_lifts is false");
        }
        Err(PrivacyFault::TooSoon(pause)) => {
            let seconds = pause.as_secs() + 1;
            info!("{PRIVACY}: the privacy switch was lifted a moment ago; it can be lifted again in {seconds} s");
        }
        Err(PrivacyFault::Changed(_)) => info!("{PRIVACY}: somebody else used the privacy switch at the same time"),
    }
}

fn stuck(key: &str) {
    warn!("{key}: held for 30 s: the button hangs, or button.polarity or button.bias is wrong");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{clock::Mono, privacy::BoardPrivacy};

    #[test]
    fn the_privacy_button_sets_the_switch_and_lifts_it_only_if_it_may() {
        use ButtonEvent::{Ring, Stuck, TooSoon};
        for (lifts, events, expected) in [
            (false, &[Ring(Mono(1))][..], true),
            (false, &[Ring(Mono(1)), Ring(Mono(2))], true),
            (true, &[Ring(Mono(1)), Ring(Mono(2))], false),
            (true, &[Ring(Mono(1)), TooSoon], true),
            (true, &[TooSoon], true),
            (true, &[Stuck], false),
            // The third press sets it again at once; lifts have a pause of their own.
            (true, &[Ring(Mono(1)), Ring(Mono(2)), Ring(Mono(3)), Ring(Mono(4))], true),
        ] {
            let (switch, _news) = PrivacyHandle::new(BoardPrivacy::restore(None));
            events.iter().for_each(|event| press(*event, &switch, lifts));
            assert_eq!(switch.state(Mono::now()).is_on, expected, "{lifts} {events:?}");
        }
    }

    #[test]
    fn each_ring_is_one_audit_record() {
        let (audit, mut news) = AuditLog::kept();
        for event in [ButtonEvent::Ring(Mono::now()), ButtonEvent::TooSoon, ButtonEvent::Stuck] {
            ring(event, &audit, None);
        }
        assert_eq!(audit.taken(), [AuditRecord::doorbell()]);
        assert_eq!(news.try_recv().map(|event| event.kind), Ok("doorbell"));
        assert!(news.try_recv().is_err());
    }
}
