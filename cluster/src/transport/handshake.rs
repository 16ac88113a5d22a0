//! How two members prove to each other who they are.
//!
//! Four frames: the asking side's [`Hello`], the answering side's [`Challenge`] with its proof, the
//! asking side's proof, and a verdict. A proof is HMAC-SHA256 with the peer secret over the whole
//! hello and challenge (both nonces and both identities are in there) and the role of whoever
//! proves, so that it fits this connection and this direction alone. Nothing that was said is
//! believed before the proof was checked, and nothing but the secret is secret.

use std::io;

use hmac::{Hmac, Mac};
use kenger_types::{ClusterId, Incarnation, MemberId};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::frame::{self, FrameReader, FrameWriter};
use crate::codec::Kind;
use crate::env::Env;

/// What a connection is for. Each has its own, so that none waits for another's large frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Purpose {
    /// Before there is a cluster.
    Probe,
    /// Raft's heartbeats and votes.
    Control,
    /// Raft's entries.
    Log,
    /// Raft's snapshots.
    Snapshot,
    /// Forwarded writes and reads.
    Client,
    /// Forwarded heartbeats of nodes.
    Lease,
}

/// Who a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PeerIdentity {
    /// Its cluster; `None` while it is fresh.
    pub(crate) cluster: Option<ClusterId>,
    /// Its id.
    pub(crate) member: MemberId,
    /// Its data directory.
    pub(crate) incarnation: Incarnation,
}

/// The first frame of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// Random, never used again.
    nonce: [u8; 32],
    /// What the connection is for.
    pub(crate) purpose: Purpose,
    /// Who asks.
    pub(crate) from: PeerIdentity,
    /// Whom it wants to talk to.
    pub(crate) to_member: MemberId,
    /// The data directory that it knows that member by; `None` for a probe.
    pub(crate) to_incarnation: Option<Incarnation>,
}

/// The answering side's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Challenge {
    nonce: [u8; 32],
    identity: PeerIdentity,
}

/// The last frame: whether the connection may be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Verdict {
    Accepted,
    Refused(String),
}

/// Whose proof it is: one side's proof is no proof of the other's.
#[derive(Clone, Copy)]
enum Role {
    Asking,
    Answering,
}

type Proof = [u8; 32];

/// A shared secret, never printed.
#[derive(Clone)]
pub(super) struct Secret(std::sync::Arc<[u8]>);

impl Secret {
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
    fn prove(&self, role: Role, hello: &[u8], challenge: &[u8]) -> Proof {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        let role: &[u8] = match role {
            Role::Asking => b"kenger peer asks",
            Role::Answering => b"kenger peer answers",
        };
        for part in [role, hello, challenge] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }

    fn check(&self, proof: &Proof, role: Role, hello: &[u8], challenge: &[u8]) -> bool {
        self.prove(role, hello, challenge).ct_eq(proof).into()
    }
}

/// What the asking side wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) purpose: Purpose,
    pub(super) from: PeerIdentity,
    pub(super) to_member: MemberId,
    pub(super) to_incarnation: Option<Incarnation>,
}

/// The asking side's part.
pub(super) async fn ask(
    env: &Env,
    secret: &Secret,
    call: &Call,
    (reader, writer): (&mut FrameReader, &mut FrameWriter),
) -> io::Result<()> {
    let hello = Hello {
        nonce: nonce(env),
        purpose: call.purpose,
        from: call.from,
        to_member: call.to_member,
        to_incarnation: call.to_incarnation,
    };
    let hello = frame::seal(Kind::PeerHello, &hello)?;
    frame::send(writer, hello.clone()).await?;

    let challenge_frame = frame::receive(reader).await?;
    let challenge: Challenge = frame::unseal(Kind::PeerChallenge, &challenge_frame)?;
    let proof: Proof = frame::unseal(Kind::PeerProof, &frame::receive(reader).await?)?;
    if !secret.check(&proof, Role::Answering, &hello, &challenge_frame) {
        return Err(denied("the other side does not know the peer secret".to_owned()));
    }
    // The answering side knows best what is wrong with the call: its verdict comes before the
    // checks on this side.
    let proof = secret.prove(Role::Asking, &hello, &challenge_frame);
    frame::send(writer, frame::seal(Kind::PeerProof, &proof)?).await?;
    let verdict: Verdict = frame::unseal(Kind::PeerVerdict, &frame::receive(reader).await?)?;
    if let Verdict::Refused(reason) = verdict {
        return Err(denied(reason));
    }
    expect_identity(call, &challenge.identity)?;
    frame::open_up(reader);
    Ok(())
}

fn expect_identity(call: &Call, found: &PeerIdentity) -> io::Result<()> {
    if found.member != call.to_member {
        return Err(denied(format!(
            "member {} answers where member {} is expected",
            found.member, call.to_member
        )));
    }
    if call.to_incarnation.is_some_and(|expected| expected != found.incarnation) {
        return Err(denied(format!(
            "member {} has another data directory than the cluster knows",
            found.member
        )));
    }
    Ok(())
}

/// The answering side's part up to the other side's proof; the caller decides and then calls
/// [`Answering::accept`] or [`Answering::refuse`].
pub(super) async fn answer<'a>(
    env: &Env,
    secret: &Secret,
    identity: PeerIdentity,
    (reader, writer): (&'a mut FrameReader, &'a mut FrameWriter),
) -> io::Result<Answering<'a>> {
    let hello_frame = frame::receive(reader).await?;
    let hello: Hello = frame::unseal(Kind::PeerHello, &hello_frame)?;
    let challenge = Challenge { nonce: nonce(env), identity };
    let challenge = frame::seal(Kind::PeerChallenge, &challenge)?;
    frame::send(writer, challenge.clone()).await?;
    let proof = secret.prove(Role::Answering, &hello_frame, &challenge);
    frame::send(writer, frame::seal(Kind::PeerProof, &proof)?).await?;

    let proof: Proof = frame::unseal(Kind::PeerProof, &frame::receive(reader).await?)?;
    if !secret.check(&proof, Role::Asking, &hello_frame, &challenge) {
        return Err(denied(format!(
            "whoever calls itself member {} does not know the peer secret",
            hello.from.member
        )));
    }
    Ok(Answering { hello, reader, writer })
}

/// A connection whose other side is known, and not yet accepted.
pub(super) struct Answering<'a> {
    pub(super) hello: Hello,
    reader: &'a mut FrameReader,
    writer: &'a mut FrameWriter,
}

impl Answering<'_> {
    pub(super) async fn accept(self) -> io::Result<Hello> {
        frame::send(self.writer, frame::seal(Kind::PeerVerdict, &Verdict::Accepted)?).await?;
        frame::open_up(self.reader);
        Ok(self.hello)
    }

    pub(super) async fn refuse(self, reason: String) -> io::Result<()> {
        frame::send(self.writer, frame::seal(Kind::PeerVerdict, &Verdict::Refused(reason))?).await
    }
}

fn nonce(env: &Env) -> [u8; 32] {
    let mut nonce = [0; 32];
    for part in nonce.chunks_exact_mut(8) {
        part.copy_from_slice(&env.random_u64().to_be_bytes());
    }
    nonce
}

fn denied(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, reason)
}
