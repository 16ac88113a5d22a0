//! Packets that show what a link does to packets.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::links::{PROBE_BYTES, PROBE_LIMIT, Probed};

/// How often it is looked for packets.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Counts packets of all tests that are under way: several of them share the socket where they arrive.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    next: AtomicU32,
    arrived: Mutex<BTreeMap<[u8; 4], u32>>,
}

impl Inbox {
    /// Sends `packets` from one socket to another and counts those that arrive in time.
    pub(super) async fn test(
        &self,
        from: &UdpSocket,
        (to, address): (&UdpSocket, SocketAddr),
        packets: u32,
    ) -> Probed {
        // Tells the packets of this test from those of others.
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        self.arrived.lock().unwrap().insert(number, 0);
        let mut packet = [7; PROBE_BYTES];
        packet[..number.len()].copy_from_slice(&number);
        let began = Instant::now();
        let mut probed = Probed { sent: packets, arrived: 0, slowest: Duration::ZERO };
        let look = |probed: &mut Probed| {
            let arrived = self.receive(to, number);
            if arrived > probed.arrived {
                (probed.arrived, probed.slowest) = (arrived, began.elapsed());
            }
        };
        for left in (0..packets).rev() {
            // One that cannot be sent has not arrived.
            let _ = from.send_to(&packet, address);
            if left % 32 == 0 {
                look(&mut probed);
            }
        }
        while began.elapsed() < PROBE_LIMIT && probed.arrived < packets {
            sleep(LOOK_EVERY).await;
            look(&mut probed);
        }
        self.arrived.lock().unwrap().remove(&number);
        probed
    }

    /// Takes what has arrived, and answers how much of that number has until now.
    fn receive(&self, to: &UdpSocket, number: [u8; 4]) -> u32 {
        let mut arrived = self.arrived.lock().unwrap();
        let mut buffer = [0; PROBE_BYTES];
        loop {
            match to.recv_from(&mut buffer) {
                Ok((length, _)) => {
                    let of = buffer[..length].first_chunk::<4>();
                    // Late ones of a test that is over are lost.
                    if let Some(count) = of.and_then(|of| arrived.get_mut(of)) {
                        *count += 1;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => panic!("a test of a link cannot be received: {error}"),
            }
        }
        arrived.get(&number).copied().unwrap_or(0)
    }
}
