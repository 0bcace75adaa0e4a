//! Datagram sockets through the functions that a script calls: over every backend, over a simulated
//! kernel with faults, and with handles and options that name nothing.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const rights = @import("../sys/rights.zig");
const sockets = @import("../sys/sockets.zig");
const address_module = @import("../net/address.zig");
const rows = @import("rows_test.zig");
const Instance = @import("instance.zig").Instance;
const options_module = @import("options.zig");
const Network = @import("../backend/simulated/network.zig").Network;
const Faults = @import("../backend/simulated/faults.zig").Faults;
const Simulated = @import("../backend/simulated.zig").Simulated;
const Epoll = @import("../backend/epoll.zig").Epoll;

const testing = std.testing;
const bad_argument = @intFromEnum(layout.Status.bad_argument);
const stale_handle = @intFromEnum(layout.Status.stale_handle);

/// Datagrams that one socket sends to the other, which sends them back.
const datagrams_count = 200;
/// That may be under way at a time.
const depth = 12;

fn small_options() layout.LoopOptions {
    var options = std.mem.zeroInit(layout.LoopOptions, .{
        .size = @sizeOf(layout.LoopOptions),
        .max_connections = 4,
        .max_sockets = 4,
        .entries = 64,
        .buffer_size = 1024,
        .receive_buffers = 32,
        .max_kib = 256,
        .slab_kib = 128,
    });
    std.debug.assert(options_module.complete(&options));
    return options;
}

fn open_instance(comptime Backend: type) !*Instance(Backend) {
    var options = small_options();
    return rows.open(Backend, .default, &options);
}

fn loopback(port: u32) layout.Address {
    var address = std.mem.zeroes(layout.Address);
    address.family = @intFromEnum(layout.AddressFamily.ipv4);
    address.port = port;
    address.bytes[0..4].* = .{ 127, 0, 0, 1 };
    return address;
}

fn bind_options() layout.BindOptions {
    return std.mem.zeroInit(layout.BindOptions, .{
        .size = @sizeOf(layout.BindOptions),
        .address = loopback(0),
        .high_water_mark = 65_536,
        .linger_timeout_ms = 1000,
        .receive_credits = 16,
        .send_segments = 1,
        .socket = layout.SocketOptions{ .values = @splat(layout.option_unset) },
    });
}

