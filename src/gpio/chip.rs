//! GPIO lines by the kernel's character device: finds them, takes them, and reads their edges.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::uapi::{
    BIAS_DISABLED, BOTH_EDGES, CHIP_INFO, ChipInfo, ConfigAttribute, GET_VALUES, INPUT, LINE_INFO, LineAttribute,
    LineConfig, LineEvent, LineInfo, LineRequest, LineValues, NO_ATTRIBUTE, OUTPUT, OUTPUT_VALUES, PULL_DOWN, PULL_UP,
    RISING_EDGE, SET_VALUES, USED, call, get_line,
};
use crate::{
    clock::Mono,
    config::{GpioLine, LineBias, LinePolarity},
};

/// The name by which the kernel shows who uses a line.
const CONSUMER: &str = "fanlight";
/// Chips and lines of one chip that are looked at.
const CHIPS_MAX: usize = 64;
const LINES_MAX: u32 = 1024;
/// Events that are read at once, and that the kernel keeps. It drops the oldest.
const EVENTS: usize = 64;
/// The bytes of an event.
const EVENT_SIZE: usize = size_of::<LineEvent>();

/// A text of the kernel, up to its first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// An open chip.
struct Chip {
    path: PathBuf,
    file: File,
    /// The name of its device, and the name that its driver gives it.
    name: String,
    label: String,
    lines: u32,
}

impl Chip {
    fn open(path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|e| match e.kind() {
            io::ErrorKind::PermissionDenied => {
                format!("open {}: {e}; the user of the service must be in the group of this device", path.display())
            }
            _ => format!("open {}: {e}", path.display()),
        })?;
        let mut info = ChipInfo { name: [0; 32], label: [0; 32], lines: 0 };
        call(&file, &CHIP_INFO, &mut info).map_err(|said| format!("{}: {said}", path.display()))?;
        let lines = info.lines.min(LINES_MAX);
        Ok(Self { path: path.to_owned(), file, name: text(&info.name), label: text(&info.label), lines })
    }

    fn line(&self, number: u32) -> Result<LineInfo, String> {
        let mut info = LineInfo {
            name: [0; 32],
            consumer: [0; 32],
            offset: number,
            attribute_count: 0,
            flags: 0,
            attributes: [NO_ATTRIBUTE; 10],
            padding: [0; 4],
        };
        call(&self.file, &LINE_INFO, &mut info).map_err(|said| format!("{}: {said}", self.path.display()))?;
        Ok(info)
    }

    /// Takes a line for this process. `event_buffer`: how many events the kernel keeps.
    fn take(&self, number: u32, config: LineConfig, event_buffer: usize) -> Result<OwnedFd, String> {
        let mut offsets = [0; 64];
        offsets[0] = number;
        let mut consumer = [0; 32];
        consumer[..CONSUMER.len()].copy_from_slice(CONSUMER.as_bytes());
        let request = LineRequest {
            offsets,
            consumer,
            config,
            line_count: 1,
            event_buffer_size: event_buffer as u32,
            padding: [0; 5],
            fd: -1,
        };
        get_line(&self.file, request).map_err(|said| {
            let used = self.line(number).ok().filter(|info| info.flags & USED != 0);
            let by = used.map(|info| format!("; it is used by {:?}", text(&info.consumer))).unwrap_or_default();
            format!("{} line {number}: {said}{by}", self.path.display())
        })
    }
}

/// The configuration of a line without attributes.
fn line_config(flags: u64) -> LineConfig {
    let attribute = ConfigAttribute { attribute: NO_ATTRIBUTE, mask: 0 };
    LineConfig { flags, attribute_count: 0, padding: [0; 5], attributes: [attribute; 10] }
}

