//! A small script in Zig, for the native tests: writes submissions and answers completions.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const uring = @import("../sys/uring.zig");
const record = @import("../sys/record_test.zig");
const options_module = @import("options.zig");
const Instance = @import("instance.zig").Instance;

const testing = std.testing;

/// Skips a test of a backend that did not start; a limit that was reached is no lack of the kernel.
pub fn skip_backend(
    kind: layout.BackendKind,
    failure: contract.Failure,
) error{ SkipZigTest, OutOfMemory } {
    const args = .{ @tagName(kind), @tagName(failure.reason), failure.errno };
    return switch (failure.reason) {
        .none => error.OutOfMemory,
        .out_of_resources, .no_library, .other => record.skip("{s}: {s} (errno {d})", args),
        else => record.skip("kernel: {s}: {s} (errno {d})", args),
    };
}

/// Records which backend a test works with, and what that was granted.
fn note_backend(kind: layout.BackendKind, grant: contract.Grant) void {
    var buffer: [256]u8 = undefined;
    var names: std.Io.Writer = .fixed(&buffer);
    const prefix = "setup_";
    inline for (@typeInfo(uring).@"struct".decls) |declaration| {
        if (comptime !std.mem.startsWith(u8, declaration.name, prefix)) continue;
        if (grant.flags & @field(uring, declaration.name) != 0) {
            names.print(" {s}", .{declaration.name[prefix.len..]}) catch {};
        }
    }
    var granted_buffer: [256]u8 = undefined;
    var granted: std.Io.Writer = .fixed(&granted_buffer);
    for (std.enums.values(layout.RingFeature)) |feature| {
        if (grant.granted & @intFromEnum(feature) == 0) continue;
        granted.print(" {t}", .{feature}) catch {};
    }
    // The simulated backend is of no kind that a loop can ask for.
    const name = if (kind == .auto) "simulated" else @tagName(kind);
    record.note("opened\t{s}\t{d}\t{s}\t{s}", .{
        name, grant.rung, granted.buffered(), names.buffered(),
    });
}

