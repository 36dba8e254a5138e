//! imactl: see [`imad::cli`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    imad::cli::main()
}