/// The devices of all chips, in their order. A link is a second name of a chip.
fn chip_paths() -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir("/dev") else { return Vec::new() };
    let mut found: Vec<(u32, PathBuf)> = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| !kind.is_symlink()))
        .filter_map(|entry| {
            let number: u32 = entry.file_name().to_str()?.strip_prefix("gpiochip")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    found.sort();
    found.truncate(CHIPS_MAX);
    found.into_iter().map(|(_, path)| path).collect()
}

/// Finds the chip of a line, and the number of the line.
fn find(line: &GpioLine) -> Result<(Chip, u32), String> {
    let paths = chip_paths();
    if paths.is_empty() {
        return Err(format!("{line}: this board has no GPIO chip (/dev/gpiochip*), or its driver is not loaded"));
    }
    let (mut found, mut faults) = (Vec::new(), Vec::new());
    for path in paths {
        match Chip::open(&path) {
            Ok(chip) => found.extend(number_of(line, &chip).map(|number| (chip, number))),
            Err(said) => faults.push(said),
        }
    }
    let more = found.len() > 1;
    match found.pop() {
        Some(_) if more => {
            Err(format!("{line}: more than one line is meant; write gpio:CHIP:NUMBER with the chip's device"))
        }
        Some(found) => Ok(found),
        None if faults.is_empty() => Err(format!("{line}: there is no such line; `fanlight probe` lists them")),
        None => Err(format!("{line}: not found; {}", faults.join("; "))),
    }
}

/// The number of a line, if this chip has it.
fn number_of(line: &GpioLine, chip: &Chip) -> Option<u32> {
    match line {
        GpioLine::Named(name) => {
            (0..chip.lines).find(|number| chip.line(*number).is_ok_and(|info| text(&info.name) == *name))
        }
        GpioLine::Numbered { chip: name, number } => {
            (*number < chip.lines && (chip.name == *name || chip.label == *name)).then_some(*number)
        }
    }
}

/// A line that this process drives. The kernel frees it when this is dropped.
#[derive(Debug)]
pub(super) struct OutputLine {
    fd: OwnedFd,
    polarity: LinePolarity,
}

impl OutputLine {
    /// Takes a line as an output that is active or not from its first moment on.
    pub(super) fn open(line: &GpioLine, polarity: LinePolarity, is_active: bool) -> Result<Self, String> {
        let (chip, number) = find(line)?;
        let mut config = line_config(OUTPUT);
        let value = u64::from(polarity.convert(is_active));
        config.attribute_count = 1;
        config.attributes[0] =
            ConfigAttribute { attribute: LineAttribute { id: OUTPUT_VALUES, padding: 0, value }, mask: 1 };
        Ok(Self { fd: chip.take(number, config, 0)?, polarity })
    }

    /// Makes it active or not.
    pub(super) fn set(&self, is_active: bool) -> Result<(), String> {
        let mut values = LineValues { bits: u64::from(self.polarity.convert(is_active)), mask: 1 };
        call(&self.fd, &SET_VALUES, &mut values)
    }
}

/// An edge of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge {
    /// Whether the level is high after it.
    pub(super) high: bool,
    /// The time of its interrupt.
    pub(super) at: Mono,
}

/// A line whose edges are followed.
#[derive(Debug)]
pub(super) struct InputLine {
    file: File,
}

impl InputLine {
    /// Takes a line as an input.
    pub(super) fn open(line: &GpioLine, bias: LineBias) -> Result<Self, String> {
        let (chip, number) = find(line)?;
        let resistor = match bias {
            LineBias::AsIs => 0,
            LineBias::Disabled => BIAS_DISABLED,
            LineBias::PullUp => PULL_UP,
            LineBias::PullDown => PULL_DOWN,
        };
        let fd = chip.take(number, line_config(INPUT | BOTH_EDGES | resistor), EVENTS)?;
        Ok(Self { file: File::from(fd) })
    }

    /// Its level.
    pub(super) fn is_high(&self) -> Result<bool, String> {
        let mut values = LineValues { bits: 0, mask: 1 };
        call(&self.file, &GET_VALUES, &mut values)?;
        Ok(values.bits & 1 != 0)
    }

