//! The main job as a story: a guest with a strict policy, step by step, each with its real output.

use std::time::{Duration, Instant};

use imad::model::report::Status;

use crate::harness::{self, Guest, Output, Setup};

/// What a step must turn out to be.
enum Expect {
    Success,
    Denied,
    /// An answer of imactl's: exit status 0 or 1.
    Answer,
}

fn chapter(title: &str) {
    println!("\n== {title}");
}

struct Story {
    guest: Guest,
    failed: Vec<String>,
}

impl Story {
    /// Runs a line in the guest's shell and shows it with its output, at most `lines` lines.
    fn step(&mut self, line: &str, expect: &Expect, lines: usize) -> Output {
        let output = self.guest.command(&["/bin/sh", "-c", line]).timeout(Duration::from_secs(300)).output();
        println!("# {line}");
        let text = format!("{}{}", output.stdout, output.stderr);
        for shown in text.lines().take(lines) {
            println!("  {shown}");
        }
        if text.lines().count() > lines {
            println!("  … ({} more lines)", text.lines().count() - lines);
        }
        let as_expected = match expect {
            Expect::Success => output.success(),
            Expect::Denied => output.denied() || text.contains("Permission denied"),
            Expect::Answer => matches!(output.status, harness::Status::Exited(0 | 1)),
        };
        if !as_expected {
            println!("  !! not what this step should show: {:?}", output.status);
            self.failed.push(line.to_owned());
        }
        output
    }

    /// The daemon's status, once `ready` holds.
    fn wait(&self, what: &str, ready: impl Fn(&Status) -> bool) {
        let begin = Instant::now();
        loop {
            let text = self.guest.run(&["imactl", "--json", "status"]).stdout;
            if serde_json::from_str::<Status>(&text).is_ok_and(|status| ready(&status)) {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(180), "waited in vain for {what}\n{text}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits until the daemon has seen a transaction with this package through.
    fn wait_for_package(&self, nevra: &str) {
        self.wait(nevra, |status| {
            status.last_transaction.as_ref().is_some_and(|seen| seen.added.iter().any(|added| added.starts_with(nevra)))
        });
    }
}

/// Tells the story of a guest under the strict policy. Returns the lines that did not show what they should.
pub(crate) fn tell(setup: Setup) -> Vec<String> {
    let begin = Instant::now();
    let mut story = Story { guest: Guest::boot(setup), failed: Vec::new() };
    println!("Booted in {} s.", begin.elapsed().as_secs());

    chapter("imad-boot put the certificate into .ima and loaded the signed policy, from the initramfs, once");
    story.step("keyctl show %keyring:.ima", &Expect::Success, 8);
    story.step("journalctl -b -u imad-boot -o cat --no-pager | grep -v systemd", &Expect::Success, 8);
    story.step("dmesg | grep 'ima: policy update'", &Expect::Success, 4);

    chapter("a program of a package runs; its copy runs nowhere, not even on the tmpfs that the samples exempt");
    story.step("ip -brief link", &Expect::Success, 4);
    for copy in ["/tmp/ip", "/dev/shm/ip", "/root/ip"] {
        story.step(&format!("cp $(command -v ip) {copy}; {copy} link"), &Expect::Denied, 2);
    }
    story.step("imactl explain /tmp/ip", &Expect::Answer, 16);

    chapter("a file that somebody tampered with is denied");
    story.wait("the first count of labels", |status| status.labels.is_some());
    story.step("printf x >> /usr/bin/lsattr; lsattr /root", &Expect::Denied, 2);
    story.step("imactl explain /usr/bin/lsattr", &Expect::Answer, 16);

    chapter("dnf installs a signed package: its program runs at once");
    story.step("dnf -q -y --disablerepo='*' --enablerepo=imad-good install imad-hello", &Expect::Success, 6);
    story.wait_for_package("imad-hello-");
    story.step("imad-hello", &Expect::Success, 2);

    chapter("an unsigned package is installed too, but its program is denied, and imad names it");
    story.step("rpm -U --oldpackage /srv/repo/unsigned/imad-hello-*.rpm", &Expect::Success, 4);
    story.wait("the unsigned package", |status| {
        status.last_transaction.as_ref().is_some_and(|seen| !seen.denied.is_empty())
    });
    story.step("imad-hello", &Expect::Denied, 2);
    story.step("imactl explain /usr/bin/imad-hello", &Expect::Answer, 16);
    story.step("journalctl -b -u imad -o cat --no-pager | tail -n 2", &Expect::Success, 6);

    chapter("the same on D-Bus, for any user, and in one view");
    let property = "busctl --no-pager get-property org.imad1 /org/imad1";
    story.step(
        &format!("setpriv --reuid=65534 --clear-groups {property} org.imad1.Manager State"),
        &Expect::Success,
        2,
    );
    story.step(&format!("{property} org.imad1.Labels Counts"), &Expect::Success, 2);
    story.step("imactl status", &Expect::Success, 40);

    story.failed
}
