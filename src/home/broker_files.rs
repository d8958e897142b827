//! The files of the broker of home mode: mosquitto's configuration and its access list; and what avahi announces. Pure.

use std::path::Path;

use super::settings::{BOARD_LOGIN, HomeSettings};

/// Where systemd puts the secrets of the broker's unit (`LoadCredential=` in systemd.exec(5)).
pub const CREDENTIALS: &str = "/run/credentials/fanlight-broker.service";

/// mosquitto's configuration. `secrets` is the folder with `logins` and `acl`.
pub fn broker_config(settings: &HomeSettings, secrets: &Path) -> String {
    let secrets = secrets.display();
    format!(
        "# Written by `fanlight setup --home` for fanlight-broker.service. Nothing of /etc/mosquitto is used.\n\
         # On loopback only: browsers come through the HTTPS server of fanlight-home.service.\n\
         listener {} 127.0.0.1\n\
         allow_anonymous true\n\
         password_file {secrets}/logins\n\
         acl_file {secrets}/acl\n\
         persistence false\n\
         persistent_client_expiration 1d\n\
         # Every message of the protocol is smaller.\n\
         max_packet_size 65536\n\
         max_connections 128\n\
         max_queued_messages 256\n\
         max_queued_bytes 1048576\n\
         memory_limit 33554432\n\
         set_tcp_nodelay true\n\
         sys_interval 0\n\
         log_dest stderr\n\
         log_timestamp false\n\
         log_type error\n\
         log_type warning\n\
         connection_messages false\n",
        settings.broker_port
    )
}

/// mosquitto's access list. Lines before the first user hold for clients without a login, which are the viewers. The
/// board itself decides which of them may watch (`access.mode = "keys"`).
pub fn broker_acl(settings: &HomeSettings) -> String {
    let board = format!("{}/{}", settings.root, settings.device);
    format!(
        "# Written by `fanlight setup --home`.\n\
         topic write {board}/req/+\n\
         topic read {board}/rsp/+\n\
         topic read {board}/status\n\
         topic read {board}/info\n\
         \n\
         user {BOARD_LOGIN}\n\
         topic write {board}/status\n\
         topic write {board}/info\n\
         topic write {board}/evt\n\
         topic write {board}/rsp/+\n\
         topic read {board}/status\n\
         topic read {board}/req/+\n"
    )
}

/// What avahi announces (avahi.service(5)): an HTTPS server, and that it is a fanlight.
pub fn announcement(settings: &HomeSettings) -> String {
    let service = |kind: &str| {
        format!(
            "  <service>\n    <type>{kind}</type>\n    <port>{}</port>\n    <txt-record>path=/</txt-record>\n  \
             </service>\n",
            settings.port
        )
    };
    // An id has no character that XML needs in another form. A comment must not have two hyphens in it.
    format!(
        "<?xml version=\"1.0\" standalone=\"no\"?>\n<!DOCTYPE service-group SYSTEM \"avahi-service.dtd\">\n\
         <!-- Written by the setup of fanlight, for home mode. -->\n<service-group>\n  \
         <name replace-wildcards=\"yes\">{} on %h</name>\n{}{}</service-group>\n",
        settings.device,
        service("_fanlight._tcp"),
        service("_https._tcp"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> HomeSettings {
        HomeSettings {
            port: 8443,
            broker_port: 18831,
            device: "garden".into(),
            root: "home/cams".into(),
            names: Vec::new(),
        }
    }

    #[test]
    fn the_broker_listens_on_loopback_only_and_once() {
        let text = broker_config(&settings(), Path::new("/s"));
        let listeners: Vec<_> = text.lines().filter(|line| line.starts_with("listener")).collect();
        assert_eq!(listeners, ["listener 18831 127.0.0.1"]);
        assert!(!text.contains("websockets") && !text.contains("http_dir"), "{text}");
        assert!(text.contains("password_file /s/logins\nacl_file /s/acl\n"));
    }

    #[test]
    fn the_lines_of_the_board_are_those_of_the_packaged_access_list() {
        let packaged = include_str!("../../package/examples/mosquitto.acl");
        let own = |text: &str, user: &str, board: &str, root: &str| -> Vec<String> {
            let lines = text.lines().skip_while(|line| *line != format!("user {user}")).skip(1);
            let lines = lines.take_while(|line| line.starts_with("topic "));
            lines.map(|line| line.replace(&format!("{root}/{board}/"), "*")).collect()
        };
        let board = own(&broker_acl(&settings()), BOARD_LOGIN, "garden", "home/cams");
        assert_eq!(board, own(packaged, "garden", "garden", "fanlight/v1"));
        assert_eq!(board.len(), 6);
    }

    #[test]
    fn viewers_have_four_lines_before_the_first_user() {
        let text = broker_acl(&settings());
        let viewers: Vec<_> = text
            .lines()
            .take_while(|line| !line.starts_with("user "))
            .filter(|line| line.starts_with("topic"))
            .collect();
        let expected = [
            "write home/cams/garden/req/+",
            "read home/cams/garden/rsp/+",
            "read home/cams/garden/status",
            "read home/cams/garden/info",
        ];
        assert_eq!(viewers, expected.map(|line| format!("topic {line}")));
    }

    #[test]
    fn the_announcement_names_the_port() {
        let text = announcement(&settings());
        assert!(text.contains("<type>_https._tcp</type>\n    <port>8443</port>"), "{text}");
        assert!(text.contains("<type>_fanlight._tcp</type>"), "{text}");
    }

    #[test]
    fn the_announcement_is_xml_that_avahi_reads() {
        let text = announcement(&settings());
        let (_, comment) = text.split_once("<!--").unwrap();
        let (comment, _) = comment.split_once("-->").unwrap();
        // XML 1.0 section 2.5.
        assert!(!comment.contains("--"), "{comment}");
    }
}
