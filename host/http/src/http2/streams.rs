//! The streams of a connection: those that live, and as much as has to be known of those that do not.

use std::cmp::Ordering;

use crate::http2::stream::{Stream, StreamId};

/// How many streams are remembered that we have reset while more could come by them.
const MAX_RESETS: usize = 128;

/// All streams that live.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    slots: Vec<Option<Stream>>,
    free: Vec<u32>,
    /// Numbers and slots, by number: streams begin in their order.
    order: Vec<(u32, u32)>,
    /// How many are not closed.
    open: usize,
    /// Slots of those that wait for room.
    waiting: Vec<u32>,
    /// Turns that were given.
    turns: u64,
}

impl Streams {
    /// How many are not closed.
    #[inline]
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// Adds one, whose number is higher than those of all before.
    #[inline]
    pub(crate) fn insert(&mut self, mut stream: Stream) -> StreamId {
        let number = stream.number;
        stream.turn = self.next_turn();
        self.open += 1;
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                self.slots.push(None);
                self.slots.len() as u32 - 1
            }
        };
        self.slots[slot as usize] = Some(stream);
        self.order.push((number, slot));
        StreamId { number, slot }
    }

    /// The one with this number.
    #[inline]
    pub(crate) fn find(&self, number: u32) -> Option<StreamId> {
        let (last, slot) = *self.order.last()?;
        let slot = match number.cmp(&last) {
            Ordering::Greater => return None,
            Ordering::Equal => slot,
            Ordering::Less => {
                let at = self.order.binary_search_by_key(&number, |(it, _)| *it);
                self.order.get(at.ok()?)?.1
            }
        };
        Some(StreamId { number, slot })
    }

    #[inline]
    pub(crate) fn get(&self, id: StreamId) -> Option<&Stream> {
        let stream = self.slots.get(id.slot as usize)?.as_ref()?;
        (stream.number == id.number).then_some(stream)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        let stream = self.slots.get_mut(id.slot as usize)?.as_mut()?;
        (stream.number == id.number).then_some(stream)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.slots.iter_mut().flatten()
    }

    /// The one with the highest number, if that is above this.
    pub(crate) fn last_above(&self, number: u32) -> Option<StreamId> {
        let (last, slot) = *self.order.last()?;
        (last > number).then_some(StreamId { number: last, slot })
    }

    /// Looks whether one is over after a change: it does not count any more when it is closed, and is gone when it is consumed, too.
    #[inline]
    pub(crate) fn settle(&mut self, id: StreamId) {
        let Some(stream) = self.get_mut(id) else {
            return;
        };
        if !stream.is_closed() {
            return;
        }
        let is_over = stream.held == 0;
        let was_counted = std::mem::take(&mut stream.is_counted);
        self.open -= usize::from(was_counted);
        if is_over {
            self.remove(id);
        }
    }

    /// Takes one out.
    pub(crate) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        self.get(id)?;
        let stream = self.slots.get_mut(id.slot as usize)?.take()?;
        self.open -= usize::from(stream.is_counted);
        self.free.push(id.slot);
        // They mostly end in their order, too.
        let at = match self.order.first() {
            Some((first, _)) if *first == id.number => Ok(0),
            _ => self.order.binary_search_by_key(&id.number, |(it, _)| *it),
        };
        if let Ok(at) = at {
            self.order.remove(at);
        }
        if stream.is_waiting {
            self.waiting.retain(|slot| *slot != id.slot);
        }
        Some(stream)
    }

    /// This one has something to send, and no room.
    pub(crate) fn wait(&mut self, id: StreamId) {
        if let Some(stream) = self.get_mut(id)
            && !std::mem::replace(&mut stream.is_waiting, true)
        {
            self.waiting.push(id.slot);
        }
    }

    /// Whether there are some that wait.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Of those that wait and that their own windows would let send, the one that comes first.
    pub(crate) fn first_waiting(&self) -> Option<(StreamId, (u8, u64))> {
        let waiting = self.waiting.iter().filter_map(|slot| {
            let stream = self.slots.get(*slot as usize)?.as_ref()?;
            let id = StreamId {
                number: stream.number,
                slot: *slot,
            };
            (stream.send.room() > 0).then_some((id, stream.rank()))
        });
        waiting.min_by_key(|(_, rank)| *rank)
    }

    /// It waits no more.
    pub(crate) fn stop_waiting(&mut self, id: StreamId) {
        if let Some(stream) = self.get_mut(id)
            && std::mem::take(&mut stream.is_waiting)
        {
            self.waiting.retain(|slot| *slot != id.slot);
        }
    }

    /// The end of the line.
    #[inline]
    pub(crate) fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    /// Gives memory back, if none lives.
    pub(crate) fn shrink(&mut self) {
        if self.order.is_empty() {
            *self = Self {
                turns: self.turns,
                ..Self::default()
            };
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.capacity() * size_of::<Option<Stream>>()
            + self.order.capacity() * size_of::<(u32, u32)>()
            + (self.free.capacity() + self.waiting.capacity()) * size_of::<u32>()
    }
}

