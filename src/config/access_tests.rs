//! The table `[access]`: which brokers cause a warning in the mode `broker`. In the mode `token`, what is wrong with
//! the file of the issuer, and what a reload changes.

use std::path::Path;

use super::{Config, Surroundings, parse, tests::NAME, wording::problems};

#[test]
fn the_issuer_of_tokens_is_checked() {
    const KEY: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("issuer.jwk");
    let path = file.display();
    std::fs::write(&file, KEY).unwrap();
    let url = "device = \"garden\"\nbroker.url = \"mqtt://h\"\n[access]\n";
    let token = |more: &str| problems(&format!("{url}mode = \"token\"\nissuer_file = \"{path}\"\n{more}"));
    let none: [&str; 0] = [];
    assert_eq!(token("page = \"https://a\"\ntoken_max_s = 2678400"), none);
    assert_eq!(token("token_max_s = 59"), ["6: access.token_max_s: 59 is not possible: 60 to 2678400"]);
    assert_eq!(
        token("the_broker_can_watch = true"),
        ["6: access.the_broker_can_watch: needs mode = \"broker\": in the mode \"token\" the broker cannot watch"]
    );
    assert_eq!(
        problems(&format!("{url}mode = \"token\"")),
        ["3: access.issuer_file: missing: an absolute path, such as \"/etc/fanlight/issuer.jwk\""]
    );
    assert_eq!(
        problems(&format!("{url}mode = \"token\"\nissuer_file = \"issuer.jwk\"")),
        ["5: access.issuer_file: \"issuer.jwk\" is not possible: an absolute path, such as \
          \"/etc/fanlight/issuer.jwk\""]
    );
    assert_eq!(
        problems(&format!("{url}mode = \"keys\"\nissuer_file = \"{path}\"\ntoken_max_s = 600")),
        [
            "5: access.issuer_file: needs mode = \"token\": in the other modes, no issuer vouches for viewers",
            "6: access.token_max_s: needs mode = \"token\": in the other modes, no issuer vouches for viewers",
        ]
    );
    let private = KEY.replace('{', r#"{"d":"AAAA","#);
    let long = " ".repeat(9000);
    for (content, expected) in [
        ("", "is not JSON; a JWK is possible"),
        ("{\"keys\":[]}", "has no key; a JWK is possible"),
        (&private, "has a private key: only its public half belongs here; a JWK is possible"),
        (&long, ": longer than 8192 bytes; the user of the service must be able to read it"),
    ] {
        std::fs::write(&file, content).unwrap();
        let found = token("");
        assert!(found.len() == 1 && found[0].starts_with("5: access.issuer_file: "), "{found:?}");
        assert!(found[0].contains(expected) && !found[0].contains("AAAA"), "{found:?}");
    }
    std::fs::remove_file(&file).unwrap();
    let expected = format!("5: access.issuer_file: read {path}: no such file or directory; the user of the service");
    assert!(token("")[0].starts_with(&expected), "{:?}", token(""));
}

#[test]
fn a_reload_reads_the_keys_of_the_issuer_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("issuer.jwk");
    let text = format!(
        "device = \"garden\"\nbroker.url = \"mqtt://h\"\n[access]\nmode = \"token\"\nissuer_file = \"{}\"\n",
        file.display()
    );
    let read = |key: &str, more: &str| {
        std::fs::write(&file, key).unwrap();
        let around = Surroundings::default();
        parse(&format!("{text}{more}"), Path::new(NAME), &around).unwrap().config
    };
    let [one, other] = [(); 2].map(|()| crate::jose::SigningKey::generate().unwrap().public().to_jwk());
    let (old, new) = (read(&one, ""), read(&other, "token_max_s = 600\n"));
    let changes = Config::difference(&old, &new);
    assert_eq!(
        (changes.live, changes.restart),
        (vec!["access.issuer_file".into(), "access.token_max_s".into()], vec![])
    );
    assert_eq!(old.reloaded(&new), new);
    assert!(Config::difference(&old, &read(&one, "")).is_empty());
    assert!(new.to_toml().contains("token_max_s = 600") && !new.to_toml().contains("kty"));
}

#[test]
fn a_broker_on_this_board_without_a_login_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "s3cret").unwrap();
    std::fs::set_permissions(&password, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let login = format!("user = \"garden\"\npassword_file = \"{}\"\n", password.display());
    let warns = |mode: &str, url: &str, login: &str| {
        let text = format!("device = \"garden\"\naccess = {{ {mode} }}\n[broker]\nurl = \"{url}\"\n{login}");
        let warnings = parse(&text, Path::new(NAME), &Surroundings::default()).unwrap().warnings;
        let ours: Vec<_> = warnings.iter().filter(|warning| warning.key == "access.mode").collect();
        assert!(ours.iter().all(|warning| warning.message.starts_with("no broker.user is set")), "{ours:?}");
        ours.len()
    };
    const BROKER: &str = "mode = \"broker\", the_broker_can_watch = true";
    for (url, without) in [
        ("mqtt://127.0.0.1", 1),
        ("mqtt://127.0.0.5:1884", 1),
        ("ws://[::1]", 1),
        ("mqtt://localhost", 1),
        ("mqtts://localhost", 0),
        ("mqtts://broker.example", 0),
        ("wss://broker.example/mqtt", 0),
    ] {
        assert_eq!(warns(BROKER, url, ""), without, "{url} without a login");
        assert_eq!(warns(BROKER, url, &login), 0, "{url} with a login");
        assert_eq!(warns("mode = \"keys\"", url, ""), 0, "{url} in the mode keys");
    }
}
