//! What becomes of a mapped page that its file system fails to give, or to take a change of.
//!
//! There is no error for it but a signal, SIGBUS, which ends the process. A page of an index file fails to be read as any
//! other part of a disk may. And after each time that the shared page was written to the disk, the next change to it asks
//! the file system again: one that has been shut down, or is full and copies on write, refuses.
//!
//! So the page is exchanged, and the mapping counts as lost. In the place of the shared page is then a copy of it that is
//! this process's own: nothing that is said in it reaches the others any more. In that of a page that cannot be read are
//! zeros, so nothing that was found in the file since is to be believed.

#![expect(
    unsafe_code,
    reason = "signals and mappings are beyond what the language knows; each place says why it is sound"
)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

use super::PAGE_BYTES;

/// How many mappings can be watched: one for each open store, and one for each of its index files. Further ones go without.
const MAX_MAPPINGS: usize = 1024;

const WHOLE: u32 = 0;
const BEING_EXCHANGED: u32 = 1;
const LOST: u32 = 2;

/// What the address of a place in the table is while it is not that of a mapping: free, or not filled in yet.
const FREE: usize = 0;
const TAKEN: usize = 1;

/// Fixed, because a signal handler must not allocate or wait for a lock.
static MAPPINGS: [Watched; MAX_MAPPINGS] = [const {
    Watched {
        address: AtomicUsize::new(FREE),
        length: AtomicUsize::new(0),
        is_shared: AtomicBool::new(false),
        state: AtomicU32::new(WHOLE),
    }
}; MAX_MAPPINGS];
/// Who handled the signal before us, and gets what is none of ours.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// A mapping in the table.
#[derive(Debug)]
struct Watched {
    address: AtomicUsize,
    length: AtomicUsize,
    /// Whether it is a page that others change too, and not a file that is read.
    is_shared: AtomicBool,
    state: AtomicU32,
}

/// A place in the table, given up when dropped: before the mapping is gone.
#[derive(Debug)]
pub(super) struct Watch(Option<&'static Watched>);

impl Watch {
    /// Watches over the page that begins at the address, which is mapped for reading and writing.
    pub(super) fn shared_page(address: usize) -> Self {
        Self::begin(address, PAGE_BYTES, true)
    }

    /// Watches over a file that is mapped for reading.
    pub(super) fn file(address: usize, length: usize) -> Self {
        Self::begin(address, length, false)
    }

    fn begin(address: usize, length: usize, is_shared: bool) -> Self {
        BEFORE.get_or_init(install);
        let take = |place: &&Watched| {
            place.address.compare_exchange(FREE, TAKEN, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let place = MAPPINGS.iter().find(take);
        if let Some(place) = place {
            place.length.store(length, Ordering::Relaxed);
            place.is_shared.store(is_shared, Ordering::Relaxed);
            place.state.store(WHOLE, Ordering::Relaxed);
            place.address.store(address, Ordering::Release);
        }
        Self(place)
    }

    /// Whether it is certain that no page of it was exchanged.
    pub(super) fn is_whole(&self) -> bool {
        self.0.is_some_and(|place| place.state.load(Ordering::Acquire) == WHOLE)
    }

    /// Whether a page of it was exchanged.
    pub(super) fn is_lost(&self) -> bool {
        self.0.is_some_and(|place| place.state.load(Ordering::Acquire) != WHOLE)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            place.address.store(FREE, Ordering::Release);
        }
    }
}

/// Handles the signal from here on; returns who did before.
fn install() -> libc::sigaction {
    // SAFETY: `sigaction` is plain data, for which zeros are a value; the calls read and write only what they are given,
    // and cannot fail for this signal. The handler keeps to what may be done in one.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        let mut ours: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGBUS, std::ptr::null(), &raw mut before);
        let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = handle;
        ours.sa_sigaction = handler as usize;
        ours.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigemptyset(&raw mut ours.sa_mask);
        libc::sigaction(libc::SIGBUS, &raw const ours, std::ptr::null_mut());
        before
    }
}

/// Only loads and stores atomics and makes system calls, which is all that is allowed in a signal handler.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel hands over valid pointers; errno is this thread's.
    let (address, errno) = unsafe { ((*info).si_addr() as usize, libc::__errno_location()) };
    // SAFETY: as above. The code that was interrupted must find it unchanged.
    let kept = unsafe { *errno };
    let is_ours = |place: &&Watched| {
        let start = place.address.load(Ordering::Acquire);
        start > TAKEN && (start..start + place.length.load(Ordering::Relaxed)).contains(&address)
    };
    let exchanged = MAPPINGS.iter().find(is_ours).is_some_and(|place| {
        if place.is_shared.load(Ordering::Relaxed) { exchange(place) } else { blank(place, address) }
    });
    if !exchanged {
        pass_on(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = kept };
}

/// Puts zeros in the place of a page that cannot be read; `false` if that cannot be. The access that failed is then
/// tried again.
fn blank(place: &Watched, address: usize) -> bool {
    // First: who finds the zeros has to find out about them.
    place.state.store(LOST, Ordering::Release);
    let start = (address / PAGE_BYTES * PAGE_BYTES) as *mut c_void;
    // SAFETY: the page is inside a mapping of ours, which is read-only and has no more of a promise than its checksums.
    unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
        libc::mmap(start, PAGE_BYTES, libc::PROT_READ, flags, -1, 0) == start
    }
}

