//! Tests the queues with a driver that is not ours, the kernel's vicodec, in the emulated board. It does not encode
//! H.264. It shows that frames go in and come out by the kernel's rules, from memory and from a camera.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc, time::Duration};

use super::super::*;
use crate::{clock::Mono, feed::ControlKind, video::sources};

/// Set if this program runs in the board.
const INSIDE: &str = "FANLIGHT_INSIDE_BOARD";
const SIZE: (u32, u32) = (640, 480);
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn a_foreign_encoder_takes_pictures_from_memory_and_from_a_camera() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("inside");
    let text = format!(
        "#!/bin/sh\nmodprobe vivid n_devs=1 node_types=0x1 num_inputs=1 input_types=0 && modprobe vicodec multiplanar=1 &&\n\
         {INSIDE}=1 '{}' --exact {}::a_foreign_encoder_takes_pictures_from_memory_and_from_a_camera\n",
        std::env::current_exe().unwrap().display(),
        module_path!().split_once("::").unwrap().1,
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/board/run");
    let output = Command::new(run).args(["--timeout", "200"]).arg(&script).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

/// A running encoder.
struct Encoder {
    node: Arc<Node>,
    raw: Queue,
    coded: Queue,
    lengths: Vec<usize>,
}

impl Encoder {
    fn start(path: &Path, imports: bool) -> Self {
        let node = Arc::new(Node::open(path).unwrap());
        let asked = |fourcc| Asked { fourcc, size: SIZE, stride: 0, length: 0, colour: Colour::default() };
        node.set_queue_format(Side::Coded, &asked(FWHT)).unwrap();
        let given = node.set_queue_format(Side::Raw, &asked(FourCc::YU12)).unwrap();
        assert_eq!((given.size, given.lengths.as_slice()), (SIZE, &[640 * 480 * 3 / 2][..]));
        node.set_control(codec::GROUP, 5).unwrap();
        let raw = match imports {
            true => Queue::imported(Arc::clone(&node), 4).unwrap(),
            false => Queue::mapped(Arc::clone(&node), Side::Raw, 3).unwrap(),
        };
        let mut coded = Queue::mapped(Arc::clone(&node), Side::Coded, 4).unwrap();
        (0..coded.len() as u32).for_each(|index| coded.put(index, &[], 0).unwrap());
        raw.start().unwrap();
        coded.start().unwrap();
        Self { node, raw, coded, lengths: given.lengths }
    }

    /// The next frame: its time stamp and its bytes, and the raw buffer that is free again.
    fn next(&mut self) -> (i64, Vec<u8>, u32) {
        let end = Mono::now() + PATIENCE;
        loop {
            assert!(Mono::now() < end, "no picture within {PATIENCE:?}");
            self.node.wait(Duration::from_millis(100), None).unwrap();
            if let Some(done) = self.coded.take().unwrap() {
                assert!(!done.flagged);
                let bytes = self.coded.bytes(&done).to_vec();
                self.coded.put(done.index, &[], 0).unwrap();
                return (done.stamp, bytes, self.raw.take().unwrap().expect("the picture is used up").index);
            }
        }
    }
}

const FWHT: FourCc = FourCc(u32::from_le_bytes(*b"FWHT"));

fn inside() {
    let find = |what: &dyn Fn(&Node, &Identity) -> bool| {
        let is = |path: &PathBuf| Node::open(path).is_ok_and(|node| node.identity().is_ok_and(|id| what(&node, &id)));
        sources::nodes(Path::new("/dev")).into_iter().find(is).unwrap()
    };
    let encoder = find(&|node, identity| identity.is_m2m() && node.formats(Side::Coded).contains(&FWHT));
    from_memory(&encoder);
    let camera = find(&|_, identity| identity.capture().is_ok());
    controls_for_viewers(&camera);
    from_camera(&encoder, &camera);
}

fn controls_for_viewers(path: &Path) {
    let node = Node::open(path).unwrap();
    let all = node.described_controls();
    let find = |name: &str| {
        let found = all.iter().find(|(_, control)| control.name == name);
        found.unwrap_or_else(|| panic!("no control {name}: {all:?}"))
    };
    let (id, brightness) = find("brightness");
    assert_eq!((brightness.kind, brightness.min, brightness.max), (ControlKind::Integer, 0, 255));
    node.set_control(*id, 77).unwrap();
    assert_eq!(node.value(*id), Some(77));
    let items: Vec<_> = find("menu").1.items.iter().map(|item| item.name.as_str()).collect();
    assert!(items.contains(&"Menu Item 1") && !items.iter().any(|name| name.contains("Skipped")), "{items:?}");
    let (_, button) = find("button");
    assert_eq!((button.kind, button.value), (ControlKind::Button, None));
}

fn from_memory(path: &Path) {
    let mut encoder = Encoder::start(path, false);
    let mut lengths = Vec::new();
    for n in 0..10_u32 {
        let index = n % 3;
        for piece in encoder.raw.pieces(index) {
            // Each keyframe is another picture that needs many bits; the frames between repeat it.
            let dark = 40 + n as u8 / 5 * 60;
            piece.chunks_mut(3).enumerate().for_each(|(i, run)| run.fill(if i & 1 == 0 { dark } else { 200 }));
        }
        let stamp = 123_456_000_007 + i64::from(n) * 33_333;
        encoder.raw.put(index, &encoder.lengths, stamp).unwrap();
        let (came, bytes, free) = encoder.next();
        assert_eq!((came, free), (stamp, index), "picture {n}");
        // struct fwht_cframe_hdr begins with two magic numbers.
        assert_eq!(&bytes[..8], b"OOOO\xFF\xFF\xFF\xFF", "picture {n}");
        lengths.push(bytes.len());
    }
    assert!(lengths[0] > 2 * lengths[1] && lengths[5] > 2 * lengths[4], "a keyframe each five pictures: {lengths:?}");
}

fn from_camera(path: &Path, camera: &Path) {
    let node = Arc::new(Node::open(camera).unwrap());
    let planarity = node.identity().unwrap().capture().unwrap();
    assert_eq!(node.set_format(planarity, FourCc::YU12, SIZE).unwrap().size, SIZE);
    let mut stream = CaptureStream::start(Arc::clone(&node), planarity).unwrap();
    let memory = stream.export().unwrap();
    let mut encoder = Encoder::start(path, true);
    for n in 0..6_i64 {
        let end = Mono::now() + PATIENCE;
        let buffer = loop {
            assert!(Mono::now() < end, "no picture of the camera within {PATIENCE:?}");
            node.wait(Duration::from_millis(100), None).unwrap();
            if let Some(buffer) = stream.take().unwrap() {
                break buffer;
            }
        };
        encoder.raw.put_dmabuf(buffer.index, &memory[buffer.index as usize], &encoder.lengths, n).unwrap();
        let (came, bytes, free) = encoder.next();
        assert_eq!((came, free), (n, buffer.index), "picture {n}");
        assert!(bytes.len() > 1000, "picture {n}: {} bytes", bytes.len());
        stream.give(buffer).unwrap();
    }
}
