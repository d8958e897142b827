//! The controls of a camera, for commands: what can be set, and in which order.

use std::collections::BTreeMap;

use tracing::warn;

use crate::{
    feed::{CameraRefusal, ControlDescription, ControlKind, ControlsQuestion},
    video::v4l2::Node,
};

/// A control to set, with its id.
type Planned<'a> = (u32, &'a ControlDescription, i64);

/// Answers a question. `node`: `None` for a source without controls. `name`: the source in messages.
pub(crate) fn answer(node: Option<&Node>, name: &str, question: ControlsQuestion) {
    let controls = node.map(Node::described_controls).unwrap_or_default();
    // Whoever asked may have gone.
    match question {
        ControlsQuestion::List(answer) => {
            drop(answer.send(Ok(controls.into_iter().map(|(_, control)| control).collect())));
        }
        ControlsQuestion::Set(values, answer) => {
            let planned = plan(&controls, &values);
            drop(answer.send(planned.and_then(|planned| set(node, name, &planned))));
        }
    }
}

/// Sets the saved controls after the camera was opened. One that cannot be set is logged and skipped, since the picture
/// matters more.
pub(crate) fn restore(node: Option<&Node>, name: &str, saved: &BTreeMap<String, i32>) {
    let Some(node) = node.filter(|_| !saved.is_empty()) else { return };
    let controls = node.described_controls();
    for (id, control, value) in restorable(&controls, name, saved) {
        if let Err(e) = node.set_control(id, value) {
            warn!("{name}: set the saved control {} to {value}: {e}", control.name);
        }
    }
}

/// What of the saved controls this camera takes, in its order. Another one may be plugged in.
fn restorable<'a>(
    controls: &'a [(u32, ControlDescription)],
    name: &str,
    saved: &BTreeMap<String, i32>,
) -> Vec<Planned<'a>> {
    let one = |(control, value): (&String, &i32)| match plan(controls, &[(control.clone(), *value)].into()) {
        Ok(planned) => planned,
        Err(refusal) => {
            warn!("{name}: a saved control is not set: {}", refusal.text());
            Vec::new()
        }
    };
    let mut planned: Vec<_> = saved.iter().flat_map(one).collect();
    planned.sort_by_key(|(_, control, _)| !is_mode(control.kind));
    planned
}

/// What to set, in its order: menus and switches come first, because a mode often decides whether a number counts. If
/// anything is wrong, nothing is set.
fn plan<'a>(
    controls: &'a [(u32, ControlDescription)],
    values: &BTreeMap<String, i32>,
) -> Result<Vec<Planned<'a>>, CameraRefusal> {
    let find = |(name, value): (&String, &i32)| {
        let found = controls.iter().find(|(_, control)| control.name == *name);
        found.map(|(id, control)| (*id, control, i64::from(*value))).ok_or_else(|| {
            let message = format!("set control {name}: the camera has no such control; controls.list names all");
            CameraRefusal::NotFound(message)
        })
    };
    let mut planned = values.iter().map(find).collect::<Result<Vec<_>, _>>()?;
    planned.iter().try_for_each(|(_, control, value)| check(control, *value))?;
    planned.sort_by_key(|(_, control, _)| !is_mode(control.kind));
    Ok(planned)
}

fn is_mode(kind: ControlKind) -> bool {
    matches!(kind, ControlKind::Boolean | ControlKind::Menu | ControlKind::IntegerMenu)
}

fn check(control: &ControlDescription, value: i64) -> Result<(), CameraRefusal> {
    let ControlDescription { name, min, max, items, .. } = control;
    let refuse = |possible: &str| {
        Err(CameraRefusal::OutOfRange(format!("set control {name} to {value}: the camera takes {possible}")))
    };
    match control.kind {
        ControlKind::Button => Ok(()),
        ControlKind::Menu | ControlKind::IntegerMenu if !items.iter().any(|item| item.value == value) => {
            let possible: Vec<_> = items.iter().map(|item| item.value.to_string()).collect();
            refuse(&possible.join(", "))
        }
        _ if !(*min..=*max).contains(&value) => refuse(&format!("{min} to {max}")),
        _ => Ok(()),
    }
}

