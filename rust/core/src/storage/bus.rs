//! What becomes of a shared page that its file system fails to take a change of.
//!
//! After each time that a page was written to the disk, the next change to it asks the file system again. One that has
//! been shut down, or is full and copies on write, refuses, for which there is no error but a signal: SIGBUS, which ends
//! the process. So the page is exchanged for a copy of it that is this process's own, and counts as lost: nothing that is
//! said in it reaches the others any more.

#![expect(
    unsafe_code,
    reason = "signals and mappings are beyond what the language knows; each place says why it is sound"
)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use libc::{c_int, c_void, siginfo_t};

use super::PAGE_BYTES;

/// How many pages can be watched, one for each open store. Further ones go without.
const MAX_PAGES: usize = 256;

const SHARED: u32 = 0;
const BEING_EXCHANGED: u32 = 1;
const LOST: u32 = 2;

/// Fixed, because a signal handler must not allocate or wait for a lock.
static PAGES: [Watched; MAX_PAGES] =
    [const { Watched { address: AtomicUsize::new(0), state: AtomicU32::new(SHARED) } }; MAX_PAGES];
/// Who handled the signal before us, and gets what is none of ours.
static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

/// A page in the table; no page if the address is 0.
#[derive(Debug)]
struct Watched {
    address: AtomicUsize,
    state: AtomicU32,
}

/// A place in the table, given up when dropped: before the page is unmapped.
#[derive(Debug)]
pub(super) struct Watch(Option<&'static Watched>);

impl Watch {
    /// Watches over the mapped page that begins at the address.
    pub(super) fn begin(address: usize) -> Self {
        BEFORE.get_or_init(install);
        let take = |page: &&Watched| {
            page.address.compare_exchange(0, address, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let place = PAGES.iter().find(take);
        if let Some(page) = place {
            page.state.store(SHARED, Ordering::Release);
        }
        Self(place)
    }

    /// Whether the page is not the shared one any more.
    pub(super) fn is_lost(&self) -> bool {
        self.0.is_some_and(|page| page.state.load(Ordering::Acquire) != SHARED)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(page) = self.0 {
            page.address.store(0, Ordering::Release);
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
    let is_ours = |page: &&Watched| {
        let start = page.address.load(Ordering::Acquire);
        start != 0 && (start..start + PAGE_BYTES).contains(&address)
    };
    if !PAGES.iter().find(is_ours).is_some_and(exchange) {
        pass_on(signal, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = kept };
}

/// Puts a copy in the place of a page; `false` if that cannot be. The access that failed is then tried again.
fn exchange(page: &Watched) -> bool {
    let begun = page.state.compare_exchange(SHARED, BEING_EXCHANGED, Ordering::AcqRel, Ordering::Acquire);
    if begun.is_err() {
        // Another thread is at it, or has done it.
        while page.state.load(Ordering::Acquire) == BEING_EXCHANGED {
            std::hint::spin_loop();
        }
        return page.state.load(Ordering::Acquire) == LOST;
    }
    let done = copy_over(page.address.load(Ordering::Acquire));
    page.state.store(if done { LOST } else { SHARED }, Ordering::Release);
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
        let copied = libc::write(file, start, PAGE_BYTES) == PAGE_BYTES as isize && {
            let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_FIXED);
            libc::mmap(start, PAGE_BYTES, access, flags, file, 0) == start
        };
        libc::close(file);
        copied
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
        let watch = Watch::begin(page.as_mut_ptr() as usize);
        assert!(!watch.is_lost());
        assert!(exchange(watch.0.unwrap()));
        assert!(watch.is_lost());
        assert_eq!(word.fetch_add(1, Ordering::SeqCst), 7);
        assert_eq!(word.load(Ordering::SeqCst), 8);
        let mut shared = [0; 8];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut shared, 0).unwrap();
        assert_eq!(u64::from_le_bytes(shared), 7, "what is said in the copy does not reach the file");
    }
}
