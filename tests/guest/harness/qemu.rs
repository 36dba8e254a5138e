//! QEMU with an emulated processor: firmware, kexec, any kernel, more than one processor, machines that are saved.

use std::ffi::OsString;
use std::fs;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::machine::{Begin, CONSOLE, LOG, Parts, appended, bound, kill, spawn, text};
use super::qmp::Qmp;

/// The file of a guest's folder with its firmware's variables.
pub(super) const VARIABLES: &str = "variables";

/// What a guest's disks are called in it.
pub(super) fn device(number: usize) -> String {
    format!("/dev/vd{}", super::setup::letter(number))
}

/// Words for the kernel: an emulated processor has no speculation to be guarded, and pays for the guards.
pub(super) const WORDS: [&str; 2] = ["console=ttyS0", "mitigations=off"];

/// Starts QEMU on the disks `disk0`, `disk1`, … and the memory `ram` of a guest's folder.
pub(super) fn start(parts: &Parts, begin: Begin) -> Result<(Child, UnixStream, Option<Qmp>), String> {
    let folder = parts.folder;
    let listener = |name: &str| {
        let path = folder.join(name);
        if path.exists() {
            fs::remove_file(&path).map_err(|error| error.to_string())?;
        }
        let listener = UnixListener::bind(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        listener.set_nonblocking(true).map_err(|error| error.to_string())?;
        Ok::<_, String>(listener)
    };
    let (monitor, port) = (listener("qmp")?, listener("agent")?);
    // Nothing of an earlier boot is in the memory of a machine that was off.
    if begin == Begin::Boot && folder.join("ram").exists() {
        fs::remove_file(folder.join("ram")).map_err(|error| error.to_string())?;
    }
    let mut command = bound("qemu-system-x86_64");
    command.args(arguments(parts, begin)?);
    command.stdin(Stdio::null()).stdout(appended(folder, LOG)?).stderr(appended(folder, LOG)?);
    let mut qemu = Unconnected(Some(spawn(command)?));
    let port = qemu.accept(&port, folder)?;
    let monitor = qemu.accept(&monitor, folder)?;
    let qmp = Qmp::new(monitor)?;
    let qemu = qemu.0.take().ok_or("QEMU is gone")?;
    Ok((qemu, port, Some(qmp)))
}

/// QEMU while it has not connected yet.
struct Unconnected(Option<Child>);

impl Unconnected {
    fn accept(&mut self, listener: &UnixListener, folder: &Path) -> Result<UnixStream, String> {
        let begun = Instant::now();
        loop {
            if let Ok((stream, _)) = listener.accept() {
                stream.set_nonblocking(false).map_err(|error| error.to_string())?;
                return Ok(stream);
            }
            let ended = self.0.as_mut().map_or(Ok(None), Child::try_wait).map_err(|error| error.to_string())?;
            if ended.is_some() || begun.elapsed() > Duration::from_secs(60) {
                let log = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
                return Err(format!("QEMU does not start ({ended:?}):\n{log}"));
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Unconnected {
    fn drop(&mut self) {
        if let Some(qemu) = &mut self.0 {
            kill(qemu);
        }
    }
}

fn arguments(parts: &Parts, begin: Begin) -> Result<Vec<OsString>, String> {
    let Parts { setup, folder, images, .. } = parts;
    let mut list: Vec<OsString> = Vec::new();
    let mut add = |words: &[&str]| list.extend(words.iter().map(OsString::from));
    // Page tables of four levels, as most machines have: walks of a fifth cost an emulated one time.
    add(&["-nodefaults", "-no-user-config", "-display", "none", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off"]);
    add(&["-machine", "pc,memory-backend=ram", "-smp", &setup.cpus.to_string(), "-m", &setup.memory.to_string()]);
    // A file, so that a saved machine's memory is a copy of it and nothing that QEMU has to write and read.
    let ram = text(&folder.join("ram"))?;
    add(&["-object", &format!("memory-backend-file,id=ram,size={}M,share=on,mem-path={ram}", setup.memory)]);
    add(&["-device", "virtio-rng-pci", "-device", "virtio-serial-pci"]);
    // QEMU calls us: there is no moment at which it listens and we do not know.
    add(&["-chardev", &format!("socket,id=agent,path={}", text(&folder.join("agent"))?)]);
    add(&["-device", "virtserialport,chardev=agent,name=imad.agent"]);
    add(&["-chardev", &format!("socket,id=qmp,path={}", text(&folder.join("qmp"))?), "-mon", "qmp,mode=control"]);
    add(&["-chardev", &format!("file,id=console,append=on,path={}", text(&folder.join(CONSOLE))?)]);
    add(&["-serial", "chardev:console"]);
    for number in 0..images.len() {
        let disk = text(&folder.join(format!("disk{number}")))?;
        // `unsafe` leaves out the host's fsync alone: what the guest has flushed survives the end of QEMU.
        add(&["-drive", &format!("if=virtio,format=qcow2,cache=unsafe,file={disk}")]);
    }
    if let Some(firmware) = &setup.firmware {
        let (code, variables) = (text(&firmware.code)?, text(&folder.join(VARIABLES))?);
        add(&["-drive", &format!("if=pflash,format=raw,readonly=on,file={code}")]);
        add(&["-drive", &format!("if=pflash,format=raw,cache=unsafe,file={variables}")]);
    } else {
        add(&["-kernel", &text(&setup.kernel_file())?, "-append", &setup.words(&device(0), &WORDS)]);
        if let Some(initrd) = &setup.initrd {
            add(&["-initrd", &text(initrd)?]);
        }
    }
    if let Some(link) = &setup.link {
        // For this machine's own programs alone.
        let forward = |(guest, host): &(u16, u16)| format!(",hostfwd=tcp:127.0.0.1:{host}-:{guest}");
        let forwards: String = link.forwarded().iter().map(forward).collect();
        add(&["-netdev", &format!("user,id=net,restrict=on{forwards}"), "-device", "virtio-net-pci,netdev=net"]);
    }
    if let Some(time) = &setup.clock {
        add(&["-rtc", &format!("base={time}")]);
    }
    if begin == Begin::Saved {
        add(&["-incoming", "defer"]);
    }
    Ok(list)
}
