//! A backend without a kernel: sockets, buffers and time are simulated, from one seed, with faults.
//! For tests only.
//!
//! It does what the contract allows, and the less usual of it on purpose. What the contract asks of
//! the caller is checked, and noted in the network as a violation: one operation of a kind per
//! port, no descriptor closed under an operation, no buffer given while somebody holds it. Several
//! backends share a `Network`, which must be there before the first `init`. Used by one thread.

const std = @import("std");
const layout = @import("../layout.zig");
const datagrams = @import("../sys/datagrams.zig");
const kernel = @import("../sys/kernel.zig");
const mapped = @import("../memory/mapped.zig");
const Pool = @import("../memory/pool.zig").Pool;
const contract = @import("contract.zig");
const attempts = @import("simulated/attempts.zig");
const Buffers = @import("simulated/buffers.zig").Buffers;
const Completions = @import("simulated/completions.zig").Completions;
const messages = @import("simulated/messages.zig");
const network_module = @import("simulated/network.zig");
const Network = network_module.Network;
const operation_module = @import("simulated/operation.zig");
const Operation = operation_module.Operation;
const sockets_module = @import("simulated/sockets.zig");
const starting = @import("simulated/starting.zig");

pub const kinds_count: u32 = std.meta.fields(contract.Kind).len;
const submissions_max = 256;

const Cancellation = struct { port: u32, epoch: u32, what: contract.Cancel };
const Submission = union(enum) { start: u32, cancel: Cancellation };

