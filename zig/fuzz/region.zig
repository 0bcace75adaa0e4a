//! A loop's shared region as a script sees it, and handles as a script keeps them.
//!
//! The offsets are those that the library answered when the loop was opened; the region itself can
//! hold anything. Used by the loop's thread.

const std = @import("std");
const layout = @import("../layout.zig");

pub const Submission = [8]u32;

/// What names a connection, a listener or a buffer.
pub const Handle = struct {
    name: u32 = layout.no_slot,
    generation: u32 = 0,

    pub fn is(self: Handle, name: u32, generation: u32) bool {
        return self.name == name and self.generation == generation;
    }
};

pub const Region = struct {
    base: [*]u8,
    options: layout.LoopOptions,

    pub fn header(self: *const Region) *layout.Header {
        return @ptrCast(@alignCast(self.base));
    }

    pub fn submissions(self: *const Region) []Submission {
        const first = self.base + self.options.submissions_offset;
        const entries: [*]Submission = @ptrCast(@alignCast(first));
        return entries[0..self.options.entries];
    }

    pub fn completions(self: *const Region) []layout.Completion {
        const first = self.base + self.options.completions_offset;
        const entries: [*]layout.Completion = @ptrCast(@alignCast(first));
        return entries[0..self.options.entries];
    }

    pub fn words(self: *const Region) []volatile u32 {
        const all: [*]volatile u32 = @ptrCast(@alignCast(self.base));
        return all[0 .. self.options.shared_bytes / 4];
    }
};

pub const stream_options: layout.StreamOptions = .{
    .high_water_mark = 65_536,
    .linger_timeout_ms = 1000,
    .allow_half_open = 0,
    .receive_credits = 16,
    .idle_timeout_ms = 0,
    .segmenter = std.mem.zeroes(layout.Segmenter),
    .socket = no_delay,
};

/// Only that small messages leave at once.
const no_delay: layout.SocketOptions = .{
    .values = [1]u32{1} ++ [_]u32{layout.option_unset} ** (layout.socket_option_count - 1),
};

pub fn loopback(port: u32) layout.Address {
    var address = std.mem.zeroes(layout.Address);
    address.family = @intFromEnum(layout.AddressFamily.ipv4);
    address.port = port;
    address.bytes[0..4].* = .{ 127, 0, 0, 1 };
    return address;
}

/// Options of a small loop; `shape` chooses the rest.
pub fn loop_options(backend: layout.BackendKind, shape: u32) layout.LoopOptions {
    const slab_kib: u32 = if (shape & 1 != 0) 256 else 128;
    return std.mem.zeroInit(layout.LoopOptions, .{
        .size = @sizeOf(layout.LoopOptions),
        .backend = @intFromEnum(backend),
        .mode = (shape >> 1 & 3) % 3,
        .clock = @as(u32, @intFromBool(shape & 0x38 == 0x38)),
        .max_connections = 32,
        .max_listeners = 8,
        .max_timers = 64,
        .entries = @as(u32, if (shape & 8 != 0) 64 else 256),
        .buffer_size = @as(u32, if (shape & 16 != 0) 1024 else 4096),
        .receive_buffers = 16,
        .max_kib = slab_kib * (1 + (shape >> 5 & 1)),
        .slab_kib = slab_kib,
        .poison = @as(u32, if (shape & 64 != 0) 2 else 0),
        .quarantine_count = @as(u32, if (shape & 128 != 0) 8 else 0),
        .fixed_buffers = @as(u32, if (shape & 6 == 6) 2 else 0),
        .spin_ceiling_us = 20,
    });
}
