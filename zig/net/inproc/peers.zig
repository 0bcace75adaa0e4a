//! What one loop has of in-process connections: the verbs of a backend for ports whose other end
//! is a pipe or a name, and the completions that follow.
//!
//! As in `backend/contract.zig` each operation ends with one completion without `more`, and
//! `accept` and `receive` complete many times; they only tell of what can be used at once, and end
//! with ECANCELED where the connection wants no more. Sends move buffers and are in `moving.zig`.
//! Costs nothing before the first connect or listen. Used by the loop's thread; what crosses
//! threads is in `inbox.zig`, `names.zig`, `pipe.zig` and `ring.zig`.

const std = @import("std");
const layout = @import("../../layout.zig");
const contract = @import("../../backend/contract.zig");
const kernel = @import("../../sys/kernel.zig");
const mapped = @import("../../memory/mapped.zig");
const Link = @import("../../memory/list.zig").Link;
const List = @import("../../memory/list.zig").List;
const emitted_per_completion = @import("../../loop/loop.zig").emitted_per_completion;
const LoopDoorbells = @import("../../loop/loop_doorbells.zig").LoopDoorbells;
const inbox_module = @import("inbox.zig");
const Inbox = inbox_module.Inbox;
const names = @import("names.zig");
const pipe_module = @import("pipe.zig");
const Pipe = pipe_module.Pipe;
const Side = pipe_module.Side;

const cancelled_result = kernel.negative(.CANCELED);

const Port = struct {
    /// Of a connection.
    side: ?*Side,
    /// Number of a listener's name.
    name: u32,
    epoch: u32,
    /// Operations under way.
    accepting: bool,
    connecting: bool,
    receiving: bool,
    sending: bool,
    receive_cancelled: bool,
    cancelled: bool,
    /// Something may have happened.
    ready: Link,

    fn open(self: *Port, side: ?*Side, name: u32, epoch: u32) void {
        self.* = .{
            .side = side,
            .name = name,
            .epoch = epoch,
            .accepting = false,
            .connecting = false,
            .receiving = false,
            .sending = false,
            .receive_cancelled = false,
            .cancelled = false,
            .ready = self.ready,
        };
    }
};

