//! A static library without `std`: it links into a C program only if nothing below it needs `std` either.

#![no_std]

use core::{
    alloc::{GlobalAlloc, Layout},
    panic::PanicInfo,
};

use synod::{
    Machine, NodeId, Quorums,
    commit::{Cluster, ClusterId, Config, Input, Meta, Node, Participants},
};

unsafe extern "C" {
    fn aligned_alloc(align: usize, size: usize) -> *mut u8;
    fn free(memory: *mut u8);
}

/// The allocator of whoever links this library.
struct Linked;

unsafe impl GlobalAlloc for Linked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let align = layout.align().max(align_of::<usize>());
        unsafe { aligned_alloc(align, layout.size().next_multiple_of(align)) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        unsafe { free(memory) }
    }
}

#[global_allocator]
static ALLOCATOR: Linked = Linked;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}

/// Begins one transaction at a node of its own. Returns how many effects that has.
#[unsafe(no_mangle)]
pub extern "C" fn synod_begin() -> usize {
    let id = NodeId(1);
    let Ok(quorums) = Quorums::majority([id]) else { return 0 };
    let Ok(cluster) = Cluster::new(ClusterId::default(), quorums, [id]) else { return 0 };
    let (mut node, effects) = Node::create(Config::new(cluster, id, 0));
    let Ok(participants) = Participants::new([id]) else { return 0 };
    effects.len() + node.step(Input::Begin { participants, meta: Meta::default() }).len()
}
