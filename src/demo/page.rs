//! Serves the viewer page on loopback.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::Response,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

use super::{CLOSING, DemoError, listen};
use crate::{
    config::Id,
    page::{Page, PageRequest, VIEWER, nothing_here, wants_gzip},
};

/// The running page server.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) port: u16,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// The page, and where its broker is.
#[derive(Debug)]
struct LoopbackPage {
    page: Page,
    /// The scheme, host and port of the broker's URL.
    origin: String,
}

/// Serves the page on the first free port from `port` on.
pub(super) fn serve(port: u16, websocket: &str, root: &str, device: &Id) -> Result<Served, DemoError> {
    let what = "viewer page";
    let (listener, port) = listen(what, port)?;
    let failed = |said| DemoError::Listen { what, port, said };
    listener.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(listener).map_err(failed)?;
    let app = Router::new().fallback(answer).with_state(Arc::new(LoopbackPage::new(websocket, root, device)));
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(async move {
        let until = async {
            // An error means that the sender was dropped, which also means stop.
            drop(stopped.await);
        };
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(until).await {
            tracing::error!("viewer page: {error}");
        }
    });
    Ok(Served { port, stop: Some(stop), task })
}

impl Served {
    /// Ends the server. It does not wait for browsers that keep their connection open.
    pub(super) async fn close(mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if timeout(CLOSING, &mut self.task).await.is_err() {
            self.task.abort();
            drop((&mut self.task).await);
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LoopbackPage {
    fn new(websocket: &str, root: &str, device: &Id) -> Self {
        let origin = websocket.rsplit_once('/').map_or(websocket, |(origin, _)| origin).to_owned();
        Self { page: Page::new(VIEWER, websocket, root, device, false), origin }
    }

    fn answer(&self, request: &Request) -> Response {
        let asked = PageRequest {
            method: request.method(),
            path: request.uri().path(),
            gzip: wants_gzip(request.headers()),
            broker: &self.origin,
        };
        // Against DNS rebinding: a foreign host name that resolves to 127.0.0.1 would make another site the same origin
        // as this page.
        let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
        match host.is_some_and(is_loopback) {
            true => self.page.answer(&asked),
            false => nothing_here(&asked, StatusCode::MISDIRECTED_REQUEST),
        }
    }
}

async fn answer(State(page): State<Arc<LoopbackPage>>, request: Request) -> Response {
    page.answer(&request)
}

/// Whether a `Host` header names this machine. The port may be any, since an SSH tunnel has its own.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn only_this_machine_is_answered() {
        let page = LoopbackPage::new("ws://127.0.0.1:18831/mqtt-secret", "fanlight/v1", &Id::new("demo").unwrap());
        for (host, status) in [
            (Some("127.0.0.1:8080"), 200),
            (Some("localhost"), 200),
            (Some("[::1]:9000"), 200),
            (Some("evil.example:8080"), 421),
            (Some("127.0.0.1.evil.example"), 421),
            (None, 421),
        ] {
            let mut request = Request::builder().uri("/config.json");
            if let Some(host) = host {
                request = request.header("host", host);
            }
            let response = page.answer(&request.body(Body::empty()).unwrap());
            assert_eq!(response.status().as_u16(), status, "{host:?}");
            let policy = response.headers()["content-security-policy"].to_str().unwrap();
            assert!(policy.contains("connect-src 'self' ws://127.0.0.1:18831/;"), "{policy}");
        }
    }
}
