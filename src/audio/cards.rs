//! The capture devices of this board.

use std::{fs, io};

use alsa::{Ctl, Direction, card, ctl::DeviceIter};

use super::alsa_messages::AlsaMessages;

/// One capture device of one card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Card {
    /// The card's id, which stays the same when cards are plugged in another order.
    pub id: String,
    /// What its driver calls the card.
    pub name: String,
    /// What its driver calls the device.
    pub device_name: String,
    /// The number of the device on the card.
    pub device: u32,
}

impl Card {
    /// The device itself, which takes only what the hardware can.
    pub(super) fn hw(&self) -> String {
        format!("hw:CARD={},DEV={}", self.id, self.device)
    }

    /// The device through ALSA's converter of formats and channels.
    pub(super) fn plug(&self) -> String {
        format!("plug{}", self.hw())
    }
}

/// All capture devices, in the kernel's order.
pub(super) fn list() -> alsa::Result<Vec<Card>> {
    let _said = AlsaMessages::catch();
    let mut found = Vec::new();
    // An error is told again and again by this iterator: it ends the list.
    for card in card::Iter::new().map_while(Result::ok) {
        let Ok(control) = Ctl::from_card(&card, true) else { continue };
        let info = control.card_info()?;
        for device in DeviceIter::new(&control).filter_map(|n| u32::try_from(n).ok()) {
            let Ok(pcm) = control.pcm_info(device, 0, Direction::Capture) else { continue };
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

/// Whether there are sound cards that this user may not open: alsa-lib then says that there are none.
pub(super) fn locked() -> bool {
    let Ok(entries) = fs::read_dir("/dev/snd") else { return false };
    entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("control"))
        .any(|e| fs::File::open(e.path()).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied))
}
