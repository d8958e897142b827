//! Errors of the broker link, with a sentence for the person who has to fix it.

use std::{
    io,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio_rustls::rustls::{AlertDescription, Error as TlsError};
use tracing::{debug, warn};

use crate::{
    broker::url,
    config,
    log::sentence,
    tls::{self, Flaw},
};

/// A problem is logged again after this time, if it is still there.
const AGAIN: Duration = Duration::from_secs(60);

/// The kind of a problem. Each kind is logged once, and then at most once a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkErrorKind {
    /// The host's name was not found.
    Name,
    /// No program listens on that port.
    Refused,
    /// No route to the host.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// A CA, certificate or key file of this board cannot be used.
    Files,
    /// No known authority issued the broker's certificate.
    Untrusted,
    /// The broker's certificate is not valid now, by this board's clock.
    Expired,
    /// The broker's certificate is for another name.
    WrongName,
    /// The broker refused this board's certificate.
    ClientCertificate,
    /// Any other failure of TLS.
    Tls,
    /// No MQTT behind this WebSocket URL.
    WebSocket,
    /// The broker refused user, password or client id.
    Login,
    /// The broker does not speak this MQTT version.
    Version,
    /// The broker is too busy.
    Busy,
    /// The broker refused a subscription.
    Subscription,
    /// The broker refused a message of this board.
    Publication,
    /// Another client with the same id took the session.
    TakenOver,
    /// A message or packet that is too large.
    Oversize,
    /// A retained message that comes again with each connection.
    Retained,
    /// The connection broke.
    Lost,
    /// The broker or this program broke the rules of MQTT.
    Protocol,
}

/// The steps of a connection, in their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Looking up the broker's address.
    #[default]
    Name,
    /// The TCP connection.
    Tcp,
    /// The TLS handshake, and reading the files for it.
    Tls,
    /// The MQTT login, and before it the opening of a WebSocket.
    Login,
    /// The subscription to this board's requests.
    Subscribe,
    /// The first message of this board.
    Publish,
}

impl Step {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Name, Self::Tcp, Self::Tls, Self::Login, Self::Subscribe, Self::Publish];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Login => "login",
            Self::Subscribe => "subscribe",
            Self::Publish => "publish",
        }
    }

    /// The step in which errors of this kind happen, if nothing more is known.
    fn of(kind: LinkErrorKind) -> Self {
        match kind {
            LinkErrorKind::Name => Self::Name,
            LinkErrorKind::Refused | LinkErrorKind::Unreachable => Self::Tcp,
            LinkErrorKind::Files
            | LinkErrorKind::Untrusted
            | LinkErrorKind::Expired
            | LinkErrorKind::WrongName
            | LinkErrorKind::ClientCertificate
            | LinkErrorKind::Tls => Self::Tls,
            LinkErrorKind::Subscription => Self::Subscribe,
            LinkErrorKind::Publication => Self::Publish,
            LinkErrorKind::TimedOut
            | LinkErrorKind::WebSocket
            | LinkErrorKind::Login
            | LinkErrorKind::Version
            | LinkErrorKind::Busy
            | LinkErrorKind::TakenOver
            | LinkErrorKind::Oversize
            | LinkErrorKind::Retained
            | LinkErrorKind::Lost
            | LinkErrorKind::Protocol => Self::Login,
        }
    }
}

/// One problem: its kind, the step in which it happened, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct LinkError {
    /// The kind of problem.
    pub kind: LinkErrorKind,
    /// The step of a connection that was not up yet.
    pub step: Step,
    text: String,
}

impl LinkError {
    pub(super) fn new(kind: LinkErrorKind, text: impl Into<String>) -> Self {
        // Part of it may come from the broker, so it is made one short line.
        Self { kind, step: Step::of(kind), text: sentence(&text.into()) }
    }

    /// The same error, in a step that its kind does not tell.
    pub(super) fn during(self, step: Step) -> Self {
        Self { step, ..self }
    }

