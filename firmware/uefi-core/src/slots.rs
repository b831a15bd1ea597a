//! A table whose entries are named by checked values: a stale, foreign or invented name finds
//! nothing.

use alloc::vec::Vec;

/// The bits of a name, from the top: 16 of tag, 24 of generation, 24 of index.
///
/// The tags are not all-zero or all-one, so no name is an address that AArch64 can translate:
/// a client that dereferences one faults at once.
const INDEX_BITS: u32 = 24;
const GENERATION_BITS: u32 = 24;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;
const GENERATION_MASK: u32 = (1 << GENERATION_BITS) - 1;

/// No memory for another entry, or no unused name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TableFull;

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    value: Option<T>,
}

/// The table. `TAG` tells the names of one table from those of another.
#[derive(Debug)]
pub(crate) struct SlotTable<T, const TAG: u16> {
    slots: Vec<Slot<T>>,
    /// No slot before this one is vacant.
    vacant_from: usize,
}

impl<T, const TAG: u16> SlotTable<T, TAG> {
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), vacant_from: 0 }
    }

    /// Adds an entry and returns its name, which is never zero.
    pub(crate) fn insert(&mut self, value: T) -> Result<u64, TableFull> {
        // A slot whose generations are used up stays empty for good.
        let vacant = self
            .slots
            .iter_mut()
            .enumerate()
            .skip(self.vacant_from)
            .find(|(_, slot)| slot.value.is_none() && slot.generation < GENERATION_MASK);
        if let Some((index, slot)) = vacant {
            slot.generation += 1;
            slot.value = Some(value);
            self.vacant_from = index + 1;
            return Self::name(index, slot.generation);
        }
        let name = Self::name(self.slots.len(), 0)?;
        self.slots.try_reserve(1).map_err(|_| TableFull)?;
        self.slots.push(Slot { generation: 0, value: Some(value) });
        self.vacant_from = self.slots.len();
        Ok(name)
    }

    pub(crate) fn get(&self, name: u64) -> Option<&T> {
        let slot = self.slots.get(Self::index(name)?)?;
        slot.value.as_ref().filter(|_| slot.generation == Self::generation(name))
    }

    pub(crate) fn get_mut(&mut self, name: u64) -> Option<&mut T> {
        let slot = self.slots.get_mut(Self::index(name)?)?;
        slot.value.as_mut().filter(|_| slot.generation == Self::generation(name))
    }

    pub(crate) fn remove(&mut self, name: u64) -> Option<T> {
        let index = Self::index(name)?;
        let slot = self.slots.get_mut(index)?;
        if slot.generation != Self::generation(name) {
            return None;
        }
        self.vacant_from = self.vacant_from.min(index);
        slot.value.take()
    }

    /// The entries with their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &T)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let name = Self::name(index, slot.generation).ok()?;
            Some((name, slot.value.as_ref()?))
        })
    }

    /// The entries.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().filter_map(|slot| slot.value.as_mut())
    }

    /// Removes the entries that `keep` refuses.
    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for slot in &mut self.slots {
            if slot.value.as_ref().is_some_and(|value| !keep(value)) {
                slot.value = None;
            }
        }
        self.vacant_from = 0;
    }

    fn name(index: usize, generation: u32) -> Result<u64, TableFull> {
        let index = u64::try_from(index).ok().filter(|index| *index <= INDEX_MASK).ok_or(TableFull)?;
        let tag = u64::from(TAG) << (INDEX_BITS + GENERATION_BITS);
        Ok(tag | (u64::from(generation) << INDEX_BITS) | index)
    }

    fn index(name: u64) -> Option<usize> {
        if name >> (INDEX_BITS + GENERATION_BITS) != u64::from(TAG) {
            return None;
        }
        usize::try_from(name & INDEX_MASK).ok()
    }

    fn generation(name: u64) -> u32 {
        u32::try_from((name >> INDEX_BITS) & u64::from(GENERATION_MASK)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = SlotTable<char, 0x4855>;

    #[test]
    fn names_find_their_entry_until_it_is_removed() {
        let mut table = Table::new();
        let a = table.insert('a').unwrap();
        let b = table.insert('b').unwrap();
        assert_ne!(a, 0);
        assert_eq!((table.get(a), table.get(b)), (Some(&'a'), Some(&'b')));
        assert_eq!(table.remove(a), Some('a'));
        assert_eq!(table.remove(a), None);
        assert_eq!(table.get(a), None);
        assert_eq!(table.get(b), Some(&'b'));
    }

    #[test]
    fn a_reused_slot_has_another_name() {
        let mut table = Table::new();
        let old = table.insert('a').unwrap();
        table.remove(old);
        let new = table.insert('b').unwrap();
        assert_ne!(old, new);
        assert_eq!(table.slots.len(), 1);
        assert_eq!(table.get(old), None);
        assert_eq!(table.get_mut(old), None);
        assert_eq!(table.remove(old), None);
        assert_eq!(table.get(new), Some(&'b'));
    }

    #[test]
    fn vacant_slots_are_found_in_any_order() {
        let mut table = Table::new();
        let mut names: Vec<_> = ('a'..='f').map(|value| table.insert(value).unwrap()).collect();
        for at in [4, 1, 3] {
            table.remove(names[at]);
        }
        for at in [1, 3, 4] {
            names[at] = table.insert('x').unwrap();
        }
        table.retain(|value| *value != 'b' && *value != 'x');
        for _ in 0..3 {
            table.insert('y').unwrap();
        }
        assert_eq!(table.slots.len(), 6);
        assert_eq!(table.iter().filter(|(_, value)| **value == 'y').count(), 3);
        assert_eq!(table.get(names[1]), None);
    }

    #[test]
    fn a_slot_out_of_generations_is_not_used_again() {
        let mut table = Table::new();
        let name = table.insert('a').unwrap();
        table.remove(name);
        table.slots[0].generation = GENERATION_MASK;
        let next = table.insert('b').unwrap();
        assert_eq!(table.slots.len(), 2);
        assert_eq!(table.get(next), Some(&'b'));
    }

    #[test]
    fn foreign_and_invented_names_find_nothing() {
        let mut table = Table::new();
        let name = table.insert('a').unwrap();
        let mut other = SlotTable::<char, 0x4556>::new();
        let foreign = other.insert('x').unwrap();
        for wrong in [0, 1, foreign, name + 1, name ^ (1 << 30), u64::MAX] {
            assert_eq!(table.get(wrong), None, "{wrong:#x}");
        }
    }
}