/// Streams that we have reset before the peer had said its end: what it has sent until it hears of that is ignored (RFC 9113,
/// 5.1). Of so many only, for a peer could have us reset any number.
#[derive(Debug, Default)]
pub(crate) struct Resets {
    numbers: Vec<u32>,
    /// Where the next takes the place of the oldest.
    next: usize,
    /// Up to here they may be forgotten.
    forgotten: u32,
}

impl Resets {
    pub(crate) fn remember(&mut self, number: u32) {
        if self.numbers.len() < MAX_RESETS {
            self.numbers.push(number);
            return;
        }
        if let Some(oldest) = self.numbers.get_mut(self.next) {
            self.forgotten = self.forgotten.max(*oldest);
            *oldest = number;
        }
        self.next = (self.next + 1) % MAX_RESETS;
    }

    /// Whether we have, or may have, reset the stream of this number.
    pub(crate) fn may_have(&self, number: u32) -> bool {
        number <= self.forgotten || self.numbers.contains(&number)
    }

    pub(crate) fn capacity(&self) -> usize {
        self.numbers.capacity() * size_of::<u32>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::stream::{Inbound, Outbound};

    fn streams(numbers: &[u32]) -> (Streams, Vec<StreamId>) {
        let mut streams = Streams::default();
        let numbers = numbers.iter();
        let ids = numbers.map(|number| streams.insert(Stream::new(*number, 10, 10)));
        let ids = ids.collect();
        (streams, ids)
    }

    #[test]
    fn a_slot_is_used_again_and_its_old_name_is_known_for_it() {
        let (mut streams, ids) = streams(&[1, 3, 7]);
        assert_eq!(streams.find(3), Some(ids[1]));
        assert_eq!(streams.find(5), None);
        streams.remove(ids[1]).unwrap();
        assert!(streams.find(3).is_none() && streams.get(ids[1]).is_none());
        let next = streams.insert(Stream::new(9, 10, 10));
        assert_eq!((next.slot(), next.number()), (ids[1].slot(), 9));
        assert!(streams.get(ids[1]).is_none() && streams.remove(ids[1]).is_none());
        assert_eq!((streams.open(), streams.last_above(8)), (3, Some(next)));
        assert_eq!(streams.last_above(9), None);
    }

    #[test]
    fn one_that_is_closed_lives_until_it_is_consumed() {
        let (mut streams, ids) = streams(&[1]);
        let stream = streams.get_mut(ids[0]).unwrap();
        (stream.inbound, stream.held) = (Inbound::Over, 5);
        streams.settle(ids[0]);
        assert_eq!((streams.open(), streams.order.len()), (1, 1));
        streams.get_mut(ids[0]).unwrap().outbound = Outbound::Over;
        streams.settle(ids[0]);
        streams.settle(ids[0]);
        assert_eq!((streams.open(), streams.order.len()), (0, 1));
        streams.get_mut(ids[0]).unwrap().held = 0;
        streams.settle(ids[0]);
        assert_eq!((streams.open(), streams.order.len()), (0, 0));
    }

    #[test]
    fn memory_is_given_back_when_none_lives() {
        let numbers: Vec<u32> = (0..100).map(|number| 2 * number + 1).collect();
        let (mut streams, ids) = streams(&numbers);
        let capacity = streams.capacity();
        for (place, id) in ids.iter().enumerate() {
            streams.shrink();
            assert_eq!(streams.capacity() >= capacity, place < 100, "{place}");
            streams.remove(*id).unwrap();
        }
        streams.shrink();
        assert_eq!((streams.capacity(), streams.open()), (0, 0));
        assert!(streams.get(ids[99]).is_none());
        let next = streams.insert(Stream::new(201, 10, 10));
        assert_eq!(streams.find(201), Some(next));
    }

    #[test]
    fn the_most_urgent_that_has_room_comes_first() {
        let (mut streams, ids) = streams(&[1, 3, 5]);
        streams.get_mut(ids[1]).unwrap().priority.urgency = 1;
        streams.get_mut(ids[2]).unwrap().priority.urgency = 0;
        streams.get_mut(ids[2]).unwrap().send.take(10);
        for id in &ids {
            streams.wait(*id);
            streams.wait(*id);
        }
        let mut order = Vec::new();
        while let Some((id, _)) = streams.first_waiting() {
            order.push(id.number());
            streams.stop_waiting(id);
        }
        assert_eq!((order, streams.waiting.len()), (vec![3, 1], 1));
        streams.remove(ids[2]).unwrap();
        assert!(!streams.has_waiting());
    }

    #[test]
    fn resets_are_remembered_or_may_have_been() {
        let mut resets = Resets::default();
        let count = MAX_RESETS as u32;
        (0..count).for_each(|number| resets.remember(4 * number + 1));
        assert!(resets.may_have(1) && !resets.may_have(3));
        (count..2 * count).for_each(|number| resets.remember(4 * number + 1));
        assert!(resets.may_have(1) && resets.may_have(3));
        assert!(resets.may_have(8 * count - 3) && !resets.may_have(8 * count - 1));
        assert_eq!(resets.numbers.len(), MAX_RESETS);
    }
}
