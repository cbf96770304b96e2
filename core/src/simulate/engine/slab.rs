//! Values by a small number that is used again once they are gone.

use std::ops::{Index, IndexMut};

pub struct Slab<T> {
    slots: Vec<Option<T>>,
    free: Vec<usize>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub fn insert(&mut self, value: T) -> usize {
        if let Some(at) = self.free.pop() {
            self.slots[at] = Some(value);
            return at;
        }
        self.slots.push(Some(value));
        self.slots.len() - 1
    }

    /// Takes a value out. The caller knows that it is there.
    pub fn remove(&mut self, at: usize) -> T {
        self.free.push(at);
        self.slots[at].take().expect("a slot is removed once, by whoever filled it")
    }

    pub fn get(&self, at: usize) -> Option<&T> {
        self.slots.get(at)?.as_ref()
    }

    pub const fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.slots.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.as_ref()?)))
    }
}

impl<T> Index<usize> for Slab<T> {
    type Output = T;
    fn index(&self, at: usize) -> &T {
        self.slots[at].as_ref().expect("a slot is read only while it is filled")
    }
}

impl<T> IndexMut<usize> for Slab<T> {
    fn index_mut(&mut self, at: usize) -> &mut T {
        self.slots[at].as_mut().expect("a slot is changed only while it is filled")
    }
}
