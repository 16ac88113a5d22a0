//! Damaged, foreign and oversized bytes are refused before they are decoded.

use std::collections::BTreeMap;
use std::io;

use super::{CodecError, HEADER_BYTES, Kind, check_stream, decode, decode_stream, encode, write_stream};

fn sample() -> BTreeMap<String, Vec<u64>> {
    (0..20).map(|n| (format!("key-{n}"), (0..n).map(|m| m * 1_000_003).collect())).collect()
}

#[test]
fn what_was_encoded_is_decoded() {
    let envelope = encode(Kind::LogEntry, &sample()).unwrap();
    assert_eq!(decode::<BTreeMap<String, Vec<u64>>>(Kind::LogEntry, &envelope).unwrap(), sample());
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let envelope = encode(Kind::Vote, &sample()).unwrap();
    for bit in 0..envelope.len() * 8 {
        let mut damaged = envelope.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let outcome = decode::<BTreeMap<String, Vec<u64>>>(Kind::Vote, &damaged);
        assert!(outcome.is_err(), "bit {bit} was flipped and nobody noticed");
    }
}

#[test]
fn a_part_of_an_envelope_is_refused() {
    let envelope = encode(Kind::Vote, &sample()).unwrap();
    for length in 0..envelope.len() {
        assert!(decode::<BTreeMap<String, Vec<u64>>>(Kind::Vote, &envelope[..length]).is_err());
    }
}

#[test]
fn bytes_left_over_are_refused() {
    // The checksum fits: only the decoder can tell.
    let envelope = encode(Kind::LogId, &(7_u64, 8_u64)).unwrap();
    let outcome = decode::<u64>(Kind::LogId, &envelope);
    assert!(matches!(outcome, Err(CodecError::Malformed { kind: Kind::LogId, .. })), "{outcome:?}");
}

#[test]
fn another_kind_is_refused() {
    let envelope = encode(Kind::LogId, &7_u64).unwrap();
    let outcome = decode::<u64>(Kind::Vote, &envelope);
    assert_eq!(outcome, Err(CodecError::Kind { found: Kind::LogId as u16, expected: Kind::Vote }));
}

#[test]
fn another_schema_version_is_refused() {
    let mut envelope = encode(Kind::LogId, &7_u64).unwrap();
    envelope[4..6].copy_from_slice(&9_u16.to_le_bytes());
    assert_eq!(decode::<u64>(Kind::LogId, &envelope), Err(CodecError::Version(9)));
}

#[test]
fn a_payload_over_the_bound_of_its_kind_is_refused_on_both_sides() {
    let max = usize::try_from(Kind::Vote.payload_max_bytes()).unwrap();
    let too_much = vec![7_u8; max + 1];
    assert!(matches!(encode(Kind::Vote, &too_much), Err(CodecError::TooLarge { kind: Kind::Vote, .. })));

    let mut envelope = encode(Kind::LogEntry, &too_much).unwrap();
    envelope[6..8].copy_from_slice(&(Kind::Vote as u16).to_le_bytes());
    let outcome = decode::<Vec<u8>>(Kind::Vote, &envelope);
    assert!(matches!(outcome, Err(CodecError::TooLarge { kind: Kind::Vote, .. })), "{outcome:?}");
}

#[test]
fn a_length_that_lies_is_refused_without_taking_the_memory() {
    // A payload that claims a string of 2^60 bytes.
    let mut envelope = encode(Kind::LogEntry, &[253_u8, 0, 0, 0, 0, 0, 0, 0, 16]).unwrap();
    let checksum = super::checksum_of(&envelope);
    envelope[8..HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    assert!(decode::<String>(Kind::LogEntry, &envelope).is_err());
}

#[test]
fn a_stream_is_read_as_it_was_written() {
    let mut bytes = Vec::new();
    let written = write_stream(Kind::SnapshotBody, &sample(), &mut bytes).unwrap();
    let length = bytes.len() as u64;
    assert_eq!(check_stream(Kind::SnapshotBody, length, bytes.as_slice()).unwrap(), written);
    let read: BTreeMap<String, Vec<u64>> =
        decode_stream(Kind::SnapshotBody, length, bytes.as_slice()).unwrap();
    assert_eq!(read, sample());
}

#[test]
fn a_flipped_bit_anywhere_in_a_stream_is_noticed_before_it_is_decoded() {
    let mut bytes = Vec::new();
    write_stream(Kind::SnapshotBody, &sample(), &mut bytes).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let outcome = check_stream(Kind::SnapshotBody, damaged.len() as u64, damaged.as_slice());
        assert!(outcome.is_err(), "bit {bit} was flipped and nobody noticed");
    }
}

#[test]
fn a_stream_that_is_too_short_or_holds_more_is_refused() {
    let mut bytes = Vec::new();
    write_stream(Kind::SnapshotBody, &sample(), &mut bytes).unwrap();
    for length in 0..bytes.len() {
        let part = &bytes[..length];
        assert!(check_stream(Kind::SnapshotBody, part.len() as u64, part).is_err());
    }
    let mut bytes = Vec::new();
    write_stream(Kind::SnapshotBody, &(1_u64, 2_u64), &mut bytes).unwrap();
    let outcome = decode_stream::<u64>(Kind::SnapshotBody, bytes.len() as u64, bytes.as_slice());
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::InvalidData);
}

#[test]
fn a_stream_over_the_bound_of_its_kind_is_not_written() {
    let too_much = vec![7_u8; usize::try_from(Kind::Vote.payload_max_bytes()).unwrap() + 1];
    let outcome = write_stream(Kind::Vote, &too_much, io::sink());
    assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::FileTooLarge);
}