    /// Explains an I/O error in `step`; `doing` describes the step.
    pub(super) fn io(step: Step, doing: &str, error: &io::Error) -> Self {
        use io::ErrorKind as E;
        let (kind, advice) = match error.kind() {
            E::ConnectionRefused => (LinkErrorKind::Refused, "; does the broker listen on this port?"),
            E::NetworkUnreachable | E::HostUnreachable | E::AddrNotAvailable | E::NetworkDown => {
                (LinkErrorKind::Unreachable, "; is the network up?")
            }
            E::TimedOut => (LinkErrorKind::TimedOut, ""),
            E::UnexpectedEof => {
                return Self::new(LinkErrorKind::Lost, format!("{doing}: closed by the other side")).during(step);
            }
            _ => (LinkErrorKind::Lost, ""),
        };
        Self::new(kind, format!("{doing}: {}{advice}", plain(error))).during(step)
    }

    /// Explains a TLS failure on a link to `host`, at the wall clock's time `now`.
    pub(super) fn tls(error: &TlsError, host: &str, now: SystemTime) -> Self {
        match error {
            TlsError::InvalidCertificate(fault) => {
                let (flaw, text) = tls::flaw(fault, "the broker's", host, now);
                let kind = match flaw {
                    Flaw::Untrusted => LinkErrorKind::Untrusted,
                    Flaw::Expired => LinkErrorKind::Expired,
                    Flaw::WrongName => LinkErrorKind::WrongName,
                };
                Self::new(kind, format!("TLS handshake: {text}"))
            }
            TlsError::AlertReceived(alert) => Self::alert(*alert),
            TlsError::InvalidMessage(_) => {
                Self::new(LinkErrorKind::Tls, "TLS handshake: the answer is not TLS; is this the broker's TLS port?")
            }
            TlsError::NoApplicationProtocol => Self::new(LinkErrorKind::Tls, ALPN_REFUSED),
            other => Self::new(LinkErrorKind::Tls, format!("TLS handshake: {other}")),
        }
    }

    fn alert(alert: AlertDescription) -> Self {
        use AlertDescription as A;
        match alert {
            A::CertificateRequired => Self::new(
                LinkErrorKind::ClientCertificate,
                "TLS: the broker asks for a client certificate; set certificate_file and key_file",
            ),
            A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::DecryptError => Self::new(
                LinkErrorKind::ClientCertificate,
                format!("TLS: the broker refused this board's certificate: {alert:?}"),
            ),
            A::NoApplicationProtocol => Self::new(LinkErrorKind::Tls, ALPN_REFUSED),
            A::ProtocolVersion => Self::new(
                LinkErrorKind::Tls,
                "TLS: the broker takes neither TLS 1.2 nor TLS 1.3; older versions are not safe",
            ),
            other => Self::new(LinkErrorKind::Tls, format!("TLS: the broker said {other:?}")),
        }
    }
}

const ALPN_REFUSED: &str = "TLS handshake: the broker speaks none of the configured alpn names";

/// An I/O error without Rust's `(os error …)`.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    words.chars().take(1).flat_map(char::to_lowercase).chain(words.chars().skip(1)).collect()
}

/// Logs problems, and leaves out repetitions, so that a broken link does not fill the log.
#[derive(Debug, Default)]
pub(super) struct ErrorLog(Mutex<LoggedErrors>);

impl ErrorLog {
    /// Logs a problem, unless this kind was logged just now.
    pub(super) fn about(&self, config: &config::Broker, link_error: &LinkError) {
        let news = self.0.lock().unwrap_or_else(PoisonError::into_inner).is_news(link_error.kind, Instant::now());
        if news {
            warn!("broker {}: {link_error}", url(config));
        } else {
            debug!("broker {}: {link_error}", url(config));
        }
    }

    /// The link works, so the next problem is logged at once.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clear();
    }
}

/// Which kinds were logged, and when. Pure.
#[derive(Debug, Default)]
struct LoggedErrors(Vec<(LinkErrorKind, Instant)>);