/// Puts a copy in the place of a shared page; `false` if that cannot be.
fn exchange(place: &Watched) -> bool {
    let begun = place.state.compare_exchange(WHOLE, BEING_EXCHANGED, Ordering::AcqRel, Ordering::Acquire);
    if begun.is_err() {
        // Another thread is at it, or has done it.
        while place.state.load(Ordering::Acquire) == BEING_EXCHANGED {
            std::hint::spin_loop();
        }
        return place.state.load(Ordering::Acquire) == LOST;
    }
    let done = copy_over(place.address.load(Ordering::Acquire));
    place.state.store(if done { LOST } else { WHOLE }, Ordering::Release);
    done
}

fn copy_over(address: usize) -> bool {
    let start = address as *mut c_void;
    // SAFETY: the address is that of a mapped page of ours. It is read by the kernel, which answers with an error where
    // reading is refused as well. The mapping is exchanged for one of the same size, with the same contents and access,
    // in one step: whoever holds a reference into it finds the same atomics there.
    unsafe {
        let file = libc::memfd_create(c"counterpoint".as_ptr(), libc::MFD_CLOEXEC);
        if file < 0 {
            return false;
        }
        // One that cannot be read either, as when its file was cut short, is exchanged for zeros.
        let copied = libc::write(file, start, PAGE_BYTES) == PAGE_BYTES as isize
            || libc::ftruncate(file, PAGE_BYTES as libc::off_t) == 0;
        let exchanged = copied && {
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
            libc::mmap(start, PAGE_BYTES, access, flags, file, 0) == start
        };
        libc::close(file);
        exchanged
    }
}

/// Lets whoever handled the signal before us have it.
fn pass_on(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let before = BEFORE.get().filter(|before| ![libc::SIG_DFL, libc::SIG_IGN].contains(&before.sa_sigaction));
    // SAFETY: the handler was installed with these flags, which say how it is called. Without one, the signal's default
    // is restored, and ends the process when the access is tried again.
    unsafe {
        match before {
            Some(before) if before.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                    std::mem::transmute(before.sa_sigaction);
                handler(signal, info, context);
            }
            Some(before) => {
                let handler: extern "C" fn(c_int) = std::mem::transmute(before.sa_sigaction);
                handler(signal);
            }
            None => {
                libc::signal(signal, libc::SIG_DFL);
                if (*info).si_code <= 0 {
                    // Sent by somebody, and not an access that would be tried again.
                    libc::raise(signal);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use memmap2::MmapOptions;

    use super::*;

    #[test]
    fn a_page_that_cannot_be_changed_is_exchanged_for_a_copy_that_can() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(PAGE_BYTES as u64).unwrap();
        let page = MmapOptions::new().len(PAGE_BYTES).map_raw(&file).unwrap();
        // SAFETY: mapped, aligned, and live until the end of the test.
        let word = unsafe { AtomicU64::from_ptr(page.as_mut_ptr().cast()) };
        word.store(7, Ordering::SeqCst);
        let watch = Watch::shared_page(page.as_mut_ptr() as usize);
        assert!(!watch.is_lost());
        assert!(exchange(watch.0.unwrap()));
        assert!(watch.is_lost());
        assert_eq!(word.fetch_add(1, Ordering::SeqCst), 7);
        assert_eq!(word.load(Ordering::SeqCst), 8);
        let mut shared = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut shared, 0).unwrap();
        assert_eq!(u64::from_le_bytes(shared), 7, "what is said in the copy does not reach the file");
    }

    #[test]
    fn a_file_that_cannot_be_read_any_more_reads_as_zeros_and_says_so() {
        let file = tempfile::tempfile().unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[7; 3 * PAGE_BYTES], 0).unwrap();
        // SAFETY: that the file is cut short below is what is tested.
        let mapped = unsafe { memmap2::Mmap::map(&file).unwrap() };
        let watch = Watch::file(mapped.as_ptr() as usize, mapped.len());
        file.set_len(PAGE_BYTES as u64).unwrap();
        assert_eq!(mapped[0], 7);
        assert!(!watch.is_lost());
        assert_eq!(mapped[2 * PAGE_BYTES], 0);
        assert!(watch.is_lost());
    }
}
