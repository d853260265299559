//! The order in which addresses are tried (RFC 2782).

use std::sync::Arc;

use super::Address;
use super::records::Target;

/// All addresses of the targets, which are sorted by priority, in the order to try them.
///
/// Targets of a lower priority come first. Among those of the same priority one is drawn after the other (RFC 2782): each is the
/// next with a probability in proportion to its weight; where all weights are 0, `turn` says where to begin. The addresses of a
/// target go round: `turn` says where to begin with them, too. `random` draws a number from 0 up to what it is given.
pub(super) fn address_order(
    targets: &[Target],
    turn: usize,
    mut random: impl FnMut(u64) -> u64,
) -> Vec<Arc<Address>> {
    let mut order = Vec::new();
    for group in targets.chunk_by(|one, other| one.srv.priority == other.srv.priority) {
        let mut left: Vec<&Target> = group.iter().collect();
        rotate(&mut left, turn);
        while !left.is_empty() {
            let weights: Vec<_> = left.iter().map(|it| it.srv.weight).collect();
            let target = left.remove(drawn(&weights, &mut random));
            let mut addresses: Vec<_> = target.addresses.iter().collect();
            rotate(&mut addresses, turn);
            order.extend(addresses.into_iter().cloned());
        }
    }
    order
}

fn rotate<T>(items: &mut [T], turn: usize) {
    if !items.is_empty() {
        items.rotate_left(turn % items.len());
    }
}

/// Which of these weights is drawn. One of 0 is, among others that are more, when the random number is 0.
fn drawn(weights: &[u16], random: &mut impl FnMut(u64) -> u64) -> usize {
    let sum: u64 = weights.iter().copied().map(u64::from).sum();
    if sum == 0 {
        return 0;
    }
    let number = random(sum);
    if number == 0 {
        let zero = weights.iter().position(|weight| *weight == 0);
        return zero.unwrap_or(0);
    }
    let mut running = 0;
    let reached = weights.iter().position(|weight| {
        running += u64::from(*weight);
        running >= number
    });
    reached.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::records::SrvPriority;
    use super::*;

    /// Targets of these priorities, weights and ports on two addresses each.
    fn targets(priorities: &[(u16, u16, u16)]) -> Vec<Target> {
        let target = |&(priority, weight, port): &(u16, u16, u16)| {
            let address = |last: u8| Address::new(([10, 0, 0, last], port).into());
            Target {
                name: String::new(),
                srv: SrvPriority { priority, weight },
                addresses: vec![address(1), address(2)],
            }
        };
        priorities.iter().map(target).collect()
    }

    /// Port and last number of each.
    fn shown(order: &[Arc<Address>]) -> Vec<String> {
        let shown = order.iter().map(|it| it.address.to_string());
        shown.map(|it| it.replace("10.0.0.", "")).collect()
    }

    #[test]
    fn addresses_of_a_name_go_round() {
        let one = targets(&[(0, 0, 80)]);
        let turn = |turn| shown(&address_order(&one, turn, |_| unreachable!()));
        assert_eq!(turn(0), ["1:80", "2:80"]);
        assert_eq!(turn(1), ["2:80", "1:80"]);
        assert_eq!(turn(2), ["1:80", "2:80"]);
        assert_eq!(shown(&address_order(&[], 7, |_| unreachable!())), [""; 0]);
    }

    /// Weights, the random numbers that are drawn (and what each is drawn from), and the ports in their order.
    #[test]
    fn weights_decide_among_targets_of_a_priority() {
        type Row<'r> = (&'r [(u16, u16, u16)], &'r [(u64, u64)], &'r [u16]);
        let table: [Row<'_>; 6] = [
            // The lower priority is first, whatever its weight.
            (&[(1, 1, 1), (2, 9, 2)], &[(1, 1), (9, 9)], &[1, 2]),
            (&[(0, 1, 1), (0, 3, 2)], &[(4, 1), (3, 3)], &[1, 2]),
            (&[(0, 1, 1), (0, 3, 2)], &[(4, 2), (1, 1)], &[2, 1]),
            (&[(0, 1, 1), (0, 3, 2)], &[(4, 4), (1, 0)], &[2, 1]),
            // One without weight is drawn last, but for the smallest number.
            (&[(0, 0, 1), (0, 3, 2)], &[(3, 1)], &[2, 1]),
            (&[(0, 3, 1), (0, 0, 2)], &[(3, 0), (3, 3)], &[2, 1]),
        ];
        for (priorities, draws, ports) in table {
            let mut draws = draws.iter();
            let order = address_order(&targets(priorities), 0, |bound| {
                let (expected, number) = draws.next().expect("no more draws");
                assert_eq!(bound, *expected, "{priorities:?}");
                *number
            });
            let order: Vec<_> = order.iter().map(|it| it.address.port()).collect();
            let expected: Vec<_> = ports.iter().flat_map(|port| [*port; 2]).collect();
            assert_eq!(order, expected, "{priorities:?}");
            assert_eq!(draws.next(), None, "{priorities:?}");
        }
    }

    #[test]
    fn targets_without_weights_take_turns() {
        let three = targets(&[(0, 0, 1), (0, 0, 2), (0, 0, 3)]);
        let firsts = (0..6).map(|turn| {
            address_order(&three, turn, |_| unreachable!())[0]
                .address
                .port()
        });
        assert_eq!(firsts.collect::<Vec<_>>(), [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn weights_are_respected_in_the_long_run() {
        let two = targets(&[(0, 1, 1), (0, 3, 2)]);
        let mut random = fastrand::Rng::with_seed(7);
        let firsts = (0..4000).map(|turn| address_order(&two, turn, |bound| random.u64(..=bound)));
        let light = firsts.filter(|order| order[0].address.port() == 1).count();
        // Numbers from 0 to 4: 0 and 1 are the light one's or, by turns, the other's.
        assert!((900..1500).contains(&light), "{light}");
    }
}
