//! Denials of this boot that left a trace: in the kernel's messages, in the audit daemon's log.
#![forbid(unsafe_code)]

use crate::model::trial::denials::{Denial, denial, tells_of_lost_records};
use crate::sys::root::Root;
use crate::sys::{audit_log, kmsg};

/// The kernel's messages have their times from another clock than ours.
const CLOCKS_DIFFER_US: u64 = 1_000_000;

/// Every denial since this time (microseconds since boot) that left a trace, as often as it did. What may be missing is
/// noted.
pub(super) fn denials(root: &Root, since_us: u64, notes: &mut Vec<String>) -> Vec<Denial> {
    let mut lines = Vec::new();
    match kmsg::all() {
        Ok((records, cut)) => {
            let oldest = records.first().map_or(0, |record| record.time_us);
            if cut && oldest > since_us {
                notes.push(
                    "the kernel's messages since the load were overwritten in part; denials among them \
                     are not known (log_buf_len=)"
                        .to_owned(),
                );
            }
            let is_later = |time_us: u64| time_us.saturating_add(CLOCKS_DIFFER_US) >= since_us;
            lines.extend(records.into_iter().filter(|record| is_later(record.time_us)).map(|record| record.text));
        }
        Err(error) => notes.push(format!("the kernel's messages cannot be read: {error}")),
    }
    if lines.iter().any(|line| tells_of_lost_records(line)) {
        notes.push("the kernel dropped audit records for their number; denials among them are not known".to_owned());
    }
    match audit_log::since_start(root) {
        Ok(log) => lines.extend(log.unwrap_or_default()),
        Err(error) => notes.push(format!("the audit log cannot be read: {error}")),
    }
    lines.iter().filter_map(|line| denial(line)).collect()
}
