//! Listening sockets: one for each worker at the same address, so that the kernel spreads the
//! connections and no worker waits for another.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// How many connections may wait to be accepted, for each worker.
const BACKLOG: i32 = 4_096;

/// Binds `count` sockets to an address. With port 0 all of them get the port that the first one got.
///
/// # Errors
/// The address is taken, also by a process that shares its own address, or cannot be had.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<TcpListener>> {
    // The first socket is bound without sharing, or the port of another gateway would be joined in
    // silence. It may be shared from then on.
    let first = socket(address)?;
    first.bind(&address.into())?;
    first.set_reuse_port(true)?;
    let bound = first.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let socket = socket(bound)?;
        socket.set_reuse_port(true)?;
        socket.bind(&bound.into())?;
        sockets.push(socket);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last connections are still closing may be bound again.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn all_sockets_get_the_port_of_the_first() {
        let sockets = bind(loopback(0), 4).unwrap();
        let ports: Vec<_> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert!(ports.len() == 4 && ports.iter().all(|port| *port == ports[0] && *port != 0), "{ports:?}");
    }

    #[test]
    fn a_taken_port_is_an_error_even_if_its_owner_shares_it() {
        let owner = bind(loopback(0), 2).unwrap();
        let error = bind(owner[0].local_addr().unwrap(), 2).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
