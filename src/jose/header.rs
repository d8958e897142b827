//! Headers: strict JSON objects.
//!
//! serde alone reads some values in two ways: a struct also from an array, an enum also from an object, and `null` as
//! an absent member. A header that could be read in two ways is refused.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{JoseError, base64url};

/// The longest header, in characters of base64url. Those of fanlight have less than 400.
pub(super) const HEADER_MAX: usize = 2048;
/// The longest header that has a token of an issuer in it, which has up to 4 KiB.
pub(super) const TOKEN_HEADER_MAX: usize = 6144;
/// The most members of a header.
const MEMBERS_MAX: usize = 16;
/// Members that change how a message is checked, or bring the key for it (RFC 7515 section 4.1, RFC 7797, RFC 7516
/// section 4.1.3). No type of header can allow them.
const REFUSED: [&str; 9] = ["crit", "b64", "zip", "jwk", "jku", "x5c", "x5u", "x5t", "x5t#S256"];

/// A signature algorithm, as the member `alg` of a header has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Algorithm {
    /// ECDSA with P-256 and SHA-256 (RFC 7518 section 3.4).
    Es256,
    /// Ed25519. Written `EdDSA` (RFC 8037 section 3.1), and also read as `Ed25519` (RFC 9864 section 2.2).
    EdDsa,
}

impl Algorithm {
    fn of(name: &str) -> Result<Self, JoseError> {
        match name {
            "ES256" => Ok(Self::Es256),
            "EdDSA" | "Ed25519" => Ok(Self::EdDsa),
            _ => Err(JoseError::Algorithm),
        }
    }
}

impl TryFrom<String> for Algorithm {
    type Error = JoseError;

    fn try_from(name: String) -> Result<Self, JoseError> {
        Self::of(&name)
    }
}

impl From<Algorithm> for &'static str {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Es256 => "ES256",
            Algorithm::EdDsa => "EdDSA",
        }
    }
}

/// Reads an optional member that may be absent but not `null`: `#[serde(default, deserialize_with = "present")]`.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<T>, D::Error> {
    T::deserialize(reader).map(Some)
}

/// A value that is read from a JSON object only. serde would also read a struct from an array.
#[derive(Debug)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }
        reader.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// Reads a JSON object as `H`. For headers, and for JWKs, which are no longer than headers.
pub(super) fn typed<H: DeserializeOwned>(json: &str) -> Result<H, JoseError> {
    if json.len() > HEADER_MAX {
        return Err(JoseError::TooLarge);
    }
    object(json)
}

/// Reads a JSON object as `H`, whose length is limited already.
pub(super) fn object<H: DeserializeOwned>(json: &str) -> Result<H, JoseError> {
    serde_json::from_str::<Object<H>>(json).map(|object| object.0).map_err(|_| JoseError::Header)
}

/// The JSON text of the first part of a message. `max`: the most characters of base64url.
pub(super) fn text(part: &str, max: usize) -> Result<String, JoseError> {
    if part.len() > max {
        return Err(JoseError::TooLarge);
    }
    String::from_utf8(base64url::decode(part)?).map_err(|_| JoseError::Header)
}

/// Checks what every header of a signed message must keep, whatever type reads it afterwards. Returns its algorithm.
/// `max`: its most characters in base64url.
pub(super) fn check(json: &str, max: usize) -> Result<Algorithm, JoseError> {
    if json.len() > max / 4 * 3 {
        return Err(JoseError::TooLarge);
    }
    Algorithm::of(&serde_json::from_str::<AlgorithmName>(json).map_err(|_| JoseError::Header)?.0)
}

/// The member `alg` of an object with no name twice, no `null` and none of `REFUSED`.
struct AlgorithmName(String);

impl<'de> Deserialize<'de> for AlgorithmName {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = String;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a header")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<String, A::Error> {
                let (mut algorithm, mut names) = (None, Vec::<String>::new());
                while let Some(name) = members.next_key::<String>()? {
                    if REFUSED.contains(&name.as_str()) || names.contains(&name) || names.len() == MEMBERS_MAX {
                        return Err(A::Error::custom("a member that is not allowed"));
                    }
                    if name == "alg" {
                        algorithm = Some(members.next_value()?);
                    } else if members.next_value::<Option<IgnoredAny>>()?.is_none() {
                        return Err(A::Error::custom("null"));
                    }
                    names.push(name);
                }
                algorithm.ok_or_else(|| A::Error::missing_field("alg"))
            }
        }
        reader.deserialize_map(Members).map(Self)
    }
}
