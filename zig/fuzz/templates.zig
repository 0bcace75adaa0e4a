//! The options that a call is given: a struct that would do, with some of its words changed, behind
//! which memory ends: a byte read or written too far is a fault. Kept to what does no harm outside:
//! loopback addresses, ports that a run knows, and no more memory than a machine has to spare.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const region_module = @import("region.zig");
const values = @import("values.zig");
const Record = @import("input.zig").Record;

const scratch_bytes = 64 << 10;

pub const Scratch = struct {
    /// What is written and read; the page after it cannot be touched.
    memory: []u8,
    mapping: []align(std.heap.page_size_min) u8,

    pub fn init() Scratch {
        const mapping = kernel.map(scratch_bytes + std.heap.page_size_min) orelse
            @panic("no memory for the fuzzer");
        _ = linux.mprotect(mapping.ptr + scratch_bytes, std.heap.page_size_min, .{});
        return .{ .memory = mapping[0..scratch_bytes], .mapping = mapping };
    }

    pub fn deinit(self: *Scratch) void {
        kernel.unmap(self.mapping);
    }

    /// The last `length` bytes.
    pub fn tail(self: *const Scratch, length: u32) []u8 {
        return self.memory[self.memory.len - @min(length, self.memory.len) ..];
    }
};

/// What options can be made of, beside what a record says.
pub const Context = struct {
    /// A backend that works here.
    backend: layout.BackendKind,
    /// A port that listened.
    port: u32,
    /// Memory of the thread's own.
    memory: []u8,
    /// What stands for a number.
    resolve: *const fn (context: *anyopaque, value: values.Value) u32,
    resolver: *anyopaque,
};

/// The bytes of a struct for a call. Their length is right most of the time.
pub fn options_of(
    comptime Struct: type,
    scratch: *const Scratch,
    record: Record,
    context: Context,
) []u8 {
    var value = template(Struct, record, context);
    const words: [*]u32 = @ptrCast(@alignCast(&value));
    const count = @sizeOf(Struct) / 4;
    // Word 0 is the size: changed rarely, or nothing else is ever looked at.
    if (record.modifier & 1 != 0) {
        words[1 + (record.modifier >> 4 & 63) % (count - 1)] =
            context.resolve(context.resolver, record.values[1]);
    }
    if (record.modifier & 2 != 0) {
        words[(record.modifier >> 10 & 63) % count] =
            context.resolve(context.resolver, record.values[2]);
    }
    tame(Struct, &value, context);
    const is_odd = record.modifier & 12 == 12;
    const length: u32 = if (is_odd) values.edge(record.values[3].payload) else @sizeOf(Struct);
    const bytes = scratch.tail(length);
    const copied = @min(bytes.len, @sizeOf(Struct));
    @memcpy(bytes[0..copied], std.mem.asBytes(&value)[0..copied]);
    return bytes;
}

fn template(comptime Struct: type, record: Record, context: Context) Struct {
    const chosen = record.values[3].payload;
    var value = std.mem.zeroes(Struct);
    switch (Struct) {
        layout.LoopOptions => {
            value = region_module.loop_options(context.backend, chosen);
            // Memory that few machines have, insisted on or not.
            if (chosen >> 8 & 3 == 3) value.strict = @intFromEnum(layout.Wish.yes);
            if (chosen >> 10 & 3 == 3) value.numa_node = 1 + (chosen >> 12 & 3);
        },
        layout.ListenOptions => {
            value.address = region_module.loopback(0);
            value.backlog = 16;
            value.stream = region_module.stream_options;
        },
        layout.ConnectOptions => {
            value.address = region_module.loopback(context.port);
            value.timeout_ms = chosen >> 8 & 3;
            value.stream = region_module.stream_options;
        },
        layout.BindOptions => {
            value.address = region_module.loopback(0);
            // A Unix socket without a name, or one with a peer.
            if (chosen >> 8 & 3 == 3) value.address.family = 0;
            if (chosen >> 10 & 3 == 3) value.remote = region_module.loopback(context.port);
            value.high_water_mark = 65_536;
            value.linger_timeout_ms = 1000;
            value.receive_credits = 16;
            value.send_segments = chosen >> 12 & 1;
            value.socket = region_module.stream_options.socket;
        },
        layout.SocketRequest => {
            value.slot = context.resolve(context.resolver, record.values[0]);
            value.action = chosen & 3;
            value.option = chosen >> 8 & 31;
            value.value = chosen >> 16 & 3;
            value.group = region_module.loopback(0);
            value.group.bytes[0] = 239;
        },
        layout.AdoptOptions => {
            const bytes = 1 + (chosen >> 8) % (context.memory.len / 2);
            const base = @intFromPtr(context.memory.ptr) + chosen % (context.memory.len / 2);
            value.address_low = @truncate(base);
            value.address_high = @truncate(base >> 32);
            value.bytes = @intCast(bytes);
        },
        else => {},
    }
    value.size = @sizeOf(Struct);
    return value;
}

fn tame(comptime Struct: type, value: *Struct, context: Context) void {
    switch (Struct) {
        layout.LoopOptions => tame_loop(value),
        layout.BindOptions => {
            keep_to_loopback(&value.address);
            keep_to_loopback(&value.remote);
            const is_known = value.address.port == context.port or value.address.port == 0;
            if (!is_known) value.address.port |= 1 << 16;
        },
        layout.ListenOptions, layout.ConnectOptions => {
            keep_to_loopback(&value.address);
            const is_known = value.address.port == context.port or value.address.port == 0;
            // Someone else's port is none of ours; those above are no ports.
            if (!is_known) value.address.port |= 1 << 16;
        },
        else => {},
    }
}

fn tame_loop(value: *layout.LoopOptions) void {
    const slab_kib_max = 2048;
    const is_power = std.math.isPowerOfTwo(@max(1, value.slab_kib));
    if (is_power and value.slab_kib > slab_kib_max and value.slab_kib <= 1 << 20) {
        value.slab_kib = slab_kib_max;
    }
    // The default slab is a 32nd of it.
    const kib_max = 16 << 10;
    if (value.max_kib > kib_max and value.max_kib <= 1 << 30) value.max_kib = kib_max;
    if (value.pages != 0 and value.pages <= 2) value.prefault = 0;
}

fn keep_to_loopback(address: *layout.Address) void {
    switch (address.family) {
        // A name of Linux, so that no file is left.
        1 => address.bytes[0] = 0,
        4 => address.bytes[0] = 127,
        6 => address.bytes[0..16].* = [_]u8{0} ** 15 ++ [_]u8{1},
        else => {},
    }
}
