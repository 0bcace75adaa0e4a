//! Doorbells as a script hears them, over every backend, rung from another thread.

const std = @import("std");
const layout = @import("../layout.zig");
const doorbells = @import("../loop/doorbells.zig");
const open = @import("rows_test.zig").open;
const over_rows = @import("rows_test.zig").over_rows;
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
    const slot = instance.add_doorbell();
    try testing.expect(slot >= 0);
    const generation = instance.loop.channel.header.result_generation;
    const ringer: Ringer = .{ .slot = @intCast(slot), .generation = generation, .times = 100 };
    for (0..20) |_| {
        const thread = try std.Thread.spawn(.{}, Ringer.run, .{ringer});
        // A sleep that only the ring ends.
        var found = false;
        for (0..10) |_| {
            if (found) break;
            found = try heard(instance, slot, 1_000_000);
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