/// Sets the controls, and returns the values that they have then.
fn set(node: Option<&Node>, name: &str, planned: &[Planned<'_>]) -> Result<BTreeMap<String, i64>, CameraRefusal> {
    let Some(node) = node else { return Ok(BTreeMap::new()) };
    for (id, control, value) in planned {
        if let Err(e) = node.set_control(*id, *value) {
            return Err(CameraRefusal::Failed(format!("{name}: set control {} to {value}: {e}", control.name)));
        }
    }
    let readable = planned.iter().filter(|(_, control, _)| control.kind != ControlKind::Button);
    Ok(readable.filter_map(|(id, control, _)| Some((control.name.clone(), node.value(*id)?))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{CameraRequests, MenuItem};

    fn control(name: &str, kind: ControlKind, min: i64, max: i64) -> ControlDescription {
        let (name, items) = (name.to_owned(), Vec::new());
        let (step, default, value, unit) = (1, 0, None, None);
        ControlDescription { name, kind, min, max, step, default, value, unit, items, inactive: false }
    }

    /// A webcam: the driver's order is not the one in which they are set.
    fn webcam() -> Vec<(u32, ControlDescription)> {
        let items = [1, 3].map(|value| MenuItem { value, name: format!("mode {value}") }).into();
        let exposure = ControlDescription { items, ..control("auto_exposure", ControlKind::Menu, 0, 3) };
        vec![
            (1, control("gain", ControlKind::Integer, 0, 100)),
            (2, control("pan_absolute", ControlKind::Integer, -36_000, 36_000)),
            (3, exposure),
            (4, control("autofocus", ControlKind::Boolean, 0, 1)),
            (5, control("reset", ControlKind::Button, 0, 0)),
        ]
    }

    fn planned(values: &[(&str, i32)]) -> Result<Vec<(u32, i64)>, CameraRefusal> {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        Ok(plan(&webcam(), &values)?.into_iter().map(|(id, _, value)| (id, value)).collect())
    }

    #[test]
    fn modes_are_set_before_numbers() {
        let values = [("gain", 7), ("pan_absolute", -3600), ("auto_exposure", 1), ("autofocus", 0), ("reset", 9)];
        let ids: Vec<_> = planned(&values).unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!(ids, [3, 4, 1, 2, 5]);
        assert_eq!(planned(&[("gain", 100)]), Ok(vec![(1, 100)]));
    }

    #[test]
    fn one_wrong_value_sets_nothing_and_says_what_is_possible() {
        use CameraRefusal::{NotFound, OutOfRange};
        let no_zoom = "set control zoom: the camera has no such control; controls.list names all";
        for (values, expected) in [
            (&[("gain", 101)][..], OutOfRange("set control gain to 101: the camera takes 0 to 100".into())),
            (&[("gain", -1)], OutOfRange("set control gain to -1: the camera takes 0 to 100".into())),
            (&[("auto_exposure", 2)], OutOfRange("set control auto_exposure to 2: the camera takes 1, 3".into())),
            (
                &[("autofocus", 2), ("gain", 1)],
                OutOfRange("set control autofocus to 2: the camera takes 0 to 1".into()),
            ),
            (&[("gain", 1), ("zoom", 1)], NotFound(no_zoom.into())),
            (&[("gain", 101), ("zoom", 1)], NotFound(no_zoom.into())),
        ] {
            assert_eq!(planned(values), Err(expected), "{values:?}");
        }
    }

    #[test]
    fn of_the_saved_controls_those_are_set_that_the_camera_takes() {
        let saved = [("autofocus", 0), ("gain", 7), ("pan_absolute", 99_999), ("zoom", 1)];
        let saved = saved.map(|(name, value)| (name.to_owned(), value)).into();
        let webcam = webcam();
        let ids: Vec<_> = restorable(&webcam, "camera", &saved).into_iter().map(|(id, _, value)| (id, value)).collect();
        assert_eq!(ids, [(4, 0), (1, 7)]);
    }

    #[test]
    fn a_source_without_controls_says_so() {
        let requests = CameraRequests::default();
        let mut list = requests.ask_controls().unwrap();
        let mut set = requests.set_controls([("gain".to_owned(), 1)].into()).unwrap();
        requests.take_controls().into_iter().for_each(|question| answer(None, "test picture", question));
        assert_eq!(list.try_recv().unwrap(), Ok(Vec::new()));
        assert!(matches!(set.try_recv().unwrap(), Err(CameraRefusal::NotFound(_))));
    }
}
