//! Bounds how many guests run at once: emulated processors are slow enough when each has a real one.

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// Who runs guests, and how many.
static RUNNING: Mutex<Option<HashMap<ThreadId, usize>>> = Mutex::new(None);
static FREED: Condvar = Condvar::new();

/// The right to run one more guest, until it is dropped.
pub(super) struct Permit(ThreadId);

/// Waits until fewer tests run guests than this machine has processors: two guests with a processor each boot in
/// 0.8 of the time that the same two need with two each, and in 0.9 of what they need one after the other. A test that
/// runs one already may have as many more as it wants: two tests that wait for each other's second guest would wait
/// for ever.
pub(super) fn permit() -> Permit {
    let most = thread::available_parallelism().map_or(1, NonZero::get);
    let me = thread::current().id();
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let tests = running.get_or_insert_default();
        if tests.contains_key(&me) || tests.len() < most {
            *tests.entry(me).or_insert(0) += 1;
            return Permit(me);
        }
        running = FREED.wait(running).unwrap_or_else(PoisonError::into_inner);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let tests = running.get_or_insert_default();
        if let Some(count) = tests.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                tests.remove(&self.0);
            }
        }
        FREED.notify_all();
    }
}
