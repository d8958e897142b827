//! Turns the file into checked values, and reports every fault in it at once.

use std::{
    io,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::de::{DeTable, DeValue};

use super::{
    AudioSource, Config, ConfigError, Id, Problem, VideoSource, access, broker, gpio, media,
    problem::ProblemList,
    secret::{plain, read_bounded, text_of},
    section::Section,
    values::one_line,
    webrtc,
};

/// Largest configuration file, in bytes. A usual one has a page or two.
const FILE_MAX: u64 = 256 * 1024;

/// What the reading of a configuration depends on, apart from its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The folder with the credentials that systemd passes to this service.
    pub credentials: Option<PathBuf>,
    /// Where to look for credentials outside of the service: folders, and the prefix of a credential's name there.
    pub stores: Vec<(PathBuf, &'static str)>,
    /// Whether the file is only checked. A secret that only the service may read is then a warning.
    pub checking: bool,
}

impl Surroundings {
    /// Those of this process: `$CREDENTIALS_DIRECTORY`, or the places from which systemd loads the service's
    /// credentials (systemd.exec(5), `LoadCredential=`).
    pub fn of_process(checking: bool) -> Self {
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let stores = ["/etc/credstore", "/run/credstore", "/usr/local/lib/credstore", "/usr/lib/credstore"];
        let stores = stores.map(|folder| (PathBuf::from(folder), "fanlight."));
        let given = (PathBuf::from("/run/credentials/fanlight.service"), "");
        Self { credentials, stores: [given].into_iter().chain(stores).collect(), checking }
    }
}

/// A configuration that can be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Values that are valid but doubtful.
    pub warnings: Vec<Problem>,
}

/// Reads a configuration file, and the secrets it names.
pub fn load(file: &Path, around: &Surroundings) -> Result<Loaded, ConfigError> {
    parse(&text(file)?, file, around)
}

/// The text of a configuration file.
pub fn text(file: &Path) -> Result<String, ConfigError> {
    let text = match read_bounded(file, FILE_MAX) {
        Ok((bytes, _)) => text_of(bytes).map_err(|e| e.to_string()),
        Err(e) => Err(match e.kind() {
            io::ErrorKind::NotFound => {
                "no such file; `sudo fanlight setup` writes one, --config names another".to_owned()
            }
            io::ErrorKind::PermissionDenied => format!("{}; try it with sudo", plain(&e)),
            _ => plain(&e),
        }),
    };
    text.map_err(|said| {
        let problem = Problem::of_file(file, format!("read the file: {said}"));
        ConfigError { problems: vec![problem], warnings: Vec::new(), blank: false }
    })
}

/// Reads the text of a configuration file that worked with an earlier version. Values that this version refuses get
/// their defaults and are returned as problems. `None` if `may_miss` is false for one of them.
pub fn salvage(
    text: &str,
    file: &Path,
    around: &Surroundings,
    may_miss: impl Fn(&Problem) -> bool,
) -> Option<(Loaded, Vec<Problem>)> {
    let mut report = ProblemList::new(file, text);
    let (config, _) = read(text, &mut report, around);
    let ProblemList { problems, warnings, .. } = report;
    problems.iter().all(may_miss).then_some((Loaded { config, warnings }, problems))
}

/// Reads the text of a configuration file, and the secrets it names. `file` is only its name in messages.
pub fn parse(text: &str, file: &Path, around: &Surroundings) -> Result<Loaded, ConfigError> {
    if matches!(DeTable::parse(text), Ok(document) if document.get_ref().is_empty()) {
        let message = "not set up yet: `fanlight setup` writes this file; to write it by hand, see fanlight.toml(5)";
        let problem = Problem::of_file(file, message);
        return Err(ConfigError { problems: vec![problem], warnings: Vec::new(), blank: true });
    }
    let mut report = ProblemList::new(file, text);
    let (config, _) = read(text, &mut report, around);
    let ProblemList { mut problems, mut warnings, .. } = report;
    problems.sort();
    warnings.sort();
    if problems.is_empty() {
        Ok(Loaded { config, warnings })
    } else {
        Err(ConfigError { problems, warnings, blank: false })
    }
}

