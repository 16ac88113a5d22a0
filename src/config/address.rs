//! `host:port` and lists of members.

use kenger_cluster::config::StaticMember;
use kenger_types::{Host, MemberId, Port};

/// Most members of a cluster.
const MEMBERS_MAX: usize = 5;

/// Checks `host:port`; an IPv6 address stands in brackets. Port 0 is for tests: any free port.
pub(super) fn listen(text: &str) -> Result<String, String> {
    let (_, port) = split(text)?;
    if port != "0" {
        port.parse::<Port>().map_err(|e| format!("{text:?}: {e}"))?;
    }
    Ok(text.to_owned())
}

/// Whether the address means all of the machine's, so that it is none to reach it by.
pub(super) fn is_wildcard(text: &str) -> bool {
    split(text).is_ok_and(|(host, _)| host == "0.0.0.0" || host == "::")
}

/// Checks `host:port` of a member as others reach it.
fn reachable(text: &str) -> Result<String, String> {
    let (host, port) = split(text)?;
    port.parse::<Port>().map_err(|e| format!("{text:?}: {e}"))?;
    if is_wildcard(text) {
        return Err(format!("{text:?}: {host} is no address that another machine can reach"));
    }
    Ok(text.to_owned())
}

fn split(text: &str) -> Result<(&str, &str), String> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("{text:?} is not host:port"))?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(v6) if v6.contains(':') => v6,
        None if !host.contains(':') => host,
        _ => {
            return Err(format!(
                "{text:?} is not host:port (an IPv6 address stands in brackets: [::1]:5000)"
            ));
        }
    };
    host.parse::<Host>().map_err(|e| format!("{text:?}: {e}"))?;
    Ok((host, port))
}

/// `1=peer:5001@api:5000,2=…`: 1, 3 or 5 members, each id and address once.
pub(super) fn members(text: &str) -> Result<Vec<StaticMember>, String> {
    let mut members: Vec<StaticMember> = Vec::new();
    for entry in text.split(',').map(str::trim) {
        let member = member(entry)?;
        for other in &members {
            if other.id == member.id {
                return Err(format!("member {} is there twice", member.id));
            }
            for address in [&member.peer, &member.api] {
                if [&other.peer, &other.api].contains(&address) {
                    return Err(format!(
                        "{address} is an address of member {} and of member {}",
                        other.id, member.id
                    ));
                }
            }
        }
        if member.peer == member.api {
            return Err(format!(
                "{} is given for both the peers and the API of member {}",
                member.peer, member.id
            ));
        }
        members.push(member);
    }
    match members.len() {
        n if n <= MEMBERS_MAX && n % 2 == 1 => Ok(members),
        n => Err(format!(
            "a cluster has 1, 3 or 5 members, not {n}: one more than an odd number makes it no safer"
        )),
    }
}

fn member(entry: &str) -> Result<StaticMember, String> {
    let wrong = || format!("{entry:?} is not ID=PEERHOST:PORT@APIHOST:PORT");
    let (id, addresses) = entry.split_once('=').ok_or_else(wrong)?;
    let (peer, api) = addresses.split_once('@').ok_or_else(wrong)?;
    Ok(StaticMember {
        id: member_id(id).map_err(|e| format!("{entry:?}: {e}"))?,
        peer: reachable(peer).map_err(|e| format!("{entry:?}: peer {e}"))?,
        api: reachable(api).map_err(|e| format!("{entry:?}: api {e}"))?,
    })
}

/// 1 or more.
pub(super) fn member_id(text: &str) -> Result<MemberId, String> {
    match text.parse() {
        Ok(id) if id >= MemberId(1) => Ok(id),
        _ => Err(format!("a member id is a whole number of 1 or more, not {text:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_are_host_and_port() {
        for good in
            ["127.0.0.1:5000", "0.0.0.0:0", "localhost:65535", "[::1]:80", "[::]:5000", "kenger-1:5000"]
        {
            assert_eq!(listen(good).as_deref(), Ok(good));
        }
        for bad in [
            "", "5000", ":5000", "a:", "a:b", "a:70000", "a:-1", "::1:80", "[::1]", "[a]:80", "a b:80",
            "a:80 ",
        ] {
            assert!(listen(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_member_list_names_each_member_and_address_once() {
        let three = members("1=a:1@a:2, 2=b:1@b:2,3=[::1]:1@[::1]:2").unwrap();
        assert_eq!(three.iter().map(|m| m.id.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(three[2].peer, "[::1]:1");
        for (bad, says) in [
            ("", "is not ID="),
            ("1=a:1", "is not ID="),
            ("0=a:1@a:2", "1 or more"),
            ("x=a:1@a:2", "1 or more"),
            ("1=a:1@a:2,2=b:1@b:2", "1, 3 or 5"),
            ("1=a:1@a:2,1=b:1@b:2,3=c:1@c:2", "member 1 is there twice"),
            ("1=a:1@a:2,2=b:1@a:2,3=c:1@c:2", "a:2 is an address of member 1 and of member 2"),
            ("1=a:1@a:1", "both the peers and the API"),
            ("1=a:0@a:2", "a port"),
            ("1=0.0.0.0:1@a:2", "no address"),
        ] {
            let error = members(bad).unwrap_err();
            assert!(error.contains(says), "{bad:?}: {error}");
        }
    }
}
