//! One step of a peer connection, and the refusal if it fails.

use std::{future::Future, time::Duration};

use tokio::time::timeout;
use tracing::warn;

use crate::{
    protocol::{ErrorName, Refusal},
    viewer::peer::PeerError,
};

/// Retry delay when the board has run out of a resource.
const SCARCE: Duration = Duration::from_secs(10);
/// The longest time for one step of the peer connection.
pub(crate) const STEP: Duration = Duration::from_secs(5);

/// Runs one step of the peer connection, with the time limit.
pub(crate) async fn step<T>(work: impl Future<Output = Result<T, PeerError>>) -> Result<T, Refusal> {
    match timeout(STEP, work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(PeerError::BadSdp(why))) => Err(Refusal::new(ErrorName::BadSdp, why)),
        Ok(Err(PeerError::BadCandidate(why))) => Err(Refusal::new(ErrorName::BadRequest, why)),
        Ok(Err(PeerError::OutOfResources(why))) => {
            warn!("peer connection: {why}: no further viewer can be served now");
            let message = "this device has no room for another connection now";
            Err(Refusal::new(ErrorName::OutOfResources, message).retry_after(SCARCE))
        }
        Ok(Err(PeerError::Internal(why))) => {
            warn!("peer connection: {why}");
            Err(Refusal::new(ErrorName::Internal, "a fault of this device: its log says more"))
        }
        Err(_) => Err(Refusal::new(ErrorName::Timeout, "the peer connection took longer than 5 s for one step")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_failure_has_its_name() {
        let fail = |error: PeerError| async move { step(async { Err::<(), _>(error) }).await.unwrap_err() };
        let why = || "why".to_owned();
        assert_eq!(fail(PeerError::BadSdp(why())).await.name, ErrorName::BadSdp);
        assert_eq!(fail(PeerError::BadCandidate(why())).await.name, ErrorName::BadRequest);
        assert_eq!(fail(PeerError::Internal(why())).await.name, ErrorName::Internal);
        let scarce = fail(PeerError::OutOfResources(why())).await;
        assert_eq!((scarce.name, scarce.retry_after_ms), (ErrorName::OutOfResources, Some(10_000)));
    }
}