pub fn Peers(comptime Loop: type) type {
    return struct {
        const Self = @This();

        loop: *Loop,
        /// How the loop is woken; set before the first use.
        doorbells: *LoopDoorbells(Loop),
        inbox: ?*Inbox,
        tenant: u32,
        /// Connections and listeners; there are none before the first use.
        ports: []Port,
        port_count: u32,
        ready: List(Port, "ready"),
        /// Open connections and listeners.
        open_count: u32,
        /// Sleeping loops that were woken from here, with a system call each.
        wakes: u64,

        pub fn init(loop: *Loop, port_count: u32) Self {
            return .{
                .loop = loop,
                .doorbells = undefined,
                .inbox = null,
                .tenant = 0,
                .ports = &.{},
                .port_count = port_count,
                .ready = .{},
                .open_count = 0,
                .wakes = 0,
            };
        }

        /// All its ports are closed.
        pub fn deinit(self: *Self) void {
            std.debug.assert(self.open_count == 0);
            if (self.inbox) |inbox| self.sort_out(inbox.close());
            mapped.free(Port, self.ports);
            self.* = undefined;
        }

        /// Before the first connect or listen. 0, or a negative status.
        fn prepare(self: *Self) i32 {
            if (self.inbox != null) return 0;
            const exhausted = @intFromEnum(layout.Status.exhausted);
            const rc = self.doorbells.open_mailbox();
            if (rc < 0) return rc;
            if (self.ports.len == 0) {
                self.ports = mapped.allocate(Port, self.port_count) catch return exhausted;
            }
            const inbox = inbox_module.open(self.doorbells.mailbox.?) orelse return exhausted;
            self.tenant = inbox.tenant.load(.monotonic);
            self.inbox = inbox;
            return 0;
        }

        /// Listens on a name; the port is closed with `stop_listening`. 0, or a negative status.
        pub fn listen(self: *Self, port: u32, epoch: u32, name: []const u8, backlog: u32) i32 {
            const rc = self.prepare();
            if (rc < 0) return rc;
            const number = names.listen(name, backlog, self.inbox.?, port) catch |err| {
                return switch (err) {
                    error.InUse => kernel.negative(.ADDRINUSE),
                    error.Exhausted => @intFromEnum(layout.Status.exhausted),
                };
            };
            self.ports[port].open(null, number, epoch);
            self.open_count += 1;
            return 0;
        }

        pub fn listener_name(self: *const Self, port: u32) []const u8 {
            return names.bytes_of(self.ports[port].name);
        }

        /// The name is free when this returns; `accept` ends by itself.
        pub fn stop_listening(self: *Self, port: u32) void {
            const state = &self.ports[port];
            self.wakes += names.close(state.name, self.loop.pool);
            state.cancelled = true;
            self.open_count -= 1;
            self.touch(port);
        }

        pub fn accept(self: *Self, port: u32) void {
            std.debug.assert(!self.ports[port].accepting);
            self.ports[port].accepting = true;
            self.touch(port);
        }

        /// The connection to a listener that has waited longest, which becomes the caller's.
        pub fn take_waiting(self: *Self, port: u32) ?*Pipe {
            return names.accept(self.ports[port].name, &self.wakes);
        }

        /// A pipe to a name for a connection that is about to connect; null when there is no
        /// memory, with a negative status in `failed`.
        pub fn take_pipe(self: *Self, name: []const u8, failed: *i32) ?*Pipe {
            failed.* = self.prepare();
            if (failed.* < 0) return null;
            failed.* = @intFromEnum(layout.Status.exhausted);
            return pipe_module.take(name);
        }

        /// The port has a side of a pipe from now on, until `close`.
        pub fn open(self: *Self, port: u32, epoch: u32, side: *Side) void {
            self.ports[port].open(side, 0, epoch);
            self.open_count += 1;
            side.node.attach(self.inbox.?, port);
        }

        pub fn connect(self: *Self, port: u32) void {
            const state = &self.ports[port];
            state.connecting = true;
            const outcome = names.connect(state.side.?.pipe(), self.loop.pool, &self.wakes);
            if (outcome != .waiting) self.touch(port);
        }

        pub fn receive(self: *Self, port: u32) void {
            std.debug.assert(!self.ports[port].receiving);
            self.ports[port].receiving = true;
            self.touch(port);
        }

        /// Waits for room; then a send completes with 0 bytes.
        pub fn await_room(self: *Self, port: u32) void {
            self.ports[port].sending = true;
        }

        pub fn cancel(self: *Self, port: u32, what: contract.Cancel) void {
            const state = &self.ports[port];
            if (what == .receive) state.receive_cancelled = true else state.cancelled = true;
            self.touch(port);
        }

        pub fn side_of(self: *const Self, port: u32) *Side {
            return self.ports[port].side.?;
        }

        /// Has the loop at the other end look.
        pub fn tell(self: *Self, side: *Side) void {
            self.wakes += @intFromBool(side.peer().node.post());
        }

        /// Ends the direction to the peer, after what was sent.
        pub fn shutdown(self: *Self, port: u32) void {
            const side = self.side_of(port);
            side.out.finish(.orderly);
            self.tell(side);
        }

        /// ECONNRESET where the peer has gone without an orderly end, or 0.
        pub fn failure(self: *const Self, port: u32) i32 {
            // Not while there is something before it that nobody has taken.
            const is_reset = self.side_of(port).in().ended() == .reset;
            return if (is_reset) kernel.negative(.CONNRESET) else 0;
        }

        /// The port's operations have ended. What arrived and was not taken makes it a reset, as it
        /// does for a socket.
        pub fn close(self: *Self, port: u32, reset: bool) void {
            const state = &self.ports[port];
            const side = state.side.?;
            const in = side.in();
            const unread = in.peek() != null;
            in.refuse();
            pipe_module.drain(in, self.loop.pool);
            side.out.finish(if (reset or unread) .reset else .orderly);
            self.tell(side);
            state.side = null;
            self.open_count -= 1;
            side.pipe().let_go(self.loop.pool);
        }

        fn touch(self: *Self, port: u32) void {
            self.ready.push(self.ports, port);
        }

        /// Whether another end has told of something. Costs no more than a look.
        pub inline fn has_arrivals(self: *const Self) bool {
            const inbox = self.inbox orelse return false;
            return !inbox.is_empty();
        }

        pub fn waiting(self: *const Self) bool {
            return self.ready.length > 0;
        }

        /// From now on what is told wakes the loop; false when there is something already.
        pub fn arm(self: *Self) bool {
            const inbox = self.inbox orelse return true;
            return inbox.arm();
        }

        pub fn disarm(self: *Self) void {
            if (self.inbox) |inbox| inbox.disarm();
        }

        /// Completes what can be completed, as far as the script's array has room.
        pub fn complete(self: *Self, net: anytype) void {
            const inbox = self.inbox orelse return;
            self.sort_out(inbox.take_all());
            if (self.ready.length == 0) return;
            self.loop.policy.note_peers();
            for (0..self.ready.length) |_| {
                if (!self.has_room()) return;
                self.visit(net, self.ready.pop(self.ports).?);
            }
        }

        fn has_room(self: *const Self) bool {
            return self.loop.channel.room() >= emitted_per_completion;
        }

        fn sort_out(self: *Self, first: ?*inbox_module.Node) void {
            var next = first;
            while (next) |node| {
                const is_own = node.tenant == self.tenant;
                const port = node.port;
                const pipe = pipe_module.of_node(node);
                next = inbox_module.take(node);
                if (pipe) |one| one.free_if_unused(self.loop.pool);
                if (is_own) self.touch(port);
            }
        }

        /// A port that is not open any more has no operations.
        fn visit(self: *Self, net: anytype, port: u32) void {
            const state = &self.ports[port];
            if (state.accepting) self.visit_accept(net, port, state);
            if (state.connecting) visit_connect(self, net, port, state);
            if (state.receiving) self.visit_receive(net, port, state);
            if (state.sending) visit_send(net, port, state);
        }

        fn visit_accept(self: *Self, net: anytype, port: u32, state: *Port) void {
            while (!state.cancelled) {
                if (!net.streams.accepts_more()) return;
                if (!self.has_room()) return self.touch(port);
                const pipe = names.accept(state.name, &self.wakes) orelse return;
                net.listeners.accepted_pipe(port, pipe);
            }
            state.accepting = false;
            state.cancelled = false;
            finish(net, .accept, port, state, cancelled_result);
        }

        fn visit_connect(self: *Self, net: anytype, port: u32, state: *Port) void {
            const pipe = state.side.?.pipe();
            const result: i32 = switch (pipe.stage.load(.acquire)) {
                .established => 0,
                .refused => kernel.negative(.CONNREFUSED),
                .waiting => wait: {
                    if (!state.cancelled) return;
                    // It may just have been established.
                    const left = names.cancel(pipe, self.loop.pool);
                    break :wait if (left) cancelled_result else 0;
                },
            };
            state.connecting = false;
            finish(net, .connect, port, state, result);
        }

        fn visit_receive(self: *Self, net: anytype, port: u32, state: *Port) void {
            const side = state.side.?;
            const ring = side.in();
            const result: i32 = while (true) {
                if (state.cancelled or state.receive_cancelled) break cancelled_result;
                if (!net.streams.takes_more(port)) break cancelled_result;
                if (!self.has_room()) {
                    self.touch(port);
                    return self.settle(side);
                }
                const entry = (ring.peek() orelse break switch (ring.ended()) {
                    .none => return self.settle(side),
                    .orderly => 0,
                    .reset => kernel.negative(.CONNRESET),
                }).*;
                ring.drop();
                const pool = self.loop.pool;
                if (!pool.receive_moved(entry.buffer, entry.generation, port, state.epoch)) {
                    // A script has received the buffer by a name that it has made up.
                    break kernel.negative(.CONNRESET);
                }
                net.complete(.{
                    .kind = .receive,
                    .more = true,
                    .port = port,
                    .epoch = state.epoch,
                    .result = @intCast(entry.length),
                    .buffer = entry.buffer,
                    .offset = entry.offset,
                });
            };
            self.settle(side);
            state.receiving = false;
            state.receive_cancelled = false;
            finish(net, .receive, port, state, result);
        }

        fn settle(self: *Self, side: *Side) void {
            if (side.in().settle()) self.tell(side);
        }

        fn visit_send(net: anytype, port: u32, state: *Port) void {
            const out = &state.side.?.out;
            const result: i32 = if (state.cancelled)
                cancelled_result
            else if (out.is_refused())
                kernel.negative(.PIPE)
            else if (out.await_room(1))
                return
            else
                0;
            state.sending = false;
            finish(net, .send, port, state, result);
        }

        fn finish(
            net: anytype,
            kind: contract.Kind,
            port: u32,
            state: *const Port,
            result: i32,
        ) void {
            net.complete(.{
                .kind = kind,
                .more = false,
                .port = port,
                .epoch = state.epoch,
                .result = result,
            });
        }
    };
}
