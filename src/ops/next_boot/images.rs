//! The files behind boot entries: kernels, images of an initramfs, unified kernel images.
#![forbid(unsafe_code)]

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use object::read::ReadCache;
use rustix::fs::OFlags;

use crate::model::boot_entry::menu::places;
use crate::model::boot_entry::{BootEntry, version_of_image};
use crate::model::initramfs::Contents;
use crate::model::next_boot::{Image, NextBoot};
use crate::model::report::Problem;
use crate::model::uki;
use crate::sys::initramfs;
use crate::sys::root::Root;

/// Bytes at a kernel image's beginning in which it tells its release: the x86 setup code is not longer.
const HEAD: usize = 1 << 16;

/// What an entry boots.
#[derive(Debug, Default)]
pub(super) struct Booted {
    /// `uname -r`, where the image tells.
    pub(super) release: Option<String>,
    /// What a unified kernel image says of itself.
    pub(super) title: Option<String>,
    /// The command line that a unified kernel image is sealed with.
    pub(super) command_line: Option<String>,
    /// The kernel's file.
    pub(super) kernel: String,
    /// The initramfs's files.
    pub(super) initrds: Vec<String>,
    /// What the initramfs holds; `None` where there is none, or where it is not known.
    pub(super) contents: Option<Contents>,
    /// Why it is not known.
    pub(super) problem: Option<Problem>,
}

/// Looks into images, each once.
#[derive(Debug)]
pub(super) struct Images<'r> {
    root: &'r Root,
    partitions: Vec<String>,
    /// What was found earlier.
    known: Vec<Image>,
    seen: Vec<Image>,
}

impl<'r> Images<'r> {
    /// `earlier`: the last answer, whose images need not be looked into again while they are the same.
    pub(super) fn new(root: &'r Root, partitions: Vec<String>, earlier: Option<NextBoot>) -> Self {
        let known = earlier.map(|earlier| earlier.images).unwrap_or_default();
        Self { root, partitions, known, seen: Vec::new() }
    }

    /// What was looked at.
    pub(super) fn seen(self) -> Vec<Image> {
        self.seen
    }

    /// Looks at an entry's files; `None` where it is an EFI program that is no kernel.
    pub(super) fn of(&mut self, entry: &BootEntry) -> Option<Booted> {
        let (kernel, file) = match self.open(entry, &entry.kernel) {
            Ok(found) => found,
            // A shell or a firmware tool that is gone is no kernel that is gone.
            Err(_) if entry.is_efi => return None,
            Err(problem) => {
                return Some(Booted { kernel: entry.kernel.clone(), problem: Some(problem), ..Booted::default() });
            }
        };
        let mut booted = Booted { kernel, ..Booted::default() };
        if entry.is_efi {
            let image = uki::parse(&ReadCache::new(&file))?;
            self.unified(image, &file, &mut booted);
            return Some(booted);
        }
        let mut head = vec![0; HEAD];
        let read = std::os::unix::fs::FileExt::read_at(&file, &mut head, 0).unwrap_or(0);
        booted.release = version_of_image(head.get(..read).unwrap_or_default());
        for initrd in &entry.initrds {
            let looked = self.open(entry, initrd).and_then(|(path, file)| {
                booted.initrds.push(path.clone());
                self.contents(&path, &file)
            });
            match looked {
                Ok(more) => booted.contents = Some(booted.contents.take().unwrap_or_default().and(more)),
                Err(problem) => booted.problem = booted.problem.or(Some(problem)),
            }
        }
        Some(booted)
    }

    fn unified(&mut self, image: uki::Uki, file: &File, booted: &mut Booted) {
        booted.release = image.release;
        booted.title = image.title;
        booted.command_line = image.command_line;
        let path = booted.kernel.clone();
        for part in [image.microcode, image.initrd].into_iter().flatten() {
            match initramfs::survey(file, part) {
                Ok(more) => booted.contents = Some(booted.contents.take().unwrap_or_default().and(more)),
                Err(error) => {
                    let problem = Problem::new(format!("the initramfs in {path}: {error}"), error.next_step(&path));
                    booted.problem.get_or_insert(problem);
                }
            }
        }
    }

    /// Finds a file that a boot loader names.
    fn open(&self, entry: &BootEntry, path: &str) -> Result<(String, File), Problem> {
        let mut first = None;
        for place in places(&entry.file, path, &self.partitions) {
            match self.root.open_with(place.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK) {
                Ok(fd) => return Ok((place, File::from(fd))),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => first = first.or(Some((place, error))),
            }
        }
        Err(match first {
            Some((place, error)) => Problem::new(format!("{place} cannot be opened: {error}"), "run it as root"),
            None => Problem::new(
                format!("{}, which {} names, is not there", path, entry.file),
                "mount the boot partition, or remove the boot entry",
            ),
        })
    }

    fn contents(&mut self, path: &str, file: &File) -> Result<Contents, Problem> {
        let failed = |why: String, next: String| Problem::new(format!("{path}: {why}"), next);
        let metadata = file.metadata().map_err(|error| failed(error.to_string(), format!("ls -l {path}")))?;
        if !metadata.is_file() {
            return Err(failed("not a regular file".to_owned(), format!("ls -l {path}")));
        }
        let identity = |image: &Image| (image.path.clone(), image.size, image.mtime, image.inode);
        let mut image = Image {
            path: path.to_owned(),
            size: metadata.len(),
            mtime: (metadata.mtime(), metadata.mtime_nsec()),
            inode: (metadata.dev(), metadata.ino()),
            contents: Contents::default(),
        };
        let same = |other: &&Image| identity(other) == identity(&image);
        if let Some(seen) = self.seen.iter().find(same) {
            return Ok(seen.contents.clone());
        }
        image.contents = match self.known.iter().find(same) {
            Some(known) => known.contents.clone(),
            None => initramfs::survey(file, 0..metadata.len())
                .map_err(|error| failed(error.to_string(), error.next_step(path)))?,
        };
        self.seen.push(image.clone());
        Ok(image.contents)
    }
}
