//! Links of both networks, each way for itself.

use std::collections::BTreeMap;
use std::time::Duration;

use jepsen_tests::harness::{
    Cluster, Cut, Impairment, LinkFault, LinkId, Namespaces, Network, Proxies, Settings, all_links,
    eventually, links_between, within_namespaces,
};

const LIMIT: Duration = Duration::from_secs(20);

/// Which links carry nothing.
async fn dead_links(network: &dyn Network) -> Vec<LinkId> {
    let mut dead = Vec::new();
    for (from, to) in all_links(&[1, 2, 3]) {
        if !network.probe(from, to, 3).await.passes() {
            dead.push((from, to));
        }
    }
    dead
}

fn all_with(links: impl IntoIterator<Item = LinkId>, fault: LinkFault) -> BTreeMap<LinkId, LinkFault> {
    links.into_iter().map(|link| (link, fault)).collect()
}

async fn links_are_cut_alone_and_mended(network: &mut dyn Network) {
    // A new bridge takes a moment.
    eventually("all links carry", LIMIT, async || dead_links(network).await.is_empty()).await;
    let one = network.strike(all_with([(1, 2)], LinkFault::Cut(Cut::Silent)));
    assert_eq!(dead_links(network).await, [(1, 2)]);
    let both = network.strike(all_with([(1, 2), (2, 1), (3, 1)], LinkFault::Cut(Cut::Silent)));
    assert_eq!(dead_links(network).await, [(1, 2), (2, 1), (3, 1)]);
    network.mend(one);
    assert_eq!(dead_links(network).await, [(1, 2), (2, 1), (3, 1)], "cut twice, mended once");
    network.mend(both);
    assert_eq!(dead_links(network).await, []);
    network.strike(all_with(all_links(&[1, 2, 3]), LinkFault::Cut(Cut::Silent)));
    assert_eq!(dead_links(network).await.len(), 6);
    network.mend_all();
    assert_eq!(dead_links(network).await, []);
}

async fn a_link_is_throttled_one_way(network: &mut dyn Network) {
    let rate = Impairment { bytes_per_second: Some(100_000), ..Impairment::default() };
    let struck = network.strike(all_with([(2, 3)], LinkFault::Bad(rate)));
    // Of 300 KB within the 0.4 s of a test, 40 KB and what is let through at once: nftables lets a second's
    // worth and the burst through.
    let (slow, back) = (network.probe(2, 3, 300).await, network.probe(3, 2, 300).await);
    assert!((1..220).contains(&slow.arrived), "{slow:?}");
    assert_eq!(back.arrived, 300, "{back:?}");
    network.mend(struck);
    let mended = network.probe(2, 3, 300).await;
    assert_eq!(mended.arrived, 300, "{mended:?}");
}

#[test]
fn a_link_of_the_namespaces_is_cut_alone_loses_packets_and_is_throttled() {
    let name = "a_link_of_the_namespaces_is_cut_alone_loses_packets_and_is_throttled";
    within_namespaces(name, 3, async |mut network: Namespaces| {
        links_are_cut_alone_and_mended(&mut network).await;
        a_link_is_throttled_one_way(&mut network).await;
        let lossy = Impairment { loss_per_mille: 200, ..Impairment::default() };
        let struck = Network::strike(&mut network, all_with([(1, 2)], LinkFault::Bad(lossy)));
        let (there, back) = (network.probe(1, 2, 500).await, network.probe(2, 1, 500).await);
        // 400 of 500 are expected; a fair coin is off by more than a hundred once in the life of a star.
        assert!((300..470).contains(&there.arrived), "{there:?}");
        assert_eq!(back.arrived, 500, "{back:?}");
        Network::mend(&mut network, struck);
        assert_eq!(network.probe(1, 2, 500).await.arrived, 500);
    });
}

#[tokio::test]
async fn a_link_of_the_proxies_is_cut_alone_delays_is_throttled_and_breaks() {
    let mut network = Proxies::new(3, 1).unwrap();
    links_are_cut_alone_and_mended(&mut network).await;
    a_link_is_throttled_one_way(&mut network).await;

    let (delay, jitter) = (Duration::from_millis(150), Duration::from_millis(50));
    let late = Impairment { delay, jitter, ..Impairment::default() };
    let struck = network.strike(all_with([(1, 2)], LinkFault::Bad(late)));
    let (there, back) = (network.probe(1, 2, 1).await, network.probe(2, 1, 1).await);
    assert!(there.passes() && there.slowest >= delay, "{there:?}");
    assert!(back.passes() && back.slowest < delay, "{back:?}");
    network.mend(struck);
    assert!(network.probe(1, 2, 1).await.slowest < delay);

    let breaking = Impairment { loss_per_mille: 999, ..Impairment::default() };
    let struck = network.strike(all_with([(1, 2)], LinkFault::Bad(breaking)));
    let there = network.probe(1, 2, 300).await;
    assert!(there.arrived < 300, "it broke on the way: {there:?}");
    network.mend(struck);

    let struck = network.strike(all_with([(1, 2)], LinkFault::Cut(Cut::Reset)));
    // A reset is of the whole connection, so neither way carries anything over it.
    assert_eq!(dead_links(&network).await, [(1, 2), (2, 1)]);
    network.mend(struck);
    assert_eq!(dead_links(&network).await, []);
}

/// Members behind proxies meet, lose their leader by a cut, and meet again.
async fn a_leader_is_cut_off_and_comes_back(cut: Cut) {
    let mut network = Proxies::new(3, 2).unwrap();
    let mut cluster: Cluster = network.start(Settings::default()).await;
    let old = cluster.wait_for_leader().await;
    let others: Vec<_> = cluster.ids().into_iter().filter(|id| *id != old).collect();
    let [one, other] = others[..] else { panic!("{others:?}") };
    for to in &others {
        assert!(
            network.carried(old, *to) > 0 && network.carried(*to, old) > 0,
            "members meet over the proxies"
        );
    }
    let mut links = links_between(&[old], &others);
    links.extend(links_between(&others, &[old]));
    let struck = network.strike(all_with(links, LinkFault::Cut(cut)));
    let of = async |id| cluster.api(id).status().await.and_then(|status| status.leader_id).map(|id| id.0);
    let led = async || {
        let leader = of(one).await;
        leader.is_some_and(|leader| leader != old) && of(other).await == leader
    };
    eventually("the others elect another leader", LIMIT, led).await;
    let before = network.carried(old, one);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(network.carried(old, one), before, "nothing passes");
    network.mend(struck);
    assert_ne!(cluster.wait_for_all().await, old, "the old leader follows");
}

#[tokio::test]
async fn a_leader_behind_proxies_is_cut_off_in_silence() {
    a_leader_is_cut_off_and_comes_back(Cut::Silent).await;
}

#[tokio::test]
async fn a_leader_behind_proxies_is_cut_off_by_resets() {
    a_leader_is_cut_off_and_comes_back(Cut::Reset).await;
}
