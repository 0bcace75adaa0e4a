//! Lookups of names next to what else a loop does: how it waits for them, and a relay with a
//! connection whose address is being looked for.

const std = @import("std");
const layout = @import("../layout.zig");
const sockets = @import("../sys/sockets.zig");
const resolver_paths = @import("../net/resolve/paths.zig");
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
const script_module = @import("script_test.zig");
const Script = script_module.Script;
const small_options = script_module.small_options;

const testing = std.testing;
const turns_max = 10_000;

/// Nobody outside of this machine is asked.
fn replace_files() !void {
    try testing.expect(resolver_paths.replace("/nowhere/hosts", "/nowhere/resolv.conf"));
}

fn name_of(text: []const u8) [layout.name_bytes_max]u8 {
    var name: [layout.name_bytes_max]u8 = @splat(0);
    @memcpy(name[0..text.len], text);
    return name;
}

fn check_waiting(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    const slot = instance.resolve(&.{
        .size = @sizeOf(layout.ResolveOptions),
        .family = 0,
        .timeout_ms = 0,
        .name_length = 12,
        .name = name_of("name.invalid"),
    });
    try testing.expect(slot >= 0);
    const generation = instance.loop.channel.header.result_generation;
    try testing.expect(instance.work.needs_kernel());
    const cancelled = instance.cancel_resolve(@intCast(slot), generation);
    try testing.expectEqual(@as(i32, 0), cancelled);
    try testing.expect(!instance.work.needs_kernel());
}

test "while something is looked up a loop that polls enters the kernel" {
    try replace_files();
    try over_rows(check_waiting);
}

fn connect_to_name(instance: anytype) !u32 {
    const slot = instance.connect(&.{
        .size = @sizeOf(layout.ConnectOptions),
        .address = std.mem.zeroes(layout.Address),
        .timeout_ms = 0,
        .stream = script_module.stream_options,
        .name_length = 12,
        .name = name_of("name.invalid"),
        .attempt_delay_ms = 250,
    });
    try testing.expect(slot >= 0);
    return @intCast(slot);
}

fn check_guessed(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    const slot = try connect_to_name(instance);
    const net = &instance.work.net;
    const lookup = net.attempts.races[net.streams.connections[slot].race].lookup;
    const stale = @intFromEnum(layout.Status.stale_handle);
    const cancelled = instance.cancel_resolve(lookup.slot, lookup.generation);
    try testing.expectEqual(stale, cancelled);
    var report = std.mem.zeroInit(layout.ResolveReport, .{
        .size = @sizeOf(layout.ResolveReport),
        .slot = lookup.slot,
        .generation = lookup.generation,
    });
    try testing.expectEqual(stale, instance.resolve_report(&report));
    for (0..turns_max) |_| {
        if (script.closed == 1) break;
        try script.turn(1000);
    }
    // It was told of what its lookup has found.
    try testing.expectEqual(@as(u32, 1), script.closed);
}

test "a guessed handle does not end the lookup of a connect" {
    try replace_files();
    try over_rows(check_guessed);
}

fn check_relay(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    options.clock = @intFromEnum(layout.ClockKind.virtual);
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var script: Script(Backend) = .{ .instance = instance };
    var stream = script_module.stream_options;
    const named = try connect_to_name(instance);
    const header = instance.loop.channel.header;
    const named_generation = header.result_generation;
    var pair: [2]i32 = undefined;
    try testing.expectEqual(@as(i32, 0), sockets.open_pair(&pair));
    defer sockets.close(pair[1]);
    stream.socket.values = @splat(layout.option_unset);
    const adopted = instance.adopt_connection(&std.mem.zeroInit(layout.ConnectionOptions, .{
        .size = @sizeOf(layout.ConnectionOptions),
        .descriptor = @as(u32, @intCast(pair[0])),
        .stream = stream,
    }));
    try testing.expect(adopted >= 0);
    const relayed = instance.relay(&.{
        .size = @sizeOf(layout.RelayOptions),
        .first_slot = named,
        .first_generation = named_generation,
        .second_slot = @intCast(adopted),
        .second_generation = header.result_generation,
        .high_water_mark = 65_536,
        .idle_timeout_ms = 1000,
        .half_open_timeout_ms = 0,
    });
    try testing.expectEqual(@as(i32, 0), relayed);
    try testing.expect(instance.loop.advance_clock(2000 * std.time.ns_per_ms));
    // The lookup may have an answer, but that is looked at after the timers.
    try script.turn(0);
    try testing.expect(script.last_result != @intFromEnum(layout.Status.idle_timeout));
}

test "a relay is not idle while a side is looked for" {
    try replace_files();
    try over_rows(check_relay);
}
