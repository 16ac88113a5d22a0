//! Which endpoint a watch asks next. Pure: no connection, no clock.
//!
//! Attempts come in rounds. A round asks the leader, if one is known and wanted, and then each
//! endpoint once, beginning with the last good one. When the leader was named but cannot be connected
//! to from here (it has just died, or its address is one that only members can use), the round goes
//! over the endpoints once more and takes what any of them tells.

use std::collections::VecDeque;

use kenger_types::cluster::MemberAddress;

use crate::Endpoint;

/// Most redirects that are followed in one round.
const REDIRECTS_PER_ROUND_MAX: u32 = 4;

/// Whom to ask, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) endpoint: Endpoint,
    /// Ask for the leader's feed: another member names the leader instead of answering.
    pub(super) ask_leader: bool,
}

#[derive(Debug)]
pub(super) struct Route {
    endpoints: Vec<Endpoint>,
    /// Index of the endpoint that is asked first.
    preferred: usize,
    wants_leader: bool,
    /// Who leads, according to the last member that said so.
    leader: Option<Endpoint>,
    /// Who is still to be asked in this round.
    queue: VecDeque<Target>,
    redirects: u32,
    /// A leader that was asked in this round and cannot be connected to.
    unreachable: Option<Endpoint>,
    /// The second pass of this round, without asking for the leader, has begun.
    any_member: bool,
}

impl Route {
    pub(super) fn new(endpoints: Vec<Endpoint>, preferred: usize, wants_leader: bool) -> Self {
        let mut route = Self {
            endpoints,
            preferred,
            wants_leader,
            leader: None,
            queue: VecDeque::new(),
            redirects: 0,
            unreachable: None,
            any_member: false,
        };
        route.begin_round();
        route
    }

    /// Whether the leader's feed is preferred.
    pub(super) fn wants_leader(&self) -> bool {
        self.wants_leader
    }

    /// A round of its own that asks for the leader alone, and not `silent`.
    pub(super) fn leader_only(&self, silent: Option<&Endpoint>) -> Self {
        let mut route = Self::new(self.endpoints.clone(), self.preferred, true);
        route.leader.clone_from(&self.leader);
        route.begin_round();
        route.queue.retain(|target| Some(&target.endpoint) != silent);
        // No second pass.
        route.any_member = true;
        route
    }

    /// Everybody may be asked again.
    pub(super) fn begin_round(&mut self) {
        self.redirects = 0;
        self.unreachable = None;
        self.any_member = false;
        self.queue = self.pass(self.wants_leader);
        if let Some(leader) = self.leader.clone().filter(|_| self.wants_leader) {
            self.queue.retain(|target| target.endpoint != leader);
            self.queue.push_front(Target { endpoint: leader, ask_leader: true });
        }
    }

    /// Whom to ask now; `None` when the round is over.
    pub(super) fn next(&mut self) -> Option<Target> {
        if self.queue.is_empty()
            && self.unreachable.is_some()
            && !std::mem::replace(&mut self.any_member, true)
        {
            self.queue = self.pass(false);
        }
        self.queue.pop_front()
    }

    /// A member named the leader; `false` if members go on naming others.
    pub(super) fn redirected(&mut self, leader: Endpoint) -> bool {
        self.leader = Some(leader.clone());
        if self.unreachable.as_ref() == Some(&leader) {
            return true;
        }
        if self.redirects >= REDIRECTS_PER_ROUND_MAX {
            return false;
        }
        self.redirects += 1;
        self.queue.retain(|target| target.endpoint != leader);
        self.queue.push_front(Target { endpoint: leader, ask_leader: true });
        true
    }

    /// This target cannot be connected to.
    pub(super) fn unreachable(&mut self, target: &Target) {
        if target.ask_leader && self.leader.as_ref() == Some(&target.endpoint) {
            self.unreachable = self.leader.clone();
        }
    }

