//! A TCP proxy that can let bytes up and withhold what comes down: a batch arrives, its ack does not.
//!
//! Invariant: TLS passes through unopened; what is withheld is lost with its connection, as on a
//! broken network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Bytes that have to go up while acks are withheld before a batch is taken to have arrived.
const BATCH_BYTES: u64 = 600;

#[derive(Debug, Default)]
struct State {
    withhold: AtomicBool,
    up: AtomicU64,
    seen: Notify,
}

/// A running proxy.
#[derive(Debug)]
pub struct Withhold {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

impl Withhold {
    /// Listens on a free port and passes connections on to `upstream`.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((down, _)) = listener.accept().await {
                let state = shared.clone();
                tokio::spawn(async move {
                    // A collector that is away refuses: the phone's connection is closed with it.
                    let Ok(up) = TcpStream::connect(upstream).await else {
                        return;
                    };
                    let (down_read, down_write) = down.into_split();
                    let (up_read, up_write) = up.into_split();
                    let going_up = tokio::spawn(carry_up(down_read, up_write, state.clone()));
                    carry_down(up_read, down_write, &state).await;
                    going_up.abort();
                });
            }
        });
        Ok(Self {
            address,
            state,
            task,
        })
    }

    /// Where it listens, as a session server's address.
    pub fn server(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// From now on nothing comes down; returns once about a batch has gone up.
    pub async fn batch_without_ack(&self) {
        self.state.up.store(0, Ordering::SeqCst);
        self.state.withhold.store(true, Ordering::SeqCst);
        while self.state.up.load(Ordering::SeqCst) < BATCH_BYTES {
            self.state.seen.notified().await;
        }
    }

    /// Lets everything through again.
    pub fn pass(&self) {
        self.state.withhold.store(false, Ordering::SeqCst);
    }
}

impl Drop for Withhold {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry_up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<State>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
        state.up.fetch_add(read as u64, Ordering::SeqCst);
        state.seen.notify_one();
    }
}

async fn carry_down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // Once something was withheld this connection is useless: TLS would not verify past it.
        if state.withhold.load(Ordering::SeqCst) {
            continue;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
