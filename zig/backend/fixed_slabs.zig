//! Slabs registered with a ring: the kernel pins their pages once, and an operation on a registered
//! buffer need not look them up. A slab's place in the ring's table is its number.
//!
//! The pages of a slab are pinned, and counted against RLIMIT_MEMLOCK, by the first ring of the
//! process that registers it; further rings clone that ring's table (Linux 6.12). Only the ring's
//! own thread registers; the source of clones is found under a lock.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const Lock = @import("../sys/lock.zig").Lock;
const uring = @import("../sys/uring.zig");
const slabs = @import("../memory/slabs.zig");

const Set = std.StaticBitSet(slabs.slabs_max);

/// The ring that others clone.
var source_lock: Lock = .{};
var source_descriptor: i32 = -1;
var source_slabs: Set = .initEmpty();

pub const FixedSlabs = struct {
    has_table: bool,
    registered: Set,

    pub fn init() FixedSlabs {
        return .{ .has_table = false, .registered = .initEmpty() };
    }

    /// The ring is about to be closed, and its table with it.
    pub fn deinit(self: *FixedSlabs, ring: anytype) void {
        source_lock.acquire();
        defer source_lock.release();
        if (source_descriptor == ring.descriptor) source_descriptor = -1;
        self.* = undefined;
    }

    pub fn has(self: *const FixedSlabs, number: u32) bool {
        return self.registered.isSet(number);
    }

    /// 0, or a negated errno: ENOMEM where RLIMIT_MEMLOCK is too low.
    pub fn register(self: *FixedSlabs, ring: anytype, number: u32, memory: []u8) i32 {
        if (!self.has_table) {
            const rc = self.make_table(ring);
            if (rc < 0) return rc;
        }
        if (self.has(number)) return 0;
        const rc = update(ring, number, memory);
        if (rc < 0) return rc;
        self.registered.set(number);
        self.offer(ring);
        return 0;
    }

    pub fn unregister(self: *FixedSlabs, ring: anytype, number: u32) void {
        if (!self.has(number)) return;
        self.registered.unset(number);
        self.offer(ring);
        var nothing: [0]u8 = .{};
        _ = update(ring, number, &nothing);
    }

    fn make_table(self: *FixedSlabs, ring: anytype) i32 {
        if (!self.clone(ring)) {
            const registration: uring.TableRegistration = .{
                .count = slabs.slabs_max,
                .flags = uring.register_sparse,
                .reserved = 0,
                .data = 0,
                .tags = 0,
            };
            const size = @sizeOf(uring.TableRegistration);
            const operation = uring.register_buffers2;
            const rc = ring.register(operation, &registration, size);
            if (rc < 0) return rc;
        }
        self.has_table = true;
        return 0;
    }

    fn clone(self: *FixedSlabs, ring: anytype) bool {
        source_lock.acquire();
        defer source_lock.release();
        if (source_descriptor < 0) return false;
        const request: uring.BuffersClone = .{
            .source = @intCast(source_descriptor),
            .flags = 0,
            .source_offset = 0,
            .offset = 0,
            .count = 0,
            .padding = @splat(0),
        };
        const operation = uring.register_clone_buffers;
        if (ring.register(operation, &request, 1) < 0) return false;
        self.registered = source_slabs;
        return true;
    }

    /// Others may clone this ring if there is none yet.
    fn offer(self: *const FixedSlabs, ring: anytype) void {
        source_lock.acquire();
        defer source_lock.release();
        if (source_descriptor >= 0 and source_descriptor != ring.descriptor) return;
        source_descriptor = ring.descriptor;
        source_slabs = self.registered;
    }
};

/// Puts memory into a place of the table; none empties the place.
fn update(ring: anytype, number: u32, memory: []u8) i32 {
    const address = if (memory.len == 0) 0 else @intFromPtr(memory.ptr);
    const vector = [2]usize{ address, memory.len };
    const request: uring.TableUpdate = .{
        .offset = number,
        .reserved = 0,
        .data = @intFromPtr(&vector),
        .tags = 0,
        .count = 1,
        .reserved_2 = 0,
    };
    const size = @sizeOf(uring.TableUpdate);
    return @min(0, ring.register(uring.register_buffers_update, &request, size));
}

/// The child of a fork has none of its parent's rings.
pub fn reset() void {
    source_lock = .{};
    source_descriptor = -1;
}
