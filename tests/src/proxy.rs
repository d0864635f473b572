//! A TCP proxy between phone and collector that breaks the network in every way a network breaks.
//!
//! Invariants: TLS passes through unopened, so what is delivered is what was sent, in its order, or it is
//! lost with its connection; faults are switched by the test and stay until [`Proxy::pass`]; where the
//! collector is may change, so that a restarted one keeps its address.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that have to go up while replies are withheld before a batch is taken to have arrived.
const BATCH_BYTES: u64 = 600;

/// What happens to bytes on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// What comes down is lost: a batch arrives, its acknowledgement does not.
    Withhold,
    /// Nothing moves, connections stay open.
    Stall,
    /// Every piece waits this long, in both directions.
    Delay(Duration),
}

#[derive(Debug)]
struct State {
    upstream: Mutex<SocketAddr>,
    fault: watch::Sender<Fault>,
    /// Connections opened before this number of cuts are closed.
    cuts: watch::Sender<u64>,
    /// Bytes that may still go up before every connection is cut; `u64::MAX` for no such plan.
    before_cut: AtomicU64,
    /// Bytes that went up since it was last set to 0.
    up: watch::Sender<u64>,
    /// Connections accepted so far.
    connections: watch::Sender<u64>,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

/// The address behind `https://localhost:PORT`.
pub fn address_of(server: &str) -> anyhow::Result<SocketAddr> {
    let port = server.rsplit(':').next().unwrap_or_default();
    Ok(SocketAddr::from(([127, 0, 0, 1], port.parse()?)))
}

impl Proxy {
    /// Listens on a free port and passes connections on to `upstream`.
    pub async fn start(upstream: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            upstream: Mutex::new(upstream),
            fault: watch::Sender::new(Fault::None),
            cuts: watch::Sender::new(0),
            before_cut: AtomicU64::new(u64::MAX),
            up: watch::Sender::new(0),
            connections: watch::Sender::new(0),
        });
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((down, _)) = listener.accept().await {
                shared.connections.send_modify(|number| *number += 1);
                tokio::spawn(carry(down, shared.clone()));
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

    /// Passes later connections on to another place: a restarted collector's.
    pub fn goes_to(&self, upstream: SocketAddr) {
        *self.state.upstream.lock().expect("no panic while locked") = upstream;
    }

    /// Lets everything through again.
    pub fn pass(&self) {
        self.state.before_cut.store(u64::MAX, Ordering::SeqCst);
        self.state.fault.send_replace(Fault::None);
    }

    /// Closes every connection now.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Closes every connection once this many more bytes went up: in the middle of whatever they are.
    pub fn cut_after(&self, bytes: u64) {
        self.state.before_cut.store(bytes, Ordering::SeqCst);
    }

    /// Cuts so far.
    pub fn cuts(&self) -> u64 {
        *self.state.cuts.borrow()
    }

    /// Nothing moves any more, connections stay open.
    pub fn stall(&self) {
        self.state.fault.send_replace(Fault::Stall);
    }

    /// Every piece waits this long.
    pub fn delay(&self, by: Duration) {
        self.state.fault.send_replace(Fault::Delay(by));
    }

    /// From now on nothing comes down.
    pub fn withhold(&self) {
        self.state.up.send_replace(0);
        self.state.fault.send_replace(Fault::Withhold);
    }

    /// Withholds, and returns once about a batch has gone up.
    pub async fn batch_without_ack(&self) {
        self.withhold();
        let mut up = self.state.up.subscribe();
        up.wait_for(|bytes| *bytes >= BATCH_BYTES)
            .await
            .expect("the proxy holds the sender");
    }

    /// Waits until this many connections were made in all.
    pub async fn connected(&self, connections: u64) {
        let mut seen = self.state.connections.subscribe();
        seen.wait_for(|now| *now >= connections)
            .await
            .expect("the proxy holds the sender");
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> u64 {
        *self.state.connections.borrow()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(down: TcpStream, state: Arc<State>) {
    let upstream = *state.upstream.lock().expect("no panic while locked");
    let mut cuts = state.cuts.subscribe();
    let began_at = *cuts.borrow();
    // A collector that is away refuses: the phone's connection is closed with it.
    let Ok(up) = TcpStream::connect(upstream).await else {
        return;
    };
    let (down_read, down_write) = down.into_split();
    let (up_read, up_write) = up.into_split();
    tokio::select! {
        _ = cuts.wait_for(|now| *now > began_at) => {}
        () = go_up(down_read, up_write, &state) => {}
        () = go_down(up_read, down_write, &state, began_at) => {}
    }
}

/// Waits as the fault in force says; whether what was read is lost.
async fn suffer(state: &State, down: bool) -> bool {
    let mut fault = state.fault.subscribe();
    loop {
        let now = *fault.borrow_and_update();
        match now {
            Fault::None => return false,
            Fault::Withhold => return down,
            Fault::Delay(by) => {
                tokio::time::sleep(by).await;
                return false;
            }
            Fault::Stall => {
                if fault.changed().await.is_err() {
                    return true;
                }
            }
        }
    }
}

async fn go_up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        suffer(state, false).await;
        let may = state.before_cut.load(Ordering::SeqCst);
        let piece = usize::try_from(may).unwrap_or(usize::MAX).min(read);
        if to.write_all(&buffer[..piece]).await.is_err() {
            return;
        }
        state.up.send_modify(|bytes| *bytes += piece as u64);
        if may != u64::MAX {
            let left = may - piece as u64;
            if left == 0 {
                state.before_cut.store(u64::MAX, Ordering::SeqCst);
                state.cuts.send_modify(|cuts| *cuts += 1);
                return;
            }
            state.before_cut.store(left, Ordering::SeqCst);
        }
    }
}

async fn go_down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State, began_at: u64) {
    let mut buffer = vec![0; 16 * 1024];
    let mut lost = false;
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        // Once something was lost the rest is of no use: TLS would not verify past it.
        lost |= suffer(state, true).await;
        // A fault that ended after a cut ended for the connections after it.
        if *state.cuts.borrow() > began_at {
            return;
        }
        if !lost && to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
