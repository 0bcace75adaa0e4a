//! The receive buffers that the kernel may fill: a ring of provided buffers (Linux 5.19).
//!
//! The kernel knows a buffer by a number of 16 bits, which is the buffer's only between `provide`
//! and `take`. Invariant: no two buffers in the kernel's hands have the same number.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const pages = @import("../sys/pages.zig");
const uring = @import("../sys/uring.zig");
const mapped = @import("../memory/mapped.zig");
const Pool = @import("../memory/pool.zig").Pool;
const contract = @import("contract.zig");
const BufferDemand = @import("buffer_demand.zig").BufferDemand;

pub const BufferRing = struct {
    /// Shared with the kernel; `reserved` of the first is the tail.
    entries: []uring.BufferRingEntry,
    tail: u16,
    buffer_size: u32,
    /// By number.
    names: []u32,
    /// By number: the number that was provided next.
    followers: []u16,
    /// The number that was provided last.
    last: u16,
    /// By number, where receives share buffers: bytes of it that are filled. Else empty.
    consumed: []u32,
    /// Numbers that are no buffer's.
    spare: []u32,
    spare_count: u32,
    demand: BufferDemand,
    /// Buffers that there were when it was last asked for the number wanted, or given one.
    filled: u32,

    pub fn init(
        ring: anytype,
        pool: *const Pool,
        shared: bool,
        failure: *contract.Failure,
    ) contract.InitError!BufferRing {
        const length = pool.receive_count;
        const entries = try mapped.allocate(uring.BufferRingEntry, length);
        errdefer mapped.free(uring.BufferRingEntry, entries);
        const memory: [*]align(std.heap.page_size_min) u8 = @ptrCast(@alignCast(entries.ptr));
        pages.exclude_from_fork(memory[0 .. entries.len * @sizeOf(uring.BufferRingEntry)]);
        const names = try mapped.allocate(u32, length);
        errdefer mapped.free(u32, names);
        const followers = try mapped.allocate(u16, length);
        errdefer mapped.free(u16, followers);
        const consumed: []u32 = if (shared) try mapped.allocate(u32, length) else &.{};
        errdefer mapped.free(u32, consumed);
        const spare = try mapped.allocate(u32, length);
        errdefer mapped.free(u32, spare);
        for (spare, 0..) |*number, index| number.* = @intCast(index);
        try register(ring, entries, shared, failure);
        return .{
            .entries = entries,
            .tail = 0,
            .buffer_size = pool.buffer_size,
            .names = names,
            .followers = followers,
            .last = 0,
            .consumed = consumed,
            .spare = spare,
            .spare_count = length,
            .demand = .init(length),
            .filled = 0,
        };
    }

    fn register(
        ring: anytype,
        entries: []uring.BufferRingEntry,
        shared: bool,
        failure: *contract.Failure,
    ) contract.InitError!void {
        const registration: uring.BufferRingRegistration = .{
            .ring_address = @intFromPtr(entries.ptr),
            .ring_entries = @intCast(entries.len),
            .group = 0,
            .flags = if (shared) uring.pbuf_ring_inc else 0,
            .reserved = @splat(0),
        };
        const rc = ring.register(uring.register_pbuf_ring, &registration, 1);
        if (rc >= 0) return;
        failure.* = .{
            .reason = if (rc == kernel.negative(.INVAL)) .kernel_too_old else .out_of_resources,
            .errno = kernel.errno_of(rc),
            .syscall = .io_uring_register,
        };
        return error.Unavailable;
    }

    pub fn deinit(self: *BufferRing) void {
        mapped.free(u32, self.spare);
        mapped.free(u32, self.consumed);
        mapped.free(u16, self.followers);
        mapped.free(u32, self.names);
        mapped.free(uring.BufferRingEntry, self.entries);
        self.* = undefined;
    }

    /// Buffers in the kernel's hands.
    pub fn count(self: *const BufferRing) u32 {
        return @as(u32, @intCast(self.names.len)) - self.spare_count;
    }

    /// How many more there should be. Asked once between two calls of the kernel.
    pub fn wanted(self: *BufferRing) u32 {
        const present = self.count();
        self.demand.used(self.filled -| present, present);
        self.filled = present;
        return self.demand.target -| present;
    }

    /// Gives the kernel one of the buffers that are `wanted`, or one back that it did not use.
    pub fn provide(self: *BufferRing, name: u32, pointer: [*]u8) void {
        std.debug.assert(self.spare_count > 0);
        self.spare_count -= 1;
        const number = self.spare[self.spare_count];
        self.names[number] = name;
        self.followers[self.last] = @intCast(number);
        self.last = @intCast(number);
        if (self.is_shared()) self.consumed[number] = 0;
        const mask: u16 = @intCast(self.entries.len - 1);
        const entry = &self.entries[self.tail & mask];
        entry.address = @intFromPtr(pointer);
        entry.length = self.buffer_size;
        entry.buffer = @intCast(number);
        self.tail +%= 1;
        @atomicStore(u16, &self.entries[0].reserved, self.tail, .release);
        self.filled = self.count();
    }

    /// Whether a receive may leave the rest of a buffer to others.
    pub fn is_shared(self: *const BufferRing) bool {
        return self.consumed.len > 0;
    }

    /// The number of the buffer that the kernel uses after the one with `number`, which it has used
    /// and which was not taken yet.
    pub fn after(self: *const BufferRing, number: u32) u32 {
        return self.followers[number];
    }

    /// The buffer that the kernel has used under a number.
    pub fn take(self: *BufferRing, number: u32) u32 {
        self.spare[self.spare_count] = number;
        self.spare_count += 1;
        return self.names[number];
    }
};

fn with_length(length: u32) !BufferRing {
    const spare = try mapped.allocate(u32, length);
    for (spare, 0..) |*number, index| number.* = @intCast(index);
    return .{
        .entries = try mapped.allocate(uring.BufferRingEntry, length),
        .tail = 0,
        .buffer_size = 512,
        .names = try mapped.allocate(u32, length),
        .followers = try mapped.allocate(u16, length),
        .last = 0,
        .consumed = &.{},
        .spare = spare,
        .spare_count = length,
        .demand = .init(length),
        .filled = 0,
    };
}

test "a number is one buffer's at a time, in whatever order they come back" {
    var ring = try with_length(4);
    defer ring.deinit();
    var bytes: [512]u8 = undefined;
    for (10..14) |name| ring.provide(@intCast(name), &bytes);
    try std.testing.expectEqual(@as(u32, 4), ring.count());
    const last = ring.entries[3].buffer;
    try std.testing.expectEqual(@as(u32, 13), ring.take(last));
    ring.provide(20, &bytes);
    try std.testing.expectEqual(last, ring.entries[0].buffer);
    try std.testing.expectEqual(@as(u32, 20), ring.take(last));
    try std.testing.expectEqual(@as(u32, 3), ring.count());
}

test "a ring is asked to grow once buffers were used" {
    var ring = try with_length(256);
    defer ring.deinit();
    var bytes: [512]u8 = undefined;
    // While there is nothing to fill it with it does not grow.
    for (0..3) |_| try std.testing.expectEqual(@as(u32, 64), ring.wanted());
    for (0..64) |name| ring.provide(@intCast(name), &bytes);
    for (0..40) |index| _ = ring.take(ring.entries[index].buffer);
    try std.testing.expectEqual(@as(u32, 80 - 24), ring.wanted());
}
