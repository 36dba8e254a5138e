//! Which questions an access asks the policy, file by file, in the kernel's order.
#![forbid(unsafe_code)]

use super::event::{Access, Credentials, Event, LsmLabel, Place, Subject};
use super::rule::Func;
use crate::model::program::Role;

/// What somebody does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// execve(2).
    Exec,
    /// open(2) and mmap(2) with PROT_EXEC, as ld.so does.
    Mmap,
    /// open(2) for reading.
    Read,
    /// open(2) for writing.
    Write,
    /// finit_module(2).
    Module,
    /// The kernel loads firmware.
    Firmware,
    /// kexec_file_load(2): the kernel.
    Kexec,
    /// kexec_file_load(2): the initramfs.
    KexecInitramfs,
    /// A policy is loaded by path.
    Policy,
}

impl Way {
    /// Every way.
    pub const ALL: [Self; 9] = [
        Self::Exec,
        Self::Mmap,
        Self::Read,
        Self::Write,
        Self::Module,
        Self::Firmware,
        Self::Kexec,
        Self::KexecInitramfs,
        Self::Policy,
    ];

    /// The word on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Mmap => "mmap",
            Self::Read => "read",
            Self::Write => "write",
            Self::Module => "module",
            Self::Firmware => "firmware",
            Self::Kexec => "kexec",
            Self::KexecInitramfs => "kexec-initramfs",
            Self::Policy => "policy",
        }
    }
}

/// Who does it: before an execve(2), at its last check, and after. The same where nothing is executed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actors {
    /// The caller.
    pub before: Subject,
    /// The caller's capabilities, and the ids that the program is about to have.
    pub during: Subject,
    /// The new program.
    pub after: Subject,
    /// The last check is of the program that runs in the end, not of a script that it reads.
    pub last_of_program: bool,
}

impl Actors {
    /// A user with the capabilities that root has and others have not, and what execve(2) makes of it: set-user-ID and
    /// set-group-ID programs bring their owner and group (credentials(7)). `asks_new`: see
    /// [`KernelProfile::creds_check_sees_new_ids`](super::profile::KernelProfile).
    pub fn of_user(uid: u32, gid: u32, set_uid: Option<u32>, set_gid: Option<u32>, asks_new: bool) -> Self {
        let is_root = |credentials: &Credentials| credentials.euid == 0;
        let subject = |credentials: Credentials, caps: bool| Subject {
            credentials,
            cap_setuid: caps,
            cap_setgid: caps,
            label: LsmLabel::UNTOLD,
        };
        let old = Credentials::of(uid, gid);
        let (user, group) = (set_uid.unwrap_or(uid), set_gid.unwrap_or(gid));
        let new = Credentials { euid: user, suid: user, egid: group, sgid: group, ..old };
        Self {
            before: subject(old, is_root(&old)),
            during: subject(if asks_new { new } else { old }, is_root(&old)),
            after: subject(new, is_root(&new)),
            last_of_program: asks_new,
        }
    }
}

/// The questions about the one file of a way other than exec.
pub fn of_way(way: Way, actors: &Actors) -> Vec<Event<'_>> {
    let who = &actors.before;
    let open = Event::new(Func::FileCheck, Access::READ, who);
    let read_as = |func| vec![open, Event::new(func, Access::READ, who)];
    match way {
        Way::Exec => of_part(Role::Program, actors),
        Way::Mmap => [vec![open], mapped(who, Place::Call)].concat(),
        Way::Read => vec![open],
        Way::Write => vec![Event { writable: true, ..Event::new(Func::FileCheck, Access::WRITE, who) }],
        Way::Module => read_as(Func::ModuleCheck),
        Way::Firmware => read_as(Func::FirmwareCheck),
        Way::Kexec => read_as(Func::KexecKernelCheck),
        Way::KexecInitramfs => read_as(Func::KexecInitramfsCheck),
        Way::Policy => read_as(Func::PolicyCheck),
    }
}

/// The questions about a file that an execution pulls in (`fs/exec.c`, `fs/binfmt_elf.c`).
pub fn of_part(role: Role, actors: &Actors) -> Vec<Event<'_>> {
    let Actors { before, during, after, last_of_program } = actors;
    let opened = Event::new(Func::FileCheck, Access::EXEC, before);
    let executed = || vec![opened, Event::new(Func::BprmCheck, Access::EXEC, before)];
    let last = || vec![Event::new(Func::CredsCheck, Access::EXEC, during)];
    match role {
        Role::Script if *last_of_program => executed(),
        Role::Script => [executed(), last()].concat(),
        Role::Program => [executed(), last(), mapped(after, Place::Exec)].concat(),
        Role::Loader => [vec![opened], mapped(after, Place::Exec)].concat(),
        Role::Library => [vec![Event::new(Func::FileCheck, Access::READ, after)], mapped(after, Place::Call)].concat(),
    }
}

/// mmap(2) with PROT_EXEC, asked for and granted.
fn mapped(who: &Subject, place: Place) -> Vec<Event<'_>> {
    [Func::MmapCheckReqprot, Func::MmapCheck]
        .map(|func| Event { place, ..Event::new(func, Access::EXEC, who) })
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::policy::event::Hook;

    #[test]
    fn an_execution_asks_as_caller_and_as_new_program() {
        let actors = Actors::of_user(1000, 100, Some(0), None, true);
        let events = of_part(Role::Program, &actors);
        let hooks: Vec<Hook> = events.iter().map(|event| event.hook).collect();
        let expected = [Func::FileCheck, Func::BprmCheck, Func::CredsCheck, Func::MmapCheckReqprot, Func::MmapCheck]
            .map(Hook::Rule);
        assert_eq!(hooks, expected);
        let euids: Vec<_> =
            events.iter().map(|event| (event.subject.credentials.euid, event.subject.cap_setuid)).collect();
        assert_eq!(euids, [(1000, false), (1000, false), (0, false), (0, true), (0, true)]);
        let euid_asked = |asks_new| {
            let actors = Actors::of_user(1000, 100, Some(0), None, asks_new);
            of_part(Role::Program, &actors)[2].subject.credentials.euid
        };
        assert_eq!((euid_asked(true), euid_asked(false)), (0, 1000));
        let of_script = |asks_new| of_part(Role::Script, &Actors::of_user(0, 0, None, None, asks_new)).len();
        assert_eq!((of_script(true), of_script(false)), (2, 3));
        assert_eq!(events[4].place, Place::Exec);
        assert_eq!(of_way(Way::Write, &actors)[0].access, Access::WRITE);
    }
}
