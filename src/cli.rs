//! The command line: commands, options and their help.

mod token;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use self::token::{TokenAction, TokenCommand};

const EXITS: &str = "Exit codes:\n  0   done, or stopped as requested\n  1   something failed while running\n  \
                     2   wrong use of the command line\n  \
                     78  wrong configuration: systemd does not restart it (EX_CONFIG of sysexits.h)";

/// Camera peer for Linux boards.
#[derive(Debug, Parser)]
#[command(
    name = "fanlight",
    version,
    about = "Streams this board's camera and microphone to browsers by WebRTC, with signalling over MQTT",
    long_about = "Streams this board's camera and microphone to browsers by WebRTC. It waits at an MQTT broker for \
                  viewers. Board and viewer exchange session descriptions and candidates over MQTT. Media flows \
                  directly if possible, otherwise through a TURN server. Camera and microphone are on only while \
                  somebody watches. One capture and one encode serve all viewers.",
    after_help = EXITS
)]
pub struct Cli {
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve viewers, as the configuration says
    #[command(
        long_about = "Serves viewers until it is stopped. Broker, network, camera and clock may come later: it reports \
                      what is missing and continues when it is there.\n\nSIGHUP reads the configuration again, \
                      applies what can change without dropping a viewer, and reports what needs a restart. SIGTERM \
                      and SIGINT end all sessions and stop within 2 s; a second one stops at once."
    )]
    Run {
        /// The configuration file; see docs/reference/config.md or fanlight.toml(5)
        #[arg(long, value_name = "FILE", default_value = "/etc/fanlight/fanlight.toml")]
        config: PathBuf,
    },
    /// Show this machine's camera in a browser, without a broker or a configuration
    #[command(
        long_about = "Shows this machine's camera and microphone in a browser on this machine. The broker and the \
                      viewer page are built in and listen on loopback only. Without a camera it shows a moving test \
                      picture, without a microphone it plays a tone, and it prints the reason. Ctrl-C ends it; it \
                      leaves no files."
    )]
    Demo(DemoOptions),
    /// Report every fault in a configuration
    #[command(
        long_about = "Reports every fault in a configuration, one sentence each with file, line, key and what is \
                      accepted. If there is no fault, it prints the configuration in force, defaults included and \
                      secrets masked. It also reports devices that are not there at the moment.\n\nWith --network it \
                      tries the broker (name, TCP, TLS, login, subscribe, publish) and every URL of every STUN and \
                      TURN server. For a TURN server it makes a real relay and sends a message through it. One line \
                      each reports the result and the remedy. A running daemon is not disturbed."
    )]
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE", default_value = "/etc/fanlight/fanlight.toml")]
        config: PathBuf,
        /// Try the broker step by step, and each STUN and TURN server, instead of checking the file
        #[arg(long)]
        network: bool,
    },
    /// Ask for what a board needs, test it and write the configuration
    #[command(
        long_about = "Asks for the device id, the broker, the login, the camera and the microphone. It tries them at \
                      the broker, as `check --network` does, and asks again for what does not work. Then it writes \
                      the configuration and a password file that only the daemon can read, and restarts the \
                      service.\n\nIt does not ask for what an option gives. If all answers are options and the broker \
                      does not work, it prints the reason and writes nothing."
    )]
    Setup(SetupOptions),
    /// Serve the viewer page and MQTT for browsers over HTTPS, for home mode
    #[command(
        long_about = "Serves the viewer page, and carries MQTT between browsers and the broker on this board, over \
                      HTTPS with a certificate of the board's own. fanlight-home.service runs it; fanlight setup --home \
                      sets all of it up."
    )]
    Home {
        /// The settings, which setup --home writes
        #[arg(long, value_name = "FILE", default_value = "/etc/fanlight/home/home.toml")]
        settings: PathBuf,
    },
    /// List cameras and microphones, with lines for the configuration
    #[command(
        long_about = "Lists the cameras and microphones of this board with their formats, sizes and rates. It prints \
                      the lines for the configuration, or the reason why a device cannot be used. It opens each \
                      device for a moment. It also lists LEDs and free GPIO lines, and changes none of them."
    )]
    Probe {
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Let a viewer in: show a code for its camera, and wait until it has used it
    #[command(
        long_about = "Lets one more viewer in, in the mode keys. It prints a link, also as a QR code, and waits until \
                      a browser has opened it. The link is valid for ten minutes and for one browser. The browser \
                      makes a key, and the board puts the key on its list of viewers.\n\nThe daemon must run, and only \
                      root may do this. Ctrl-C makes the link invalid."
    )]
    Pair(PairCommand),
    /// List the viewers, and change who may watch
    #[command(
        long_about = "Lists the viewers that may watch, in the mode keys, and changes the list. Without a further \
                      command it lists them. A viewer whose entry is removed, ends, or loses a right loses picture and \
                      sound at once.\n\nThe daemon must run, and only root may do this."
    )]
    Viewers(ViewersCommand),
    /// Make the key of an issuer, tokens, and deny lists, for the mode token
    #[command(
        long_about = "Does by hand what the issuer of a fleet does: makes its key, tokens for viewers, and lists of what \
                      it takes back. Also prints the thumbprint of this board, for pages. Only apply and thumb need \
                      root, and only apply needs the daemon."
    )]
    Token(TokenCommand),
    /// Stop camera and microphone for everybody, or allow them again
    #[command(
        long_about = "Sets the privacy switch of this board, or lifts it. While it is on, camera and microphone are \
                      closed for everybody, also after a restart. Sessions stay, and their pages say why there is no \
                      picture. Without a further word it prints whether the switch is on, and who set it.\n\nThe daemon \
                      must run, and only root may do this."
    )]
    Privacy(PrivacyCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Example: fanlight completions bash > /usr/share/bash-completion/completions/fanlight")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write the manual pages
    Man {
        /// The folder to write them to
        #[arg(value_name = "DIR", default_value = ".")]
        folder: PathBuf,
    },
}

