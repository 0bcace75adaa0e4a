//! The descriptors of a ring's connections, registered with it: an operation on a registered file
//! spares the kernel two atomic counts, a few percent of a small request.
//!
//! A file's place in the table is its descriptor's number, so nothing has to be looked up.
//! Registering and removing are entries of the submission queue, in order with the operations that
//! need them. Only on Linux 6.14 and newer: up to 6.12 a removed file is let go as much as a second
//! later, and with it the end that the peer waits for.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const machine = @import("../sys/machine.zig");
const uring = @import("../sys/uring.zig");
const mapped = @import("../memory/mapped.zig");

/// Most places of the table, whatever the limit on descriptors.
const places_max = 1 << 16;

const removed: i32 = -1;

pub const Files = struct {
    /// By descriptor: the descriptor while it is registered, where the kernel reads it, else 0.
    values: []i32,

    const absent: i32 = 0;

    pub const empty: Files = .{ .values = &.{} };

    /// An empty table where the kernel has none to offer.
    pub fn init(ring: anytype) Files {
        if (ring.grant.features & uring.feature_rw_attr == 0) return .empty;
        const limit = machine.limit(.NOFILE);
        const bounded = limit >= 0 and limit < places_max;
        const places: u32 = if (bounded) @intFromFloat(limit) else places_max;
        const registration: uring.TableRegistration = .{
            .count = places,
            .flags = uring.register_sparse,
            .reserved = 0,
            .data = 0,
            .tags = 0,
        };
        const size = @sizeOf(uring.TableRegistration);
        const rc = ring.register(uring.register_files2, &registration, size);
        if (rc < 0) return .empty;
        return .{ .values = mapped.allocate(i32, places) catch &.{} };
    }

    pub fn is_there(self: *const Files) bool {
        return self.values.len > 0;
    }

    pub fn deinit(self: *Files) void {
        mapped.free(i32, self.values);
        self.* = undefined;
    }

    /// Whether operations on the descriptor may use its place in the table. Descriptor 0 never may:
    /// its number marks an empty place.
    pub fn has(self: *const Files, descriptor: i32) bool {
        if (descriptor <= 0 or descriptor >= self.values.len) return false;
        return self.values[@intCast(descriptor)] != absent;
    }

    /// Whether there is a place for a descriptor that has none yet.
    pub fn wants(self: *const Files, descriptor: i32) bool {
        return descriptor > 0 and descriptor < self.values.len and !self.has(descriptor);
    }

    /// Writes the entry that registers a descriptor.
    pub fn register(self: *Files, descriptor: i32, sqe: *uring.Sqe, user_data: u64) void {
        const place: usize = @intCast(descriptor);
        self.values[place] = descriptor;
        sqe.* = update(descriptor, &self.values[place], user_data);
    }

    /// Writes the entry that removes a descriptor.
    pub fn remove(self: *Files, descriptor: i32, sqe: *uring.Sqe, user_data: u64) void {
        self.values[@intCast(descriptor)] = absent;
        sqe.* = update(descriptor, &removed, user_data);
    }

    fn update(descriptor: i32, value: *const i32, user_data: u64) uring.Sqe {
        return .{
            .opcode = .files_update,
            // Success is not worth a completion; a failure shows in the operations that follow.
            .flags = uring.sqe_skip_success,
            .descriptor = -1,
            .offset = @intCast(descriptor),
            .address = @intFromPtr(value),
            .length = 1,
            .user_data = user_data,
        };
    }
};
