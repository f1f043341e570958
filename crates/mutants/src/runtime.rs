/// The active mutant of this process: `SYNOD_MUTANT` is its number, and without it no mutant is active. If
/// `SYNOD_MUTANTS_REACHED` names a file, the number of every mutant that is reached is appended to it once.
#[doc(hidden)]
pub(crate) mod mutant {
    extern crate std;

    use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
    use std::fs::{File, OpenOptions};
    use std::io::Write;
    use std::sync::OnceLock;

    const NOT_READ: u32 = u32::MAX;
    const ALL_ARE_NOTED: u32 = u32::MAX - 1;

    static ALIVE: AtomicU32 = AtomicU32::new(NOT_READ);
    static NOTED: [AtomicBool; 1 << 14] = [const { AtomicBool::new(false) }; 1 << 14];
    static NOTES: OnceLock<File> = OnceLock::new();

    /// The number of the active mutant. `here` are the mutants of this place.
    #[inline]
    pub(crate) fn alive(here: &[u32]) -> u32 {
        match ALIVE.load(Relaxed) {
            NOT_READ => {
                let alive = read();
                ALIVE.store(alive, Relaxed);
                if alive == ALL_ARE_NOTED { note(here) } else { alive }
            }
            ALL_ARE_NOTED => note(here),
            alive => alive,
        }
    }

    #[cold]
    fn read() -> u32 {
        if let Ok(path) = std::env::var("SYNOD_MUTANTS_REACHED") {
            NOTES.get_or_init(|| OpenOptions::new().append(true).create(true).open(path).expect("a file for notes"));
            return ALL_ARE_NOTED;
        }
        std::env::var("SYNOD_MUTANT").map_or(0, |number| number.parse().expect("the number of a mutant"))
    }

    fn note(here: &[u32]) -> u32 {
        for number in here {
            if !NOTED[*number as usize].swap(true, Relaxed) {
                let mut file = NOTES.get().expect("opened when it was read");
                // One write, so that threads do not mix; on the stack, for tests that count allocations.
                let mut line = [b'0'; 8];
                line[7] = b'\n';
                let mut rest = *number;
                for digit in line[..7].iter_mut().rev() {
                    *digit = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
                file.write_all(&line).expect("a note");
            }
        }
        0
    }
}
