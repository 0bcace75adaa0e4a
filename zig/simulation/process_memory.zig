//! Gives back what the loops of a simulated run have left to the process, so that the next run
//! finds what it would find in a fresh process. Only where no loop is open, and no view of any
//! memory is left.

const mapped = @import("../memory/mapped.zig");
const arena = @import("../memory/arena.zig");
const members = @import("../memory/members.zig");
const pages = @import("../sys/pages.zig");
const slabs = @import("../memory/slabs.zig");
const transit = @import("../net/transit.zig");

pub fn release() void {
    for (0..slabs.slab_count()) |number| {
        const slab = slabs.slab_at(@intCast(number));
        mapped.free(slabs.State, slab.states[0..slab.units]);
        pages.unmap(@alignCast(slab.base[0..slab.bytes]));
    }
    for (slabs.first_adopted()..slabs.numbers_max) |number| {
        mapped.free(slabs.State, slabs.slab_at(@intCast(number)).states[0..1]);
    }
    transit.reset();
    arena.reset();
    members.reset();
    slabs.reset();
}
