//! Refusals: a code, its name, and a sentence (section 6).

use std::fmt;

use serde::Serialize;

use crate::log::sentence;

/// A refusal (section 6).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// A number for programs.
    pub code: u16,
    /// A name for programs.
    pub name: ErrorName,
    /// A sentence for people.
    pub message: String,
    /// When to try again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Protocol versions spoken, with `version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported: Option<Vec<u32>>,
    /// Who talks, if that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub talker: Option<Box<TalkerInfo>>,
}

/// Who talks, as other viewers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TalkerInfo {
    /// The viewer's name for people, or its id.
    pub name: String,
    /// For how many seconds.
    pub seconds: u64,
}

/// The error names of section 6, and those that only the result of a command has (board-commands.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are the documentation; the contract has a sentence for each
pub enum ErrorName {
    BadRequest,
    BadSdp,
    Unauthorized,
    AuthRequired,
    StaleNonce,
    ClockUnsynced,
    Forbidden,
    NoSession,
    Timeout,
    IceTimeout,
    Conflict,
    Gone,
    TooLarge,
    NoCommonCodec,
    Version,
    RateLimited,
    Privacy,
    NoMedia,
    Replaced,
    Shutdown,
    Expired,
    IceFailed,
    DtlsFailed,
    ConsentLost,
    Internal,
    Busy,
    OutOfResources,
    OutOfRange,
    UnknownCommand,
    NotFound,
    Unsupported,
    DeviceError,
}

/// The name in messages: `rate_limited`.
impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

impl ErrorName {
    /// The code that goes with the name.
    pub fn code(self) -> u16 {
        match self {
            Self::BadRequest | Self::BadSdp | Self::OutOfRange => 400,
            Self::Unauthorized | Self::AuthRequired | Self::StaleNonce | Self::ClockUnsynced => 401,
            Self::Forbidden => 403,
            Self::NoSession | Self::UnknownCommand | Self::NotFound => 404,
            Self::Timeout | Self::IceTimeout => 408,
            Self::Conflict => 409,
            Self::Gone => 410,
            Self::TooLarge => 413,
            Self::NoCommonCodec => 415,
            Self::Version => 426,
            Self::RateLimited => 429,
            Self::Privacy => 451,
            Self::NoMedia => 480,
            Self::Replaced | Self::Shutdown | Self::Expired => 487,
            Self::IceFailed | Self::DtlsFailed | Self::ConsentLost => 488,
            Self::Internal => 500,
            Self::Unsupported => 501,
            Self::DeviceError => 502,
            Self::Busy | Self::OutOfResources => 503,
        }
    }
}

impl Refusal {
    /// The same refusal, with a retry delay.
    pub fn retry_after(mut self, pause: std::time::Duration) -> Self {
        self.retry_after_ms = Some(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX).max(1));
        self
    }

    /// A refusal with a sentence: the action, the thing, the fault, and what is possible.
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        // The message may quote the sender, and goes to the log too. So it is made one short line.
        let message = sentence(&message.into());
        Self { code: name.code(), name, message, retry_after_ms: None, supported: None, talker: None }
    }
}
