//! Data channels of a connection. The viewer opens them; the device offers that, and lets their packets in.

use std::{fmt, sync::Arc};

use webrtc::data_channel::{DataChannel, RTCDataChannelInit};

use super::{Peer, PeerError, internal};

/// The SCTP stream of the channel that never exists. No viewer has so many.
const UNUSED: u16 = 65_000;

/// A data channel that the viewer opened.
pub struct OpenedChannel(pub(crate) Arc<dyn DataChannel>);

impl fmt::Debug for OpenedChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenedChannel").field(&self.0.id()).finish()
    }
}

impl Peer {
    /// The packets of data channels may pass from now on.
    pub fn allow_channel(&self) {
        self.filter.lock().allow_channel();
    }

    /// Makes the stack offer data channels. It does so only if it has one, so it gets one that is closed at once: that
    /// one never exists for the viewer.
    pub(crate) async fn offer_channels(&self) -> Result<(), PeerError> {
        const DOING: &str = "offer data channels";
        // With a stream of its own choice, it takes none that the viewer may choose.
        let options = RTCDataChannelInit { negotiated: Some(UNUSED), ..RTCDataChannelInit::default() };
        let unused = self.connection.create_data_channel("unused", Some(options)).await;
        unused.map_err(internal(DOING))?.close().await.map_err(internal(DOING))
    }
}
