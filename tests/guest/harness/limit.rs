//! Bounds how many guests run at once, and gives each test's guests a processor of this machine.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};

/// Who runs guests, how many, and on which processor.
static RUNNING: Mutex<Vec<Test>> = Mutex::new(Vec::new());
static FREED: Condvar = Condvar::new();

struct Test {
    thread: ThreadId,
    guests: usize,
    processor: usize,
}

/// The right to run one more guest, until it is dropped.
pub(super) struct Permit {
    thread: ThreadId,
    processor: usize,
}

impl Permit {
    /// The processor that nobody else's guests are bound to.
    pub(super) fn processor(&self) -> usize {
        self.processor
    }
}

/// The processors that this process may run on.
fn processors() -> Vec<usize> {
    let allowed = rustix::thread::sched_getaffinity(None).expect("a process may ask for its own processors");
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).collect()
}

/// Waits until fewer tests run guests than this machine has processors: two guests with a processor each boot in
/// 0.8 of the time that the same two need with two each, and in 0.9 of what they need one after the other. A test that
/// runs one already may have as many more as it wants: two tests that wait for each other's second guest would wait
/// for ever.
pub(super) fn permit() -> Permit {
    let (processors, thread) = (processors(), thread::current().id());
    let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(test) = running.iter_mut().find(|test| test.thread == thread) {
            test.guests += 1;
            return Permit { thread, processor: test.processor };
        }
        let free = processors.iter().find(|processor| running.iter().all(|test| test.processor != **processor));
        if let Some(&processor) = free {
            running.push(Test { thread, guests: 1, processor });
            return Permit { thread, processor };
        }
        running = FREED.wait(running).unwrap_or_else(PoisonError::into_inner);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(test) = running.iter_mut().find(|test| test.thread == self.thread) {
            test.guests -= 1;
        }
        running.retain(|test| test.guests > 0);
        FREED.notify_all();
    }
}
