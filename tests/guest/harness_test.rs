//! The harness itself: what every other test here relies on.

use std::fs;
use std::io::{BufRead, BufReader};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Guest, Kind, Need, Setup, Shared, Stage, Status};

static BASE: Shared = Shared::new(Setup::base);
/// The same where running machines are saved.
static SAVED: Shared = Shared::new(|| Setup::base().needs(Need::SavedState));

/// The message of a panic that `action` must end in.
fn panic_of(action: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(action)).expect_err("this should have panicked");
    panic.downcast_ref::<String>().expect("a panic with a message").clone()
}

#[test]
fn a_guest_is_run_by_qemu_only_where_it_needs_that() {
    let forced = std::env::var_os("IMAD_MACHINE").is_some_and(|kind| !kind.is_empty());
    assert_eq!(Setup::base().kind(), if forced { Kind::Qemu } else { Kind::Uml });
    assert_eq!(Setup::base().cpus(2).kind(), Kind::Qemu);
    assert_eq!(Setup::stock().kind(), Kind::Qemu);
}

/// How long the guest takes to answer.
fn assert_answers_within(guest: &Guest, limit: Duration) {
    let mut times: Vec<_> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            guest.run(&["true"]).ok();
            begun.elapsed()
        })
        .collect();
    times.sort();
    println!("run(\"true\"): median {:?}, slowest {:?}", times[10], times[19]);
    assert!(times[10] <= limit, "{times:?}");
}

#[test]
fn true_answers_in_50_ms() {
    assert_answers_within(&BASE.guest(), Duration::from_millis(50));
}

#[test]
fn true_answers_in_300_ms_where_processors_are_emulated() {
    assert_answers_within(&SAVED.guest(), Duration::from_millis(300));
}

