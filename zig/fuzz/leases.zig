//! Gives back whatever buffers a script holds on a loop, also those that it has lost sight of.
//! Looks into the slabs for that, as no script could. Used by the loop's thread.

const registry = @import("../abi/registry.zig");
const slabs = @import("../memory/slabs.zig");
const calls = @import("calls.zig");
const OpenLoop = @import("open_loop.zig").OpenLoop;

pub fn release_all(open_loop: *const OpenLoop) void {
    const owner = switch (registry.find(open_loop.handle) catch return) {
        inline else => |instance| instance.pool.number(),
    };
    for (0..slabs.slab_count()) |number| release_in(open_loop, @intCast(number), owner);
    for (slabs.first_adopted()..slabs.numbers_max) |number| {
        release_in(open_loop, @intCast(number), owner);
    }
}

/// Every unit is looked at: the sizes of others' blocks may be changing.
fn release_in(open_loop: *const OpenLoop, number: u32, owner: u32) void {
    for (0..slabs.slab_at(number).units) |unit| {
        const name = slabs.name_of(number, @intCast(unit));
        const state = slabs.state(name);
        if (state.owner() != owner or state.references == 0) continue;
        const generation = state.generation();
        const honest = &open_loop.honest.?;
        if (!honest.closing and honest.lease.is(name, generation)) continue;
        while (state.generation() == generation and state.script_references > 0) {
            const release = calls.named("tp_buffer_release");
            if (release(open_loop.handle, name, generation) != 0) @panic("a lease is not released");
        }
    }
}
