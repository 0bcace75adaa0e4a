//! Checks and completes the options of a loop.

const std = @import("std");
const layout = @import("../layout.zig");
const slabs = @import("../memory/slabs.zig");
const Wishes = @import("../backend/ring_wishes.zig").Wishes;

const Rule = struct {
    field: []const u8,
    default: u32,
    least: u32,
    most: u32,
    power_of_two: bool = false,
};

const rules = [_]Rule{
    .{ .field = "backend", .default = 0, .least = 0, .most = 4 },
    .{ .field = "mode", .default = 0, .least = 0, .most = 2 },
    .{ .field = "clock", .default = 0, .least = 0, .most = 1 },
    .{ .field = "max_connections", .default = 65_536, .least = 1, .most = 1 << 20 },
    .{ .field = "max_listeners", .default = 64, .least = 1, .most = 4096 },
    .{ .field = "max_watches", .default = 1024, .least = 1, .most = 65_536 },
    .{ .field = "max_sockets", .default = 1024, .least = 1, .most = 65_536 },
    .{ .field = "trigger", .default = 0, .least = 0, .most = 2 },
    .{ .field = "max_timers", .default = 65_536, .least = 1, .most = 1 << 20 },
    .{ .field = "entries", .default = 4096, .least = 64, .most = 65_536, .power_of_two = true },
    .{
        .field = "buffer_size",
        .default = 16_384,
        .least = 512,
        .most = 1 << 20,
        .power_of_two = true,
    },
    .{ .field = "max_kib", .default = 256 << 10, .least = 1, .most = 1 << 30 },
    .{ .field = "pages", .default = 0, .least = 0, .most = 2 },
    .{ .field = "lock", .default = yes, .least = no, .most = yes },
    .{ .field = "prefault", .default = no, .least = no, .most = yes },
    .{ .field = "numa_node", .default = 0, .least = 0, .most = 1024 },
    .{ .field = "fixed_buffers", .default = no, .least = no, .most = yes },
    .{ .field = "strict", .default = no, .least = no, .most = yes },
    .{ .field = "poison", .default = no, .least = no, .most = yes },
    .{ .field = "quarantine_count", .default = 0, .least = 0, .most = 65_536 },
    .{ .field = "quarantine_ms", .default = 0, .least = 0, .most = 3_600_000 },
    .{ .field = "spin_ceiling_us", .default = 50, .least = 1, .most = 1_000_000 },
    .{ .field = "sqpoll", .default = no, .least = no, .most = yes },
    .{ .field = "sqpoll_idle_ms", .default = 1000, .least = 1, .most = 60_000 },
    .{ .field = "sqpoll_cpu", .default = 0, .least = 0, .most = 4096 },
    .{ .field = "zero_copy_bytes", .default = 0, .least = 0, .most = 1 << 30 },
    .{ .field = "min_wait_us", .default = 0, .least = 0, .most = 1_000_000 },
    .{ .field = "min_wait_count", .default = 32, .least = 1, .most = 4096 },
    .{ .field = "napi_us", .default = 0, .least = 0, .most = 1_000_000 },
    .{ .field = "bundles", .default = no, .least = no, .most = yes },
    .{ .field = "incremental_buffers", .default = no, .least = no, .most = yes },
    .{ .field = "best_effort", .default = no, .least = no, .most = yes },
};

const no = @intFromEnum(layout.Wish.no);
const yes = @intFromEnum(layout.Wish.yes);

/// Fills in defaults; false, with `error_detail` naming the field, when one is out of range.
pub fn complete(options: *layout.LoopOptions) bool {
    inline for (rules) |rule| {
        const value = &@field(options, rule.field);
        if (value.* == 0) value.* = rule.default;
        const in_range = value.* >= rule.least and value.* <= rule.most;
        const shaped = !rule.power_of_two or std.math.isPowerOfTwo(value.*);
        if (!in_range or !shaped) {
            options.error_detail = index_of_field(rule.field);
            return false;
        }
    }
    return complete_slab(options) and complete_receive(options);
}

/// What complete options ask of an io_uring backend.
pub fn wishes(options: *const layout.LoopOptions) Wishes {
    return .{
        .sqpoll = options.sqpoll == yes,
        .sqpoll_idle_ms = options.sqpoll_idle_ms,
        .sqpoll_cpu = if (options.sqpoll_cpu == 0) null else options.sqpoll_cpu - 1,
        .zero_copy_bytes = options.zero_copy_bytes,
        .min_wait_us = options.min_wait_us,
        .min_wait_count = options.min_wait_count,
        .napi_us = options.napi_us,
        .bundles = options.bundles == yes,
        .incremental = options.incremental_buffers == yes,
        .best_effort = options.best_effort == yes,
    };
}

/// The option that only an io_uring backend can honour, as a field's index; 0 for none, or if it
/// may be done without.
pub fn ring_option(options: *const layout.LoopOptions) u32 {
    if (options.best_effort == yes) return 0;
    inline for (.{ "sqpoll", "bundles", "incremental_buffers" }) |field| {
        if (@field(options, field) == yes) return index_of_field(field);
    }
    inline for (.{ "zero_copy_bytes", "min_wait_us", "napi_us" }) |field| {
        if (@field(options, field) != 0) return index_of_field(field);
    }
    return 0;
}

/// The place of a field in `LoopOptions`, as `error_detail` tells it.
pub fn index_of_field(comptime field: []const u8) u32 {
    return comptime found: {
        @setEvalBranchQuota(10_000);
        break :found std.meta.fieldIndex(layout.LoopOptions, field).?;
    };
}

