//! A backend over a poller (epoll, kqueue, select): readiness turned into completions.
//!
//! A descriptor of a socket is watched from its first use on. Edge-triggered, it is watched once
//! for both directions, one that receives messages for room only after it lacked some;
//! level-triggered, for what is waited for, and what nobody waits for any more is dropped when it
//! is told of. What events said is kept per port until a call answers EAGAIN.
//! Ports with something to do stand in one queue, each at most once, and are visited about once
//! between two calls of the kernel, so that a busy one cannot starve the others. Used by the loop's
//! thread only.

const std = @import("std");
const layout = @import("../layout.zig");
const datagrams = @import("../sys/datagrams.zig");
const host = @import("../sys/host.zig");
const kernel = @import("../sys/kernel.zig");
const sockets_module = @import("../sys/sockets.zig");
const mapped = @import("../memory/mapped.zig");
const List = @import("../memory/list.zig").List;
const Pool = @import("../memory/pool.zig").Pool;
const calls = @import("readiness_calls.zig");
const contract = @import("contract.zig");
const Interest = contract.Interest;
const poller_contract = @import("poller.zig");
const visits = @import("readiness_visits.zig");
const Port = @import("readiness_port.zig").Port;
const Writer = @import("readiness_port.zig").Writer;

/// Most receive buffers that wait to be filled.
const buffers_max = datagrams.batch_max;