/// An echo on one loop.
fn Echo(comptime Backend: type) type {
    return struct {
        const Self = @This();

        instance: *Instance(Backend),
        server: u32 = 0,
        server_generation: u32 = 0,
        client: u32 = 0,
        client_generation: u32 = 0,
        port: u32 = 0,
        submissions: u32 = 0,
        sent: u32 = 0,
        received: u32 = 0,
        closed: u32 = 0,
        errors: u32 = 0,
        in_order: bool = true,

        fn open(self: *Self) !void {
            const options = bind_options();
            const header = self.instance.loop.channel.header;
            for ([_]*u32{ &self.server, &self.client }, [_]*u32{
                &self.server_generation,
                &self.client_generation,
            }) |slot, generation| {
                // A simulated kernel may be out of descriptors.
                const bound = for (0..1000) |_| {
                    const rc = self.instance.bind(&options);
                    if (rc != kernel.negative(.MFILE)) break rc;
                } else -1;
                try testing.expect(bound >= 0);
                slot.* = @intCast(bound);
                generation.* = header.result_generation;
            }
            const told = self.instance.socket_address(self.server, self.server_generation, 0);
            try testing.expectEqual(@as(i32, 0), told);
            self.port = header.address.port;
        }

        fn submit(self: *Self, entry: anytype, address: ?*const layout.Address) void {
            const channel = &self.instance.loop.channel;
            channel.submissions[self.submissions] = @bitCast(entry);
            if (address) |to| {
                const place = channel.addresses + self.submissions * layout.address_stride;
                @memcpy(place[0..@sizeOf(layout.Address)], std.mem.asBytes(to));
            }
            self.submissions += 1;
        }

        fn send_number(self: *Self) void {
            const name = self.instance.take_buffer(8);
            if (name < 0) return;
            const buffer: u32 = @intCast(name);
            const start = self.instance.pool.pointer(buffer);
            std.mem.writeInt(u32, start[0..4], self.sent, .little);
            self.sent += 1;
            self.submit(std.mem.zeroInit(layout.DatagramEntry, .{
                .operation = .datagram_send,
                .flags = layout.send_flag_move | layout.send_flag_addressed,
                .slot = self.client,
                .generation = self.client_generation,
                .buffer = buffer,
                .buffer_generation = self.instance.loop.channel.header.result_generation,
                .length = 4,
            }), &loopback(self.port));
        }

        fn turn(self: *Self) !void {
            const taken = self.submissions;
            self.submissions = 0;
            const count = self.instance.turn(taken, 1000, 0);
            if (count < 0) return;
            for (0..@intCast(count)) |index| try self.dispatch(index);
        }

        fn dispatch(self: *Self, index: usize) !void {
            const channel = &self.instance.loop.channel;
            const completion = channel.completions[index];
            switch (completion.event) {
                .datagram => if (completion.slot == self.server) {
                    const place = channel.sources + index * layout.source_stride;
                    const source: *const layout.Source = @ptrCast(@alignCast(place));
                    self.submit(std.mem.zeroInit(layout.DatagramEntry, .{
                        .operation = .datagram_send,
                        .flags = layout.send_flag_addressed,
                        .slot = self.server,
                        .generation = self.server_generation,
                        .buffer = completion.buffer,
                        .buffer_generation = completion.buffer_generation,
                        .offset = completion.offset,
                        .length = completion.length,
                    }), &source.address);
                } else self.arrived(completion),
                .socket_error => self.errors += 1,
                .socket_closed => self.closed += 1,
                else => return error.UnexpectedEvent,
            }
        }

        fn arrived(self: *Self, completion: layout.Completion) void {
            const start = self.instance.pool.pointer(completion.buffer) + completion.offset;
            const number = std.mem.readInt(u32, start[0..4], .little);
            if (number != self.received) self.in_order = false;
            self.received = number + 1;
        }

        fn run(self: *Self) !void {
            try self.open();
            for (0..5000) |_| {
                if (self.received == datagrams_count) break;
                if (self.sent < datagrams_count and self.sent - self.received < depth) {
                    self.send_number();
                }
                try self.turn();
            }
            try testing.expectEqual(@as(u32, datagrams_count), self.received);
            try testing.expect(self.in_order);
            try self.close();
        }

        fn close(self: *Self) !void {
            for ([_]u32{ self.server, self.client }, [_]u32{
                self.server_generation,
                self.client_generation,
            }) |slot, generation| {
                self.submit(std.mem.zeroInit(layout.HandleEntry, .{
                    .operation = .socket_close,
                    .slot = slot,
                    .generation = generation,
                }), null);
            }
            for (0..5000) |_| {
                if (self.closed == 2) break;
                try self.turn();
            }
            try testing.expectEqual(@as(u32, 2), self.closed);
            try self.turn();
            try testing.expectEqual(@as(u32, 0), self.instance.pool.buffers_in_use);
            const nodes = &self.instance.work.net.datagrams.nodes;
            try testing.expectEqual(nodes.count(), nodes.free_count);
        }
    };
}

fn check_echo(comptime Backend: type, trigger: layout.Trigger) !void {
    var options = small_options();
    const instance = try rows.open(Backend, trigger, &options);
    defer instance.close();
    var echo: Echo(Backend) = .{ .instance = instance };
    try echo.run();
    try testing.expectEqual(@as(u32, 0), echo.errors);
}

test "an echo over every backend" {
    try rows.over_rows(check_echo);
}

test "an echo over a simulated kernel, with faults from seeds" {
    for (0..60) |seed| {
        var arena: std.heap.ArenaAllocator = .init(testing.allocator);
        defer arena.deinit();
        const network = try arena.allocator().create(Network);
        var prng: std.Random.DefaultPrng = .init(seed);
        network.init(arena.allocator(), .{ .seed = seed, .faults = .swarm(prng.random()) });
        defer network.deinit();
        const instance = try open_instance(Simulated);
        var echo: Echo(Simulated) = .{ .instance = instance };
        const ran = echo.run();
        // What is under way ends without faults.
        network.faults = Faults{};
        instance.close();
        if (network.violation) |violation| {
            std.debug.print("seed {d}: {s}\n", .{ seed, violation });
            return error.Violation;
        }
        ran catch |err| {
            std.debug.print("seed {d}: {d} of {d}\n", .{ seed, echo.received, echo.sent });
            return err;
        };
        try testing.expectEqual(@as(u64, 0), network.lost);
    }
}

