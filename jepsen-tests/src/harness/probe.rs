//! Packets that show what a link does to packets.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::links::{PROBE_BYTES, PROBE_LIMIT, Probed};

/// How often it is looked for packets.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Sends `packets` from one socket to another and counts those that arrive in time.
pub(super) async fn send_and_count(
    from: &UdpSocket,
    to: &UdpSocket,
    address: SocketAddr,
    packets: u32,
) -> Probed {
    /// Tells the packets of one test from those of an earlier one.
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    to.set_nonblocking(true).unwrap();
    from.set_nonblocking(true).unwrap();
    let mut packet = [7; PROBE_BYTES];
    packet[..number.len()].copy_from_slice(&number);
    let began = Instant::now();
    let mut probed = Probed { sent: packets, arrived: 0, slowest: Duration::ZERO };
    let mut buffer = [0; PROBE_BYTES];
    for left in (0..packets).rev() {
        // One that cannot be sent has not arrived.
        let _ = from.send_to(&packet, address);
        if left % 32 == 0 {
            receive(to, &number, &mut buffer, began, &mut probed);
        }
    }
    while began.elapsed() < PROBE_LIMIT && probed.arrived < packets {
        sleep(LOOK_EVERY).await;
        receive(to, &number, &mut buffer, began, &mut probed);
    }
    probed
}

fn receive(to: &UdpSocket, number: &[u8], buffer: &mut [u8], began: Instant, probed: &mut Probed) {
    loop {
        match to.recv_from(buffer) {
            Ok((length, _)) if buffer[..length].starts_with(number) => {
                probed.arrived += 1;
                probed.slowest = began.elapsed();
            }
            // Of an earlier test, which has not waited for it.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) => panic!("a test of a link cannot be received: {error}"),
        }
    }
}
