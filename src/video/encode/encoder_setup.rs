//! Sets up a V4L2 memory-to-memory node as an H.264 encoder, in the order of the kernel documentation.

use std::{io, path::Path, sync::Arc};

use tracing::debug;

use crate::{
    config::Video,
    video::{
        capture::{dmabuf::DmabufExport, modes::FourCc},
        encode::{
            Shape, controls,
            hardware::{INSIDE, Input},
            layout::{PlaneLayout, WRITTEN},
            level,
        },
        v4l2::{Asked, Control, Given, Node, Queue, Side, VIDEO_BITRATE},
    },
};

/// How a node is set up as an encoder: its formats, then its input buffers.
pub(super) struct EncoderSetup<'a> {
    pub(super) path: &'a Path,
    pub(super) shape: Shape,
    /// The buffers to import; `None` if frames are copied.
    pub(super) camera: Option<&'a Arc<DmabufExport>>,
}

impl EncoderSetup<'_> {
    /// The text of an error.
    pub(super) fn text(&self, doing: &str) -> String {
        format!("encoder {}: {doing}", self.path.display())
    }

    pub(super) fn failed(&self, doing: &str) -> impl FnOnce(io::Error) -> String + use<> {
        let text = self.text(doing);
        move |e| format!("{text}: {e}")
    }

    fn size(&self) -> (u32, u32) {
        (self.shape.size.0 as u32, self.shape.size.1 as u32)
    }

    pub(super) fn set_coded_format(&self, node: &Node) -> Result<(), String> {
        let size = self.size();
        let length = size.0.saturating_mul(size.1).max(512 << 10);
        let coded = Asked { fourcc: FourCc::H264, size, stride: 0, length, colour: self.shape.colour };
        let given = node.set_queue_format(Side::Coded, &coded).map_err(self.failed("set H264"))?;
        match given.fourcc == FourCc::H264 {
            true => Ok(()),
            false => Err(self.text(&format!("set H264: the device sets {} instead", given.fourcc))),
        }
    }

    /// Sets the camera's format if its buffers are imported, else the first of ours that the encoder takes.
    pub(super) fn set_raw_format(&self, node: &Node) -> Result<Given, String> {
        let size = self.size();
        let offered = node.formats(Side::Raw);
        let fourcc = match self.camera {
            Some(camera) => Some(camera.fourcc).filter(|fourcc| offered.contains(fourcc)),
            None => WRITTEN.into_iter().find(|fourcc| offered.contains(fourcc)),
        };
        let fourcc = fourcc.ok_or_else(|| self.text("accepts none of our raw formats"))?;
        let stride = self.camera.and_then(|c| c.strides.first()).map_or(0, |stride| *stride as u32);
        let asked = Asked { fourcc, size, stride, length: 0, colour: self.shape.colour };
        let doing = format!("set {}x{} {fourcc}", size.0, size.1);
        let given = node.set_queue_format(Side::Raw, &asked).map_err(self.failed(&doing))?;
        if given.fourcc != fourcc {
            return Err(self.text(&format!("{doing}: the device sets {} instead", given.fourcc)));
        }
        if given.size != size {
            // Drivers round up to whole macroblocks. The added part must not be visible.
            node.set_crop(size).map_err(self.failed(&format!("{doing} of {}x{}", given.size.0, given.size.1)))?;
        }
        Ok(given)
    }

    /// Imports the camera's buffers (DMABUF), if they have the memory layout that the encoder needs.
    pub(super) fn import_input(
        &self,
        node: &Arc<Node>,
        camera: &Arc<DmabufExport>,
        given: Given,
    ) -> Result<(Queue, Input), String> {
        let alike = given.size == camera.size
            && given.strides == camera.strides
            && camera.buffers.iter().all(|pieces| {
                let lengths = pieces.iter().map(|piece| piece.length);
                pieces.len() == given.lengths.len() && lengths.zip(&given.lengths).all(|(has, needs)| has >= *needs)
            });
        if !alike {
            return Err(self.text("needs another memory layout than the camera's"));
        }
        let queue = Queue::imported(Arc::clone(node), camera.buffers.len() as u32);
        let queue = queue.map_err(self.failed("import the camera's buffers"))?;
        Ok((queue, Input::Dmabuf { camera: Arc::clone(camera), lengths: given.lengths, imported: Vec::new() }))
    }

    /// Allocates buffers that frames are copied into.
    pub(super) fn allocate_input(&self, node: &Arc<Node>, given: Given) -> Result<(Queue, Input), String> {
        let layout = PlaneLayout::new(&given, self.shape.size).map_err(|what| self.text(&what))?;
        let queue = Queue::mapped(Arc::clone(node), Side::Raw, INSIDE as u32);
        let queue = queue.map_err(self.failed("allocate buffers for frames"))?;
        let free = (0..queue.len().min(INSIDE) as u32).collect();
        Ok((queue, Input::Written { layout, lengths: given.lengths, free }))
    }
}

/// Sets all controls that the encoder has, and returns its bitrate control. Refused values are logged at `debug` only,
/// because the output is checked anyway.
pub(super) fn set_controls(node: &Node, shape: Shape, config: &Video) -> Option<Control> {
    let controls = node.controls();
    let level = level::lowest(shape.size, shape.rate, shape.ceiling);
    for setting in controls::plan(&controls, shape.bitrate, level, config) {
        let refused = |value: &i64| node.set_control(setting.id, *value).err();
        let refusals: Vec<io::Error> = setting.values.iter().map_while(refused).collect();
        if refusals.len() == setting.values.len() {
            debug!("video: encoder refuses {:?} for control {:#x}: {:?}", setting.values, setting.id, refusals.last());
        }
    }
    controls.into_iter().find(|control| control.id == VIDEO_BITRATE)
}
