use super::*;
use crate::agenda::Event;
use crate::scenario::Spread;
use crate::testing::plan;
use crate::time::Time;

const A: NodeIndex = NodeIndex(0);
const B: NodeIndex = NodeIndex(1);
const CLIENT: NodeIndex = NodeIndex(3);
const TO_A: Endpoint = Endpoint(0);
const TO_B: Endpoint = Endpoint(1);
const TO_CLIENTS: Endpoint = Endpoint(3);

/// A network of A, B, W and one client, in which everyone listens.
struct Lab {
    network: Network,
    agenda: Agenda,
    felt: Felt,
}

impl Lab {
    fn new(seed: u64, injecting: bool) -> Self {
        let roster = Roster::new(&plan(1, 1));
        let mut network = Network::new(seed, NetworkProfile::default(), &roster, injecting);
        (0..3).for_each(|i| network.process_up(NodeIndex(i)));
        Lab { network, agenda: Agenda::default(), felt: Felt::default() }
    }

    /// With a link from A (number 2) to B.
    fn linked(seed: u64) -> (Self, u64) {
        let mut lab = Lab::new(seed, true);
        lab.call(|network, cx| network.dial(cx, A, 2, B, Kind::Link));
        let seen = lab.run(100);
        let up: Vec<_> = seen.iter().map(|(_, a)| (a.node, matches!(a.what, What::Up { .. }))).collect();
        assert_eq!(up, [(B, true), (A, true)]);
        (lab, seen[0].1.local)
    }

