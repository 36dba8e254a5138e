//! imad: see [`imad::daemon`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    imad::daemon::main()
}
