//! Tokens of an issuer (tokens.md): what is in one, and whether it permits a viewer to use this board now. Pure: the
//! time is an argument.
//!
//! The cheapest checks come first, and the signature comes last. So a stranger who invents tokens costs one signature
//! at most, as much as any other message.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    checked_name,
    issuers::Issuers,
    viewer_list::{rights_of_names, viewer_id},
};
use crate::{
    config::Id,
    jose::{IssuerKey, Jws, PublicKey, Thumbprint},
    protocol::{Rights, json},
};

/// The longest token, in bytes.
pub const TOKEN_MAX: usize = 4096;
/// The type in the header of a token.
pub const TOKEN_TYPE: &str = "fanlight-token";
/// How far in the board's future a token may have been issued, because clocks differ. In seconds.
const AHEAD: u64 = 60;
/// The most boards that a token may name.
const AUDIENCE_MAX: usize = 32;
/// The audience of every board that knows the issuer.
pub const EVERY_BOARD: &str = "*";

/// Why a token is not accepted. Nothing of this is told to a viewer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is no token.
    #[error("it has another form, or a claim that is missing or wrong")]
    Form,
    /// The board does not know the key that it names, or the key has another algorithm.
    #[error("its issuer is not known")]
    Issuer,
    /// It is for other boards.
    #[error("it is for other boards")]
    Audience,
    /// It is for another viewer.
    #[error("it is for another key")]
    Viewer,
    /// It lives for too long, ends before it begins, or was issued in the future.
    #[error("its times are not possible")]
    Times,
    /// The issuer has taken it back, or nobody knows yet whether it has.
    #[error("it is on the deny list, or the deny list is not known")]
    Denied,
    /// The issuer has not signed it.
    #[error("the signature of its issuer is wrong")]
    Signature,
}

/// Where a token is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenTime {
    /// It is valid now.
    Valid,
    /// It has ended.
    Ended,
    /// Nobody knows, because the board's clock is not right.
    Unknown,
}

/// What an issuer says in a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenClaims {
    /// The id of the token.
    pub id: Id,
    /// The boards that it is for. `None`: every board that knows the issuer.
    pub audience: Option<Vec<Id>>,
    /// The identity of the viewer.
    pub key: PublicKey,
    /// What the viewer may do.
    pub rights: Rights,
    /// When it was issued, in seconds since 1970.
    pub issued: u64,
    /// When it ends, in seconds since 1970.
    pub ends: u64,
    /// The viewer's name for people.
    pub name: Option<String>,
}

/// The protected header. Its fields are all that may be in it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenHeader {
    /// Checked with the key.
    #[serde(rename = "alg")]
    _alg: String,
    typ: String,
    kid: Thumbprint,
}

/// Whom a board asks about a token.
#[derive(Debug, Clone, Copy)]
pub struct TokenContext<'a> {
    /// The issuers that the board knows, and what they have taken back.
    pub issuers: &'a Issuers,
    /// The board.
    pub device: &'a Id,
    /// The thumbprint of the key that signed the message with the token.
    pub viewer: &'a Thumbprint,
    /// The time in seconds since 1970. `None`: the clock is not right.
    pub now: Option<u64>,
}

/// A token that passed all checks but that of its signature.
#[derive(Debug)]
pub struct UnverifiedToken<'a> {
    jws: Jws<'a>,
    key: IssuerKey,
    token: AcceptedToken,
}

/// A token that passed all checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedToken {
    /// What the issuer says.
    pub claims: TokenClaims,
    /// The thumbprint of the issuer's key.
    pub issuer: Thumbprint,
    /// Where it is in its life. Only a valid one permits anything.
    pub time: TokenTime,
}

impl TokenClaims {
    /// Reads the claims. `None`: one is missing, of the wrong type, or out of bounds. Unknown ones are ignored.
    pub fn read(text: &str) -> Option<Self> {
        let claims = json::object(text).ok()?;
        let name = match claims.get("name") {
            None => None,
            Some(name) => Some(checked_name(name.as_str()?).ok()?),
        };
        let rights = claims.get("rights")?.as_array()?;
        let rights = rights.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?;
        Some(Self {
            id: Id::new(claims.get("jti")?.as_str()?)?,
            audience: audience(claims.get("aud")?)?,
            key: confirmation(&claims)?,
            rights: rights_of_names(rights).filter(|rights| !rights.is_empty())?,
            issued: claims.get("iat")?.as_u64()?,
            ends: claims.get("exp")?.as_u64()?,
            name,
        })
    }

