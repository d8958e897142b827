//! Whether a description fits what was agreed on: the device's before it is sent, and the viewer's in a restart. Pure.

use crate::protocol::sdp::{
    Description, DtlsSetup,
    write::{Purpose, SessionLayout},
};

/// Whether a description of the device says what it should.
pub(super) fn fits(own: &Description, layout: &SessionLayout, setup: DtlsSetup) -> Result<(), String> {
    same_lines(layout, own, "description")?;
    let mut used = Vec::new();
    for (at, (line, slot)) in own.lines.iter().zip(&layout.slots).enumerate() {
        if slot.purpose == Purpose::Refuse {
            if line.port != 0 {
                return Err(format!("m-line {at} is not refused"));
            }
            continue;
        }
        used.push(at);
        if slot.purpose == Purpose::Channel {
            if !line.has_channels() || line.setup != Some(setup) {
                return Err(format!("m-line {at} is not one of data channels, or has the setup {:?}", line.setup));
            }
            continue;
        }
        if line.is_refused() || line.direction.receives() != slot.receives {
            return Err(format!("m-line {at} has port {} and the direction {:?}", line.port, line.direction));
        }
        if line.setup != Some(setup) {
            return Err(format!("m-line {at} has the setup {:?}", line.setup));
        }
        if !line.rtcp_mux || line.codecs.is_empty() {
            return Err(format!("m-line {at} has no a=rtcp-mux or no codec"));
        }
        // An answer has no codec that was not offered.
        let own_offer = matches!(slot.purpose, Purpose::Send(_)) && setup == DtlsSetup::ActPass;
        if !own_offer && line.formats.iter().any(|format| !slot.formats.contains(format)) {
            return Err(format!("m-line {at} has a format that was not offered"));
        }
        if matches!(slot.purpose, Purpose::Send(_)) && line.choice().is_none() {
            return Err(format!("m-line {at} has no codec of this device"));
        }
    }
    if used.len() > 1 && !own.is_bundled(&used) || used.is_empty() {
        return Err("its m-lines are not in one BUNDLE group".into());
    }
    own.transport(layout.tagged).map(drop).map_err(|refusal| refusal.message)
}

/// Whether a description has the m-lines of the session: the same number, kinds, mids and order.
pub(super) fn same_lines(layout: &SessionLayout, description: &Description, which: &str) -> Result<(), String> {
    let (has, wants) = (description.lines.len(), layout.slots.len());
    if has != wants {
        return Err(format!("the {which} has {has} m-lines where the session has {wants}"));
    }
    for (at, (line, slot)) in description.lines.iter().zip(&layout.slots).enumerate() {
        if line.kind != slot.kind || line.media != slot.media {
            return Err(format!("m-line {at} of the {which} is {} where it was {}", line.media, slot.media));
        }
        // A refused m-line may have no mid, and without BUNDLE none is needed.
        if line.mid.is_some() && slot.mid.is_some() && line.mid != slot.mid {
            return Err(format!("m-line {at} of the {which} has another mid than before"));
        }
    }
    Ok(())
}
