//! Writes the inputs that fuzzing begins with, for cargo-fuzz: `cargo +nightly run --bin corpus`.

use std::fs;
use std::path::Path;

fn main() -> std::io::Result<()> {
    for (name, _) in counterpoint_fuzz::TARGETS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        fs::create_dir_all(&directory)?;
        for (number, seed) in counterpoint_fuzz::seeds(name).iter().enumerate() {
            fs::write(directory.join(format!("seed-{number}")), seed)?;
        }
    }
    Ok(())
}
