//! Clocks, in microseconds.
#![forbid(unsafe_code)]

use nix::time::{ClockId, clock_gettime};

fn read(clock: ClockId) -> u64 {
    // These clocks exist on every kernel that runs imad; clock_gettime(2) has no other failure for them.
    clock_gettime(clock).map_or(0, |time| {
        let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
        seconds * 1_000_000 + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000
    })
}

/// Time since boot, suspended time included.
pub fn since_boot_us() -> u64 {
    read(ClockId::CLOCK_BOOTTIME)
}

/// Wall-clock time since 1970.
pub fn wall_us() -> u64 {
    read(ClockId::CLOCK_REALTIME)
}

/// CPU time of this process, all its threads.
pub fn cpu_us() -> u64 {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// Which boot this is (`random(4)`); `None` where /proc does not tell.
pub fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let digits: Vec<u8> = text.trim().bytes().filter(|byte| *byte != b'-').collect();
    let mut id = [0; 16];
    for (to, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (digits.len() == 32).then_some(id)
}

fn nanoseconds(clock: ClockId) -> i64 {
    clock_gettime(clock).map_or(0, |time| time.tv_sec().saturating_mul(1_000_000_000).saturating_add(time.tv_nsec()))
}

/// The wall clock as files get it, nanoseconds since 1970: it moves on with the kernel's ticks.
pub fn coarse_ns() -> i64 {
    nanoseconds(ClockId::CLOCK_REALTIME_COARSE)
}

/// A tick of that clock, nanoseconds (`clock_getres(2)`); ten milliseconds, the longest there is, where it is not told.
pub fn tick_ns() -> i64 {
    nix::time::clock_getres(ClockId::CLOCK_REALTIME_COARSE).map_or(10_000_000, |tick| tick.tv_nsec().max(1))
}

/// How far the wall clock is ahead of the time since boot, nanoseconds. It shrinks when the clock is set back, and does
/// not when it is only slowed down.
pub fn wall_offset_ns() -> i64 {
    // Of several readings the one between whose clocks the least time passed: others may run in between.
    let reading = || {
        let before = nanoseconds(ClockId::CLOCK_BOOTTIME);
        let wall = nanoseconds(ClockId::CLOCK_REALTIME);
        let after = nanoseconds(ClockId::CLOCK_BOOTTIME);
        (after - before, wall - after)
    };
    (0..8).map(|_| reading()).min().map_or(0, |(_, offset)| offset)
}
