//! The sound devices of this board.

use std::{fs, io};

use alsa::{Ctl, Direction, card, ctl::DeviceIter};

use super::alsa_messages::AlsaMessages;

/// One capture or playback device of one card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    /// The card's id, which stays the same if cards are plugged in in another order.
    pub id: String,
    /// The driver's name of the card.
    pub name: String,
    /// The driver's name of the device.
    pub device_name: String,
    /// The number of the device on the card.
    pub device: u32,
}

impl Card {
    /// The ALSA name of the device itself, which supports only what the hardware can do.
    pub(super) fn hw(&self) -> String {
        format!("hw:CARD={},DEV={}", self.id, self.device)
    }

    /// The ALSA name of the device with conversion of formats and channels.
    pub(super) fn plug(&self) -> String {
        format!("plug{}", self.hw())
    }
}

/// All devices of a direction, in the kernel's order.
pub(super) fn list(direction: Direction) -> alsa::Result<Vec<Card>> {
    let _messages = AlsaMessages::catch();
    let mut found = Vec::new();
    // This iterator returns an error again and again, so an error ends the list.
    for card in card::Iter::new().map_while(Result::ok) {
        let Ok(control) = Ctl::from_card(&card, true) else { continue };
        let info = control.card_info()?;
        for device in DeviceIter::new(&control).filter_map(|n| u32::try_from(n).ok()) {
            let Ok(pcm) = control.pcm_info(device, 0, direction) else { continue };
            found.push(Card {
                id: info.get_id()?.to_owned(),
                name: info.get_name()?.to_owned(),
                device_name: pcm.get_name().unwrap_or_default().to_owned(),
                device,
            });
        }
    }
    Ok(found)
}

/// Whether this user may not open some sound card. alsa-lib then reports that there is none.
pub(super) fn locked() -> bool {
    let Ok(entries) = fs::read_dir("/dev/snd") else { return false };
    entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("control"))
        .any(|e| fs::File::open(e.path()).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied))
}
