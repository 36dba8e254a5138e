//! Wall and CPU time of something.

use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};

/// What something took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) wall: Duration,
    /// User and system, of this process and of those that it waited for.
    pub(crate) cpu: Duration,
}

impl Cost {
    /// The cost of `all` where this is that of `some`.
    pub(crate) fn times(self, all: usize, some: usize) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "counts of files")]
        let factor = all as f64 / some as f64;
        Self { wall: self.wall.mul_f64(factor), cpu: self.cpu.mul_f64(factor) }
    }
}

fn cpu() -> Duration {
    let of = |who| {
        let usage = getrusage(who).unwrap();
        let duration = |time: TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap());
        duration(usage.user_time()) + duration(usage.system_time())
    };
    of(UsageWho::RUSAGE_SELF) + of(UsageWho::RUSAGE_CHILDREN)
}

/// Measures it.
pub(crate) fn measure(work: impl FnOnce()) -> Cost {
    let (wall, before) = (Instant::now(), cpu());
    work();
    Cost { wall: wall.elapsed(), cpu: cpu().saturating_sub(before) }
}

/// Does each work in turn, so many times, and gives the medians.
pub(crate) fn medians<const N: usize>(times: usize, works: &mut [&mut dyn FnMut() -> Cost; N]) -> [Cost; N] {
    let mut costs = [const { Vec::new() }; N];
    for _ in 0..times {
        for (work, costs) in works.iter_mut().zip(&mut costs) {
            costs.push(work());
        }
    }
    costs.map(|costs| {
        let median = |of: fn(&Cost) -> Duration| {
            let mut all: Vec<Duration> = costs.iter().map(of).collect();
            all.sort();
            all[all.len() / 2]
        };
        Cost { wall: median(|cost| cost.wall), cpu: median(|cost| cost.cpu) }
    })
}

/// The most memory that a process took which was waited for, in KiB.
pub(crate) fn largest_child() -> i64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss()
}
