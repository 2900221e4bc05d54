//! The command `dbmsim`.

fn main() -> std::process::ExitCode {
    dbm_sim::cli::main()
}