test "handles that name nothing and options out of range are refused" {
    const instance = try open_instance(Epoll);
    defer instance.close();
    var options = bind_options();
    const slot = instance.bind(&options);
    try testing.expect(slot >= 0);
    const generation = instance.loop.channel.header.result_generation;
    for ([_][2]u32{
        .{ 0, generation +% 1 },
        .{ 1, 0 },
        .{ std.math.maxInt(u32), 0 },
        .{ 4000, generation },
    }) |handle| {
        try testing.expectEqual(stale_handle, instance.socket_address(handle[0], handle[1], 0));
        var request = std.mem.zeroInit(layout.SocketRequest, .{
            .size = @sizeOf(layout.SocketRequest),
            .slot = handle[0],
            .generation = handle[1],
            .group = loopback(0),
            .source = loopback(0),
        });
        try testing.expectEqual(stale_handle, instance.socket_request(&request));
    }
    var request = std.mem.zeroInit(layout.SocketRequest, .{
        .size = @sizeOf(layout.SocketRequest),
        .slot = @as(u32, @intCast(slot)),
        .generation = generation,
        .action = 4,
        .group = std.mem.zeroes(layout.Address),
        .source = std.mem.zeroes(layout.Address),
    });
    try testing.expectEqual(bad_argument, instance.socket_request(&request));
    request.action = 0;
    request.option = layout.socket_option_count;
    try testing.expectEqual(bad_argument, instance.socket_request(&request));
    request.action = 2;
    try testing.expectEqual(bad_argument, instance.socket_request(&request));
    const changes = .{
        .{ "receive_credits", 0 },  .{ "receive_credits", 65_537 },
        .{ "high_water_mark", 1 },  .{ "high_water_mark", (1 << 30) + 1 },
        .{ "receive_segments", 1 }, .{ "linger_timeout_ms", (1 << 30) + 1 },
    };
    inline for (changes) |change| {
        var changed = options;
        @field(changed, change[0]) = change[1];
        try testing.expectEqual(bad_argument, instance.bind(&changed));
    }
    options.address.family = 77;
    try testing.expectEqual(bad_argument, instance.bind(&options));
}

/// Sends two descriptors along with a datagram: none of them stays in the process.
fn check_rights(comptime Backend: type, trigger: layout.Trigger) !void {
    _ = trigger;
    const instance = try open_instance(Backend);
    defer instance.close();
    var options = bind_options();
    options.address = std.mem.zeroes(layout.Address);
    options.address.family = @intFromEnum(layout.AddressFamily.unix);
    const name = "\x00twinpoll rights";
    options.address.length = name.len;
    options.address.bytes[0..name.len].* = name.*;
    const slot = instance.bind(&options);
    try testing.expect(slot >= 0);
    _ = instance.turn(0, 0, 0);
    const sender = sockets.open_datagram(sockets.AF.UNIX, true);
    defer sockets.close(sender);
    const to = address_module.to_kernel(&options.address).?;
    try testing.expectEqual(@as(i32, 0), sockets.connect(sender, &to));
    var control: [rights.control_bytes]u8 align(8) = undefined;
    const encoded = rights.encode(&.{ sender, sender }, &control);
    try testing.expectEqual(@as(i32, 1), sockets.send_control(sender, "x", encoded));
    // The numbers that they would have.
    const first = sockets.duplicate(sender);
    const second = sockets.duplicate(sender);
    for ([_]i32{ first, second }) |descriptor| sockets.close(descriptor);
    for (0..1000) |_| {
        if (instance.loop.counters.datagrams_received == 1) break;
        _ = instance.turn(0, 1000, 0);
    }
    try testing.expectEqual(@as(u64, 1), instance.loop.counters.datagrams_received);
    for ([_]i32{ first, second }) |descriptor| {
        try testing.expect(!kernel.is_open(descriptor));
    }
}

test "descriptors that come with a datagram are closed" {
    try rows.over_rows(check_rights);
}
