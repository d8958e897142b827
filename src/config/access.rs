//! The table `[access]`.

use super::{
    Access, AccessMode, Broker, ConfiguredViewer,
    pairing_urls::{broker_url, page_url},
    section::Section,
    values::is_loopback,
};

/// The most viewers that the configuration may name. More belong in the list of the state folder.
const VIEWERS: usize = 64;

/// Reads `[access]`. What it allows depends on the broker's URL.
pub(super) fn read(section: &mut Section<'_, '_, '_>, broker: &Broker) -> Access {
    let mode = section.optional_choice("mode", &AccessMode::WORDS);
    let accepts_broker = section.optional_flag("the_broker_can_watch");
    let access = Access {
        // A mode that is missing or wrong is reported. This one causes no further problems.
        mode: mode.unwrap_or(AccessMode::Keys),
        viewers: section.texts("viewers", VIEWERS, ConfiguredViewer::parse),
        page: section.optional("page", |text| page_url(text).is_ok().then(|| text.to_owned())),
        viewer_broker: section.optional("viewer_broker", |text| broker_url(text).is_ok().then(|| text.to_owned())),
    };
    match mode {
        Some(AccessMode::Broker) => by_broker(section, broker, accepts_broker, &access),
        Some(AccessMode::Keys) => by_keys(section, &access),
        None => {}
    }
    access
}

fn by_broker(section: &mut Section<'_, '_, '_>, broker: &Broker, accepted: Option<bool>, access: &Access) {
    match accepted {
        Some(true) => {}
        Some(false) => section.problem(
            "the_broker_can_watch",
            "false is not possible with mode = \"broker\": whoever controls the broker can watch; true accepts this",
        ),
        None if section.has("the_broker_can_watch") => {}
        None => section.missing("the_broker_can_watch"),
    }
    for name in ["viewers", "page", "viewer_broker"] {
        if section.has(name) && (name != "viewers" || !access.viewers.is_empty()) {
            section.problem(name, "needs mode = \"keys\": in the mode \"broker\", the broker decides who may watch");
        }
    }
    if !broker.transport.is_tls() && is_loopback(&broker.host) && broker.login.is_none() {
        section.warning(
            "mode",
            "no broker.user is set: if this broker accepts clients without a login, every program on this board can \
             watch; give the broker users and passwords, and set user and password_file, or use mode = \"keys\"",
        );
    }
    if !broker.host.is_empty() && !broker.transport.is_tls() && !is_loopback(&broker.host) {
        section.problem(
            "mode",
            "\"broker\" needs a link that nobody can eavesdrop on: mqtts:// or wss:// in broker.url, \
             or a broker on this board (mqtt://127.0.0.1)",
        );
    }
}

fn by_keys(section: &mut Section<'_, '_, '_>, access: &Access) {
    if section.has("the_broker_can_watch") {
        section
            .problem("the_broker_can_watch", "needs mode = \"broker\": in the mode \"keys\" the broker cannot watch");
    }
    let mut seen = Vec::new();
    for viewer in &access.viewers {
        if seen.contains(&viewer.key) {
            section.problem("viewers", format!("the key of {:?} is there twice", viewer.name));
        }
        seen.push(viewer.key);
    }
}
