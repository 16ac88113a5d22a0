//! Every bound of `limits.rs` from both sides, as text, in JSON and in the stored form.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a step that fails is a test that fails")]

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::str::FromStr;

use kenger_types::limits::{
    DESCRIPTION_MAX_BYTES, HEALTH_PATH_DEFAULT, HEALTH_PATH_MAX_BYTES, HOST_MAX_BYTES,
    METADATA_KEY_MAX_BYTES, METADATA_MAX_PAIRS, METADATA_VALUE_MAX_BYTES, NAME_MAX_BYTES, TTL_SECONDS_MAX,
    TTL_SECONDS_MIN, WEIGHT_DEFAULT, WEIGHT_MAX,
};
use kenger_types::{
    ClusterId, Description, HealthPath, Host, Invalid, MemberId, Metadata, NamespaceName, Port, Revision,
    Timestamp, TtlSeconds, Weight,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn takes<T>(text: &str)
where
    T: FromStr<Err = Invalid> + Display + Debug + PartialEq + Serialize + DeserializeOwned,
{
    let value: T = text.parse().unwrap_or_else(|e| panic!("{text:?}: {e}"));
    assert_eq!(value.to_string(), text);
    assert_eq!(serde_json::from_value::<T>(json!(text)).unwrap(), value);
    assert_eq!(serde_json::to_value(&value).unwrap(), json!(text));
    let stored = bincode::serialize(&value).unwrap();
    assert_eq!(stored.len(), 8 + text.len(), "text is stored as it is, after its length");
    assert_eq!(bincode::deserialize::<T>(&stored).unwrap(), value);
}

fn refuses<T>(text: &str) -> String
where
    T: FromStr<Err = Invalid> + Debug + DeserializeOwned,
{
    let error = text.parse::<T>().expect_err(text).to_string();
    assert!(!error.is_empty());
    let from_json = serde_json::from_value::<T>(json!(text)).expect_err(text);
    assert!(from_json.to_string().contains(&error), "{from_json} hides {error}");
    bincode::deserialize::<T>(&bincode::serialize(text).unwrap()).expect_err(text);
    error
}

/// A host name of this length, in labels that are short enough.
fn host_of(length: usize) -> String {
    let mut host = "h".repeat(length);
    for dot in (60..length - 1).step_by(61) {
        host.replace_range(dot..=dot, ".");
    }
    host
}

#[test]
fn a_name_has_1_to_64_bytes_of_its_alphabet() {
    for name in ["a", "Z", "0", "a.b_c-D9", ".", "-", &"n".repeat(NAME_MAX_BYTES)] {
        takes::<NamespaceName>(name);
    }
    let too_long = "n".repeat(NAME_MAX_BYTES + 1);
    for name in ["", "a/b", "a b", " a", "a\n", "a\0", "a\u{7f}", "名", "é", "a,b", "a:b", "a%2fb", &too_long]
    {
        refuses::<NamespaceName>(name);
    }
}

#[test]
fn a_host_has_one_spelling() {
    for (written, kept) in [
        ("Node-1.EXAMPLE.com", "node-1.example.com"),
        ("XN--FSQ.example", "xn--fsq.example"),
        ("0:0:0:0:0:0:0:1", "::1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("2001:db8:0:0:0:0:192.0.2.33", "2001:db8::c000:221"),
    ] {
        assert_eq!(written.parse::<Host>().unwrap().as_str(), kept);
        assert_eq!(written.parse::<Host>(), kept.parse::<Host>());
    }
}

#[test]
fn a_host_is_an_address_or_a_host_name_of_at_most_128_bytes() {
    for host in [
        "192.0.2.1",
        "0.0.0.0",
        "::1",
        "2001:db8::1",
        "localhost",
        "a",
        "node-1.example.com",
        "my_container",
        "1a",
        "3com.example",
        "xn--fsq.example",
        &"h".repeat(63),
        &host_of(HOST_MAX_BYTES),
    ] {
        takes::<Host>(host);
    }
    let (long_label, too_long) = ("h".repeat(64), host_of(HOST_MAX_BYTES + 1));
    for host in [
        "",
        "192.0.2.256",
        "192.0.2",
        "1",
        "192.0.2.1.",
        "192.0.2.1:80",
        "[::1]",
        "[::1]:80",
        "::1%eth0",
        "fe80::1::2",
        "a..b",
        ".a",
        "a.",
        "-a",
        "a-",
        "a b",
        "a/b",
        "http://a",
        "a@b",
        "a\r\nb",
        "a\0",
        "名",
        &long_label,
        &too_long,
    ] {
        refuses::<Host>(host);
    }
}

#[test]
fn an_authority_has_brackets_around_an_ipv6_address_only() {
    let port = Port::try_from(80).unwrap();
    for (host, authority) in [("192.0.2.1", "192.0.2.1:80"), ("::1", "[::1]:80"), ("node", "node:80")] {
        assert_eq!(host.parse::<Host>().unwrap().authority(port), authority);
    }
}

#[test]
fn a_health_path_starts_with_a_slash_and_has_at_most_128_printable_bytes() {
    let longest = format!("/{}", "p".repeat(HEALTH_PATH_MAX_BYTES - 1));
    for path in ["/", HEALTH_PATH_DEFAULT, "/a?b=c&d=%20#x", "//", &longest] {
        takes::<HealthPath>(path);
    }
    assert_eq!(HealthPath::default().as_str(), HEALTH_PATH_DEFAULT);
    for path in
        ["", "status", "/a b", "/a\tb", "/a\r\nX: y", "/\0", "/\u{7f}", "/名", "http://a/", &(longest + "p")]
    {
        refuses::<HealthPath>(path);
    }
}

#[test]
fn a_description_has_at_most_255_bytes_and_no_control_characters() {
    for text in ["", "the shop's front, 商店", &"d".repeat(DESCRIPTION_MAX_BYTES)] {
        takes::<Description>(text);
    }
    assert_eq!(Description::default().as_str(), "");
    let too_long_in_bytes = "é".repeat(DESCRIPTION_MAX_BYTES / 2 + 1);
    for text in
        ["a\nb", "\0", "\u{1b}[31m", "\u{85}", &"d".repeat(DESCRIPTION_MAX_BYTES + 1), &too_long_in_bytes]
    {
        refuses::<Description>(text);
    }
}

/// A bounded number takes exactly what lies between its bounds, however it is written.
fn number<T>(min: i64, max: i64, stored_bytes: usize)
where
    T: TryFrom<i64, Error = Invalid> + FromStr<Err = Invalid> + Display + Debug + PartialEq + Copy,
    T: Serialize + DeserializeOwned,
    i64: From<T>,
{
    for good in [min, min + 1, max - 1, max] {
        let value = T::try_from(good).unwrap();
        assert_eq!(i64::from(value), good);
        assert_eq!(good.to_string().parse::<T>().unwrap(), value);
        assert_eq!(value.to_string(), good.to_string());
        assert_eq!(serde_json::from_value::<T>(json!(good)).unwrap(), value);
        assert_eq!(serde_json::to_value(value).unwrap(), json!(good));
        let stored = bincode::serialize(&value).unwrap();
        assert_eq!(stored.len(), stored_bytes);
        assert_eq!(bincode::deserialize::<T>(&stored).unwrap(), value);
    }
    let rule = format!("is an integer from {min} to {max}, not ");
    for bad in [min - 1, max + 1, -1, 1_000_000_000, i64::MIN, i64::MAX] {
        let error = T::try_from(bad).expect_err("out of bounds").to_string();
        assert!(error.ends_with(&format!("{rule}{bad}")), "{error}");
        assert_eq!(bad.to_string().parse::<T>().expect_err("out of bounds").to_string(), error);
        assert_eq!(serde_json::from_value::<T>(json!(bad)).expect_err("out of bounds").to_string(), error);
    }
    for bad in ["", " 1", "1.0", "1e3", "0x10", "١", "99999999999999999999"] {
        let error = bad.parse::<T>().expect_err(bad).to_string();
        assert!(error.ends_with(&format!("{rule}{bad:?}")), "{error}");
    }
    for bad in ["1e9", "1.0", "1.5", "-0.0", "18446744073709551615", "99999999999999999999"] {
        let error = serde_json::from_str::<T>(bad).expect_err(bad).to_string();
        assert!(error.contains(&rule), "{bad}: {error}");
    }
    for bad in [json!("1"), json!(true), json!([1]), json!({}), Value::Null] {
        let error = serde_json::from_value::<T>(bad.clone()).expect_err("no number").to_string();
        assert!(error.contains("expected an integer"), "{bad}: {error}");
    }
}

#[test]
fn a_port_is_an_integer_from_1_to_65535() {
    number::<Port>(1, 65_535, 2);
}

#[test]
fn a_weight_is_an_integer_from_0_to_10000() {
    number::<Weight>(0, WEIGHT_MAX.into(), 2);
    assert_eq!(Weight::default().get(), WEIGHT_DEFAULT);
    assert_eq!(Weight::ZERO.get(), 0);
}

#[test]
fn a_time_to_live_is_an_integer_from_1_to_86400() {
    number::<TtlSeconds>(TTL_SECONDS_MIN.into(), TTL_SECONDS_MAX.into(), 4);
}

fn metadata<K: Into<String>, V: Into<String>>(
    pairs: impl IntoIterator<Item = (K, V)>,
) -> Result<Metadata, Invalid> {
    pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect::<BTreeMap<_, _>>().try_into()
}

#[test]
fn metadata_has_at_most_32_pairs_of_bounded_keys_and_values() {
    let numbered = |count| metadata((0..count).map(|n| (format!("k{n}"), "")));
    assert_eq!(numbered(METADATA_MAX_PAIRS).unwrap().len(), METADATA_MAX_PAIRS);
    numbered(METADATA_MAX_PAIRS + 1).unwrap_err();

    let longest = metadata([("k".repeat(METADATA_KEY_MAX_BYTES), "v".repeat(METADATA_VALUE_MAX_BYTES))]);
    assert_eq!(longest.unwrap().len(), 1);
    metadata([("k".repeat(METADATA_KEY_MAX_BYTES + 1), "")]).unwrap_err();
    metadata([("k", "v".repeat(METADATA_VALUE_MAX_BYTES + 1))]).unwrap_err();
    metadata([("", "v")]).unwrap_err();
    for control in ["\0", "\n", "\u{7f}", "\u{85}"] {
        metadata([("k", control)]).unwrap_err();
        metadata([(control, "v")]).unwrap_err();
    }
}

#[test]
fn metadata_is_the_same_after_being_written_and_read() {
    for pairs in [vec![], vec![("version", "v1")], vec![("b", "2"), ("a", ""), ("zone", "é 商店")]] {
        let value = metadata(pairs.clone()).unwrap();
        let sorted: BTreeMap<_, _> = pairs.into_iter().collect();
        assert_eq!(value.iter().collect::<Vec<_>>(), sorted.clone().into_iter().collect::<Vec<_>>());
        assert_eq!(value.get("version"), sorted.get("version").copied());
        assert_eq!(value.version(), value.get("version"));
        assert_eq!(value.get("nosuch"), None);
        assert_eq!((value.len(), value.is_empty()), (sorted.len(), sorted.is_empty()));
        assert_eq!(serde_json::to_value(&value).unwrap(), json!(sorted));
        assert_eq!(serde_json::from_value::<Metadata>(json!(sorted)).unwrap(), value);
        let stored = bincode::serialize(&value).unwrap();
        assert_eq!(bincode::deserialize::<Metadata>(&stored).unwrap(), value);
        let back: BTreeMap<String, String> = value.into();
        assert_eq!(json!(back), json!(sorted));
    }
    let dangerous = bincode::serialize(&BTreeMap::from([("k", "a\nb")])).unwrap();
    bincode::deserialize::<Metadata>(&dangerous).expect_err("what is stored is checked, too");
}

#[test]
fn identifiers_are_read_in_their_own_form_only() {
    assert_eq!("18446744073709551615".parse(), Ok(Revision(u64::MAX)));
    assert_eq!(Revision(7).next(), Revision(8));
    for bad in ["", "-1", "1.0", "18446744073709551616", "one"] {
        bad.parse::<MemberId>().unwrap_err();
    }
    let text = "00000000000000000000000000abcdef";
    assert_eq!(text.parse::<ClusterId>().unwrap(), ClusterId(0xab_cdef));
    assert_eq!(ClusterId(0xab_cdef).to_string(), text);
    for bad in ["", "abcdef", "00000000000000000000000000ABCDEF", "+0000000000000000000000000abcdef"] {
        bad.parse::<ClusterId>().unwrap_err();
    }
}

#[test]
fn times_are_rfc_3339_to_the_millisecond() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_767_323_045_678, "2026-01-02T03:04:05.678Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ] {
        assert_eq!(Timestamp::from_unix_ms(ms).to_string(), text);
        assert_eq!(text.parse::<Timestamp>().unwrap().unix_ms(), ms);
        assert_eq!(serde_json::to_value(Timestamp::from_unix_ms(ms)).unwrap(), json!(text));
    }
    assert_eq!(Timestamp::from_unix_ms(u64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    for bad in ["", "yesterday", "2026-01-02", "2026-13-02T03:04:05Z", "1969-12-31T23:59:59Z"] {
        bad.parse::<Timestamp>().unwrap_err();
    }
}
