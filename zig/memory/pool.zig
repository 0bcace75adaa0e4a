//! The buffers of one loop: equal slots of a slab, each with a generation and a reference count.
//!
//! Buffers below `receive_count` are for receiving: a backend holds the free ones. The others are
//! for the script's own messages and are kept in a free list here. Invariants: a free buffer has no
//! references; the generation changes when the last one goes, so a stale handle never matches;
//! whatever a script asks, it only gives back what it holds. Used by the loop's thread only.

const std = @import("std");
const mapped = @import("mapped.zig");
const regions = @import("regions.zig");

const none: u32 = std.math.maxInt(u32);

const State = struct {
    /// Starts at 0 in fresh memory; a handle is valid while it equals this and references > 0.
    generation: u32,
    references: u32,
    /// How many of the references are the script's own, which alone it may release.
    script_references: u32,
    /// Next free buffer, or next in whatever list holds this one.
    next: u32,
    /// Bytes received, while a connection holds the buffer back from the script.
    length: u32,
};

pub const Options = struct {
    buffer_size: u32,
    receive_count: u32,
    send_count: u32,
};

pub const Pool = struct {
    slab: regions.Region,
    states: []State,
    buffer_size: u32,
    receive_count: u32,
    free_head: u32,
    free_count: u32,

    pub fn init(options: Options) error{OutOfMemory}!Pool {
        const count = options.receive_count + options.send_count;
        const states = try mapped.allocate(State, count);
        errdefer mapped.free(State, states);
        var pool: Pool = .{
            .slab = try regions.take(@as(usize, count) * options.buffer_size),
            .states = states,
            .buffer_size = options.buffer_size,
            .receive_count = options.receive_count,
            .free_head = none,
            .free_count = 0,
        };
        var index = count;
        while (index > options.receive_count) {
            index -= 1;
            pool.push_free(index);
        }
        return pool;
    }

    /// `idle`: nobody outside writes to the slab any more, so another loop may have it.
    pub fn deinit(self: *Pool, idle: bool) void {
        if (idle) regions.give_back(self.slab);
        mapped.free(State, self.states);
        self.* = undefined;
    }

    /// Bytes of the slab that are buffers; a region may be larger than asked for.
    pub fn bytes(self: *const Pool) u32 {
        return @intCast(self.states.len * self.buffer_size);
    }

    pub fn pointer(self: *const Pool, index: u32) [*]u8 {
        return self.slab.ptr + @as(usize, index) * self.buffer_size;
    }

    pub fn send_count(self: *const Pool) u32 {
        return @as(u32, @intCast(self.states.len)) - self.receive_count;
    }

    pub fn is_receive(self: *const Pool, index: u32) bool {
        return index < self.receive_count;
    }

    /// Whether the handle names a buffer that somebody holds.
    pub fn valid(self: *const Pool, index: u32, generation: u32) bool {
        if (index >= self.states.len) return false;
        const state = &self.states[index];
        return state.references > 0 and state.generation == generation;
    }

    /// A send buffer with one reference, the script's; null when all are held.
    pub fn take_send(self: *Pool) ?u32 {
        const index = self.free_head;
        if (index == none) return null;
        self.free_head = self.states[index].next;
        self.free_count -= 1;
        self.first_reference(index);
        self.states[index].script_references = 1;
        return index;
    }

    /// The first reference of a buffer that is handed out: by the backend or by `take_send`.
    pub fn first_reference(self: *Pool, index: u32) void {
        std.debug.assert(self.states[index].references == 0);
        self.states[index].references = 1;
    }

    /// One more reference; false when there are too many to count.
    pub fn retain(self: *Pool, index: u32) bool {
        const state = &self.states[index];
        std.debug.assert(state.references > 0);
        if (state.references == std.math.maxInt(u32)) return false;
        state.references += 1;
        return true;
    }

    /// One more reference of the script; false when there are too many to count.
    pub fn script_retain(self: *Pool, index: u32) bool {
        if (!self.retain(index)) return false;
        self.states[index].script_references += 1;
        return true;
    }

    /// Takes one reference from the script for somebody else to hold; false when it has none.
    pub fn take_from_script(self: *Pool, index: u32) bool {
        const state = &self.states[index];
        if (state.script_references == 0) return false;
        state.script_references -= 1;
        return true;
    }

    /// One reference less. True when a receive buffer became free: the caller gives it back to the
    /// backend. A send buffer goes back to the free list here.
    pub fn release(self: *Pool, index: u32) bool {
        const state = &self.states[index];
        std.debug.assert(state.references > 0);
        state.references -= 1;
        std.debug.assert(state.references >= state.script_references);
        if (state.references > 0) return false;
        state.generation +%= 1;
        if (self.is_receive(index)) return true;
        self.push_free(index);
        return false;
    }

    fn push_free(self: *Pool, index: u32) void {
        self.states[index].next = self.free_head;
        self.free_head = index;
        self.free_count += 1;
    }
};

test "a buffer is free only after its last reference, and its handle is stale then" {
    var pool = try Pool.init(.{ .buffer_size = 512, .receive_count = 8, .send_count = 2 });
    defer pool.deinit(true);
    const index = pool.take_send().?;
    const generation = pool.states[index].generation;
    try std.testing.expect(pool.take_from_script(index));
    try std.testing.expect(pool.retain(index));
    try std.testing.expect(!pool.release(index));
    try std.testing.expect(pool.valid(index, generation));
    try std.testing.expect(!pool.release(index));
    try std.testing.expect(!pool.valid(index, generation));
    try std.testing.expectEqual(@as(u32, 2), pool.free_count);
}

test "a script gives back only what it holds" {
    var pool = try Pool.init(.{ .buffer_size = 512, .receive_count = 8, .send_count = 8 });
    defer pool.deinit(true);
    pool.first_reference(3);
    try std.testing.expect(!pool.take_from_script(3));
    try std.testing.expect(pool.script_retain(3));
    try std.testing.expect(pool.take_from_script(3));
    try std.testing.expect(!pool.take_from_script(3));
    try std.testing.expect(!pool.release(3));
    try std.testing.expect(pool.release(3));
}

test "no buffer is handed out twice, and exhaustion is null" {
    var pool = try Pool.init(.{ .buffer_size = 512, .receive_count = 8, .send_count = 8 });
    defer pool.deinit(true);
    var seen: [16]bool = @splat(false);
    for (0..8) |_| {
        const index = pool.take_send().?;
        try std.testing.expect(!pool.is_receive(index));
        try std.testing.expect(!seen[index]);
        seen[index] = true;
    }
    try std.testing.expectEqual(@as(?u32, null), pool.take_send());
}

test "a receive buffer's last release asks for its return" {
    var pool = try Pool.init(.{ .buffer_size = 512, .receive_count = 8, .send_count = 8 });
    defer pool.deinit(true);
    pool.first_reference(3);
    try std.testing.expect(pool.valid(3, 0));
    try std.testing.expect(pool.release(3));
    try std.testing.expect(!pool.valid(3, 0));
    try std.testing.expect(!pool.valid(99, 0));
}
