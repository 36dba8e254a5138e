//! Images of an initramfs, unpacked as the kernel does it (`init/initramfs.c: unpack_to_rootfs()`) and looked through.
//! gzip is unpacked here, the rest by the system's programs.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use crate::model::cpio::{CpioError, Fed, Reader};
use crate::model::initramfs::{Compression, Contents, Survey};

/// Bytes read at a time.
const CHUNK: usize = 256 * 1024;
/// What the kernel tells compressions by is not longer.
const MAGIC: u64 = 6;

/// Why an image cannot be looked through.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The file.
    #[error("reading it failed: {0}")]
    Io(#[from] io::Error),
    /// An archive.
    #[error(transparent)]
    Cpio(#[from] CpioError),
    /// Neither an archive nor compressed.
    #[error("what begins at its byte {0} is neither a cpio archive nor compressed in a way that the kernel knows")]
    Unknown(u64),
    /// The program that unpacks it is not installed.
    #[error("it is compressed, and {0}, which unpacks it, is not installed")]
    NoProgram(&'static str),
    /// The program failed.
    #[error("{program} cannot unpack it: {why}")]
    Program {
        /// The program.
        program: &'static str,
        /// Its own words.
        why: String,
    },
}

impl ImageError {
    /// What to do about it.
    pub fn next_step(&self, image: &str) -> String {
        match self {
            Self::NoProgram(program) => format!("install {program}"),
            Self::Io(_) => format!("ls -l {image}"),
            Self::Cpio(_) | Self::Unknown(_) | Self::Program { .. } => {
                format!("make the image anew (dracut --force --kver VERSION, update-initramfs -u): lsinitrd {image}")
            }
        }
    }
}

/// Looks through a part of a file: an image of its own, or a section of a unified kernel image.
pub fn survey(file: &File, part: Range<u64>) -> Result<Contents, ImageError> {
    let mut source = Part { file, at: part.start, end: part.end };
    let mut found = Contents::default();
    let (mut reader, mut survey) = (Reader::default(), Survey::default());
    let mut chunk = vec![0; CHUNK];
    loop {
        let begin = source.at;
        let length = source.read(&mut chunk)?;
        let piece = chunk.get(..length).unwrap_or_default();
        if piece.is_empty() {
            reader.finish()?;
            return Ok(found.and(survey.contents()));
        }
        if let Fed::Foreign(at) = reader.feed(piece, &mut survey)? {
            found = found.and(std::mem::take(&mut survey).contents());
            source.at = begin + at as u64;
            let mut magic = Vec::new();
            Part { ..source }.take(MAGIC).read_to_end(&mut magic)?;
            let Some(compression) = Compression::of(&magic) else {
                return Err(ImageError::Unknown(source.at - part.start));
            };
            let unpacked = if compression == Compression::Gzip {
                gzip(&mut source)?
            } else {
                let all = program(compression, Part { ..source });
                source.at = source.end;
                all?
            };
            found = found.and(unpacked);
            // The kernel counts from the compressed part's end.
            reader = Reader::default();
        }
    }
}

/// A part of a file that is still to be read.
#[derive(Debug)]
struct Part<'f> {
    file: &'f File,
    at: u64,
    end: u64,
}

impl Read for Part<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let read = self.file.read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Looks through archives that are unpacked.
fn archives(mut unpacked: impl Read) -> Result<Contents, ImageError> {
    let (mut reader, mut survey) = (Reader::default(), Survey::default());
    let (mut chunk, mut before) = (vec![0; CHUNK], 0);
    loop {
        let length = match unpacked.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        if let Fed::Foreign(at) = reader.feed(chunk.get(..length).unwrap_or_default(), &mut survey)? {
            // "junk within compressed archive"
            return Err(ImageError::Unknown(before + at as u64));
        }
        before += length as u64;
    }
    reader.finish()?;
    Ok(survey.contents())
}

/// Unpacks one member of a gzip file, and leaves the rest.
fn gzip(source: &mut Part<'_>) -> Result<Contents, ImageError> {
    let mut buffered = BufReader::with_capacity(CHUNK, Part { ..*source });
    let result = archives(flate2::bufread::GzDecoder::new(&mut buffered));
    source.at = buffered.get_ref().at - buffered.buffer().len() as u64;
    match result {
        // A damaged stream, not a damaged disk.
        Err(ImageError::Io(error)) if error.kind() != io::ErrorKind::Other => {
            Err(ImageError::Program { program: "gzip", why: error.to_string() })
        }
        other => other,
    }
}

/// Has a program unpack all that is left.
fn program(compression: Compression, mut source: Part<'_>) -> Result<Contents, ImageError> {
    let [program, options @ ..] = compression.program() else { return Err(ImageError::Unknown(source.at)) };
    let child = Command::new(program)
        .args(options)
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => ImageError::NoProgram(program),
        _ => ImageError::Program { program, why: error.to_string() },
    })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = (stdin, stdout, stderr) else {
        unreachable!("the three were asked for");
    };
    let (fed, found, errors) = std::thread::scope(|scope| {
        let feeder = scope.spawn(move || -> io::Result<()> {
            let mut chunk = vec![0; CHUNK];
            loop {
                let length = source.read(&mut chunk)?;
                if length == 0 {
                    return Ok(());
                }
                match stdin.write_all(chunk.get(..length).unwrap_or_default()) {
                    // It has had enough; its exit status says why.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
                    result => result?,
                }
            }
        });
        // A program that reports an error without end is not heard to it.
        let listener = scope.spawn(move || {
            let mut text = Vec::new();
            let mut lines = BufReader::new(stderr);
            lines.by_ref().take(4096).read_to_end(&mut text).and_then(|_| io::copy(&mut lines, &mut io::sink())).ok();
            text
        });
        // Dropping the pipe here is what stops a program whose output is of no use.
        let found = archives(stdout);
        (feeder.join(), found, listener.join().unwrap_or_default())
    });
    let status = child.wait()?;
    fed.unwrap_or_else(|_| Err(io::Error::other("the thread that feeds it ended early")))?;
    let found = match found {
        // Cut off by the program, which says why.
        Err(ImageError::Cpio(CpioError::Cut)) if !status.success() => None,
        other => Some(other?),
    };
    let last = errors.lines().map_while(Result::ok).filter(|line| !line.trim().is_empty()).last();
    match found {
        Some(found) if status.success() => Ok(found),
        _ => Err(ImageError::Program { program, why: last.unwrap_or_else(|| status.to_string()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::cpio::tests::archive;

    fn of(bytes: &[u8]) -> Result<Contents, ImageError> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        survey(&file, 0..bytes.len() as u64)
    }

    fn gz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn packed_by(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let output = Command::new(program).args(arguments).stdin(file).output().unwrap();
        assert!(output.status.success(), "{program}");
        output.stdout
    }

    #[test]
    fn every_compression_of_the_kernels_is_unpacked() {
        let content = vec![7; 600_000];
        let main = archive(&[("init", b"x"), ("usr/lib/imad/imad-boot", &content), ("etc/ima/ima-policy", b"")]);
        let mut microcode = archive(&[("kernel/x86/microcode/AuthenticAMD.bin", b"12")]);
        microcode.resize(microcode.len().next_multiple_of(512), 0);
        let expected = of(&main).unwrap();
        assert!(expected.imad_boot && expected.policy && expected.imad_boot_sha256.is_some() && expected.files == 3);
        for packed in [
            gz(&main),
            packed_by("zstd", &["-cq"], &main),
            packed_by("xz", &["-c", "--check=crc32"], &main),
            packed_by("xz", &["-c", "--format=lzma"], &main),
            packed_by("bzip2", &["-c"], &main),
            packed_by("lz4", &["-lc"], &main),
        ] {
            assert_eq!(of(&packed).unwrap(), expected, "{:?}", &packed[..4]);
            assert_eq!(of(&[&microcode[..], &packed].concat()).unwrap(), expected);
        }
        // Two compressed archives, and zeros behind them.
        let two = [gz(&main), vec![0; 5], gz(&archive(&[("squashfs-root.img", b"")])), vec![0; 3]].concat();
        let found = of(&two).unwrap();
        assert!(found.imad_boot && found.packed.is_some() && found.files == 4);
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let main = archive(&[("init", b"x")]);
        assert!(matches!(of(b"hsqs...."), Err(ImageError::Unknown(0))));
        assert!(matches!(of(&main[..130]), Err(ImageError::Cpio(CpioError::Cut))));
        let whole = gz(&main);
        assert!(matches!(of(&whole[..whole.len() - 12]), Err(ImageError::Program { program: "gzip", .. })));
        let zstd = packed_by("zstd", &["-cq"], &[main.clone(), vec![9; 100_000]].concat());
        assert!(matches!(of(&zstd), Err(ImageError::Unknown(_))));
        let cut = packed_by("zstd", &["-cq"], &archive(&[("init", &[5; 900_000])]));
        let error = of(&cut[..cut.len() - 9]).unwrap_err();
        assert!(matches!(error, ImageError::Program { program: "zstd", .. }), "{error}");
        assert!(error.next_step("/boot/x").contains("lsinitrd /boot/x"));
    }
}
