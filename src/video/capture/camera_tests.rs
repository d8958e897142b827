use super::*;

fn control(name: &str, min: i64, max: i64) -> Control {
    Control { id: 7, name: name.into(), min, max, step: 1, default: 0, value: None }
}

#[test]
fn controls_are_found_or_the_possible_is_told() {
    let controls = [control("brightness", -64, 64), control("gain", 0, 100)];
    for (name, value, expected) in [
        ("gain", 100, Ok(7)),
        ("gain", 101, Err("set control gain to 101: device takes 0 to 100")),
        ("brightness", -65, Err("set control brightness to -65: device takes -64 to 64")),
        ("zoom", 1, Err("set control zoom: device has brightness, gain")),
    ] {
        assert_eq!(find_control(&controls, name, value), expected.map_err(str::to_owned));
    }
    assert_eq!(find_control(&[], "zoom", 1), Err("set control zoom: device has no controls".into()));
}

#[test]
fn errors_say_what_to_do_and_absence_is_told_apart() {
    let path = Path::new("/dev/video0");
    let of = |errno| fault(path, "start capture", &io::Error::from_raw_os_error(errno));
    assert_eq!(of(libc::ENODEV), Fault::Absent("camera /dev/video0: not there".into()));
    for (errno, part) in [
        (libc::EBUSY, "another program"),
        (libc::EACCES, "group video"),
        (libc::ENOSPC, "USB bandwidth"),
        (libc::EIO, "start capture: Input/output error"),
    ] {
        match of(errno) {
            Fault::Failed(text) => assert!(text.contains(part), "{text}"),
            Fault::Absent(text) => panic!("{text}"),
        }
    }
}

#[test]
fn what_is_no_camera_is_refused_with_a_sentence() {
    let config = Video::default();
    for (path, part) in [("/dev/null", "not a V4L2 device"), ("/etc/shadow-of-nothing", "not there")] {
        let Err(Fault::Absent(text) | Fault::Failed(text)) = Camera::open(Path::new(path), &config, true) else {
            panic!("{path} is a camera")
        };
        assert!(text.contains(part), "{text}");
    }
}
