//! Doorbells as a script hears them, over every backend, rung from another thread.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const doorbells = @import("../loop/doorbells.zig");
const contract = @import("../backend/contract.zig");
const IoUring = @import("../backend/io_uring.zig").IoUring;
const record = @import("../sys/record_test.zig");
const Instance = @import("instance.zig").Instance;
const on_valgrind = @import("../sys/record_test.zig").on_valgrind;
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
const skip_backend = @import("script_test.zig").skip_backend;
const small_options = @import("script_test.zig").small_options;

const testing = std.testing;

const Ringer = struct {
    slot: u32,
    generation: u32,
    times: u32,

    fn run(self: Ringer) void {
        for (0..self.times) |_| _ = doorbells.ring(self.slot, self.generation);
    }
};

/// Whether a turn tells that the doorbell was rung.
fn heard(instance: anytype, slot: i32, wait_us: u32) !bool {
    const count = instance.turn(0, wait_us, 0);
    try testing.expect(count >= 0);
    for (instance.loop.channel.completions[0..@intCast(count)]) |completion| {
        if (completion.event == .rung and completion.slot == slot) return true;
    }
    return false;
}

fn check_rings(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    try check_rings_of(instance);
}

fn check_rings_of(instance: anytype) !void {
    const slot = instance.add_doorbell();
    try testing.expect(slot >= 0);
    const generation = instance.loop.channel.header.result_generation;
    const ringer: Ringer = .{ .slot = @intCast(slot), .generation = generation, .times = 100 };
    for (0..20) |_| {
        const thread = try std.Thread.spawn(.{}, Ringer.run, .{ringer});
        // A sleep that only the ring ends.
        var found = false;
        // Valgrind lets no other thread run while one waits for a ring.
        const wait_us: u32 = if (on_valgrind()) 1000 else 1_000_000;
        for (0..10_000_000 / wait_us) |_| {
            if (found) break;
            found = try heard(instance, slot, wait_us);
        }
        thread.join();
        try testing.expect(found);
        while (try heard(instance, slot, 0)) {}
    }
    const rc = instance.work.doorbells.remove(@intCast(slot), generation);
    try testing.expectEqual(@as(i32, 0), rc);
    try testing.expect(!doorbells.ring(@intCast(slot), generation));
}

test "a sleeping loop hears a doorbell that another thread rings" {
    try over_rows(check_rings);
}

test "an io_uring loop hears a doorbell where its ring takes no messages" {
    var options = small_options();
    var failure: contract.Failure = .{};
    const deny = @intFromEnum(layout.RingFeature.send_message);
    const opened = Instance(IoUring).open_without(&options, .{ .features = deny }, &failure);
    const instance = opened catch |err| {
        return if (err == error.Unavailable) skip_backend(.io_uring, failure) else err;
    };
    defer instance.close();
    try check_rings_of(instance);
    try testing.expect(instance.work.doorbells.notifier.is_open());
}

/// Opens descriptors until every number below `end` is taken; how many, or a skip where so many
/// cannot be open.
fn take_numbers_below(end: i32, taken: []i32) !u32 {
    var count: u32 = 0;
    errdefer for (taken[0..count]) |descriptor| kernel.close(descriptor);
    while (count < taken.len) {
        const descriptor = kernel.result(linux.dup(2));
        if (descriptor < 0) return record.skip("limit: {d} descriptors", .{end});
        if (descriptor >= end) {
            kernel.close(descriptor);
            return count;
        }
        taken[count] = descriptor;
        count += 1;
    }
    return error.TooManyDescriptors;
}

/// Numbers that the backend cannot watch are left only.
fn check_limit(comptime Backend: type, trigger: layout.Trigger) !void {
    if (Backend.descriptors_max > 1024) return;
    var options = small_options();
    const instance = try open(Backend, trigger, &options);
    defer instance.close();
    var taken: [1024]i32 = undefined;
    {
        const count = try take_numbers_below(Backend.descriptors_max, &taken);
        defer for (taken[0..count]) |descriptor| kernel.close(descriptor);
        const refused = @intFromEnum(layout.Status.descriptor_limit);
        try testing.expectEqual(refused, instance.add_doorbell());
        try testing.expect(!instance.work.waiting());
    }
    try testing.expect(instance.add_doorbell() >= 0);
    _ = try heard(instance, 0, 0);
    try testing.expect(!instance.work.waiting());
}

test "a doorbell whose descriptor is too high to be watched is refused" {
    try over_rows(check_limit);
}
