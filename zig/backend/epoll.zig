//! The epoll backend: readiness turned into completions.
//!
//! A descriptor is registered once, edge-triggered for both directions; what the edges said is kept
//! per port until a call answers EAGAIN. Ports with something to do stand in one queue, each at
//! most once, and are visited about once between two calls of the kernel, so that a busy one cannot
//! starve the others. Used by the loop's thread only. Source: epoll(7).

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const host = @import("../sys/host.zig");
const kernel = @import("../sys/kernel.zig");
const sockets_module = @import("../sys/sockets.zig");
const mapped = @import("../memory/mapped.zig");
const List = @import("../memory/list.zig").List;
const Pool = @import("../memory/pool.zig").Pool;
const contract = @import("contract.zig");
const Port = @import("epoll_port.zig").Port;
const Writer = @import("epoll_port.zig").Writer;

/// Events taken from the kernel at once.
const events_max = 512;
/// Connections accepted from one listener per visit.
const accepts_per_visit = 8;
/// Most receive buffers that wait to be filled.
const buffers_max = 256;
/// Buffers filled from one connection per visit.
const receives_per_visit = 4;

const interest = linux.EPOLL.IN | linux.EPOLL.OUT | linux.EPOLL.RDHUP | linux.EPOLL.ET;

pub const Epoll = struct {
    pub const kind: layout.BackendKind = .epoll;
    pub const nonblocking: bool = true;
    pub const sockets = sockets_module;

    epoll: i32,
    pool: *Pool,
    ports: []Port,
    queue: List(Port, "queued"),
    settled: List(Port, "settled"),
    /// Ports that may be visited before the kernel is entered again.
    visits: u32,
    /// Free receive buffers, the last used on top.
    free: []u32,
    free_count: u32,
    calls: u64,
    /// False once the kernel, or a filter before it, has refused epoll_pwait2.
    has_pwait2: bool,
    events: []linux.epoll_event,

    pub fn init(
        self: *Epoll,
        options: contract.Options,
        failure: *contract.Failure,
    ) contract.InitError!void {
        const epoll = kernel.result(linux.epoll_create1(linux.EPOLL.CLOEXEC));
        if (epoll < 0) {
            failure.* = .{
                .reason = .out_of_resources,
                .errno = kernel.errno_of(epoll),
                .syscall = .epoll_create,
            };
            return error.Unavailable;
        }
        errdefer kernel.close(epoll);
        self.* = .{
            .epoll = epoll,
            .pool = options.pool,
            .ports = &.{},
            .queue = .{},
            .settled = .{},
            .visits = 0,
            .has_pwait2 = true,
            .free = &.{},
            .free_count = 0,
            .calls = 0,
            .events = &.{},
        };
        errdefer self.free_arrays();
        self.ports = try mapped.allocate(Port, options.ports);
        self.free = try mapped.allocate(u32, @min(options.pool.receive_count, buffers_max));
        self.events = try mapped.allocate(linux.epoll_event, events_max);
    }

    pub fn deinit(self: *Epoll) void {
        self.free_arrays();
        kernel.close(self.epoll);
        self.* = undefined;
    }

    fn free_arrays(self: *Epoll) void {
        mapped.free(Port, self.ports);
        mapped.free(u32, self.free);
        mapped.free(linux.epoll_event, self.events);
    }

    pub fn grant(self: *const Epoll) contract.Grant {
        _ = self;
        return .{};
    }

    pub fn accept(self: *Epoll, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
        const state = self.open(port, epoch, descriptor);
        std.debug.assert(!state.accepting);
        state.accepting = true;
        state.accepting_one = !many;
        // Connections may have come before, and their edge went by unheard.
        state.readable = true;
        self.enqueue(port);
        return true;
    }

    pub fn receive(self: *Epoll, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
        const state = self.open(port, epoch, descriptor);
        std.debug.assert(!state.receiving);
        state.receiving = true;
        state.receiving_one = !many;
        if (state.has_work()) self.enqueue(port);
        return true;
    }

    /// Tries at once; what does not fit waits for the edge and then completes with 0 bytes, so that
    /// the caller sends again.
    pub fn send(
        self: *Epoll,
        port: u32,
        epoch: u32,
        descriptor: i32,
        segments: []const contract.Segment,
    ) bool {
        const state = self.open(port, epoch, descriptor);
        std.debug.assert(!state.sending);
        state.sending = true;
        state.sent = null;
        self.calls += 1;
        const rc = send_now(descriptor, segments);
        if (rc == kernel.negative(.AGAIN)) {
            state.writable = false;
            return true;
        }
        state.sent = if (rc == kernel.negative(.INTR)) 0 else rc;
        self.settled.push(self.ports, port);
        return true;
    }

    pub fn connect(
        self: *Epoll,
        port: u32,
        epoch: u32,
        descriptor: i32,
        address: *const sockets_module.SocketAddress,
    ) bool {
        self.calls += 1;
        const rc = kernel.result(linux.connect(descriptor, address.pointer(), address.length()));
        const state = self.open(port, epoch, descriptor);
        state.connecting = true;
        // An interrupted connect goes on by itself, as one in progress does.
        const under_way = rc == kernel.negative(.INPROGRESS) or rc == kernel.negative(.INTR);
        state.connected = if (under_way) null else rc;
        // An edge of the unconnected socket would be taken for the outcome.
        state.writable = false;
        if (!under_way) self.enqueue(port);
        return true;
    }

    pub fn cancel(
        self: *Epoll,
        port: u32,
        epoch: u32,
        descriptor: i32,
        what: contract.Cancel,
    ) bool {
        const state = self.open(port, epoch, descriptor);
        switch (what) {
            .all => state.cancelled = true,
            .receive => state.receive_cancelled = state.receiving,
        }
        self.enqueue(port);
        return true;
    }

    pub fn forget(self: *Epoll, port: u32, epoch: u32, descriptor: i32) bool {
        _ = epoch;
        _ = descriptor;
        const state = &self.ports[port];
        std.debug.assert(!state.has_operations());
        // A queued port stays in the queue; a visit finds nothing to do. Closing the descriptor
        // takes it out of the kernel's set.
        state.registered = false;
        return true;
    }

    pub fn enter(self: *Epoll, wait_ns: u64) i32 {
        const limit: i32 = if (self.ready()) 0 else timeout_ms(wait_ns);
        self.calls += 1;
        const rc = self.wait(wait_ns, limit);
        if (rc < 0 and rc != kernel.negative(.INTR)) return rc;
        for (self.events[0..@intCast(@max(rc, 0))]) |event| self.note(event);
        self.visits = self.queue.length;
        return 0;
    }

    /// epoll_pwait2 (Linux 5.11) waits in nanoseconds; older kernels round up to a millisecond.
    fn wait(self: *Epoll, wait_ns: u64, limit_ms: i32) i32 {
        if (!self.has_pwait2 or limit_ms <= 0 or wait_ns % std.time.ns_per_ms == 0) {
            return kernel.result(linux.epoll_wait(
                self.epoll,
                self.events.ptr,
                events_max,
                limit_ms,
            ));
        }
        const time: linux.kernel_timespec = .{
            .sec = @intCast(wait_ns / std.time.ns_per_s),
            .nsec = @intCast(wait_ns % std.time.ns_per_s),
        };
        const rc = kernel.result(linux.syscall6(
            .epoll_pwait2,
            @intCast(self.epoll),
            @intFromPtr(self.events.ptr),
            events_max,
            @intFromPtr(&time),
            0,
            0,
        ));
        if (rc != kernel.negative(.NOSYS) and rc != kernel.negative(.PERM)) return rc;
        self.has_pwait2 = false;
        return kernel.result(linux.epoll_wait(self.epoll, self.events.ptr, events_max, limit_ms));
    }

    fn note(self: *Epoll, event: linux.epoll_event) void {
        const port: u32 = @truncate(event.data.u64);
        const epoch: u32 = @truncate(event.data.u64 >> 32);
        const state = &self.ports[port];
        if (!state.registered or state.epoch != epoch) return;
        const failed = event.events & (linux.EPOLL.ERR | linux.EPOLL.HUP) != 0;
        if (failed or event.events & (linux.EPOLL.IN | linux.EPOLL.RDHUP) != 0) {
            state.readable = true;
        }
        if (failed or event.events & linux.EPOLL.RDHUP != 0) state.ending = true;
        if (failed or event.events & linux.EPOLL.OUT != 0) state.writable = true;
        if (state.has_work()) self.enqueue(port);
    }

    pub fn ready(self: *Epoll) bool {
        return self.queue.length > 0 or self.settled.length > 0;
    }

    pub fn reap(self: *Epoll, out: []contract.Completion) u32 {
        var count = self.reap_settled(out);
        while (self.visits > 0 and out.len - count >= visit_completions_max) {
            self.visits -= 1;
            const port = self.queue.pop(self.ports) orelse break;
            count += self.visit(port, out[count..]);
            if (self.ports[port].has_work()) self.enqueue(port);
        }
        return count;
    }

    fn reap_settled(self: *Epoll, out: []contract.Completion) u32 {
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

    /// Most completions of one visit.
    const visit_completions_max = 4 + @max(accepts_per_visit, receives_per_visit);

    fn visit(self: *Epoll, port: u32, out: []contract.Completion) u32 {
        const state = &self.ports[port];
        var writer: Writer = .{ .out = out, .port = port, .epoch = state.epoch };
        if (state.cancelled or state.failure != 0) {
            const result = if (state.cancelled) kernel.negative(.CANCELED) else state.failure;
            state.end_all(&writer, result);
            return writer.count;
        }
        if (state.receive_cancelled) {
            state.receive_cancelled = false;
            state.receiving = false;
            writer.put(.receive, false, kernel.negative(.CANCELED));
        }
        if (state.connecting) self.visit_connect(state, &writer);
        if (state.sending) visit_send(state, &writer);
        if (state.accepting and state.readable) self.visit_accept(state, &writer);
        if (state.receiving and state.readable) self.visit_receive(state, &writer);
        return writer.count;
    }

    fn visit_connect(self: *Epoll, state: *Port, writer: *Writer) void {
        if (state.connected == null and state.writable) {
            self.calls += 1;
            state.connected = connect_outcome(state.descriptor);
        }
        const outcome = state.connected orelse return;
        state.connecting = false;
        state.connected = null;
        writer.put(.connect, false, outcome);
    }

    /// The edge came for a send that did not fit: the caller sends again.
    fn visit_send(state: *Port, writer: *Writer) void {
        if (state.sent != null or !state.writable) return;
        state.sending = false;
        writer.put(.send, false, 0);
    }

    fn visit_accept(self: *Epoll, state: *Port, writer: *Writer) void {
        const flags = linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
        for (0..accepts_per_visit) |_| {
            self.calls += 1;
            const rc = kernel.result(linux.accept4(state.descriptor, null, null, flags));
            if (rc >= 0) {
                state.accepting = !state.accepting_one;
                writer.put(.accept, state.accepting, rc);
                if (!state.accepting) return;
                continue;
            }
            if (rc == kernel.negative(.INTR)) continue;
            if (rc == kernel.negative(.AGAIN)) {
                state.readable = false;
            } else {
                state.accepting = false;
                writer.put(.accept, false, rc);
            }
            return;
        }
    }

    fn visit_receive(self: *Epoll, state: *Port, writer: *Writer) void {
        for (0..receives_per_visit) |_| {
            if (self.free_count == 0) {
                state.receiving = false;
                writer.put(.receive, false, kernel.negative(.NOBUFS));
                return;
            }
            const buffer = self.free[self.free_count - 1];
            self.calls += 1;
            const size = self.pool.buffer_size;
            const rc = kernel.result(linux.recvfrom(
                state.descriptor,
                self.pool.pointer(buffer),
                size,
                linux.MSG.DONTWAIT,
                null,
                null,
            ));
            if (rc > 0) {
                self.free_count -= 1;
                state.receiving = !state.receiving_one;
                writer.put_buffer(.receive, state.receiving, rc, buffer);
                // A stream that filled less than the buffer is empty; more, or the end, will be a
                // new edge (epoll(7), question 9).
                if (rc < size and !state.ending) state.readable = false;
                if (state.receiving and state.readable) continue;
            } else if (rc == kernel.negative(.AGAIN)) {
                state.readable = false;
            } else if (rc == kernel.negative(.INTR)) {
                continue;
            } else {
                state.receiving = false;
                writer.put(.receive, false, rc);
            }
            return;
        }
    }

    pub fn buffers(self: *const Epoll) u32 {
        return self.free_count;
    }

    pub fn buffers_wanted(self: *Epoll) u32 {
        return @as(u32, @intCast(self.free.len)) - self.free_count;
    }

    /// epoll has no use for it.
    pub fn register_slab(self: *Epoll, number: u32, memory: []u8) i32 {
        _ = self;
        _ = number;
        _ = memory;
        return kernel.negative(.OPNOTSUPP);
    }

    pub fn unregister_slab(self: *Epoll, number: u32) void {
        _ = self;
        _ = number;
    }

    pub fn provide(self: *Epoll, buffer: u32) void {
        self.free[self.free_count] = buffer;
        self.free_count += 1;
    }

    pub fn wake_descriptor(self: *Epoll) i32 {
        return self.epoll;
    }

    /// The set is readable whenever it has events.
    pub fn arm(self: *Epoll) void {
        _ = self;
    }

    pub fn disarm(self: *Epoll) void {
        _ = self;
    }

    pub fn system_calls(self: *const Epoll) u64 {
        return self.calls;
    }

    pub fn now_ns(self: *const Epoll) u64 {
        _ = self;
        return host.now_ns();
    }

    /// The port's state, registered with the kernel at its first use.
    fn open(self: *Epoll, port: u32, epoch: u32, descriptor: i32) *Port {
        const state = &self.ports[port];
        const refused = state.failure != 0 and !state.has_operations();
        if (state.registered and !refused) {
            std.debug.assert(state.epoch == epoch and state.descriptor == descriptor);
            return state;
        }
        state.* = std.mem.zeroInit(Port, .{
            .descriptor = descriptor,
            .epoch = epoch,
            .queued = state.queued,
            .settled = state.settled,
        });
        var event: linux.epoll_event = .{
            .events = interest,
            .data = .{ .u64 = @as(u64, epoch) << 32 | port },
        };
        self.calls += 1;
        const rc = linux.epoll_ctl(self.epoll, linux.EPOLL.CTL_ADD, descriptor, &event);
        state.failure = @min(kernel.result(rc), 0);
        state.registered = true;
        if (state.failure != 0) self.enqueue(port);
        return state;
    }

    fn enqueue(self: *Epoll, port: u32) void {
        self.queue.push(self.ports, port);
    }
};

fn send_now(descriptor: i32, segments: []const contract.Segment) i32 {
    const flags = linux.MSG.NOSIGNAL | linux.MSG.DONTWAIT;
    if (segments.len == 1) {
        const only = segments[0];
        return kernel.result(linux.sendto(descriptor, only.pointer, only.length, flags, null, 0));
    }
    var vectors: [contract.segments_max]std.posix.iovec_const = undefined;
    for (segments, vectors[0..segments.len]) |segment, *vector| {
        vector.* = .{ .base = segment.pointer, .len = segment.length };
    }
    const header = std.mem.zeroInit(linux.msghdr_const, .{
        .iov = &vectors,
        .iovlen = segments.len,
    });
    return kernel.result(linux.sendmsg(descriptor, &header, flags));
}

/// Zero or the negated errno with which a connect under way ended (SO_ERROR).
fn connect_outcome(descriptor: i32) i32 {
    var code: u32 = 0;
    var length: linux.socklen_t = @sizeOf(u32);
    const rc = kernel.result(linux.getsockopt(
        descriptor,
        linux.SOL.SOCKET,
        linux.SO.ERROR,
        std.mem.asBytes(&code),
        &length,
    ));
    return if (rc < 0) rc else -@as(i32, @intCast(code));
}

/// Rounded up: waking too early would only mean waiting again.
fn timeout_ms(wait_ns: u64) i32 {
    if (wait_ns == std.math.maxInt(u64)) return -1;
    const ms = std.math.divCeil(u64, wait_ns, std.time.ns_per_ms) catch unreachable;
    return std.math.cast(i32, ms) orelse std.math.maxInt(i32);
}