#[test]
fn a_command_gives_status_stdout_and_stderr() {
    let guest = BASE.guest();
    let output = guest.sh("echo out; echo err >&2; exit 3");
    assert_eq!((output.status, output.stdout.as_str(), output.stderr.as_str()), (Status::Exited(3), "out\n", "err\n"));
    assert_eq!(guest.sh("kill -TERM $$").status, Status::Killed(15));
    assert_eq!(guest.run(&["/does/not/exist"]).status, Status::NotStarted(2));
    assert_eq!(guest.command(&["tr", "a-z", "A-Z"]).stdin("input").output().text(), "INPUT");
    assert_eq!(guest.command(&["printenv", "A"]).env("A", "b c").output().text(), "b c");
    assert_eq!(guest.run_as("nobody", &["id", "-un"]).text(), "nobody");
    assert_eq!(guest.run_as("nobody", &["id", "-Gn"]).text(), "nogroup");
    // What a command leaves running does not hold up its answer.
    let begun = Instant::now();
    assert_eq!(guest.sh("echo at once; sleep 60 &").text(), "at once");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn a_megabyte_goes_in_and_comes_out() {
    let guest = BASE.guest();
    let bytes: Vec<u8> = (0..1_u32 << 20).map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    guest.put("/root/bytes", bytes.clone(), 0o640);
    assert_eq!(guest.run(&["stat", "-c", "%a %s", "/root/bytes"]).text(), "640 1048576");
    assert!(guest.get("/root/bytes") == bytes, "the bytes have changed");
    let failure = panic_of(|| drop(guest.get("/does/not/exist")));
    assert!(failure.contains("No such file"), "{failure}");
}

#[test]
fn a_restored_machine_is_there_in_3_seconds_and_independent() {
    let first = SAVED.guest();
    println!("restored from the cache in {:?}", first.boot_time());
    assert!(first.boot_time() < Duration::from_secs(3), "{:?}", first.boot_time());
    first.put("/root/before", "before", 0o644);
    first.sh("echo memory >/run/before").ok();
    let state = first.save();
    // The saved machine runs on, and what it does now is not in its saved state.
    first.put("/root/after", "after", 0o644);
    assert_eq!(first.get_text("/root/after"), "after");
    drop(first);
    for _ in 0..2 {
        let copy = Guest::restore(&state);
        println!("restored in {:?}", copy.boot_time());
        assert!(copy.boot_time() < Duration::from_secs(3), "{:?}", copy.boot_time());
        assert_eq!(copy.get_text("/root/before"), "before");
        assert_eq!(copy.get_text("/run/before"), "memory\n");
        assert!(!copy.run(&["test", "-e", "/root/after"]).success());
        copy.put("/root/after", "the copy's own", 0o644);
        copy.sh("sync; echo 3 >/proc/sys/vm/drop_caches").ok();
        assert_eq!(copy.get_text("/root/after"), "the copy's own");
    }
}

#[test]
fn a_reboot_gives_a_new_boot_id_and_keeps_files() {
    let guest = BASE.guest();
    let old = guest.hello().boot_id;
    guest.put("/root/kept", "kept", 0o644);
    guest.reboot();
    println!("rebooted in {:?}", guest.boot_time());
    assert_ne!(guest.hello().boot_id, old);
    assert_eq!(guest.get_text("/root/kept"), "kept");
}

#[test]
fn after_a_power_cut_the_guest_boots_again() {
    let mut guest = BASE.guest();
    let old = guest.hello().boot_id;
    guest.sh("echo flushed >/root/flushed && sync && echo lost >/run/lost && echo lost >/root/lost").ok();
    guest.cut_power();
    let failure = guest.command(&["true"]).try_output().expect_err("a guest without power answers nothing");
    assert!(failure.to_string().contains("does not run"), "{failure}");
    guest.set_up(|setup| setup.command_line("imad.test=again"));
    guest.start();
    println!("booted in {:?}", guest.boot_time());
    assert_ne!(guest.hello().boot_id, old);
    assert_eq!(guest.get_text("/root/flushed"), "flushed\n");
    assert!(!guest.run(&["test", "-e", "/run/lost", "-o", "-e", "/root/lost"]).success());
    assert!(guest.get_text("/proc/cmdline").contains("imad.test=again"));
    guest.shutdown();
}

#[test]
fn a_command_that_hangs_is_killed_in_the_guest() {
    let guest = BASE.guest();
    let begun = Instant::now();
    let output =
        guest.command(&["sh", "-c", "echo begun; sleep 1000; echo done"]).timeout(Duration::from_secs(2)).output();
    assert_eq!((output.status, output.stdout.as_str()), (Status::TimedOut, "begun\n"));
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    // Its whole process group is gone.
    assert!(!guest.sh("pgrep -x sleep").success());
}

#[test]
fn a_kernel_panic_ends_a_request_and_shows_the_console() {
    let guest = BASE.guest();
    let begun = Instant::now();
    let failure = panic_of(|| drop(guest.sh("echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger; sleep 100")));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(failure.contains("the guest is dead") && failure.contains("sysrq triggered crash"), "{failure}");
    assert!(guest.console().contains("Kernel panic - not syncing: sysrq triggered crash"));
}

#[test]
fn a_boot_that_hangs_ends_in_time_and_shows_the_console() {
    let begun = Instant::now();
    let hung = Setup::base().command_line("init=/bin/cat rdinit=/bin/cat").boot_timeout(Duration::from_secs(20));
    let failure = Guest::try_boot(hung).err().expect("cat is not a system").to_string();
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert!(failure.contains("Linux version") || failure.contains("init process"), "{failure}");
}

#[test]
fn the_agent_answers_in_the_initramfs_emergency_shell() {
    let guest = Guest::boot(Setup::base().command_line("rd.systemd.unit=emergency.target").until(Stage::Emergency));
    assert!(guest.hello().initramfs, "{:?}", guest.hello());
    println!("initramfs emergency shell after {:?}", guest.boot_time());
    guest.sh("test -e /etc/initrd-release").ok();
    assert_eq!(guest.run(&["systemctl", "is-active", "emergency.service"]).text(), "active");
}

#[test]
fn the_agent_answers_where_dracut_breaks() {
    let guest = Guest::boot(Setup::base().command_line("rd.break=pre-pivot").until(Stage::Emergency));
    assert_eq!(guest.hello().emergency.as_deref(), Some("dracut-emergency.service"));
    assert!(guest.hello().initramfs, "{:?}", guest.hello());
    guest.sh("test -e /sysroot/usr/bin/dnf").ok();
}

#[test]
fn the_agent_answers_in_the_emergency_shell_under_the_strict_policy() {
    let guest = Guest::boot(Setup::trusted().command_line("systemd.unit=emergency.target").until(Stage::Emergency));
    assert!(!guest.hello().initramfs, "{:?}", guest.hello());
    assert_eq!(guest.run(&["systemctl", "is-active", "emergency.service"]).text(), "active");
    guest.put("/root/copy", guest.get("/usr/bin/true"), 0o755);
    let output = guest.run(&["/root/copy"]);
    assert!(output.denied(), "{output}");
}

#[test]
fn the_root_is_changed_before_the_first_boot() {
    let setup = Setup::base()
        .file("/etc/imad-test/new", "new", 0o600)
        .file("/etc/hostname", "changed\n", 0o644)
        .symlink("/etc/imad-test/link", "new")
        .directory("/srv/imad-test", 0o711)
        .remove("/usr/lib/systemd/system/rescue.service")
        .label_from("/etc/imad-test/new", "/usr/bin/true")
        .xattr("/etc/hostname", "user.test", "value")
        .no_xattr("/usr/bin/false", "security.ima")
        .until(Stage::Root);
    let guest = Guest::boot(setup);
    assert_eq!(guest.get_text("/etc/imad-test/link"), "new");
    assert_eq!(
        guest.run(&["stat", "-c", "%a %U", "/etc/imad-test/new", "/srv/imad-test"]).text(),
        "600 root\n711 root"
    );
    assert_eq!(guest.get_text("/proc/sys/kernel/hostname"), "changed\n");
    assert!(!guest.run(&["test", "-e", "/usr/lib/systemd/system/rescue.service"]).success());
    let label =
        |path| guest.run(&["getfattr", "--absolute-names", "--only-values", "-e", "hex", "-n", "security.ima", path]);
    assert_eq!(label("/etc/imad-test/new").ok().stdout, label("/usr/bin/true").ok().stdout);
    assert!(!label("/usr/bin/false").success());
    let value = guest.run(&["getfattr", "--absolute-names", "--only-values", "-n", "user.test", "/etc/hostname"]);
    assert_eq!(value.text(), "value");
}

/// The processes of this machine that name a folder on their command line.
fn processes(folder: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    all.map(|line| String::from_utf8_lossy(&line).into_owned()).filter(|line| line.contains(folder)).collect()
}

/// A test that is killed takes its guests with it. The one that is killed is this one, run once more.
#[test]
fn no_process_of_a_guest_outlives_its_test() {
    const VICTIM: &str = "IMAD_HARNESS_VICTIM";
    for setup in [Setup::base(), Setup::base().needs(Need::Qemu)] {
        let kind = format!("{:?}", setup.kind());
        match std::env::var(VICTIM) {
            Ok(name) if name == kind => {
                let guest = Guest::boot(setup.until(Stage::Started));
                println!("folder {}", guest.folder().display());
                loop {
                    std::thread::park();
                }
            }
            Ok(_) => continue,
            Err(_) => {}
        }
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "harness_test::no_process_of_a_guest_outlives_its_test", "--nocapture"])
            .env(VICTIM, &kind)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let folder = lines
            .map(Result::unwrap)
            .find_map(|line| line.split_once("folder ").map(|(_, folder)| folder.to_owned()))
            .unwrap();
        // So long that its programs have begun to run.
        std::thread::sleep(Duration::from_secs(3));
        let before = processes(&folder);
        assert!(!before.is_empty(), "{kind}: nothing runs");
        victim.kill().unwrap();
        victim.wait().unwrap();
        let begun = Instant::now();
        while !processes(&folder).is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{kind}: {:?}", processes(&folder));
            std::thread::sleep(Duration::from_millis(50));
        }
        println!("{kind}: {} processes, gone after {:?}", before.len(), begun.elapsed());
    }
}
