//! A way to a server that can hang.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

/// What passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passes {
    Everything,
    /// What clients say, but not what the server answers.
    Questions,
    Nothing,
}

/// A TCP relay before a server on loopback. It can hang, as a machine does that has stopped or is cut off: connections stay
/// open, and nobody is told anything. Dropped, it closes all of them.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    server: u16,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    passes: Passes,
    is_over: bool,
    streams: Vec<TcpStream>,
}

impl Relay {
    /// A relay before the server that listens at `server`. Everything passes.
    ///
    /// # Errors
    ///
    /// If there is no port for it.
    pub fn before(server: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let state = State { passes: Passes::Everything, is_over: false, streams: Vec::new() };
        let inner = Arc::new(Inner { server, state: Mutex::new(state), changed: Condvar::new() });
        let accepting = Arc::clone(&inner);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if accepting.state().is_over {
                    break;
                }
                // A server that is down is a connection that closes.
                drop(accepting.clone().connect(client));
            }
        });
        Ok(Self { port, inner })
    }

    /// `url` of the server, by way of this relay.
    pub fn url(&self, url: &str) -> String {
        url.replace(&format!(":{}/", self.inner.server), &format!(":{}/", self.port))
    }

    /// Nothing passes any more.
    pub fn hang(&self) {
        self.set(Passes::Nothing);
    }

    /// What clients say reaches the server, and its answers reach nobody.
    pub fn hang_answers(&self) {
        self.set(Passes::Questions);
    }

    /// Everything passes again, and what was held up does.
    pub fn go_on(&self) {
        self.set(Passes::Everything);
    }

    fn set(&self, passes: Passes) {
        self.inner.state().passes = passes;
        self.inner.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut state = self.inner.state();
        state.is_over = true;
        state.streams.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
        drop(state);
        self.inner.changed.notify_all();
        // The last one that is accepted.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server))?;
        for stream in [&client, &server] {
            stream.set_nodelay(true)?;
            let stream = stream.try_clone()?;
            self.state().streams.push(stream);
        }
        for (from, to, needs) in [
            (client.try_clone()?, server.try_clone()?, &[Passes::Everything, Passes::Questions][..]),
            (server, client, &[Passes::Everything]),
        ] {
            let inner = Arc::clone(&self);
            thread::spawn(move || inner.pass(from, to, needs));
        }
        Ok(())
    }

    /// Passes on what comes, for as long as one of `needs` is what passes. That a side has closed is passed on, too.
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, needs: &[Passes]) {
        let mut buffer = [0; 8_192];
        loop {
            let read = from.read(&mut buffer).unwrap_or(0);
            let state = self.state();
            let waits = |state: &mut State| !state.is_over && !needs.contains(&state.passes);
            drop(self.changed.wait_while(state, waits).unwrap_or_else(PoisonError::into_inner));
            if read == 0 || to.write_all(&buffer[..read]).is_err() {
                let _ = to.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}