/// The options of `setup`.
#[derive(Debug, Clone, Args)]
pub struct SetupOptions {
    /// The configuration file to write
    #[arg(long, value_name = "FILE", default_value = "/etc/fanlight/fanlight.toml")]
    pub config: PathBuf,
    /// This board's id, a level of its MQTT topics
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// The name of this board for people; default: the id
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The broker's URL: mqtts://host, wss://host/path, …
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// Login name at the broker; empty for none
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file with the password at the broker, - for standard input; setup copies it
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// PEM file with the certificate authority of the broker; setup copies it; default: the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Camera: auto, a node such as /dev/video0, test, clip:FILE, or off
    #[arg(long, value_name = "SOURCE")]
    pub camera: Option<String>,
    /// Microphone: auto, default, an ALSA name, tone, clip:FILE.wav, or off
    #[arg(long, value_name = "SOURCE")]
    pub microphone: Option<String>,
    /// Only viewers on a list that this board keeps can watch; the broker cannot
    #[arg(long, conflicts_with = "the_broker_can_watch")]
    pub keys: bool,
    /// With --keys: the address of the viewer page, https://…, for pairing links
    #[arg(long, value_name = "URL", requires = "keys")]
    pub page: Option<String>,
    /// With --keys: the broker's address for browsers, wss://…, for pairing links
    #[arg(long, value_name = "URL", requires = "keys")]
    pub viewer_broker: Option<String>,
    /// The broker decides who may watch. Confirms that whoever controls it can watch
    #[arg(long)]
    pub the_broker_can_watch: bool,
    /// Home mode: this board has its own broker and its own viewer page over HTTPS; only viewers on its list can watch
    #[arg(long, conflicts_with_all = ["broker", "user", "ca_file", "the_broker_can_watch", "config", "print"])]
    pub home: bool,
    /// With --home: the port of the page [default: 8443]
    #[arg(long, value_name = "PORT", requires = "home", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// With --home: remove home mode, and restore the previous configuration
    #[arg(long, requires = "home", conflicts_with_all = ["port", "device", "camera", "microphone", "name"])]
    pub remove: bool,
    /// Replace an existing configuration; the old one is kept as FILE.old
    #[arg(long)]
    pub replace: bool,
    /// Print the configuration instead of writing it
    #[arg(long)]
    pub print: bool,
    /// Write the configuration without trying it at the broker
    #[arg(long)]
    pub untested: bool,
    /// Do not restart the service
    #[arg(long)]
    pub no_reload: bool,
}

/// The control socket of the service.
const SOCKET: &str = "/run/fanlight/control";

/// The options of `pair`.
#[derive(Debug, Args)]
pub struct PairCommand {
    /// The name of the new viewer on the list; default: the one that the viewer proposes
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What it may do: view, listen, talk, control, snapshot and events, separated by commas; record is reserved
    #[arg(long, value_name = "RIGHTS", default_value = "view,listen")]
    pub rights: String,
    /// When the permission ends: a date (UTC), which is the last day, a time from now such as 30d or 12h, or never
    #[arg(long, value_name = "END")]
    pub until: Option<String>,
    /// The URL of the viewer page; default: page in the table access of the configuration
    #[arg(long, value_name = "URL")]
    pub page: Option<String>,
    /// The URL of the broker for viewers, wss://…; default: viewer_broker in the table access of the configuration
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// Print the link only, without the QR code
    #[arg(long)]
    pub no_qr: bool,
    /// The control socket of the daemon
    #[arg(long, value_name = "FILE", default_value = SOCKET)]
    pub socket: PathBuf,
}

