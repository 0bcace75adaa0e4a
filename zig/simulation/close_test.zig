//! Ends of connections that only a simulated kernel brings about every time.

const std = @import("std");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const Network = @import("../backend/simulated/network.zig").Network;
const Simulated = @import("../backend/simulated.zig").Simulated;
const Instance = @import("../abi/instance.zig").Instance;
const script_module = @import("../abi/script_test.zig");

const testing = std.testing;
const turns_max = 1000;

test "a connect that succeeds while it is called off resets what its peer has accepted" {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const network = try arena.allocator().create(Network);
    network.init(arena.allocator(), .{ .seed = 1, .faults = .{ .cancel_race = 1024 } });
    defer network.deinit();
    var options = script_module.small_options();
    var failure: contract.Failure = .{};
    const instance = try Instance(Simulated).open(&options, 0, &failure);
    defer instance.close();
    var script: script_module.Script(Simulated) = .{ .instance = instance };
    const listener = try script.listen();
    try script.turn(0);
    const slot = try script.connect(try script.port_of(listener));
    const generation = instance.loop.channel.header.result_generation;
    try testing.expect(try script.send(slot, generation, 1, 100));
    script.handle(.close, slot, generation);
    for (0..turns_max) |_| {
        if (script.closed == 2) break;
        try script.turn(1000);
    }
    try testing.expectEqual(@as(u32, 1), script.opened);
    try testing.expectEqual(@as(u32, 2), script.closed);
    // Not an orderly end after nothing of the hundred bytes.
    try testing.expectEqual(@as(u32, 0), script.ended);
    try testing.expectEqual(kernel.negative(.CONNRESET), script.last_result);
    try testing.expectEqual(null, network.violation);
}
