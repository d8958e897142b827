//! The options of `fanlight token`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::SOCKET;

/// The options of `token`.
#[derive(Debug, Args)]
pub struct TokenCommand {
    /// What to do.
    #[command(subcommand)]
    pub action: TokenAction,
    /// The control socket of the daemon
    #[arg(long, value_name = "FILE", default_value = SOCKET, global = true)]
    pub socket: PathBuf,
}

/// What `token` does.
#[derive(Debug, Subcommand)]
pub enum TokenAction {
    /// Make the key of an issuer, and print its public half, which boards need
    Key {
        /// The file to write the private key to, as a JWK; it must not exist
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print a token for a viewer
    Issue {
        /// The private key of the issuer
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The point of the viewer's public key: 87 characters of base64url
        #[arg(long, value_name = "POINT")]
        viewer: String,
        /// The ids of the boards, or * for every board that knows the issuer
        #[arg(long, value_name = "ID", required = true, num_args = 1..)]
        board: Vec<String>,
        /// What the viewer may do, separated by commas
        #[arg(long, value_name = "RIGHTS")]
        rights: String,
        /// How long the token is valid: 30m, 8h or 7d; boards accept a day, unless access.token_max_s says otherwise
        #[arg(long = "for", value_name = "TIME")]
        lives: String,
        /// The viewer's name for people
        #[arg(long, value_name = "NAME")]
        name: Option<String>,
    },
    /// Add to a deny list, raise its number, and sign it
    Deny {
        /// The private key of the issuer
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// The deny list; one that does not exist is made
        #[arg(long, value_name = "FILE")]
        list: PathBuf,
        /// Also refuse all tokens that were issued before this time: now, or seconds since 1970
        #[arg(long, value_name = "TIME")]
        before: Option<String>,
        /// Ids of tokens (jti) or of viewers
        #[arg(value_name = "ID", allow_hyphen_values = true, required_unless_present = "before")]
        ids: Vec<String>,
    },
    /// Give the daemon of this board a deny list
    Apply {
        /// The deny list
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Print the thumbprint of this board's key, for the attribute thumb of a page
    Thumb,
}