    fn call<T>(&mut self, f: impl FnOnce(&mut Network, &mut Cx<'_>) -> T) -> T {
        f(&mut self.network, &mut Cx { agenda: &mut self.agenda, felt: &mut self.felt })
    }

    fn now(&self) -> u64 {
        self.agenda.now().0
    }

    /// Everything that reaches a process within so many milliseconds.
    fn run(&mut self, ms: u64) -> Vec<(u64, Arrival)> {
        let end = Time(self.now() + ms * 1000);
        let mut seen = Vec::new();
        while let Some(event) = self.agenda.advance(end) {
            let arrival = self.call(|network, cx| match event {
                Event::Arrive { conn, generation, way } => network.arrive(cx, conn, generation, way),
                Event::GiveUp { conn, hole, way } => network.give_up(cx, conn, hole, way),
                Event::Probe { conn, probe, way } => {
                    network.probe(cx, conn, probe, way);
                    None
                }
                other => panic!("{other:?} is none of the network's"),
            });
            seen.extend(arrival.map(|arrival| (self.now(), arrival)));
        }
        seen
    }

    fn send(&mut self, from: NodeIndex, local: u64, byte: u8) -> bool {
        self.call(|network, cx| network.send(cx, from, local, Payload::Frame(vec![byte; 100].into())))
            .is_some()
    }

    fn cut(&mut self, from: Endpoint, to: Endpoint) {
        self.network.overlay_mut(from, to).cut = true;
    }

    fn heal(&mut self, from: Endpoint, to: Endpoint) {
        self.call(|network, cx| network.heal(cx, from, to));
    }
}

fn frames(seen: &[(u64, Arrival)]) -> Vec<u8> {
    seen.iter()
        .filter_map(|(_, arrival)| match &arrival.what {
            What::Payload(Payload::Frame(bytes)) => Some(bytes[0]),
            _ => None,
        })
        .collect()
}

fn downs(seen: &[(u64, Arrival)]) -> Vec<(NodeIndex, LinkDownCause)> {
    seen.iter()
        .filter_map(|(_, arrival)| match arrival.what {
            What::Down(cause) => Some((arrival.node, cause)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_dial_reaches_the_acceptor_one_latency_before_the_dialler() {
    let mut lab = Lab::new(1, false);
    lab.call(|network, cx| network.dial(cx, A, 2, B, Kind::Link));
    let seen = lab.run(100);
    let [(first, up), (second, back)] = &seen[..] else { panic!("{seen:?}") };
    assert!(matches!(up, Arrival { node: B, peer: A, what: What::Up { dialled: false }, .. }));
    assert!(matches!(back, Arrival { node: A, peer: B, local: 2, what: What::Up { dialled: true }, .. }));
    assert!((200..=3000).contains(first) && (200..=3000).contains(&(second - first)));
    assert_eq!(up.local % 2, 1);
}

#[test]
fn frames_keep_their_order_in_each_direction() {
    for seed in 0..50 {
        let (mut lab, b) = Lab::linked(seed);
        (0..100).for_each(|i| assert!(lab.send(A, 2, i) && lab.send(B, b, i)));
        let seen = lab.run(100);
        for node in [A, B] {
            let at: Vec<_> = seen.iter().filter(|(_, a)| a.node == node).cloned().collect();
            assert_eq!(frames(&at), (0..100).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_narrow_wire_delays_what_queues_for_it() {
    let roster = Roster::new(&plan(1, 1));
    let latency = Spread { min: Time(200), max: Time(200) };
    let profile = NetworkProfile { latency, bandwidth_bytes_s: 10_000 };
    let mut lab = Lab { network: Network::new(1, profile, &roster, false), ..Lab::new(1, false) };
    lab.network.process_up(B);
    lab.call(|network, cx| network.dial(cx, A, 2, B, Kind::Link));
    lab.run(100);
    let start = lab.now();
    (0..3).for_each(|i| assert!(lab.send(A, 2, i)));
    let times: Vec<u64> = lab.run(100).iter().map(|(at, _)| at - start).collect();
    assert_eq!(times, [10_200, 20_200, 30_200]);
}

#[test]
fn a_host_without_the_process_refuses_and_a_filter_resets() {
    let mut lab = Lab::new(1, false);
    lab.call(|network, cx| network.process_down(cx, B));
    lab.call(|network, cx| network.dial(cx, A, 2, B, Kind::Link));
    assert_eq!(downs(&lab.run(100)), [(A, LinkDownCause::Refused)]);
    lab.network.process_up(B);
    lab.network.overlay_mut(TO_A, TO_B).refused = true;
    lab.call(|network, cx| network.dial(cx, A, 4, B, Kind::Link));
    assert_eq!(downs(&lab.run(100)), [(A, LinkDownCause::Reset)]);
    assert_eq!(lab.felt.of(Feeling::Refuse), 1);
}

#[test]
fn a_dial_into_a_cut_either_way_or_to_a_dark_host_meets_silence() {
    for trouble in 0..3 {
        let mut lab = Lab::new(1, false);
        match trouble {
            0 => lab.cut(TO_A, TO_B),
            1 => lab.cut(TO_B, TO_A),
            _ => lab.call(|network, cx| network.set_host(cx, B, false)),
        }
        lab.call(|network, cx| network.dial(cx, A, 2, B, Kind::Link));
        assert!(lab.run(60_000).is_empty());
        assert_eq!(lab.felt.of(Feeling::Cut) + lab.felt.of(Feeling::HostDown), 1);
        lab.call(|network, cx| network.close(cx, A, 2));
        assert!(lab.run(60_000).is_empty());
        assert_eq!(lab.network.free.len(), 1, "the connection is freed");
    }
}

#[test]
fn what_a_short_cut_took_arrives_in_order_after_it() {
    for seed in 0..50 {
        let (mut lab, b) = Lab::linked(seed);
        lab.send(A, 2, 0);
        lab.run(10);
        lab.send(A, 2, 1); // arrives in the cut
        lab.cut(TO_A, TO_B);
        (2..5).for_each(|i| assert!(lab.send(A, 2, i)));
        lab.send(B, b, 9);
        assert_eq!(frames(&lab.run(4000)), [9], "the other direction is free");
        lab.heal(TO_A, TO_B);
        lab.send(A, 2, 5);
        assert_eq!(frames(&lab.run(1000)), [1, 2, 3, 4, 5]);
        assert!(lab.felt.of(Feeling::Cut) >= 4);
    }
}

#[test]
fn a_long_cut_resets_the_sender_and_then_the_other_end_by_its_next_frame() {
    for seed in 0..50 {
        let (mut lab, b) = Lab::linked(seed);
        lab.cut(TO_A, TO_B);
        lab.send(A, 2, 1);
        let start = lab.now();
        let seen = lab.run(40_000);
        assert_eq!(downs(&seen), [(A, LinkDownCause::Reset)]);
        assert!((5_000_000..=30_000_000).contains(&(seen[0].0 - start)));
        assert!(!lab.send(A, 2, 2));
        lab.heal(TO_A, TO_B);
        lab.send(B, b, 3);
        assert_eq!(downs(&lab.run(1000)), [(B, LinkDownCause::Reset)]);
        assert_eq!(lab.network.free.len(), 1);
    }
}

#[test]
fn a_stall_holds_frames_and_dials_and_lets_them_go_in_order() {
    let (mut lab, b) = Lab::linked(3);
    lab.network.overlay_mut(TO_A, TO_B).stalled = true;
    (0..5).for_each(|i| assert!(lab.send(A, 2, i)));
    lab.call(|network, cx| network.dial(cx, A, 4, B, Kind::Link));
    lab.send(B, b, 7);
    assert_eq!(frames(&lab.run(60_000)), [7]);
    lab.heal(TO_A, TO_B);
    let seen = lab.run(100);
    assert_eq!(frames(&seen), [0, 1, 2, 3, 4]);
    assert_eq!(seen.iter().filter(|(_, a)| matches!(a.what, What::Up { .. })).count(), 2);
    assert_eq!(lab.felt.of(Feeling::Stall), 2);
}

#[test]
fn a_slow_path_adds_latency_in_its_direction() {
    let (mut lab, b) = Lab::linked(3);
    lab.network.overlay_mut(TO_A, TO_B).slow = 50_000;
    lab.send(A, 2, 1);
    lab.send(B, b, 2);
    assert_eq!(frames(&lab.run(10)), [2]);
    assert_eq!(frames(&lab.run(100)), [1]);
    assert_eq!(lab.felt.of(Feeling::Slow), 1);
}

#[test]
fn a_reset_ends_open_links_at_both_ends_once() {
    let (mut lab, b) = Lab::linked(3);
    lab.send(A, 2, 1);
    lab.call(|network, cx| network.reset(cx, TO_B, TO_A));
    let mut seen = downs(&lab.run(100));
    seen.sort();
    assert_eq!(seen, [(A, LinkDownCause::Reset), (B, LinkDownCause::Reset)]);
    assert!(!lab.send(B, b, 1));
    lab.call(|network, cx| network.reset(cx, TO_B, TO_A));
    assert!(lab.run(100).is_empty());
    assert_eq!(lab.felt.of(Feeling::Reset), 1);
}

#[test]
fn a_close_comes_behind_earlier_frames() {
    for seed in 0..50 {
        let (mut lab, b) = Lab::linked(seed);
        lab.send(B, b, 9); // on its way to an end that is about to be gone
        (0..5).for_each(|i| assert!(lab.send(A, 2, i)));
        lab.call(|network, cx| network.close(cx, A, 2));
        let seen = lab.run(100);
        assert_eq!(frames(&seen), [0, 1, 2, 3, 4]);
        assert_eq!(downs(&seen), [(B, LinkDownCause::Closed)]);
        assert_eq!(lab.network.free.len(), 1);
    }
}

#[test]
fn a_dying_process_resets_behind_earlier_frames_and_a_dying_host_says_nothing() {
    for dark in [false, true] {
        let (mut lab, b) = Lab::linked(4);
        lab.send(A, 2, 1);
        if dark {
            lab.call(|network, cx| network.set_host(cx, A, false));
        }
        lab.call(|network, cx| network.process_down(cx, A));
        let seen = lab.run(1000);
        assert_eq!(frames(&seen), [1], "it was on the wire");
        assert_eq!(downs(&seen), if dark { vec![] } else { vec![(B, LinkDownCause::Reset)] });
        assert_eq!(lab.send(B, b, 2), dark);
        if dark {
            // The host comes back without the connection, and says so.
            lab.call(|network, cx| network.set_host(cx, A, true));
            assert_eq!(downs(&lab.run(1000)), [(B, LinkDownCause::Reset)]);
        }
        assert_eq!(lab.network.free.len(), 1);
    }
}

#[test]
fn a_given_up_dial_comes_up_and_closes_at_the_acceptor() {
    let mut lab = Lab::new(1, false);
    lab.call(|network, cx| network.dial(cx, A, 2, B, Kind::Link));
    lab.call(|network, cx| network.close(cx, A, 2));
    let seen = lab.run(100);
    assert!(matches!(seen[0].1, Arrival { node: B, what: What::Up { dialled: false }, .. }));
    assert_eq!((seen.len(), downs(&seen)), (2, vec![(B, LinkDownCause::Closed)]));
    assert_eq!(lab.network.free.len(), 1);
}

#[test]
fn clients_are_one_end_of_a_path() {
    let mut lab = Lab::new(1, false);
    lab.cut(TO_CLIENTS, TO_A);
    lab.call(|network, cx| network.dial(cx, CLIENT, 2, A, Kind::Client));
    lab.call(|network, cx| network.dial(cx, CLIENT, 4, B, Kind::Client));
    let up: Vec<u64> = lab.run(100).iter().map(|(_, arrival)| arrival.local).collect();
    assert_eq!(up, [4]);
}

#[test]
fn an_instance_hears_the_end_of_a_client_only_if_it_heard_its_beginning() {
    for speaks in [false, true] {
        let mut lab = Lab::new(1, false);
        lab.call(|network, cx| network.dial(cx, CLIENT, 2, A, Kind::Client));
        lab.run(100);
        if speaks {
            let open = ClientEvent::Open { database: dbm_core::types::SessionId(1) };
            lab.call(|network, cx| network.send(cx, CLIENT, 2, Payload::Asked(open)));
        }
        lab.call(|network, cx| network.close(cx, CLIENT, 2));
        assert_eq!(lab.run(100).len(), if speaks { 2 } else { 0 });
    }
}

#[test]
fn an_injected_frame_comes_in_order_on_the_open_link() {
    let (mut lab, _) = Lab::linked(5);
    assert!(!lab.call(|network, cx| network.inject(cx, A, B, &[8; 10])), "nothing to stamp it like");
    lab.send(A, 2, 1);
    assert!(lab.call(|network, cx| network.inject(cx, A, B, &[8; 10])));
    lab.send(A, 2, 2);
    assert_eq!(frames(&lab.run(100)), [1, 8, 2]);
}

#[test]
fn jitter_delays_each_frame_by_another_time_and_keeps_their_order() {
    let (mut lab, _) = Lab::linked(1);
    let overlay = lab.network.overlay_mut(TO_A, TO_B);
    (overlay.slow, overlay.jitter) = (10_000, 100_000);
    let start = lab.now();
    let mut latest = 0;
    for byte in 0..20 {
        lab.send(A, 2, byte);
        let seen = lab.run(200);
        assert_eq!(frames(&seen), [byte]);
        let late = seen[0].0 - start - u64::from(byte) * 200_000;
        assert!((10_200..=113_010).contains(&late), "{late}");
        latest = latest.max(late);
    }
    assert!(latest > 60_000, "{latest}");
    (0..50).for_each(|byte| assert!(lab.send(A, 2, byte)));
    assert_eq!(frames(&lab.run(1000)), (0..50).collect::<Vec<u8>>());
    assert_eq!((lab.felt.of(Feeling::Jitter), lab.felt.of(Feeling::Slow)), (70, 70));
}

#[test]
fn frames_queue_for_a_narrow_path_and_hurry_when_it_is_wide_again() {
    let (mut lab, peer) = Lab::linked(1);
    lab.call(|network, cx| network.throttle(cx, TO_A, TO_B, 1000));
    (0..30).for_each(|byte| assert!(lab.send(A, 2, byte)));
    assert!(lab.send(B, peer, 99));
    // Frames of 100 bytes at 1000 bytes a second; the other direction is as wide as ever.
    assert_eq!(frames(&lab.run(1050)).len(), 11);
    assert_eq!(lab.felt.of(Feeling::Throttle), 30);
    lab.heal(TO_A, TO_B);
    assert_eq!(frames(&lab.run(10)), (10..30).collect::<Vec<u8>>());
    lab.send(A, 2, 30);
    assert_eq!(frames(&lab.run(10)), [30]);
    assert_eq!(lab.run(5000).len(), 0, "nothing comes twice");
    // A wider throttle in its place lets go of what waits as well.
    lab.call(|network, cx| network.throttle(cx, TO_A, TO_B, 10));
    (0..3).for_each(|byte| assert!(lab.send(A, 2, byte)));
    lab.call(|network, cx| network.throttle(cx, TO_A, TO_B, 1000));
    lab.send(A, 2, 3);
    assert_eq!(frames(&lab.run(150)), [0, 1, 2, 3]);
}

#[test]
fn a_cut_takes_what_waits_for_a_narrow_path_and_a_heal_brings_it() {
    let (mut lab, _) = Lab::linked(2);
    lab.call(|network, cx| network.throttle(cx, TO_A, TO_B, 1000));
    (0..10).for_each(|byte| assert!(lab.send(A, 2, byte)));
    lab.run(250);
    lab.cut(TO_A, TO_B);
    assert!(lab.run(2000).is_empty());
    lab.heal(TO_A, TO_B);
    assert_eq!(frames(&lab.run(1000)), (2..10).collect::<Vec<u8>>());
}

#[test]
fn a_corrupted_frame_has_one_other_byte() {
    let (mut lab, _) = Lab::linked(3);
    lab.network.overlay_mut(TO_A, TO_B).corrupt_one_in = 4;
    let mut corrupt = 0;
    for _ in 0..200 {
        lab.send(A, 2, 7);
        let seen = lab.run(10);
        let What::Payload(Payload::Frame(bytes)) = &seen[0].1.what else { panic!("{seen:?}") };
        let others = bytes.iter().filter(|byte| **byte != 7).count();
        assert!(bytes.len() == 100 && others <= 1);
        corrupt += others;
    }
    assert!((25..75).contains(&corrupt), "{corrupt}");
    assert_eq!(lab.felt.of(Feeling::Corrupt), corrupt as u64);
    lab.heal(TO_A, TO_B);
    (0..50).for_each(|_| assert!(lab.send(A, 2, 7)));
    assert_eq!(frames(&lab.run(100)), [7; 50]);
}

#[test]
fn a_slow_start_delays_the_dial_and_nothing_after_it() {
    let mut lab = Lab::new(1, false);
    lab.network.overlay_mut(TO_A, TO_B).slow_start = 1_500_000;
    lab.call(|network, cx| network.dial(cx, A, 2, B, Kind::Link));
    assert!(lab.run(1500).is_empty());
    assert_eq!(lab.run(10).len(), 2);
    lab.send(A, 2, 1);
    assert_eq!(frames(&lab.run(5)), [1]);
    lab.call(|network, cx| network.dial(cx, B, 2, A, Kind::Link));
    assert_eq!(lab.run(10).len(), 2, "the other direction opens at once");
    assert_eq!(lab.felt.of(Feeling::SlowStart), 1);
}
