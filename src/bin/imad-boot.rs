//! imad-boot: see [`imad::boot`].
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    imad::boot::main()
}