/// The options of `viewers`.
#[derive(Debug, Args)]
pub struct ViewersCommand {
    /// What to do. `None`: list them.
    #[command(subcommand)]
    pub action: Option<ViewersAction>,
    /// The control socket of the daemon
    #[arg(long, value_name = "FILE", default_value = SOCKET, global = true)]
    pub socket: PathBuf,
}

/// What `viewers` does.
#[derive(Debug, Subcommand)]
pub enum ViewersAction {
    /// List the viewers: names, ids, rights, ends and last visits. Times are in UTC
    List {
        /// Print JSON, for programs
        #[arg(long)]
        json: bool,
    },
    /// Put a viewer on the list by its public key
    Add {
        /// The point of its public key: 87 characters of base64url, as `viewers new-key` prints it
        #[arg(value_name = "KEY")]
        key: String,
        /// Its name
        #[arg(long, value_name = "NAME")]
        name: String,
        /// What it may do: view and listen, separated by a comma
        #[arg(long, value_name = "RIGHTS", default_value = "view,listen")]
        rights: String,
        /// When the permission ends: a date (UTC), which is the last day, a time from now such as 30d or 12h, or never
        #[arg(long, value_name = "END")]
        until: Option<String>,
    },
    /// Take a viewer off the list; it loses picture and sound at once
    Remove {
        /// Its name or id
        #[arg(value_name = "NAME|ID", allow_hyphen_values = true)]
        viewer: String,
    },
    /// Give a viewer another name
    Rename {
        /// Its name or id
        #[arg(value_name = "NAME|ID", allow_hyphen_values = true)]
        viewer: String,
        /// The new name
        #[arg(value_name = "NEW-NAME")]
        name: String,
    },
    /// Give a viewer other rights, or another end
    Rights {
        /// Its name or id
        #[arg(value_name = "NAME|ID", allow_hyphen_values = true)]
        viewer: String,
        /// What it may do, separated by commas; default: as before
        #[arg(value_name = "RIGHTS", required_unless_present = "until")]
        rights: Option<String>,
        /// When the permission ends: a date (UTC), which is the last day, a time from now, or never; default: as before
        #[arg(long, value_name = "END")]
        until: Option<String>,
    },
    /// Make the key of a viewer that is a program; the daemon is not asked
    NewKey {
        /// The file to write the private key to, as a JWK
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The name of the viewer, for the command that is printed
        #[arg(long, value_name = "NAME")]
        name: String,
    },
}

/// The options of `privacy`.
#[derive(Debug, Args)]
pub struct PrivacyCommand {
    /// What to do
    #[arg(value_enum, default_value_t = PrivacyAction::Status)]
    pub action: PrivacyAction,
    /// The control socket of the daemon
    #[arg(long, value_name = "FILE", default_value = SOCKET)]
    pub socket: PathBuf,
}

/// What `privacy` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PrivacyAction {
    /// Print whether the switch is on
    Status,
    /// Stop camera and microphone
    On,
    /// Allow them again
    Off,
}

/// The options of `demo`.
#[derive(Debug, Args)]
pub struct DemoOptions {
    /// Camera: auto, a node such as /dev/video0, test, clip:FILE, or off
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    pub video: String,
    /// Microphone: auto, default, an ALSA name, tone, clip:FILE.wav, or off
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    pub audio: String,
    /// Picture size
    #[arg(long, value_name = "WxH", default_value = "1280x720")]
    pub size: String,
    /// Frames per second
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub fps: u32,
    /// Bitrate of the picture in kbit/s
    #[arg(long, value_name = "KBPS", default_value_t = 2000)]
    pub bitrate_kbps: u32,
    /// Port of the viewer page on 127.0.0.1; the next free one if it is in use
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// Also serve the page to other machines of this network, over HTTPS with a temporary certificate
    #[arg(long)]
    pub lan: bool,
    /// Log level, or a filter of the tracing library
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_and_option_has_help() {
        let command = Cli::command();
        command.clone().debug_assert();
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
            for argument in sub.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {}", sub.get_name(), argument.get_id());
            }
        }
    }
}
