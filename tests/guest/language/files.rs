//! Policies of several lines: good ones, and those with what is wrong with a file rather than with a rule.

use super::faults::{faulty, mutate};
use super::generator::{Dialect, no_rule, rule};
use super::random::Random;

/// The page after a file that ends with its last page is not the kernel's to read.
const PAGE: usize = 4096;

/// A policy as it is loaded by path.
pub(super) fn file(random: &mut Random, dialect: &Dialect) -> Vec<u8> {
    let mut lines: Vec<_> = (0..=random.below(12))
        .map(|_| if random.chance(75) { rule(random, dialect) } else { no_rule(random) })
        .collect();
    let place = random.below(lines.len() + 1);
    match random.below(20) {
        0..7 => whole(&lines),
        7 | 8 => {
            lines.insert(place, faulty(random, dialect));
            if random.chance(30) {
                // The first fault's errno is the file's.
                let place = random.below(lines.len() + 1);
                lines.insert(place, b"measure fsmagic=0x10000000000000000".to_vec());
            }
            whole(&lines)
        }
        9 | 10 => {
            let mut bytes = whole(&lines);
            bytes.pop();
            without_end(bytes)
        }
        11 | 12 => {
            let mut bytes = whole(&lines);
            let at = random.below(bytes.len() + 1);
            bytes.insert(at, 0);
            bytes
        }
        13 => {
            // In the place of the last newline, and after it.
            let mut bytes = whole(&lines);
            if random.chance(50) {
                bytes.pop();
            }
            bytes.push(0);
            bytes
        }
        14 => lines.iter().flat_map(|line| [line, &b"\r\n"[..]].concat()).collect(),
        15 => Vec::new(),
        16 => whole(&(0..=place).map(|_| no_rule(random)).collect::<Vec<_>>()),
        17 => {
            lines.insert(place, long(random));
            whole(&lines)
        }
        18 => {
            let mut bytes = whole(&lines);
            mutate(random, dialect, &mut bytes);
            without_end(bytes)
        }
        _ => [&b"\xef\xbb\xbf"[..], &whole(&lines)].concat(),
    }
}

/// A line that is longer than what can be written to the kernel by itself.
fn long(random: &mut Random) -> Vec<u8> {
    let filling = vec![b'f'; PAGE + random.below(4 * PAGE)];
    [random.pick(&[&b"#"[..], b"measure fsname=", b"audit appraise_flag=", b"hash nonsense="]), &filling[..]].concat()
}

/// Lines, each with its newline.
pub(super) fn whole(lines: &[Vec<u8>]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect()
}

/// What may not end in a newline leaves the kernel a byte of its page to find an end in.
fn without_end(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len().is_multiple_of(PAGE) && bytes.last() != Some(&b'\n') {
        bytes.pop();
    }
    bytes
}