pub const Simulated = struct {
    pub const kind: layout.BackendKind = .auto;
    pub const nonblocking: bool = false;
    pub const descriptors_max: i32 = std.math.maxInt(i32);
    pub const has_edges: bool = true;
    pub const calls_singly: bool = false;
    pub const sockets = sockets_module;

    network: *Network,
    pool: *Pool,
    /// By port and kind.
    operations: []Operation,
    /// Those that run, in no order.
    running: []u32,
    running_count: u32,
    submissions: [submissions_max]Submission,
    submission_count: u32,
    submission_limit: u32,
    completions: Completions,
    free: Buffers,
    /// Sends are tried when they start, as on a backend that is told of readiness.
    eager: bool,
    calls: u64,
    /// Buffers of sends that are over, and not released yet.
    held: u32,
    /// Operations started, and last completions reaped.
    started: u64,
    finished: u64,

    pub fn init(
        self: *Simulated,
        options: contract.Options,
        failure: *contract.Failure,
    ) contract.InitError!void {
        const network = network_module.current orelse {
            failure.* = .{ .reason = .other };
            return error.Unavailable;
        };
        const place = std.mem.indexOfScalar(?*Simulated, &network.backends, null) orelse {
            failure.* = .{ .reason = .out_of_resources };
            return error.Unavailable;
        };
        const count = options.ports * kinds_count;
        const operations = try mapped.allocate(Operation, count);
        errdefer mapped.free(Operation, operations);
        const running = try mapped.allocate(u32, count);
        errdefer mapped.free(u32, running);
        const names = try mapped.allocate(u32, options.pool.receive_count);
        self.network = network;
        self.pool = options.pool;
        self.operations = operations;
        self.running = running;
        self.running_count = 0;
        self.submission_count = 0;
        self.submission_limit = @min(options.entries, submissions_max);
        self.completions = .{};
        self.free = .{
            .names = names,
            .count = 0,
            .newest_first = network.random().boolean(),
        };
        self.eager = network.random().boolean();
        self.calls = 0;
        self.held = 0;
        self.started = 0;
        self.finished = 0;
        network.backends[place] = self;
    }

    pub fn deinit(self: *Simulated) void {
        if (self.started != self.finished) {
            const left = self.started - self.finished;
            self.network.violate("a backend ends under {d} operations", .{left});
        }
        if (self.held > 0) self.network.violate("a backend ends with {d} buffers", .{self.held});
        for (&self.network.backends) |*backend| {
            if (backend.* == self) backend.* = null;
        }
        mapped.free(u32, self.free.names);
        mapped.free(u32, self.running);
        mapped.free(Operation, self.operations);
        self.* = undefined;
    }

    pub fn grant(self: *const Simulated) contract.Grant {
        _ = self;
        return .{};
    }

    pub fn accept(self: *Simulated, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
        const operation = starting.start(self, .accept, port, epoch, descriptor) orelse
            return false;
        operation.many = many;
        return true;
    }

    pub fn receive(self: *Simulated, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
        const operation = starting.start(self, .receive, port, epoch, descriptor) orelse
            return false;
        operation.many = many;
        return true;
    }

    pub fn receive_message(self: *Simulated, port: u32, epoch: u32, descriptor: i32) bool {
        const operation = starting.start(self, .receive_message, port, epoch, descriptor) orelse
            return false;
        operation.many = true;
        return true;
    }

    pub fn await_readable(
        self: *Simulated,
        port: u32,
        epoch: u32,
        descriptor: i32,
        _: contract.Left,
    ) bool {
        return starting.start(self, .readable, port, epoch, descriptor) != null;
    }

    /// Of listeners only: descriptors of the application are the machine's own.
    pub fn poll(
        self: *Simulated,
        port: u32,
        epoch: u32,
        descriptor: i32,
        interest: contract.Interest,
        edge: bool,
    ) bool {
        const socket = self.network.find(descriptor);
        const is_listening = socket != null and socket.?.state == .listening;
        if (!is_listening or !interest.readable or edge) {
            self.network.violate("port {d}: a poll of descriptor {d}", .{ port, descriptor });
            return false;
        }
        return starting.start(self, .poll, port, epoch, descriptor) != null;
    }

    pub fn send(
        self: *Simulated,
        port: u32,
        epoch: u32,
        descriptor: i32,
        segments: []const contract.Segment,
    ) bool {
        const operation = starting.start(self, .send, port, epoch, descriptor) orelse
            return false;
        @memcpy(operation.segments[0..segments.len], segments);
        operation.segment_count = @intCast(segments.len);
        if (self.eager) self.submit(self.submission_count);
        return true;
    }

    /// There is nothing that could be passed on.
    pub fn send_control(
        self: *Simulated,
        port: u32,
        epoch: u32,
        descriptor: i32,
        segment: contract.Segment,
        control: []align(8) const u8,
    ) bool {
        _ = control;
        return self.send(port, epoch, descriptor, &.{segment});
    }

    pub fn send_messages(
        self: *Simulated,
        port: u32,
        epoch: u32,
        descriptor: i32,
        batch: *datagrams.Outgoing,
        waits: bool,
    ) i32 {
        return messages.send(self, port, epoch, descriptor, batch, waits);
    }

    pub fn connect(
        self: *Simulated,
        port: u32,
        epoch: u32,
        descriptor: i32,
        address: *const sockets_module.SocketAddress,
    ) bool {
        const operation = starting.start(self, .connect, port, epoch, descriptor) orelse
            return false;
        operation.remote_port = std.mem.bigToNative(u16, address.storage.in4.port);
        return true;
    }

    pub fn cancel(
        self: *Simulated,
        port: u32,
        epoch: u32,
        descriptor: i32,
        what: contract.Cancel,
    ) bool {
        const network = self.network;
        if (network.find(descriptor) == null) {
            network.violate("port {d}: cancel on descriptor {d}, which is not open", .{
                port,
                descriptor,
            });
        }
        if (network.hit(network.faults.no_room)) return false;
        if (!self.has_submission_room()) return false;
        self.put_submission(.{ .cancel = .{ .port = port, .epoch = epoch, .what = what } });
        return true;
    }

    /// A full queue is submitted first.
    pub fn has_submission_room(self: *Simulated) bool {
        if (self.submission_count == self.submission_limit) {
            self.calls += 1;
            self.submit(self.submissions_taken());
        }
        return self.submission_count < self.submission_limit;
    }

    pub fn put_submission(self: *Simulated, submission: Submission) void {
        self.submissions[self.submission_count] = submission;
        self.submission_count += 1;
    }

    pub fn forget(self: *Simulated, port: u32, epoch: u32, descriptor: i32) bool {
        _ = epoch;
        _ = descriptor;
        const network = self.network;
        for (self.operations[port * kinds_count ..][0..kinds_count]) |operation| {
            if (!operation.under_way()) continue;
            network.violate("port {d}: forgotten under {t}", .{ port, operation.kind });
        }
        return !network.hit(network.faults.no_room);
    }

    pub const leave = forget;

    pub fn enter(self: *Simulated, wait_ns: u64) i32 {
        const network = self.network;
        self.calls += 1;
        network.now_ns += network.random().intRangeAtMost(u64, 100, 2000);
        if (network.hit(network.faults.clock_jump)) {
            network.now_ns += network.random().uintAtMost(u64, 2 * std.time.ns_per_s);
        }
        if (network.hit(network.faults.enter_refused)) return kernel.negative(.NOMEM);
        if (network.hit(network.faults.enter_interrupted)) return 0;
        self.submit(self.submissions_taken());
        network.progress();
        if (wait_ns > 0) network.wait(network.now_ns +| wait_ns, self);
        return 0;
    }

    fn submissions_taken(self: *Simulated) u32 {
        const network = self.network;
        if (!network.hit(network.faults.partial_submission)) return self.submission_count;
        return network.random().uintAtMost(u32, self.submission_count);
    }

    /// Takes the first `count` submissions, in order.
    fn submit(self: *Simulated, count: u32) void {
        for (self.submissions[0..count]) |submission| switch (submission) {
            .start => |index| {
                const operation = &self.operations[index];
                operation.state = .running;
                operation.due_ns = self.due_ns();
                self.running[self.running_count] = index;
                self.running_count += 1;
                if (self.eager and operation.kind == .send) operation.due_ns = 0;
            },
            .cancel => |cancellation| self.apply_cancel(cancellation),
        };
        const left = self.submissions[count..self.submission_count];
        std.mem.copyForwards(Submission, self.submissions[0..left.len], left);
        self.submission_count = @intCast(left.len);
        if (self.eager) self.progress();
    }

    fn due_ns(self: *Simulated) u64 {
        const network = self.network;
        if (!network.hit(network.faults.late_operation)) return network.now_ns;
        return network.now_ns + network.random().uintAtMost(u64, 5 * std.time.ns_per_ms);
    }

    fn apply_cancel(self: *Simulated, cancellation: Cancellation) void {
        const first = cancellation.port * kinds_count;
        for (self.operations[first..][0..kinds_count]) |*operation| {
            if (operation.state != .running or operation.epoch != cancellation.epoch) continue;
            if (!cancellation.what.ends(operation.kind)) continue;
            operation.cancelled = true;
            operation.due_ns = self.due_ns();
        }
    }

    /// Tries whatever is due.
    pub fn progress(self: *Simulated) void {
        var index: u32 = 0;
        while (index < self.running_count) {
            const operation = self.running[index];
            if (self.operations[operation].due_ns <= self.network.now_ns) {
                attempts.attempt(self, operation);
            }
            if (self.operations[operation].state == .running) {
                index += 1;
                continue;
            }
            self.running_count -= 1;
            self.running[index] = self.running[self.running_count];
        }
    }

    /// A completion of an operation; without `more` its last.
    pub fn complete(self: *Simulated, index: u32, more: bool, result: i32, buffer: u32) void {
        const network = self.network;
        const operation = &self.operations[index];
        if (!more) operation.state = .ended;
        if (operation_module.ends_connection(operation.kind, result)) {
            operation.socket.errors_given.set(kernel.errno_of(result));
        }
        var ready_ns = network.now_ns;
        if (network.hit(network.faults.late_completion)) {
            ready_ns += network.random().uintAtMost(u64, 5 * std.time.ns_per_ms);
        }
        self.completions.push(.{
            .operation = index,
            .ready_ns = ready_ns,
            .completion = .{
                .kind = operation.kind,
                .more = more,
                .port = operation.port,
                .epoch = operation.epoch,
                .result = result,
                .buffer = buffer,
            },
        });
        if (more) operation.due_ns = self.due_ns();
        network.trace("socket {d}: {t} {d}{s}", .{
            operation.socket.serial,
            operation.kind,
            result,
            if (more) ", more" else "",
        });
    }

    /// Buffers on which it holds references of its own.
    pub fn holding(self: *const Simulated) u32 {
        return self.held;
    }

    pub fn next_ns(self: *const Simulated) u64 {
        var next = self.completions.next_ns();
        for (self.running[0..self.running_count]) |index| {
            const due = self.operations[index].due_ns;
            if (due > self.network.now_ns) next = @min(next, due);
        }
        return if (next <= self.network.now_ns) std.math.maxInt(u64) else next;
    }

    pub fn has_completions(self: *const Simulated) bool {
        return self.completions.ready_count(self.network.now_ns) > 0;
    }

    pub fn ready(self: *Simulated) bool {
        return self.submission_count > 0 or self.has_completions();
    }

    pub fn reap(self: *Simulated, out: []contract.Completion) u32 {
        const network = self.network;
        var wanted = out.len;
        if (network.hit(network.faults.partial_reap)) {
            wanted = network.random().uintAtMost(usize, @min(out.len, 3));
        }
        for (out[0..wanted], 0..) |*completion, count| {
            var skipped: u32 = 0;
            if (network.hit(network.faults.reordering)) {
                const ready_count = self.completions.ready_count(network.now_ns);
                skipped = network.random().uintLessThan(u32, @max(1, ready_count));
            }
            const waiting = self.completions.take(network.now_ns, skipped) orelse
                return @intCast(count);
            completion.* = waiting.completion;
            if (completion.kind == .released) {
                self.held -= 1;
                continue;
            }
            const socket = self.operations[waiting.operation].socket;
            if (completion.buffer != contract.no_buffer) {
                socket.read_bytes += @intCast(completion.result);
            }
            if (operation_module.ends_connection(completion.kind, completion.result)) {
                socket.read_before_error = socket.read_before_error orelse socket.read_bytes;
            }
            if (!completion.more) self.finish(waiting.operation);
        }
        return @intCast(wanted);
    }

    fn finish(self: *Simulated, index: u32) void {
        const operation = &self.operations[index];
        std.debug.assert(operation.state == .ended);
        operation.state = .idle;
        operation.socket.operations -= 1;
        self.finished += 1;
    }

    pub fn buffers(self: *const Simulated) u32 {
        return self.free.count;
    }

    /// Free or filled, and not handed out yet.
    pub fn buffers_held(self: *const Simulated) u32 {
        var held = self.free.count;
        for (self.completions.waiting[0..self.completions.count]) |waiting| {
            if (waiting.completion.kind == .released) continue;
            held += @intFromBool(waiting.completion.buffer != contract.no_buffer);
        }
        return held;
    }

    pub fn buffers_wanted(self: *Simulated) u32 {
        return @as(u32, @intCast(self.free.names.len)) -| self.buffers_held();
    }

    pub fn provide(self: *Simulated, buffer: u32) void {
        self.free.put(self.network, self.pool, buffer);
    }

    pub fn register_slab(self: *Simulated, number: u32, memory: []u8) i32 {
        _ = self;
        _ = number;
        _ = memory;
        return kernel.negative(.OPNOTSUPP);
    }

    pub fn unregister_slab(self: *Simulated, number: u32) void {
        _ = self;
        _ = number;
    }

    /// Nobody polls it: whoever drives the loops asks `ready`.
    pub fn wake_descriptor(self: *Simulated) i32 {
        _ = self;
        return kernel.negative(.OPNOTSUPP);
    }

    pub fn arm(self: *Simulated) void {
        _ = self;
    }

    pub fn disarm(self: *Simulated) void {
        _ = self;
    }

    pub fn message_target(self: *Simulated) ?contract.MessageTarget {
        _ = self;
        return null;
    }

    pub fn system_calls(self: *const Simulated) u64 {
        return self.calls;
    }

    pub fn now_ns(self: *const Simulated) u64 {
        return self.network.now_ns;
    }
};
