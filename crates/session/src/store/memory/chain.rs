//! Rings of slots: doubly linked lists whose links lie beside the slots, in a vector of their own.

/// No slot: the head of an empty ring.
pub(super) const NONE: u32 = u32::MAX;

/// The links of any number of rings, of which each slot is in one at most.
///
/// A ring is known by its head, which is kept by the caller. Everything takes constant time.
#[derive(Default)]
pub(super) struct Chain(Vec<Links>);

#[derive(Clone, Copy)]
struct Links {
    prev: u32,
    next: u32,
}

impl Chain {
    /// Makes room for one more slot, which is in no ring yet.
    pub(super) fn grow(&mut self, spare: usize) {
        if self.0.len() == self.0.capacity() {
            self.0.reserve_exact(spare);
        }
        self.0.push(Links { prev: NONE, next: NONE });
    }

    /// Puts a slot in front of the head, and makes it the head.
    pub(super) fn push(&mut self, head: &mut u32, slot: u32) {
        let (prev, next) = match *head {
            NONE => (slot, slot),
            head => (self.0[head as usize].prev, head),
        };
        self.0[slot as usize] = Links { prev, next };
        self.0[prev as usize].next = slot;
        self.0[next as usize].prev = slot;
        *head = slot;
    }

    /// Takes a slot out of the ring of `head`.
    pub(super) fn unlink(&mut self, head: &mut u32, slot: u32) {
        let Links { prev, next } = self.0[slot as usize];
        self.0[prev as usize].next = next;
        self.0[next as usize].prev = prev;
        if *head == slot {
            *head = if next == slot { NONE } else { next };
        }
    }

    /// Returns the slot that has been in the ring of `head` for longest.
    pub(super) fn last(&self, head: u32) -> u32 {
        self.0[head as usize].prev
    }

    /// Walks the ring of `head`, or nothing where it is [`NONE`].
    pub(super) fn iter(&self, head: u32) -> impl Iterator<Item = u32> + '_ {
        let first = (head != NONE).then_some(head);
        std::iter::successors(first, move |slot| {
            Some(self.0[*slot as usize].next).filter(|next| *next != head)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ring_keeps_the_order_of_pushes_and_forgets_what_is_unlinked() {
        let mut chain = Chain::default();
        let mut head = NONE;
        for slot in 0..4 {
            chain.grow(1);
            chain.push(&mut head, slot);
        }
        assert_eq!(chain.iter(head).collect::<Vec<_>>(), [3, 2, 1, 0]);
        assert_eq!(chain.last(head), 0);

        chain.unlink(&mut head, 3);
        chain.unlink(&mut head, 1);
        assert_eq!(chain.iter(head).collect::<Vec<_>>(), [2, 0]);

        chain.unlink(&mut head, 0);
        chain.unlink(&mut head, 2);
        assert_eq!(head, NONE);
        assert_eq!(chain.iter(head).count(), 0);
    }
}