    fn is_for(&self, device: &Id) -> bool {
        self.audience.as_ref().is_none_or(|boards| boards.contains(device))
    }

    /// Where the token is in its life. `None`: its times are not possible. `longest`: the longest life.
    fn time(&self, longest: u64, now: Option<u64>) -> Option<TokenTime> {
        let lives = self.ends.checked_sub(self.issued)?;
        if !(1..=longest).contains(&lives) {
            return None;
        }
        match now {
            None => Some(TokenTime::Unknown),
            Some(now) if self.issued > now.saturating_add(AHEAD) => None,
            Some(now) if self.ends <= now => Some(TokenTime::Ended),
            Some(_) => Some(TokenTime::Valid),
        }
    }
}

/// The boards of the claim `aud`: a text, or a list of texts (RFC 7519 section 4.1.3).
fn audience(value: &Value) -> Option<Option<Vec<Id>>> {
    let names = match value {
        Value::String(name) => vec![name.as_str()],
        Value::Array(names) if (1..=AUDIENCE_MAX).contains(&names.len()) => {
            names.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?
        }
        _ => return None,
    };
    let named = names.iter().filter(|name| **name != EVERY_BOARD).map(|name| Id::new(name));
    let boards = named.collect::<Option<Vec<_>>>()?;
    Some((boards.len() == names.len()).then_some(boards))
}

/// The key of the claim `cnf` (RFC 7800 section 3.2). Another way to name a key is no token of this kind.
fn confirmation(claims: &Map<String, Value>) -> Option<PublicKey> {
    let cnf = claims.get("cnf")?.as_object().filter(|cnf| cnf.len() == 1)?;
    // The same forms of a JWK as for an issuer, since the viewer signs with it.
    let jwk = cnf.get("jwk")?.as_object()?;
    match IssuerKey::from_jwk(&serde_json::to_string(jwk).ok()?).ok()? {
        IssuerKey::Es256(key) => Some(key),
        IssuerKey::Ed25519(_) => None,
    }
}

impl<'a> UnverifiedToken<'a> {
    /// Checks everything but the signature, in the order of the contract: the form, `kid`, `aud`, `cnf`, the times, and
    /// the deny list.
    pub fn check(text: &'a str, context: &TokenContext<'_>) -> Result<Self, TokenFault> {
        let jws = Jws::parse(text, TOKEN_MAX).map_err(|_| TokenFault::Form)?;
        let header: TokenHeader = jws.header().map_err(|_| TokenFault::Form)?;
        if header.typ != TOKEN_TYPE {
            return Err(TokenFault::Form);
        }
        let claims = std::str::from_utf8(jws.unverified_payload()).ok().and_then(TokenClaims::read);
        let claims = claims.ok_or(TokenFault::Form)?;
        let issuer = context.issuers.by_kid(&header.kid).ok_or(TokenFault::Issuer)?;
        if issuer.key().algorithm() != jws.algorithm() {
            return Err(TokenFault::Issuer);
        }
        if !claims.is_for(context.device) {
            return Err(TokenFault::Audience);
        }
        if claims.key.thumbprint() != *context.viewer {
            return Err(TokenFault::Viewer);
        }
        let time = claims.time(context.issuers.token_max(), context.now).ok_or(TokenFault::Times)?;
        if issuer.denies(&claims.id, &viewer_id(context.viewer), claims.issued) {
            return Err(TokenFault::Denied);
        }
        Ok(Self { jws, key: *issuer.key(), token: AcceptedToken { claims, issuer: header.kid, time } })
    }

    /// Checks the signature of the issuer.
    pub fn verify(self) -> Result<AcceptedToken, TokenFault> {
        self.jws.verify_issuer(&self.key).map_err(|_| TokenFault::Signature)?;
        Ok(self.token)
    }

    /// For a text whose signature was verified before, with the key that its header names.
    pub fn verified_before(self) -> AcceptedToken {
        self.token
    }
}
