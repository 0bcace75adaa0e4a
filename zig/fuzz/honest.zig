//! A pair of connections of one loop that does everything right: one end sends a known pattern, the
//! other sends back what arrives, and every byte is compared on both. Whatever else the loop has to
//! bear, as long as it does not name the pair's handles the pair gets its bytes through.
//!
//! Submissions are handed over at once, so that nobody scribbles on them, and what stood in the
//! array is put back. A mistake is a panic: the process that watches reports it. Used by the loop's
//! thread.

const std = @import("std");
const layout = @import("../layout.zig");
const host = @import("../sys/host.zig");
const calls = @import("calls.zig");
const region_module = @import("region.zig");
const Handle = region_module.Handle;
const Region = region_module.Region;

const bytes_to_send = 12_000;
const in_flight_max = 5000;
const chunk_max = 1500;
/// The pattern repeats itself, so that a message of any place lies in a buffer somewhere.
const period = 256;
const lease_bytes = period + chunk_max;
/// Places in send queues that are left to the others on the loop.
const sends_spared = 4;
pub const limit_ns = 10 * std.time.ns_per_s;

pub const Honest = struct {
    loop: u32,
    region: Region,
    lease: Handle = .{},
    bytes: [*]const u8 = undefined,
    listener: Handle = .{},
    client: Handle = .{},
    server: Handle = .{},
    client_is_open: bool = false,
    closing: bool = false,
    ends: u32 = 0,
    sent: u32 = 0,
    arrived: u32 = 0,
    echoed: u32 = 0,
    returned: u32 = 0,

    /// Opens the pair while nobody else uses the loop.
    pub fn open(loop: u32, region: Region) Honest {
        var self: Honest = .{ .loop = loop, .region = region };
        self.take_lease();
        self.listen_and_connect();
        const deadline_ns = host.now_ns() + limit_ns;
        while (!self.client_is_open or self.server.name == layout.no_slot) {
            self.turn();
            if (host.now_ns() > deadline_ns) @panic("an honest pair did not connect");
        }
        return self;
    }

    fn take_lease(self: *Honest) void {
        const name = calls.named("tp_buffer_take")(self.loop, lease_bytes);
        self.lease = self.handle_of(name);
        const base = calls.named("tp_slab")(self.loop, self.lease.name >> layout.buffer_slab_shift);
        const unit = self.lease.name & ((1 << layout.buffer_slab_shift) - 1);
        const bytes = base.? + @as(usize, unit) * layout.buffer_unit;
        for (bytes[0..lease_bytes], 0..) |*byte, index| byte.* = pattern(@intCast(index));
        self.bytes = bytes;
    }

    fn listen_and_connect(self: *Honest) void {
        var listen: layout.ListenOptions = .{
            .size = @sizeOf(layout.ListenOptions),
            .address = region_module.loopback(0),
            .backlog = 4,
            .stream = region_module.stream_options,
        };
        const bytes = std.mem.asBytes(&listen);
        self.listener = self.handle_of(calls.named("tp_listen")(self.loop, bytes, bytes.len));
        const address = calls.named("tp_listener_address");
        _ = self.succeeded(address(self.loop, self.listener.name, self.listener.generation));
        var connect: layout.ConnectOptions = .{
            .size = @sizeOf(layout.ConnectOptions),
            .address = self.region.header().address,
            .timeout_ms = 0,
            .stream = region_module.stream_options,
        };
        const to = std.mem.asBytes(&connect);
        self.client = self.handle_of(calls.named("tp_connect")(self.loop, to, to.len));
    }

    fn succeeded(self: *const Honest, result: i32) u32 {
        _ = self;
        if (result < 0) std.debug.panic("an honest call answered {d}", .{result});
        return @intCast(result);
    }

    fn handle_of(self: *const Honest, result: i32) Handle {
        const name = self.succeeded(result);
        return .{ .name = name, .generation = self.region.header().result_generation };
    }

    /// A turn of a loop that is the pair's alone.
    pub fn turn(self: *Honest) void {
        const count = self.succeeded(calls.named("tp_loop_turn")(self.loop, 0, 300, 0));
        for (self.region.completions()[0..count]) |completion| _ = self.dispatch(completion);
        self.pump();
    }

    /// Whether a completion is one of the pair's.
    pub fn dispatch(self: *Honest, completion: layout.Completion) bool {
        if (completion.event == .open and completion.result == self.listener.name and
            self.server.name == layout.no_slot)
        {
            self.server = .{ .name = completion.slot, .generation = completion.generation };
            return true;
        }
        switch (completion.event) {
            .none,
            .timer,
            .memory_released,
            .listener_error,
            .ready,
            .rung,
            .datagram,
            .socket_error,
            .socket_drain,
            .socket_closed,
            => return false,
            .message, .message_part, .unsegmented => return false,
            .resolved, .attempt_failed => return false,
            .listener_closed => {
                const ours = self.listener.is(completion.slot, completion.generation);
                if (ours) self.end();
                return ours;
            },
            .open, .data, .end, .drain, .closed, .detached, .descriptors => {},
        }
        const is_client = self.client.is(completion.slot, completion.generation);
        if (!is_client and !self.server.is(completion.slot, completion.generation)) return false;
        switch (completion.event) {
            .open => self.client_is_open = true,
            .data => self.data(completion, is_client),
            .closed => self.end(),
            .end => if (!self.closing) @panic("an honest connection's peer ended"),
            else => @panic("an honest connection was told of what it did not ask for"),
        }
        return true;
    }

    fn end(self: *Honest) void {
        if (!self.closing) @panic("an honest connection or listener was closed");
        self.ends += 1;
    }

    fn data(self: *Honest, completion: layout.Completion, is_client: bool) void {
        const slab = completion.buffer >> layout.buffer_slab_shift;
        const unit = completion.buffer & ((1 << layout.buffer_slab_shift) - 1);
        const base = calls.named("tp_slab")(self.loop, slab) orelse @panic("data in no slab");
        const start = base + @as(usize, unit) * layout.buffer_unit + completion.offset;
        const position = if (is_client) self.returned else self.arrived;
        for (start[0..completion.length], position..) |byte, at| {
            if (byte != pattern(@intCast(at))) @panic("an honest connection got a wrong byte");
        }
        if (is_client) {
            self.returned += completion.length;
        } else {
            self.arrived += completion.length;
            // With the buffer that it came in, where nothing waits before it.
            if (self.echoed != position or !self.may_send()) return;
            self.send(self.server, .{
                .name = completion.buffer,
                .generation = completion.buffer_generation,
            }, completion.offset, completion.length);
            self.echoed += completion.length;
        }
    }

    /// Sends what can be sent now.
    pub fn pump(self: *Honest) void {
        if (self.server.name == layout.no_slot or !self.client_is_open) return;
        while (self.echoed < self.arrived and self.may_send()) {
            self.echoed += self.send_pattern(self.server, self.echoed, self.arrived);
        }
        while (self.sent < bytes_to_send and self.sent - self.returned < in_flight_max) {
            if (!self.may_send()) return;
            self.sent += self.send_pattern(self.client, self.sent, bytes_to_send);
        }
    }

    fn may_send(self: *const Honest) bool {
        return self.region.header().free_sends > sends_spared;
    }

    fn send_pattern(self: *Honest, to: Handle, from: u32, until: u32) u32 {
        const length = @min(until - from, chunk_max);
        self.send(to, self.lease, from % period, length);
        return length;
    }

    fn send(self: *Honest, to: Handle, buffer: Handle, offset: u32, length: u32) void {
        self.submit(@bitCast(std.mem.zeroInit(layout.SendEntry, .{
            .operation = .send,
            .slot = to.name,
            .generation = to.generation,
            .buffer = buffer.name,
            .buffer_generation = buffer.generation,
            .offset = offset,
            .length = length,
        })));
    }

    fn submit(self: *Honest, entry: region_module.Submission) void {
        const first = &self.region.submissions()[0];
        const before = first.*;
        first.* = entry;
        _ = self.succeeded(calls.named("tp_loop_submit")(self.loop, 1));
        first.* = before;
    }

    pub fn is_through(self: *const Honest) bool {
        return self.returned == bytes_to_send;
    }

    /// Starts to close what is open.
    pub fn close(self: *Honest) void {
        self.closing = true;
        const steps = [_]struct { layout.Operation, Handle }{
            .{ .close, self.client },
            .{ .listener_close, self.listener },
        };
        for (steps) |step| self.submit(@bitCast(std.mem.zeroInit(layout.HandleEntry, .{
            .operation = step[0],
            .slot = step[1].name,
            .generation = step[1].generation,
        })));
        const release = calls.named("tp_buffer_release");
        _ = self.succeeded(release(self.loop, self.lease.name, self.lease.generation));
    }

    pub fn is_closed(self: *const Honest) bool {
        return self.ends == 3;
    }

    /// Changes a submission that names something of the pair.
    pub fn shield(self: *const Honest, entry: *region_module.Submission) void {
        const operation: u8 = @truncate(entry[0]);
        // Listeners and connections have slots with the same numbers.
        const is_listener = operation == @intFromEnum(layout.Operation.listener_close);
        const connections = [_]Handle{ self.client, self.server };
        const slots: []const Handle = if (is_listener) &.{self.listener} else &connections;
        entry[2] = other_generation(slots, entry[1], entry[2]);
        entry[4] = other_generation(&.{self.lease}, entry[3], entry[4]);
    }

    /// A generation that does not name anything of the pair.
    pub fn shielded(self: *const Honest, name: u32, generation: u32) u32 {
        const all = [_]Handle{ self.client, self.server, self.listener, self.lease };
        return other_generation(&all, name, generation);
    }

    /// The same for each slot in a struct; its generation follows it by name: `first_slot`,
    /// `first_generation`.
    pub fn shield_options(
        self: *const Honest,
        comptime Options: type,
        options: *align(1) Options,
    ) void {
        inline for (@typeInfo(Options).@"struct".fields) |field| {
            if (comptime !std.mem.endsWith(u8, field.name, "slot")) continue;
            const generation = field.name[0 .. field.name.len - "slot".len] ++ "generation";
            const slot = @field(options, field.name);
            @field(options, generation) = self.shielded(slot, @field(options, generation));
        }
    }
};

/// What a function reads that names a connection or a listener; null where it names none.
pub fn Naming(comptime function: []const u8) ?type {
    if (std.mem.eql(u8, function, "tp_connection_segmenter")) return layout.SegmenterOptions;
    if (std.mem.eql(u8, function, "tp_relay")) return layout.RelayOptions;
    if (std.mem.eql(u8, function, "tp_socket_configure")) return layout.SocketControl;
    return null;
}

fn other_generation(handles: []const Handle, name: u32, generation: u32) u32 {
    for (handles) |handle| if (handle.is(name, generation)) return generation ^ 1 << 31;
    return generation;
}

fn pattern(position: u32) u8 {
    return @truncate(position *% 167 +% 13);
}
