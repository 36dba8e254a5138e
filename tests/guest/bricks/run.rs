//! One case: the machine as it was when it was armed, the sabotage, boots until there is a login, the proofs.
#![forbid(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::{Duration, Instant};

use super::case::Case;
use super::deeds::fraction;
use super::prove::{self, ARMED, CONTROL};
use super::result::{Boot, Seen};
use crate::harness::{Guest, Kind, Setup, Stage};

/// A machine with imad is switched on at least so often.
const LEAST: u32 = 2;
/// How long a boot may take on a host that does other things too, emulated and not.
const BOOT: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(120)];
/// How long a login may take after systemd has nothing left to start.
const SETTLING: Duration = Duration::from_secs(60);
/// Lines of the console that a result keeps of a boot that came to no login.
const TAIL: usize = 40;

/// Which machine a case is tried on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    /// The one with imad.
    Imad,
    /// dracut's `integrity` module and systemd.
    Control,
}

/// Runs a case. Whatever goes wrong in it is in what was seen.
pub(super) fn run(case: &Case, on: On) -> Seen {
    let mut seen = Seen::default();
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| carry_out(case, on, &mut seen))) {
        seen.broken = Some(words_of(&*panic));
    }
    seen
}

/// Does a case's sabotage to the running machine, without any boot.
pub(super) fn rehearse(case: &Case) -> Result<(), String> {
    let done = catch_unwind(AssertUnwindSafe(|| {
        let guest = ARMED.guest(|setup| changed(case, setup));
        for deed in &case.running {
            deed(&guest);
        }
    }));
    done.map_err(|panic| words_of(&*panic))
}

/// The machine with all that a case changes.
fn changed(case: &Case, setup: Setup) -> Setup {
    case.every_boot.iter().chain(&case.first_boot).fold(setup, |setup, change| change(setup))
}

fn carry_out(case: &Case, on: On, seen: &mut Seen) {
    let mut guest = match on {
        On::Imad => &ARMED,
        On::Control => &CONTROL,
    }
    .guest(|setup| changed(case, setup));
    seen.emulated = guest.kind() == Kind::Qemu;
    for deed in &case.running {
        deed(&guest);
    }
    // No orderly end: what a saboteur broke may be what it needs, and power that goes is the harder case.
    guest.cut_power();
    let patience = if seen.emulated { BOOT[0] } else { BOOT[1] };
    guest.set_up(|setup| case.every_boot.iter().fold(setup.boot_timeout(patience), |setup, change| change(setup)));
    let mut later = None;
    guest.set_up(|setup| {
        later = Some(setup.clone());
        case.first_boot.iter().fold(setup, |setup, change| change(setup))
    });
    let boots = match on {
        On::Imad => case.expected.boots.max(LEAST),
        // Nothing is remembered there from boot to boot, so what came to nothing comes to nothing again.
        On::Control => case.expected.boots,
    };
    for number in 1..=boots {
        if number == 2
            && let Some(setup) = later.take()
        {
            guest.set_up(|_| setup);
        }
        let console = guest.console().len();
        let begun = Instant::now();
        let result = match case.cut.filter(|_| number == 1) {
            Some(instant) => Err(cut_in_boot(&mut guest, instant)),
            None => boot(&guest),
        };
        let seconds = begun.elapsed().as_secs();
        let tail = result.is_err().then(|| tail(&guest.console()[console..]));
        let arrived = result.is_ok();
        seen.boots.push(Boot { login: arrived, seconds, why: result.err(), console: tail.unwrap_or_default() });
        if arrived {
            look(&guest, on, seen);
            return;
        }
        if guest.is_on() {
            guest.cut_power();
        }
    }
}

/// Boots until there is a login. A unit that never comes to its end does not keep anybody from logging in.
fn boot(guest: &Guest) -> Result<(), String> {
    match guest.try_start() {
        Ok(()) => prove::login_within(guest, SETTLING),
        Err(failure) => prove::login(guest).map_err(|_| first_line(&failure.to_string())),
    }
}

/// What takes so long on an emulated machine takes about a fifth of it without.
pub(super) fn pace(guest: &Guest, emulated: Duration) -> Duration {
    match guest.kind() {
        Kind::Uml => emulated / 5,
        Kind::Qemu => emulated,
    }
}

/// A boot that nothing can come of is waited for no longer than a good one may take.
pub(super) fn hopeless(setup: Setup) -> Setup {
    let seconds = match setup.kind() {
        Kind::Uml => 40,
        Kind::Qemu => 150,
    };
    setup.boot_timeout(Duration::from_secs(seconds))
}

/// Boots, and takes the power away: before the initramfs, in it, or in the real root.
fn cut_in_boot(guest: &mut Guest, seed: u64) -> String {
    const STAGES: [(Stage, Duration); 4] = [
        (Stage::Started, Duration::from_secs(4)),
        (Stage::Initramfs, Duration::from_secs(8)),
        (Stage::Root, Duration::from_secs(8)),
        (Stage::Root, Duration::from_secs(20)),
    ];
    let (stage, longest) = STAGES[usize::try_from(seed).unwrap() % STAGES.len()];
    let wait = pace(guest, longest).mul_f64(fraction(seed));
    let all: Setup = guest.setup().clone();
    guest.set_up(|setup| setup.until(stage));
    let started = guest.try_start();
    guest.set_up(|_| all);
    if let Err(failure) = started {
        return first_line(&failure.to_string());
    }
    thread::sleep(wait);
    guest.cut_power();
    format!("the power went {:.1} s after {stage:?}", wait.as_secs_f64())
}

fn look(guest: &Guest, on: On, seen: &mut Seen) {
    match prove::armed(guest) {
        Ok(armed) => seen.armed = Some(armed),
        Err(why) => seen.broken = Some(why),
    }
    if on == On::Imad {
        match prove::said(guest) {
            Ok(said) => seen.said = said,
            Err(why) => seen.broken = Some(why),
        }
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn tail(console: &str) -> Vec<String> {
    let lines: Vec<_> =
        console.lines().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL)..].to_vec()
}

fn words_of(panic: &(dyn Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().cloned();
    let words = words.or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()));
    words.unwrap_or_else(|| "it panicked without a word".to_owned())
}
