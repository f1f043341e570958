//! A port that stays this server's while the server is down.

use std::{
    net::{Ipv4Addr, TcpListener, UdpSocket},
    process,
    sync::atomic::{AtomicU16, Ordering},
};

use crate::Error;

/// Below the ports that systems give to outgoing connections: one of those could take the port of a killed server.
const FROM: u16 = 20_000;
const COUNT: u16 = 10_000;

/// How many ports were asked for, so that the next one begins its search elsewhere.
static ASKED: AtomicU16 = AtomicU16::new(0);

/// A loopback port for TCP. Whoever looks for one by the same way, in this process or another, finds it taken for as long
/// as this lives, whether a server listens or not: the UDP port of the same number says so.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) number: u16,
    _claim: UdpSocket,
}

impl Port {
    pub(crate) fn free() -> Result<Self, Error> {
        let start = process::id().wrapping_mul(97) + u32::from(ASKED.fetch_add(1, Ordering::Relaxed));
        let ports = (0..u32::from(COUNT)).map(|step| FROM + (start.wrapping_add(step) % u32::from(COUNT)) as u16);
        ports.into_iter().find_map(Self::claim).ok_or(Error::NoPort { from: FROM, to: FROM + COUNT - 1 })
    }

    fn claim(number: u16) -> Option<Self> {
        let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        // On all addresses: a server of somebody else's that listens on all of them would be in the way as well.
        TcpListener::bind((Ipv4Addr::UNSPECIFIED, number)).ok()?;
        Some(Self { number, _claim: claim })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_nobody_elses_though_nobody_listens() {
        let port = Port::free().unwrap();
        assert!(Port::claim(port.number).is_none());
        let number = port.number;
        drop(port);
        assert!(Port::claim(number).is_some());
    }
}