pub fn Readiness(comptime Poller: type) type {
    comptime poller_contract.check(Poller);
    return struct {
        const Self = @This();
        pub const kind: layout.BackendKind = Poller.kind;
        pub const nonblocking: bool = true;
        pub const descriptors_max: i32 = Poller.descriptors_max;
        pub const has_edges: bool = Poller.has_edges;
        pub const calls_singly: bool = true;
        pub const sockets = sockets_module;

        poller: Poller,
        pool: *Pool,
        /// Whether sockets are watched for changes.
        edge: bool,
        ports: []Port,
        queue: List(Port, "queued"),
        settled: List(Port, "settled"),
        /// Ports that may be visited before the kernel is entered again.
        visits: u32,
        /// Free receive buffers, the last used on top.
        free: []u32,
        free_count: u32,
        calls: u64,
        /// Where messages go that are being received: into the free buffers, of which so many, from
        /// the bottom on, have their places.
        incoming: datagrams.Incoming,
        placed: u32,

        pub fn init(
            self: *Self,
            options: contract.Options,
            failure: *contract.Failure,
        ) contract.InitError!void {
            if (options.trigger == .edge and !Poller.has_edges) {
                failure.reason = .no_edges;
                return error.Unavailable;
            }
            try self.poller.init(failure);
            errdefer self.poller.deinit();
            self.pool = options.pool;
            self.edge = Poller.has_edges and options.trigger != .level;
            self.queue = .{};
            self.settled = .{};
            self.visits = 0;
            self.free_count = 0;
            self.placed = 0;
            self.calls = 0;
            self.ports = try mapped.allocate(Port, options.ports);
            errdefer mapped.free(Port, self.ports);
            self.free = try mapped.allocate(u32, @min(options.pool.receive_count, buffers_max));
        }

        pub fn deinit(self: *Self) void {
            mapped.free(u32, self.free);
            mapped.free(Port, self.ports);
            self.poller.deinit();
            self.* = undefined;
        }

        pub fn grant(self: *const Self) contract.Grant {
            return .{ .trigger = if (self.edge) .edge else .level };
        }

        pub fn accept(self: *Self, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
            const state = self.open(port, epoch, descriptor);
            std.debug.assert(!state.accepting);
            state.accepting = true;
            state.accepting_one = !many;
            // Connections may have come before, and their event went by unheard.
            state.readable = true;
            self.want(port, state);
            self.enqueue(port);
            return true;
        }

        pub fn receive(self: *Self, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
            return self.start_receive(port, epoch, descriptor, many, false);
        }

        pub fn receive_message(self: *Self, port: u32, epoch: u32, descriptor: i32) bool {
            return self.start_receive(port, epoch, descriptor, true, true);
        }

        fn start_receive(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            many: bool,
            messages: bool,
        ) bool {
            const state = self.open(port, epoch, descriptor);
            std.debug.assert(!state.receiving);
            state.receiving = true;
            state.receiving_one = !many;
            state.receiving_messages = messages;
            self.want(port, state);
            if (state.has_work()) self.enqueue(port);
            return true;
        }

        pub fn await_readable(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            left: contract.Left,
        ) bool {
            const state = self.open(port, epoch, descriptor);
            std.debug.assert(!state.receiving and !state.awaiting);
            state.awaiting = true;
            state.readable = switch (left) {
                .unknown => true,
                .end_at_most => state.ending or state.keeps_parts,
                .nothing => false,
            };
            self.want(port, state);
            if (state.has_work()) self.enqueue(port);
            return true;
        }

        /// Tries at once; what does not fit waits until the port is writable and then completes
        /// with 0 bytes, so that the caller sends again.
        pub fn send(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            segments: []const contract.Segment,
        ) bool {
            return self.finish_send(port, epoch, descriptor, calls.send(descriptor, segments));
        }

        pub fn send_control(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            segment: contract.Segment,
            control: []align(8) const u8,
        ) bool {
            const bytes = segment.pointer[0..segment.length];
            const rc = sockets.send_control(descriptor, bytes, control);
            return self.finish_send(port, epoch, descriptor, rc);
        }

        fn finish_send(self: *Self, port: u32, epoch: u32, descriptor: i32, rc: i32) bool {
            const state = self.open(port, epoch, descriptor);
            std.debug.assert(!state.sending);
            state.sending = true;
            state.sent = null;
            self.calls += 1;
            if (rc == kernel.negative(.AGAIN)) {
                state.writable = false;
                self.want(port, state);
                return true;
            }
            state.sent = if (rc == kernel.negative(.INTR)) 0 else rc;
            self.settled.push(self.ports, port);
            return true;
        }

        /// Tries at once.
        pub fn send_messages(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            batch: *datagrams.Outgoing,
            waits: bool,
        ) i32 {
            self.calls += 1;
            const rc = batch.send(descriptor);
            if (rc == kernel.negative(.INTR)) return 0;
            if (rc != kernel.negative(.AGAIN) or !waits) return rc;
            const state = self.open(port, epoch, descriptor);
            std.debug.assert(!state.sending_messages);
            state.sending_messages = true;
            state.writable = false;
            self.want(port, state);
            return rc;
        }

        pub fn connect(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            address: *const sockets_module.SocketAddress,
        ) bool {
            self.calls += 1;
            const rc = sockets.connect(descriptor, address);
            const state = self.open(port, epoch, descriptor);
            state.connecting = true;
            // An interrupted connect goes on by itself, as one in progress does.
            const under_way = rc == kernel.negative(.INPROGRESS) or rc == kernel.negative(.INTR);
            state.connected = if (under_way) null else rc;
            // What was said of the unconnected socket would be taken for the outcome.
            state.writable = false;
            self.want(port, state);
            if (!under_way) self.enqueue(port);
            return true;
        }

        pub fn poll(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            interest: Interest,
            edge: bool,
        ) bool {
            std.debug.assert(Poller.has_edges or !edge);
            const state = self.open(port, epoch, descriptor);
            std.debug.assert(!state.has_operations());
            state.polling = true;
            state.ready = 0;
            state.edge = edge;
            self.watch(port, state, interest);
            return true;
        }

        pub fn cancel(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            what: contract.Cancel,
        ) bool {
            const state = self.open(port, epoch, descriptor);
            switch (what) {
                .all, .poll, .lost_poll => state.cancelled = true,
                .receive, .receive_message => state.receive_cancelled = state.receiving,
                .readable => state.receive_cancelled = state.awaiting,
            }
            // It belongs to somebody else, who may close it now.
            if (state.polling) {
                if (what == .lost_poll and Poller.forgets_closed) state.is_watched = false;
                self.unwatch(port, state);
            }
            self.enqueue(port);
            return true;
        }

        pub fn forget(self: *Self, port: u32, epoch: u32, descriptor: i32) bool {
            _ = epoch;
            _ = descriptor;
            const state = &self.ports[port];
            std.debug.assert(!state.has_operations());
            // A queued port stays in the queue; a visit finds nothing to do. A socket that another
            // process has too would stay watched, and as long as it is ready, keep us awake.
            if (!Poller.forgets_closed or !state.edge) self.unwatch(port, state);
            // What the poller forgets by itself is not to be removed later: its number may be
            // another's by then, also where this port was not used again before it is left.
            state.is_watched = false;
            state.is_open = false;
            return true;
        }

        pub fn leave(self: *Self, port: u32, epoch: u32, descriptor: i32) bool {
            self.unwatch(port, &self.ports[port]);
            return self.forget(port, epoch, descriptor);
        }

        /// The port's state. What refused to be watched is tried again once nobody uses it.
        fn open(self: *Self, port: u32, epoch: u32, descriptor: i32) *Port {
            const state = &self.ports[port];
            const refused = state.failure != 0 and !state.has_operations();
            if (state.is_open and !refused) {
                std.debug.assert(state.epoch == epoch and state.descriptor == descriptor);
                return state;
            }
            state.* = std.mem.zeroInit(Port, .{
                .descriptor = descriptor,
                .epoch = epoch,
                .queued = state.queued,
                .settled = state.settled,
                .is_open = true,
                .edge = self.edge,
                .keeps_parts = self.edge and sockets.is_unix(descriptor),
            });
            return state;
        }

        /// Has the port watched for what its operations wait for.
        fn want(self: *Self, port: u32, state: *Port) void {
            if (!state.edge) return self.watch(port, state, state.wanted());
            // Each datagram that leaves makes room, so that is asked for only where there was none.
            const only_receives = state.receiving_messages and !state.wanted().writable;
            const interest: Interest = if (only_receives) .{ .readable = true } else .both;
            if (state.is_watched and state.interest.includes(interest)) return;
            // Added again, whatever is the case by now is told of.
            self.unwatch(port, state);
            self.watch(port, state, interest);
        }

        fn watch(self: *Self, port: u32, state: *Port, interest: Interest) void {
            if (state.is_watched and state.interest.includes(interest)) return;
            const all = state.interest.with(interest);
            const rc = if (state.is_watched)
                self.poller.modify(port, state.epoch, state.descriptor, state.interest, all)
            else
                self.poller.add(port, state.epoch, state.descriptor, all, state.edge);
            if (rc < 0) {
                state.failure = rc;
                return self.enqueue(port);
            }
            state.interest = all;
            state.is_watched = true;
        }

        fn unwatch(self: *Self, port: u32, state: *Port) void {
            if (state.is_watched) self.poller.remove(port, state.descriptor, state.interest);
            state.is_watched = false;
            state.interest = .none;
        }

        /// Drops what nobody waits for any more.
        fn narrow(self: *Self, port: u32, state: *Port) void {
            const interest = state.wanted();
            if (state.interest == interest) return;
            _ = self.poller.modify(port, state.epoch, state.descriptor, state.interest, interest);
            state.interest = interest;
        }

        pub fn enter(self: *Self, wait_ns: u64) i32 {
            const count = self.poller.wait(if (self.ready()) 0 else wait_ns);
            if (count < 0) return count;
            for (0..@intCast(count)) |index| self.note(self.poller.event(@intCast(index)));
            self.visits = self.queue.length;
            return 0;
        }

        fn note(self: *Self, event: poller_contract.Event) void {
            const state = &self.ports[event.port];
            if (!state.is_open or !state.is_watched or state.epoch != event.epoch) return;
            if (event.closed) {
                self.unwatch(event.port, state);
                state.failure = kernel.negative(.BADF);
                return self.enqueue(event.port);
            }
            if (state.polling) return self.note_ready(state, event);
            const failed = event.failed or event.hangup;
            const more = event.ending or event.urgent;
            if (failed or event.readable or more) state.readable = true;
            if (failed or more) state.ending = true;
            if (failed or event.writable) state.writable = true;
            if (state.has_work()) {
                self.enqueue(event.port);
            } else if (!state.edge) {
                // An error is told of again and again, whatever is asked for.
                if (failed) self.unwatch(event.port, state) else self.narrow(event.port, state);
            }
        }

        fn note_ready(self: *Self, state: *Port, event: poller_contract.Event) void {
            var bits: u32 = if (Poller.tells_hangups) 0 else calls.hangups(state.descriptor);
            if (event.readable or event.ending) bits |= layout.ready_readable;
            if (event.writable) bits |= layout.ready_writable;
            if (event.failed) bits |= layout.ready_error;
            if (event.hangup and Poller.tells_hangups) bits |= layout.ready_hangup;
            state.ready |= @intCast(bits);
            if (state.ready != 0) self.enqueue(event.port);
        }

        fn enqueue(self: *Self, port: u32) void {
            self.queue.push(self.ports, port);
        }

        pub fn ready(self: *Self) bool {
            return self.queue.length > 0 or self.settled.length > 0;
        }

        pub fn reap(self: *Self, out: []contract.Completion) u32 {
            var count = self.reap_settled(out);
            while (self.visits > 0 and out.len - count >= visits.completions_max) {
                self.visits -= 1;
                const port = self.queue.pop(self.ports) orelse break;
                count += visits.visit(self, port, out[count..]);
                if (self.ports[port].has_work()) self.enqueue(port);
            }
            return count;
        }

        fn reap_settled(self: *Self, out: []contract.Completion) u32 {
            var writer: Writer = .{ .out = out, .port = 0, .epoch = 0 };
            while (writer.count < out.len) {
                const port = self.settled.pop(self.ports) orelse break;
                const state = &self.ports[port];
                // A cancelled send has been reported by its visit.
                const outcome = state.sent orelse continue;
                writer.port = port;
                writer.epoch = state.epoch;
                state.sending = false;
                state.sent = null;
                writer.put(.send, false, outcome);
            }
            return writer.count;
        }

        pub fn buffers(self: *const Self) u32 {
            return self.free_count;
        }

        pub fn buffers_wanted(self: *Self) u32 {
            return @as(u32, @intCast(self.free.len)) - self.free_count;
        }

        pub fn provide(self: *Self, buffer: u32) void {
            self.placed = @min(self.placed, self.free_count);
            self.free[self.free_count] = buffer;
            self.free_count += 1;
        }

        /// A readiness backend has no use for it.
        pub fn register_slab(self: *Self, number: u32, memory: []u8) i32 {
            _ = self;
            _ = number;
            _ = memory;
            return kernel.negative(.OPNOTSUPP);
        }

        pub fn unregister_slab(self: *Self, number: u32) void {
            _ = self;
            _ = number;
        }

        pub fn wake_descriptor(self: *Self) i32 {
            return self.poller.wake_descriptor();
        }

        pub fn arm(self: *Self) void {
            self.poller.arm();
        }

        pub fn disarm(self: *Self) void {
            self.poller.disarm();
        }

        pub fn message_target(self: *Self) ?contract.MessageTarget {
            _ = self;
            return null;
        }

        pub fn system_calls(self: *const Self) u64 {
            return self.calls + self.poller.system_calls();
        }

        pub fn now_ns(self: *const Self) u64 {
            _ = self;
            return host.now_ns();
        }
    };
}
