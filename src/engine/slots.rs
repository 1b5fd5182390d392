use super::WaitsFor;
use crate::domain::InstanceId;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// How many run, for all and for each instance, and which instances may have work.
///
/// An instance that has no free place leaves the queue, and comes back when one is free: so a full
/// or dead instance costs the others nothing, however many tasks wait for it.
#[derive(Clone)]
pub struct Slots {
    inner: Arc<Inner>,
}

struct Inner {
    most: usize,
    most_each: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    running: HashMap<InstanceId, usize>,
    total: usize,
    queue: VecDeque<InstanceId>,
    queued: HashSet<InstanceId>,
}

impl State {
    fn running_on(&self, instance: InstanceId) -> usize {
        self.running.get(&instance).copied().unwrap_or(0)
    }
}

impl Slots {
    pub fn new(most: usize, most_each: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                most,
                most_each,
                state: Mutex::default(),
                changed: Notify::new(),
            }),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// An instance may have work.
    pub fn mark(&self, instance: InstanceId) {
        let mut state = self.state();
        if state.queued.insert(instance) {
            state.queue.push_back(instance);
        }
        drop(state);
        self.inner.changed.notify_one();
    }

    /// Waits until there may be something to do.
    pub async fn changed(&self) {
        self.inner.changed.notified().await;
    }

    /// Takes up to `most` instances from the queue that have a free place, with how many they
    /// have; and how many may begin in all.
    pub fn next(&self, most: usize) -> (Vec<(InstanceId, usize)>, usize) {
        let mut state = self.state();
        let free = self.inner.most.saturating_sub(state.total);
        let mut next = Vec::new();
        while free > 0 && next.len() < most.min(free) {
            let Some(instance) = state.queue.pop_front() else {
                break;
            };
            state.queued.remove(&instance);
            let places = self
                .inner
                .most_each
                .saturating_sub(state.running_on(instance));
            if places > 0 {
                next.push((instance, places));
            }
        }
        (next, free)
    }

    /// Takes a place, for as long as the guard lives.
    pub fn take(&self, instance: InstanceId) -> Place {
        let mut state = self.state();
        state.total += 1;
        *state.running.entry(instance).or_default() += 1;
        Place {
            slots: self.clone(),
            instance,
        }
    }

    pub fn waits_for(&self, instance: InstanceId) -> WaitsFor {
        let state = self.state();
        let here = state.running_on(instance);
        if here >= self.inner.most_each {
            WaitsFor::Instance(here, self.inner.most_each)
        } else if state.total >= self.inner.most {
            WaitsFor::Server(self.inner.most)
        } else {
            WaitsFor::Turn
        }
    }
}

/// One place in use. It is free again when this is dropped, also by a panic.
pub struct Place {
    slots: Slots,
    instance: InstanceId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        state.total -= 1;
        if let Some(count) = state.running.get_mut(&self.instance) {
            *count -= 1;
            if *count == 0 {
                state.running.remove(&self.instance);
            }
        }
        drop(state);
        self.slots.mark(self.instance);
    }
}