/// Reads everything. Also returns the keys that were looked up.
fn read(text: &str, report: &mut ProblemList<'_>, around: &Surroundings) -> (Config, Vec<String>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let syntax: Vec<_> = errors.iter().map(|e| (e.span().unwrap_or(0..0), e.message().replace('\n', ", "))).collect();
    let mut tables = Tables { root: document.into_inner(), asked: Vec::new() };

    let name = |text: &str| one_line(text, 128).then(|| text.to_owned());
    let (broker, _) = tables.section(report, "broker", |section| (broker::read(section, around), Vec::new()));
    let (access, _) = tables.section(report, "access", |section| (access::read(section, &broker, around), Vec::new()));
    let (video, video_off) = tables.section(report, "video", |section| (media::video(section), Vec::new()));
    let (audio, _) = tables.section(report, "audio", |section| (media::audio(section), Vec::new()));
    let (speaker, _) = tables.section(report, "speaker", |section| (media::speaker(section), Vec::new()));
    let (lamp, _) = tables.section(report, "lamp", |section| (gpio::lamp(section), Vec::new()));
    let (button, _) = tables.section(report, "button", |section| (gpio::button(section), Vec::new()));
    let (limits, _) = tables.section(report, "limits", |section| (webrtc::limits(section), Vec::new()));
    let (webrtc, _) = tables.section(report, "webrtc", |section| webrtc::read(section, around, &limits));
    let (log, _) = tables.section(report, "log", |section| (webrtc::log(section), Vec::new()));
    if video.source == VideoSource::Off && audio.source == AudioSource::Off {
        report.problem(
            "video.source",
            &video_off,
            "\"off\" is not possible together with audio.source = \"off\": viewers would get neither picture nor sound",
        );
    }

    let Tables { root, mut asked } = tables;
    let mut top = Section::new(report, "", 0..0, root);
    let device = top.optional("device", Id::new).unwrap_or_else(|| Id("unnamed".into()));
    let name = top.optional("name", name).unwrap_or_else(|| device.to_string());
    asked.append(&mut top.finish());

    if !syntax.is_empty() {
        // A broken line also causes "missing" and other problems. The syntax error is enough.
        let broken: Vec<_> = syntax.iter().map(|(at, _)| report.line(at)).collect();
        report.problems.retain(|p| !p.is_missing && !p.place.is_some_and(|at| broken.contains(&at.line)));
        for (at, message) in syntax {
            report.syntax(&at, &message);
        }
    }
    (Config { device, name, broker, access, video, audio, speaker, lamp, button, webrtc, limits, log }, asked)
}

/// The tables of the file that have not been read yet.
struct Tables<'i> {
    root: DeTable<'i>,
    asked: Vec<String>,
}

impl<'i> Tables<'i> {
    /// Reads one table. An absent one is read as an empty one. Also returns the place of its key `source`.
    fn section<T>(
        &mut self,
        report: &mut ProblemList<'_>,
        name: &'static str,
        read: impl FnOnce(&mut Section<'_, '_, 'i>) -> (T, Vec<String>),
    ) -> (T, Range<usize>) {
        let (at, table) = match self.root.remove_entry(name) {
            None => (0..0, DeTable::new()),
            Some((key, value)) => match value.into_inner() {
                DeValue::Table(table) => (key.span(), table),
                _ => {
                    report.problem(
                        name,
                        &key.span(),
                        format!("must be a table, not a value: write [{name}] on a line of its own"),
                    );
                    (key.span(), DeTable::new())
                }
            },
        };
        let mut section = Section::new(report, name, at.clone(), table);
        let (read, mut asked) = read(&mut section);
        let at = section.place("source").unwrap_or(at);
        self.asked.append(&mut asked);
        self.asked.append(&mut section.finish());
        (read, at)
    }
}

/// Every key that the parser looks up in this text, including absent ones.
#[cfg(test)]
pub(super) fn keys_asked_for(text: &str) -> Vec<String> {
    read(text, &mut ProblemList::new(Path::new(""), text), &Surroundings::default()).1
}
