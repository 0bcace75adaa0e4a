//! Listeners on kernels that answer EAGAIN where others wait, which only some do.

const std = @import("std");
const contract = @import("../backend/contract.zig");
const Network = @import("../backend/simulated/network.zig").Network;
const Simulated = @import("../backend/simulated.zig").Simulated;
const Instance = @import("../abi/instance.zig").Instance;
const script_module = @import("../abi/script_test.zig");

const testing = std.testing;
const turns_max = 1000;
const connects = 3;

test "a listener that others have made non-blocking does not accept over and over" {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const network = try arena.allocator().create(Network);
    network.init(arena.allocator(), .{ .seed = 1 });
    defer network.deinit();
    var options = script_module.small_options();
    var failure: contract.Failure = .{};
    const instance = try Instance(Simulated).open(&options, 0, &failure);
    defer instance.close();
    var script: script_module.Script(Simulated) = .{ .instance = instance };
    const listener = try script.listen();
    const port = try script.port_of(listener);
    const descriptor = instance.work.net.listeners.listeners[listener].descriptor;
    try testing.expectEqual(@as(i32, 0), Simulated.sockets.set_flags(descriptor, true));
    const backend = &instance.loop.backend;
    for (1..connects + 1) |count| {
        // It accepts in vain once, and then waits.
        for (0..4) |_| try script.turn(0);
        const started = backend.started;
        for (0..20) |_| try script.turn(0);
        try testing.expectEqual(started, backend.started);
        _ = try script.connect(port);
        for (0..turns_max) |_| {
            if (script.opened == 2 * count) break;
            try script.turn(1000);
        }
        try testing.expectEqual(@as(u32, @intCast(2 * count)), script.opened);
    }
    try testing.expectEqual(null, network.violation);
}