    /// This target tells: it is the first to be asked next time.
    pub(super) fn connected(&mut self, target: &Target) {
        if let Some(index) = self.endpoints.iter().position(|endpoint| *endpoint == target.endpoint) {
            self.preferred = index;
        }
    }

    /// A member said who leads, or that nobody does. What is no endpoint is not remembered.
    pub(super) fn leader_is(&mut self, leader: Option<&MemberAddress>) {
        self.leader = leader.and_then(|leader| leader.api.parse().ok());
    }

    fn pass(&self, ask_leader: bool) -> VecDeque<Target> {
        let (before, from) = self.endpoints.split_at(self.preferred);
        from.iter().chain(before).map(|endpoint| Target { endpoint: endpoint.clone(), ask_leader }).collect()
    }
}

#[cfg(test)]
mod tests {
    use kenger_types::MemberId;

    use super::*;

    fn endpoint(port: u16) -> Endpoint {
        format!("127.0.0.1:{port}").parse().unwrap()
    }

    fn address(port: u16) -> MemberAddress {
        MemberAddress { id: MemberId(1), api: format!("127.0.0.1:{port}") }
    }

    fn route(wants_leader: bool) -> Route {
        Route::new(vec![endpoint(1), endpoint(2), endpoint(3)], 0, wants_leader)
    }

    /// The ports that are asked until the round is over, with a `!` where the leader is asked for.
    fn rest(route: &mut Route) -> String {
        let one = |target: Target| {
            let port = target.endpoint.authority().rsplit(':').next().unwrap().to_owned();
            if target.ask_leader { port + "!" } else { port }
        };
        std::iter::from_fn(|| route.next()).map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_round_asks_each_endpoint_once_from_the_last_good_one_on() {
        let mut route = route(false);
        assert_eq!(rest(&mut route), "1 2 3");
        assert_eq!(rest(&mut route), "");
        route.connected(&Target { endpoint: endpoint(2), ask_leader: false });
        route.begin_round();
        assert_eq!(rest(&mut route), "2 3 1");
    }

    #[test]
    fn the_known_leader_is_asked_first_and_once() {
        let mut route = route(true);
        route.leader_is(Some(&address(3)));
        route.begin_round();
        assert_eq!(rest(&mut route), "3! 1! 2!");
        route.leader_is(Some(&address(9)));
        route.begin_round();
        assert_eq!(rest(&mut route), "9! 1! 2! 3!");
        route.leader_is(None);
        route.begin_round();
        assert_eq!(rest(&mut route), "1! 2! 3!");
    }

    #[test]
    fn a_redirect_is_followed_at_once_and_in_bounds() {
        let mut route = route(true);
        route.next();
        assert!(route.redirected(endpoint(3)));
        assert_eq!(route.next(), Some(Target { endpoint: endpoint(3), ask_leader: true }));
        for hop in 1..REDIRECTS_PER_ROUND_MAX {
            assert!(route.redirected(endpoint(10 + u16::try_from(hop).unwrap())));
            route.next();
        }
        assert!(!route.redirected(endpoint(99)), "members that point in circles are not followed for ever");
        assert_eq!(rest(&mut route), "2!");
    }

    #[test]
    fn any_member_will_do_while_the_leader_cannot_be_reached() {
        let mut route = route(true);
        route.next();
        assert!(route.redirected(endpoint(3)));
        let leader = route.next().unwrap();
        route.unreachable(&leader);
        assert_eq!(route.next(), Some(Target { endpoint: endpoint(2), ask_leader: true }));
        assert!(
            route.redirected(endpoint(3)),
            "a redirect to the unreachable leader is no failure of its own"
        );
        assert_eq!(rest(&mut route), "1 2 3");
        route.begin_round();
        assert_eq!(rest(&mut route), "3! 1! 2!", "the next round hopes for the leader again");
    }

    #[test]
    fn an_endpoint_that_is_down_is_not_taken_for_the_leader() {
        let mut route = route(true);
        while let Some(target) = route.next() {
            route.unreachable(&target);
        }
        assert_eq!(route.unreachable, None);
    }
}
