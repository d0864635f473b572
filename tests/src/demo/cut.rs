//! A stretch of network that can be cut: forwards TCP to one address until told not to.
//!
//! Invariant: while it is cut, open connections are closed and new ones are dropped at once.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A forwarder on a port of its own.
#[derive(Debug)]
pub struct Cut {
    port: u16,
    whole: watch::Sender<bool>,
}

impl Cut {
    /// Begins to forward to `target`; ends when dropped.
    pub async fn start(target: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let (whole, state) = watch::channel(true);
        tokio::spawn(accept(listener, target, state));
        Ok(Self { port, whole })
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the network, or mends it.
    pub fn set_whole(&self, whole: bool) {
        self.whole.send_replace(whole);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, mut state: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            ended = state.wait_for(|_| false) => match ended {
                Ok(_) => continue,
                Err(_) => return,
            },
        };
        let Ok((phone, _)) = accepted else { continue };
        if *state.borrow() {
            tokio::spawn(forward(phone, target, state.clone()));
        }
    }
}

async fn forward(mut phone: TcpStream, target: SocketAddr, mut state: watch::Receiver<bool>) {
    let carry = async {
        let mut server = TcpStream::connect(target).await?;
        server.set_nodelay(true)?;
        phone.set_nodelay(true)?;
        tokio::io::copy_bidirectional(&mut phone, &mut server).await
    };
    tokio::select! {
        carried = carry => {
            if let Err(error) = carried {
                tracing::debug!(%error, "a forwarded connection ended");
            }
        }
        _ = state.wait_for(|whole| !whole) => {}
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_cut_ends_connections_and_a_mend_lets_new_ones_through() {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cut = Cut::start(server.local_addr().unwrap()).await.unwrap();
        let mut phone = TcpStream::connect(("127.0.0.1", cut.port())).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        phone.write_all(b"a").await.unwrap();
        assert_eq!(served.read_u8().await.unwrap(), b'a');
        cut.set_whole(false);
        assert_eq!(phone.read(&mut [0; 1]).await.unwrap_or(0), 0);
        let mut refused = TcpStream::connect(("127.0.0.1", cut.port())).await.unwrap();
        assert_eq!(refused.read(&mut [0; 1]).await.unwrap_or(0), 0);
        cut.set_whole(true);
        let mut again = TcpStream::connect(("127.0.0.1", cut.port())).await.unwrap();
        let (mut served, _) = server.accept().await.unwrap();
        again.write_all(b"b").await.unwrap();
        assert_eq!(served.read_u8().await.unwrap(), b'b');
    }
}
