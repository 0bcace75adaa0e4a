//! The free receive buffers of a simulated backend, in the order in which they came. A kernel takes
//! the oldest (a ring) or the newest (a stack). What it may fill is overwritten: whoever still
//! reads it finds out.

const std = @import("std");
const Pool = @import("../../memory/pool.zig").Pool;
const slabs = @import("../../memory/slabs.zig");
const Network = @import("network.zig").Network;

const scribble = 0xa5;

pub const Buffers = struct {
    names: []u32,
    count: u32,
    newest_first: bool,

    pub fn put(self: *Buffers, network: *Network, pool: *const Pool, name: u32) void {
        const state = slabs.state(name);
        if (state.references > 0 or state.owner() != pool.number()) {
            network.violate("buffer {d} is given while somebody holds it", .{name});
        }
        if (std.mem.indexOfScalar(u32, self.names[0..self.count], name) != null) {
            network.violate("buffer {d} is given twice", .{name});
        }
        @memset(pool.pointer(name)[0..pool.buffer_size], scribble);
        self.names[self.count] = name;
        self.count += 1;
    }

    /// The next buffer to fill; null when there is none.
    pub fn take(self: *Buffers) ?u32 {
        if (self.count == 0) return null;
        const index = if (self.newest_first) self.count - 1 else 0;
        const name = self.names[index];
        const later = self.names[index + 1 .. self.count];
        std.mem.copyForwards(u32, self.names[index..][0..later.len], later);
        self.count -= 1;
        return name;
    }
};
