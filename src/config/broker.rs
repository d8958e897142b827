//! The table `[broker]`.

use super::{
    Broker, Login, MqttTransport, MqttVersion, Secret, Surroundings,
    secret::{PASSWORD, absolute, private_key, secret},
    section::Section,
    url::{BrokerUrl, parse_url},
    values::{is_topic_root, one_line},
};

/// Reads `[broker]`.
pub(super) fn read(section: &mut Section<'_, '_, '_>, around: &Surroundings) -> Broker {
    // A wrong URL is reported once. This placeholder causes no further problems.
    let unknown = || BrokerUrl { transport: MqttTransport::Tls, host: String::new(), port: 0, path: String::new() };
    let BrokerUrl { transport, host, port, path } = section.unshown("url", parse_url).unwrap_or_else(unknown);
    let version = section.choice("version", &MqttVersion::WORDS);
    let login = login(section, around);
    let ca_file = section.optional("ca_file", absolute);
    let certificate = section.optional("certificate_file", absolute);
    let key = section.optional("key_file", absolute);
    for (one, other) in [("certificate_file", "key_file"), ("key_file", "certificate_file")] {
        if section.has(one) && !section.has(other) {
            let why = "a client certificate and its key work only together";
            section.problem(one, format!("needs {other}: {why}"));
        }
    }
    if let Some(key) = &key {
        private_key(section, "key_file", key);
    }
    let broker = Broker {
        transport,
        host,
        port,
        path,
        version,
        login,
        ca_file,
        client_certificate: certificate.zip(key),
        alpn: section.texts("alpn", 8, |name| ((1..=255).contains(&name.len())).then(|| name.to_owned())),
        root: section.text("root", |text| is_topic_root(text).then(|| text.to_owned())),
        keep_alive: section.seconds("keep_alive_s"),
    };
    if !broker.transport.is_tls() {
        for name in ["ca_file", "certificate_file", "key_file", "alpn"] {
            if section.has(name) && (name != "alpn" || !broker.alpn.is_empty()) {
                section.problem(name, "needs TLS: use mqtts:// or wss:// in broker.url");
            }
        }
    }
    broker
}

/// Reads a user and its password.
pub(super) fn login(section: &mut Section<'_, '_, '_>, around: &Surroundings) -> Option<Login> {
    let user = section.optional("user", |text| one_line(text, 256).then(|| text.to_owned()));
    let password = secret(section, PASSWORD, around);
    for name in ["password_file", "password_credential"] {
        if section.has(name) && !section.has("user") {
            section.problem(name, "needs user: a password belongs to a user");
        }
    }
    user.map(|user| Login { user, password: password.unwrap_or_else(|| Secret::new("")) })
}