/// A slab holds whole huge pages, and a loop at least one slab.
fn complete_slab(options: *layout.LoopOptions) bool {
    const least: u32 = switch (@as(layout.Pages, @enumFromInt(options.pages))) {
        .small, .transparent => 64,
        .huge_2m => 2 << 10,
        .huge_1g => 1 << 20,
    };
    if (options.slab_kib == 0) {
        const share = @max(options.max_kib / 32, @min(options.max_kib, 8 << 10));
        const whole = std.math.floorPowerOfTwo(u32, std.math.clamp(share, 1, 1 << 20));
        options.slab_kib = @max(whole, least);
    } else if (!std.math.isPowerOfTwo(options.slab_kib) or options.slab_kib < least or
        options.slab_kib > 1 << 20)
    {
        return refuse(options, "slab_kib");
    }
    if (options.max_kib < options.slab_kib) return refuse(options, "max_kib");
    const slabs_wanted = options.max_kib / options.slab_kib;
    return slabs_wanted <= slabs.slabs_max or refuse(options, "slab_kib");
}

/// Receive buffers leave at least half of the pool for everything else.
fn complete_receive(options: *layout.LoopOptions) bool {
    const half_bytes = @as(u64, options.max_kib) * 1024 / 2;
    if (options.buffer_size > options.slab_kib * 1024) return refuse(options, "buffer_size");
    const most = half_bytes / options.buffer_size;
    if (most < receive_least) return refuse(options, "buffer_size");
    if (options.receive_buffers == 0) {
        const whole = std.math.floorPowerOfTwo(u64, @min(most, receive_default));
        options.receive_buffers = @intCast(whole);
    }
    const count = options.receive_buffers;
    const in_range = count >= receive_least and count <= receive_most and count <= most;
    if (in_range and std.math.isPowerOfTwo(count)) return true;
    return refuse(options, "receive_buffers");
}

const receive_least = 8;
const receive_most = 32_768;
const receive_default = 1024;

fn refuse(options: *layout.LoopOptions, comptime field: []const u8) bool {
    options.error_detail = index_of_field(field);
    return false;
}

test "zero means the default, and what is out of range is named" {
    var options = std.mem.zeroes(layout.LoopOptions);
    try std.testing.expect(complete(&options));
    try std.testing.expectEqual(@as(u32, 4096), options.entries);
    options.entries = 100;
    try std.testing.expect(!complete(&options));
    try std.testing.expectEqual(
        index_of_field("entries"),
        options.error_detail,
    );
    try std.testing.expectEqual(@as(u32, 8 << 10), options.slab_kib);
    try std.testing.expectEqual(@as(u32, 1024), options.receive_buffers);
}

fn refused(change: layout.LoopOptions) ?u32 {
    var options = change;
    return if (complete(&options)) null else options.error_detail;
}

fn index_of(comptime field: []const u8) ?u32 {
    return index_of_field(field);
}

test "options of a ring are checked, and which of them only io_uring can honour is told" {
    const zeroes = std.mem.zeroes(layout.LoopOptions);
    inline for (.{
        .{ "sqpoll", 3 },              .{ "sqpoll_idle_ms", 60_001 },
        .{ "sqpoll_cpu", 4097 },       .{ "zero_copy_bytes", (1 << 30) + 1 },
        .{ "min_wait_us", 1_000_001 }, .{ "min_wait_count", 4097 },
        .{ "napi_us", 1_000_001 },     .{ "bundles", 3 },
        .{ "incremental_buffers", 3 }, .{ "best_effort", 3 },
    }) |case| {
        var options = zeroes;
        @field(options, case[0]) = case[1];
        try std.testing.expectEqual(index_of(case[0]), refused(options));
    }
    var options = zeroes;
    try std.testing.expect(complete(&options));
    try std.testing.expectEqual(Wishes{
        .sqpoll_idle_ms = 1000,
        .min_wait_count = 32,
    }, wishes(&options));
    try std.testing.expectEqual(@as(u32, 0), ring_option(&options));
    inline for (.{
        .{ "sqpoll", yes }, .{ "zero_copy_bytes", 1 }, .{ "min_wait_us", 1 },
        .{ "napi_us", 1 },  .{ "bundles", yes },       .{ "incremental_buffers", yes },
    }) |case| {
        var asking = options;
        @field(asking, case[0]) = case[1];
        try std.testing.expectEqual(index_of_field(case[0]), ring_option(&asking));
        asking.best_effort = yes;
        try std.testing.expectEqual(@as(u32, 0), ring_option(&asking));
    }
}

test "slabs, buffers and the whole fit into each other" {
    const zeroes = std.mem.zeroes(layout.LoopOptions);
    var options = zeroes;
    options.max_kib = 64;
    options.slab_kib = 128;
    try std.testing.expectEqual(index_of("max_kib"), refused(options));
    options.slab_kib = 96;
    try std.testing.expectEqual(index_of("slab_kib"), refused(options));
    options.slab_kib = 64;
    options.buffer_size = 8192;
    try std.testing.expectEqual(index_of("buffer_size"), refused(options));
    options.buffer_size = 512;
    options.receive_buffers = 128;
    try std.testing.expectEqual(index_of("receive_buffers"), refused(options));
    options.receive_buffers = 0;
    try std.testing.expect(complete(&options));
    try std.testing.expectEqual(@as(u32, 64), options.receive_buffers);
    options = zeroes;
    options.pages = @intFromEnum(layout.Pages.huge_1g);
    try std.testing.expectEqual(index_of("max_kib"), refused(options));
    options.max_kib = 1 << 20;
    try std.testing.expectEqual(@as(?u32, null), refused(options));
    options = zeroes;
    options.max_kib = 1 << 30;
    options.slab_kib = 64;
    try std.testing.expectEqual(index_of("slab_kib"), refused(options));
}
