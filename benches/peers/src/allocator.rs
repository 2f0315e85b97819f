//! Counts allocations while it is asked to; otherwise one relaxed load over the system's allocator, so that counting
//! does not weigh on whoever allocates more while times are taken.
#![allow(unsafe_code, reason = "an allocator cannot be written without; this package is never published")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed},
};

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ON: AtomicBool = AtomicBool::new(false);
static COUNT: AtomicU64 = AtomicU64::new(0);
static BYTES: AtomicI64 = AtomicI64::new(0);

/// What a closure allocated: number of allocations, and bytes that are still held.
#[derive(Clone, Copy, Debug)]
pub struct Allocated {
    pub count: u64,
    pub bytes_held: i64,
}

/// Counts over all threads; nothing else may run meanwhile.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Allocated) {
    COUNT.store(0, Relaxed);
    BYTES.store(0, Relaxed);
    ON.store(true, Relaxed);
    let result = work();
    ON.store(false, Relaxed);
    (result, Allocated { count: COUNT.load(Relaxed), bytes_held: BYTES.load(Relaxed) })
}

fn note(count: u64, bytes: i64) {
    if ON.load(Relaxed) {
        COUNT.fetch_add(count, Relaxed);
        BYTES.fetch_add(bytes, Relaxed);
    }
}

// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, layout.size() as i64);
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(1, size as i64 - layout.size() as i64);
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(0, -(layout.size() as i64));
        unsafe { System.dealloc(pointer, layout) }
    }
}
