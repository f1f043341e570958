//! What systemd is told, if it started the process.

use std::{
    io,
    os::unix::net::{SocketAddr, UnixDatagram},
};

/// Says `state` to the service manager. Nobody may be there.
pub(super) fn say(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match path.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => within_no_folder(name),
        None => SocketAddr::from_pathname(&path),
    };
    let said = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = said {
        tracing::warn!(%error, "the service manager does not listen");
    }
}

/// A name of the kernel's, not of a file.
fn within_no_folder(name: &[u8]) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    #[cfg(not(target_os = "linux"))]
    return Err(io::Error::new(io::ErrorKind::Unsupported, format!("no file, but {}", name.escape_ascii())));
}

/// That it reads its certificates again.
pub(super) fn reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000;
    say(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}