impl LoggedErrors {
    /// Whether to log it now: the first time, and then once a minute.
    fn is_news(&mut self, kind: LinkErrorKind, now: Instant) -> bool {
        match self.0.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, at)) if now.saturating_duration_since(*at) < AGAIN => false,
            Some((_, at)) => {
                *at = now;
                true
            }
            None => {
                self.0.push((kind, now));
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_rustls::rustls::{
        CertificateError,
        pki_types::{ServerName, UnixTime},
    };

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn each_tls_failure_says_what_to_do() {
        let today = 1_800_000_000;
        let name = |presented: &[&str]| {
            TlsError::InvalidCertificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("mq.example").unwrap(),
                presented: presented.iter().map(|s| (*s).to_owned()).collect(),
            })
        };
        let expired = TlsError::InvalidCertificate(CertificateError::ExpiredContext {
            time: UnixTime::since_unix_epoch(Duration::from_secs(today)),
            not_after: UnixTime::since_unix_epoch(Duration::from_secs(1)),
        });
        let early = || TlsError::InvalidCertificate(CertificateError::NotValidYet);
        let rows = [
            (
                TlsError::InvalidCertificate(CertificateError::UnknownIssuer),
                today,
                LinkErrorKind::Untrusted,
                "set ca_file",
            ),
            (expired, today, LinkErrorKind::Expired, "certificate has expired"),
            (early(), today, LinkErrorKind::Expired, "not valid yet; is this board's clock right?"),
            (early(), 86_400, LinkErrorKind::Expired, "clock says 1970: it has to be set (NTP)"),
            (
                name(&["a.example", "b.example"]),
                today,
                LinkErrorKind::WrongName,
                "not for mq.example, it is for a.example, b",
            ),
            (name(&[]), today, LinkErrorKind::WrongName, "not for mq.example"),
            (
                TlsError::AlertReceived(AlertDescription::CertificateRequired),
                today,
                LinkErrorKind::ClientCertificate,
                "asks for a client certificate",
            ),
            (
                TlsError::AlertReceived(AlertDescription::UnknownCA),
                today,
                LinkErrorKind::ClientCertificate,
                "UnknownCA",
            ),
            (TlsError::AlertReceived(AlertDescription::NoApplicationProtocol), today, LinkErrorKind::Tls, "alpn"),
            (
                TlsError::AlertReceived(AlertDescription::ProtocolVersion),
                today,
                LinkErrorKind::Tls,
                "neither TLS 1.2 nor TLS 1.3",
            ),
        ];
        for (error, now, kind, words) in rows {
            let link_error = LinkError::tls(&error, "mq.example", at(now));
            assert_eq!((link_error.kind, link_error.step), (kind, Step::Tls), "{error:?}");
            assert!(link_error.to_string().contains(words), "{error:?}: {link_error}");
        }
    }

    #[test]
    fn a_failed_connect_is_told_by_its_errno() {
        let rows = [
            (
                111,
                LinkErrorKind::Refused,
                "connect to [::1]:1883: connection refused; does the broker listen on this port?",
            ),
            (101, LinkErrorKind::Unreachable, "connect to [::1]:1883: network is unreachable; is the network up?"),
            (113, LinkErrorKind::Unreachable, "connect to [::1]:1883: no route to host; is the network up?"),
            (110, LinkErrorKind::TimedOut, "connect to [::1]:1883: connection timed out"),
            (104, LinkErrorKind::Lost, "connect to [::1]:1883: connection reset by peer"),
        ];
        for (errno, kind, text) in rows {
            let error = io::Error::from_raw_os_error(errno);
            let link_error = LinkError::io(Step::Tcp, "connect to [::1]:1883", &error);
            let found = (link_error.kind, link_error.step, link_error.to_string());
            assert_eq!(found, (kind, Step::Tcp, text.to_owned()));
        }
    }

    #[test]
    fn each_kind_is_said_once_and_then_once_a_minute() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut said = LoggedErrors::default();
        let rows = [
            (0, LinkErrorKind::Refused, true),
            (1, LinkErrorKind::Refused, false),
            (2, LinkErrorKind::Name, true),
            (59, LinkErrorKind::Refused, false),
            (60, LinkErrorKind::Refused, true),
            (61, LinkErrorKind::Name, false),
            (119, LinkErrorKind::Refused, false),
        ];
        for (seconds, kind, expected) in rows {
            assert_eq!(said.is_news(kind, after(seconds)), expected, "{kind:?} at {seconds} s");
        }
        assert!(said.is_news(LinkErrorKind::Refused, after(120)));
    }
}