    /// Waits for edges, for `time` at most. None came in that time if there are none.
    pub(super) fn wait(&mut self, time: Duration) -> Result<Vec<Edge>, String> {
        let time = Timespec::try_from(time).map_err(|e| format!("poll: {e}"))?;
        let mut waiting = [PollFd::new(&self.file, PollFlags::IN)];
        match poll(&mut waiting, Some(&time)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
            Ok(_) => {}
            Err(e) => return Err(format!("poll: {e}")),
        }
        // Without this, a read could wait for ever.
        if !waiting[0].revents().contains(PollFlags::IN) {
            return Err("the line is gone".to_owned());
        }
        let mut bytes = [0; EVENT_SIZE * EVENTS];
        let read = self.file.read(&mut bytes).map_err(|e| format!("read: {e}"))?;
        Ok(bytes[..read].chunks_exact(EVENT_SIZE).filter_map(edge).collect())
    }
}

/// Reads one event.
fn edge(event: &[u8]) -> Option<Edge> {
    let time: [u8; 8] = event.get(..8)?.try_into().ok()?;
    let id: [u8; 4] = event.get(8..12)?.try_into().ok()?;
    Some(Edge { high: u32::from_ne_bytes(id) == RISING_EDGE, at: Mono(u64::from_ne_bytes(time)) })
}

/// A chip, for `fanlight probe`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ProbedChip {
    /// The device.
    pub node: PathBuf,
    /// The name that its driver gives it.
    pub label: String,
    /// How many lines it has.
    pub lines: u32,
    /// The lines that nobody uses, as the configuration names them.
    pub free: Vec<String>,
    /// Why it cannot be used.
    pub unusable: Option<String>,
}

/// All GPIO chips of the board. Changes no line.
pub fn chips() -> Vec<ProbedChip> {
    let probe = |node: PathBuf| match Chip::open(&node) {
        Ok(chip) => {
            let free = (0..chip.lines).filter_map(|number| free_line(&chip, number)).collect();
            ProbedChip { node, label: chip.label, lines: chip.lines, free, unusable: None }
        }
        Err(said) => ProbedChip { node, label: String::new(), lines: 0, free: Vec::new(), unusable: Some(said) },
    };
    chip_paths().into_iter().map(probe).collect()
}

/// A line that nobody uses: by its name if it has one.
fn free_line(chip: &Chip, number: u32) -> Option<String> {
    let info = chip.line(number).ok().filter(|info| info.flags & USED == 0)?;
    let name = text(&info.name);
    Some(if name.is_empty() { format!("gpio:{}:{number}", chip.name) } else { format!("gpio:{name}") })
}

/// Why a line cannot be used. Takes it for a moment, as it is, unless a daemon of this program has it.
pub fn line_fault(line: &GpioLine) -> Option<String> {
    let (chip, number) = match find(line) {
        Ok(found) => found,
        Err(said) => return Some(said),
    };
    let is_ours = chip.line(number).is_ok_and(|info| info.flags & USED != 0 && text(&info.consumer) == CONSUMER);
    if is_ours { None } else { chip.take(number, line_config(0), 0).err() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_and_half_a_one_is_not() {
        let mut event = [0; EVENT_SIZE];
        event[..8].copy_from_slice(&7_000_000_001_u64.to_ne_bytes());
        for (id, high) in [(1_u32, true), (2, false)] {
            event[8..12].copy_from_slice(&id.to_ne_bytes());
            assert_eq!(edge(&event), Some(Edge { high, at: Mono(7_000_000_001) }));
        }
        assert_eq!(edge(&event[..11]), None);
    }

    #[test]
    fn a_text_of_the_kernel_ends_with_its_first_zero() {
        for (bytes, expected) in
            [(&b"GPIO17\0\0x"[..], "GPIO17"), (b"\0", ""), (b"full", "full"), (b"\xff\0", "\u{fffd}")]
        {
            assert_eq!(text(bytes), expected);
        }
    }

    #[test]
    fn a_line_that_does_not_exist_has_a_reason() {
        let fault = line_fault(&GpioLine::Named("fanlight-has-no-such-line".into())).unwrap();
        assert!(fault.starts_with("gpio:fanlight-has-no-such-line: "), "{fault}");
    }
}