/// Echoes what its listener's connections receive, and counts what its own connections get.
pub fn Script(comptime Backend: type) type {
    return struct {
        const Self = @This();

        /// Rungs of the backend that were recorded already, by bit.
        var noted_rungs: u32 = 0;

        instance: *Instance(Backend),
        submissions: u32 = 0,
        opened: u32 = 0,
        received: u64 = 0,
        checksum: u64 = 0,
        ended: u32 = 0,
        drained: u32 = 0,
        closed: u32 = 0,
        timers: u32 = 0,
        last_result: i32 = 0,
        last_error: i32 = 0,
        echo: bool = true,
        /// Release what is only borrowed, again and again.
        greedy: bool = false,
        accepted_slot: u32 = layout.no_slot,
        accepted_generation: u32 = 0,

        pub fn submit(self: *Self, entry: anytype) void {
            self.instance.loop.channel.submissions[self.submissions] = @bitCast(entry);
            self.submissions += 1;
        }

        pub fn handle(self: *Self, operation: layout.Operation, slot: u32, generation: u32) void {
            self.submit(std.mem.zeroInit(layout.HandleEntry, .{
                .operation = operation,
                .slot = slot,
                .generation = generation,
            }));
        }

        /// Takes a buffer, fills it and moves it into the connection's queue; false when there is
        /// none.
        pub fn send(self: *Self, slot: u32, generation: u32, byte: u8, length: u32) !bool {
            const buffer = self.instance.take_buffer(length);
            if (buffer == @intFromEnum(layout.Status.exhausted)) return false;
            try testing.expect(buffer >= 0);
            const index: u32 = @intCast(buffer);
            @memset(self.instance.pool.pointer(index)[0..length], byte);
            self.submit(std.mem.zeroInit(layout.SendEntry, .{
                .operation = .send,
                .flags = layout.send_flag_move,
                .slot = slot,
                .generation = generation,
                .buffer = index,
                .buffer_generation = self.instance.loop.channel.header.result_generation,
                .length = length,
            }));
            return true;
        }

        pub fn turn(self: *Self, wait_us: u32) !void {
            const submissions = self.submissions;
            self.submissions = 0;
            const grant = self.instance.loop.backend.grant();
            const rung = @as(u32, 1) << @intCast(grant.rung);
            if (noted_rungs & rung == 0) note_backend(Backend.kind, grant);
            noted_rungs |= rung;
            const count = self.instance.turn(submissions, wait_us, 0);
            try testing.expect(count >= 0);
            for (self.instance.loop.channel.completions[0..@intCast(count)]) |completion| {
                self.dispatch(completion);
            }
        }

        fn dispatch(self: *Self, completion: layout.Completion) void {
            switch (completion.event) {
                .none => unreachable,
                .open => {
                    self.opened += 1;
                    if (completion.result < 0) return;
                    self.accepted_slot = completion.slot;
                    self.accepted_generation = completion.generation;
                },
                .data => self.data(completion),
                .end => self.ended += 1,
                .drain => self.drained += 1,
                .closed => {
                    self.closed += 1;
                    self.last_result = completion.result;
                },
                .timer => self.timers += 1,
                .listener_error => self.last_error = completion.result,
                .listener_closed,
                .memory_released,
                .ready,
                .rung,
                .datagram,
                .socket_error,
                .socket_drain,
                .socket_closed,
                => {},
            }
        }

        fn data(self: *Self, completion: layout.Completion) void {
            if (self.greedy) {
                for (0..3) |_| self.submit(std.mem.zeroInit(layout.BufferEntry, .{
                    .operation = .release,
                    .buffer = completion.buffer,
                    .buffer_generation = completion.buffer_generation,
                }));
            }
            if (completion.slot == self.accepted_slot and self.echo) {
                return self.submit(std.mem.zeroInit(layout.SendEntry, .{
                    .operation = .send,
                    .slot = completion.slot,
                    .generation = completion.generation,
                    .buffer = completion.buffer,
                    .buffer_generation = completion.buffer_generation,
                    .offset = completion.offset,
                    .length = completion.length,
                }));
            }
            self.received += completion.length;
            const bytes = self.instance.pool.pointer(completion.buffer);
            for (bytes[completion.offset..][0..completion.length]) |byte| self.checksum += byte;
        }

        pub fn listen(self: *Self) !u32 {
            const slot = self.instance.listen(&.{
                .size = @sizeOf(layout.ListenOptions),
                .address = loopback(0),
                .backlog = 128,
                .stream = stream_options,
            });
            try testing.expect(slot >= 0);
            return @intCast(slot);
        }

        pub fn connect(self: *Self, port: u32) !u32 {
            const slot = self.instance.connect(&.{
                .size = @sizeOf(layout.ConnectOptions),
                .address = loopback(port),
                .timeout_ms = 5000,
                .stream = stream_options,
            });
            try testing.expect(slot >= 0);
            return @intCast(slot);
        }

        pub fn port_of(self: *Self, listener: u32) !u32 {
            const generation = self.instance.work.net.listeners.listeners[listener].generation;
            const rc = self.instance.listener_address(listener, generation);
            try testing.expectEqual(@as(i32, 0), rc);
            return self.instance.loop.channel.header.address.port;
        }
    };
}

pub const stream_options: layout.StreamOptions = .{
    .high_water_mark = 65_536,
    .linger_timeout_ms = 1000,
    .allow_half_open = 0,
    .receive_credits = 64,
    .idle_timeout_ms = 0,
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

pub fn small_options() layout.LoopOptions {
    var options = std.mem.zeroInit(layout.LoopOptions, .{
        .size = @sizeOf(layout.LoopOptions),
        .max_connections = 64,
        .max_timers = 64,
        .entries = 256,
        .buffer_size = 4096,
        .receive_buffers = 16,
        .max_kib = 128,
        .slab_kib = 128,
    });
    std.debug.assert(options_module.complete(&options));
    return options;
}
