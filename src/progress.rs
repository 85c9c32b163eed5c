//! How far the seeding is: a bar on a terminal, one line a stage elsewhere.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

/// One stage of the seeding, with how many of its things are done.
pub struct Stage {
    name: &'static str,
    bar: ProgressBar,
    began: Instant,
}

impl Stage {
    /// Shows the stage, with nothing done.
    pub fn begin(name: &'static str, total: usize) -> Self {
        let bar = ProgressBar::new(total as u64);
        if let Ok(style) = ProgressStyle::with_template("  {msg:<14} {bar:30} {pos}/{len}") {
            bar.set_style(style);
        }
        bar.set_message(name);
        Self { name, bar, began: Instant::now() }
    }

    /// One more is done.
    pub fn step(&self) {
        self.bar.inc(1);
    }

    /// The stage is over.
    pub fn end(self) {
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
        let (terminal, seconds) = (!self.bar.is_hidden(), self.began.elapsed().as_secs_f32());
        self.bar.finish_and_clear();
        let name = self.name;
        if terminal {
            eprintln!("  {name:<14} {done}/{total}  {seconds:.1} s");
        } else {
            eprintln!("{name} {done}/{total} in {seconds:.1} s");
        }
    }
}
