//! Connects to names that compete for attempts, over a simulated kernel whose peers do not answer.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const Network = @import("../backend/simulated/network.zig").Network;
const simulated = @import("../backend/simulated.zig");
const Simulated = simulated.Simulated;
const Instance = @import("../abi/instance.zig").Instance;
const script_module = @import("../abi/script_test.zig");

const testing = std.testing;
const Script = script_module.Script(Simulated);
const turns_max = 100;
/// Above what a simulated kernel tries.
const connect_attempts = 100;

/// A port whose connects are not answered for a long time.
fn open_silent_port(network: *Network) u16 {
    const socket = network.open_socket(linux.AF.INET);
    socket.state = .listening;
    socket.port = network.ephemeral_port();
    return socket.port;
}

/// Starts to connect to a name with several addresses, all of them this machine's. Its race.
fn connect(script: *Script, port: u16, delay_ms: u32, addresses: u32) !u32 {
    const name = "localhost";
    var options: layout.ConnectOptions = .{
        .size = @sizeOf(layout.ConnectOptions),
        .address = std.mem.zeroes(layout.Address),
        .timeout_ms = 0,
        .stream = script_module.stream_options,
        .name_length = name.len,
        .name = @splat(0),
        .attempt_delay_ms = delay_ms,
    };
    options.address.port = port;
    options.name[0..name.len].* = name.*;
    const slot = script.instance.connect(&options);
    try testing.expect(slot >= 0);
    try script.turn(0);
    const net = &script.instance.work.net;
    const index = net.streams.connections[@intCast(slot)].race;
    const ips = &net.attempts.races[index].ips;
    ips.count = addresses;
    for (ips.list[0..addresses]) |*ip| ip.* = .loopback4;
    return index;
}

/// The first attempt of a race that is under way ends without an answer.
fn fail_first(script: *Script, race: u32) void {
    const attempts = &script.instance.work.net.attempts;
    const backend = &script.instance.loop.backend;
    for (attempts.races[race].attempts) |attempt| {
        if (attempt == layout.no_slot) continue;
        const port = attempts.first_port + attempt;
        const place = port * simulated.kinds_count + @intFromEnum(contract.Kind.connect);
        backend.operations[place].attempts = connect_attempts;
        backend.operations[place].due_ns = backend.now_ns();
        return;
    }
}

test "an attempt that becomes free goes to a connect that waits for one" {
    var arena: std.heap.ArenaAllocator = .init(testing.allocator);
    defer arena.deinit();
    const network = try arena.allocator().create(Network);
    network.init(arena.allocator(), .{ .seed = 1 });
    defer network.deinit();
    var options = script_module.small_options();
    // Six attempts.
    options.max_connections = 3;
    var failure: contract.Failure = .{};
    const instance = try Instance(Simulated).open(&options, 0, &failure);
    defer instance.close();
    var script: Script = .{ .instance = instance };
    const attempts = &instance.work.net.attempts;
    const port = open_silent_port(network);
    const modest = try connect(&script, port, 2000, 2);
    const eager = try connect(&script, port, 10, 10);
    for (0..turns_max) |_| {
        if (attempts.races[eager].flying == 5) break;
        try script.turn(5000);
    }
    try testing.expectEqual(@as(u32, 6), attempts.open_count());
    const late = try connect(&script, port, 2000, 2);
    for (0..turns_max) |_| {
        if (attempts.hungry.length == 2) break;
        try script.turn(5000);
    }
    try testing.expectEqual(@as(u32, 2), attempts.hungry.length);

    // Whoever gets what becomes free, nobody waits for it who has no use for it.
    fail_first(&script, eager);
    for (0..4) |_| try script.turn(0);
    const slot = attempts.races[modest].slot;
    script.handle(.abort, slot, instance.work.net.streams.connections[slot].generation);
    for (0..4) |_| try script.turn(0);
    try testing.expectEqual(@as(u32, 1), script.closed);
    try testing.expectEqual(@as(u32, 6), attempts.open_count());
    try testing.expectEqual(@as(u32, 1), attempts.races[late].flying);
    try testing.expectEqual(@as(u32, 5), attempts.races[eager].flying);
    try testing.expect(!instance.work.waiting());
    try testing.expectEqual(null, network.violation);
}
