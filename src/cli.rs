//! The command line: what can be asked for, and the words that explain it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

const EXITS: &str = "Exit codes:\n  0   done, or stopped as asked\n  1   something failed while running\n  2   wrong use of the \
command line\n  78  wrong configuration: systemd does not start it again (EX_CONFIG of sysexits.h)";

/// Camera peer for Linux boards.
#[derive(Debug, Parser)]
#[command(
    name = "fanlight",
    version,
    about = "Streams this board's camera and microphone to browsers by WebRTC, asked for over MQTT",
    long_about = "Streams this board's camera and microphone to browsers by WebRTC. It waits on an MQTT broker; when a \
                  viewer asks, both exchange descriptions and candidates over MQTT topics, and media flows straight \
                  where it can, by STUN or TURN where it must. Camera and microphone are on only while somebody watches; \
                  one capture and one encode serve all viewers.",
    after_help = EXITS
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve viewers, as the configuration says
    #[command(
        long_about = "Serves viewers until it is told to stop. The broker, the network, the camera and the clock may all \
                      come later: it says what is missing and goes on by itself.\n\nSIGHUP reads the configuration again, \
                      takes over what can change without dropping anybody, and says what needs a restart. SIGTERM and \
                      SIGINT say goodbye to all viewers and end within 2 s; a second one ends at once."
    )]
    Run {
        /// The configuration file; docs/reference/config.md and fanlight.toml(5) describe it
        #[arg(long, value_name = "FILE", default_value = "/etc/fanlight/fanlight.toml")]
        config: PathBuf,
    },
    /// Show this machine's camera in a browser, without a broker or a configuration
    #[command(
        long_about = "Shows this machine's camera and microphone in a browser on this machine. The broker and the viewer page \
                      are built in and listen on loopback only. Without a camera it shows a moving test picture, without a \
                      microphone it plays a tone, and it says why. Ctrl-C ends it; nothing is left behind."
    )]
    Demo(Demo),
    /// Tell everything that is wrong with a configuration
    #[command(
        long_about = "Tells everything that is wrong with a configuration, one sentence each with file, line, key and what is \
                      accepted. If nothing is wrong it prints the configuration in force, defaults included, with secrets \
                      masked, and tells which devices are not there at the moment.\n\nWith --network it tries what the configuration \
                      names: the broker (name, TCP, TLS, login, subscribe, publish), and every URL of every STUN and TURN \
                      server, with a real relay and a message through it. One line each says what works, what does not, \
                      and what to do. A daemon that runs meanwhile is not disturbed."
    )]
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE", default_value = "/etc/fanlight/fanlight.toml")]
        config: PathBuf,
        /// Try the network instead: the broker by each step, and each STUN and TURN server with a relay of its own
        #[arg(long)]
        network: bool,
    },
    /// Ask for what a board needs, test it and write the configuration
    #[command(
        long_about = "Asks for the device id, the broker, the login there, camera and microphone. Then it tries them at the broker, \
                      as `check --network` does, and asks again for what does not work. It writes the configuration, \
                      puts the password into a file of its own that only the daemon can read, and restarts the service. \
                      What is given by an option is not asked. With all of them it asks nothing: if the broker does not \
                      work, it says why and writes nothing."
    )]
    Setup(Setup),
    /// List cameras and microphones, and the lines for the configuration
    #[command(
        long_about = "Lists the cameras and microphones of this board with their formats, sizes and rates, says why one cannot \
                      be used, and prints the exact lines that put one into the configuration. Opens each device for a moment."
    )]
    Probe {
        /// As JSON, for programs
        #[arg(long)]
        json: bool,
    },
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

/// What the setup can be told beforehand.
#[derive(Debug, Args)]
pub struct Setup {
    /// The configuration file to write
    #[arg(long, value_name = "FILE", default_value = "/etc/fanlight/fanlight.toml")]
    pub config: PathBuf,
    /// This board's id, a level of its MQTT topics
    #[arg(long, value_name = "ID")]
    pub device: Option<String>,
    /// What a person calls this board; default: the id
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Where the broker is: mqtts://host, wss://host/path, …
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// Login name at the broker; empty for none
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A file with the password at the broker, - for standard input; it is copied
    #[arg(long, value_name = "FILE", requires = "user")]
    pub password_file: Option<PathBuf>,
    /// PEM file with the certificate authority of the broker; it is copied; default: the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Camera: auto, a node such as /dev/video0, test, clip:FILE, or off
    #[arg(long, value_name = "SOURCE")]
    pub camera: Option<String>,
    /// Microphone: auto, default, an ALSA name, tone, clip:FILE.wav, or off
    #[arg(long, value_name = "SOURCE")]
    pub microphone: Option<String>,
    /// Says that you know: whoever controls the broker can watch
    #[arg(long)]
    pub the_broker_can_watch: bool,
    /// Replace a configuration that is there; the old one is kept as FILE.old
    #[arg(long)]
    pub replace: bool,
    /// Print the configuration instead of writing it
    #[arg(long)]
    pub print: bool,
    /// Write the configuration without trying it at the broker
    #[arg(long)]
    pub untested: bool,
    /// Do not tell the service
    #[arg(long)]
    pub no_reload: bool,
}

/// What the demo can be told.
#[derive(Debug, Args)]
pub struct Demo {
    /// Camera: auto, a node such as /dev/video0, test, clip:FILE, or off
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    pub video: String,
    /// Microphone: auto, default, an ALSA name, tone, clip:FILE.wav, or off
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    pub audio: String,
    /// Picture size
    #[arg(long, value_name = "WxH", default_value = "1280x720")]
    pub size: String,
    /// Pictures a second
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub fps: u32,
    /// Bitrate of the picture in kbit/s
    #[arg(long, value_name = "KBPS", default_value_t = 2000)]
    pub bitrate_kbps: u32,
    /// Port of the viewer page on 127.0.0.1; the next free one if it is in use
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// What is logged: a level, or a filter of the tracing library
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound_and_every_part_is_explained() {
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
