//! The io_uring backend: multishot accept and receive on a ring of provided buffers, one send in
//! flight per port, cancellation by descriptor. Needs Linux 6.0 (multishot receive).
//!
//! Invariant: every entry carries kind, port and epoch in its user data, so nothing is kept per
//! port. Used by the loop's thread only: the kernel refuses others (SINGLE_ISSUER).

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const host = @import("../sys/host.zig");
const kernel = @import("../sys/kernel.zig");
const sockets_module = @import("../sys/sockets.zig");
const uring = @import("../sys/uring.zig");
const mapped = @import("../memory/mapped.zig");
const Pool = @import("../memory/pool.zig").Pool;
const contract = @import("contract.zig");
const BufferRing = @import("buffer_ring.zig").BufferRing;
const Files = @import("files.zig").Files;
const FixedSlabs = @import("fixed_slabs.zig").FixedSlabs;
const Ring = @import("ring.zig").Ring;

/// Gathered sends whose headers wait for the kernel to copy them, between two entries.
const gathers_max = 64;

const Gather = struct {
    header: linux.msghdr_const,
    vectors: [contract.segments_max]std.posix.iovec_const,
};

/// Low byte of the user data.
const Tag = enum(u8) {
    accept,
    receive,
    receive_message,
    send,
    connect,
    poll,
    message,
    cancel,
    files,
};

/// What the kernel is to put before each message.
const message_shape = std.mem.zeroInit(uring.MessageShape, .{
    .address_bytes = contract.message_address_bytes,
    .control_bytes = contract.message_control_bytes,
});

pub const IoUring = struct {
    pub const kind: layout.BackendKind = .io_uring;
    /// A non-blocking descriptor would turn every wait into EAGAIN.
    pub const nonblocking: bool = false;
    pub const descriptors_max: i32 = std.math.maxInt(i32);
    pub const has_edges: bool = true;
    pub const sockets = sockets_module;

    ring: Ring,
    files: Files,
    slabs: FixedSlabs,
    pool: *Pool,
    buffer_ring: BufferRing,
    gathers: []Gather,
    gathers_used: u32,

    pub fn init(
        self: *IoUring,
        options: contract.Options,
        failure: *contract.Failure,
    ) contract.InitError!void {
        self.ring = try Ring.init(options.entries, options.deny_flags, failure);
        errdefer self.ring.deinit();
        self.pool = options.pool;
        self.gathers_used = 0;
        self.gathers = try mapped.allocate(Gather, gathers_max);
        errdefer mapped.free(Gather, self.gathers);
        self.buffer_ring = try .init(&self.ring, options.pool, failure);
        errdefer self.buffer_ring.deinit();
        try self.require_multishot_receive(failure);
        self.files = .init(&self.ring);
        self.slabs = .init();
    }

    pub fn deinit(self: *IoUring) void {
        self.slabs.deinit(&self.ring);
        self.ring.deinit();
        self.files.deinit();
        self.buffer_ring.deinit();
        mapped.free(Gather, self.gathers);
        self.* = undefined;
    }

    pub fn grant(self: *const IoUring) contract.Grant {
        return self.ring.grant;
    }

    /// Multishot receive is new in Linux 6.0. The kernel checks an entry's flags before it looks at
    /// its descriptor, so an entry without one tells: EBADF where the flag is known, EINVAL
    /// elsewhere.
    fn require_multishot_receive(
        self: *IoUring,
        failure: *contract.Failure,
    ) contract.InitError!void {
        const sqe = self.ring.next_sqe().?;
        sqe.* = receive_entry(0, 0, -1);
        const rc = self.ring.enter(true, std.time.ns_per_s);
        const cqe = self.ring.take();
        if (cqe != null and cqe.?.result == kernel.negative(.BADF)) return;
        failure.* = .{
            .reason = if (cqe != null) .kernel_too_old else .not_permitted,
            .errno = kernel.errno_of(rc),
            .syscall = .io_uring_enter,
        };
        return error.Unavailable;
    }

    pub fn accept(self: *IoUring, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
        const sqe = self.next_sqe() orelse return false;
        sqe.* = .{
            .opcode = .accept,
            .ioprio = if (many) uring.accept_multishot else 0,
            .descriptor = descriptor,
            .operation_flags = linux.SOCK.CLOEXEC,
            .user_data = user_data(.accept, port, epoch),
        };
        return true;
    }

    /// The first receive of a descriptor is where it becomes a connection worth registering.
    pub fn receive(self: *IoUring, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
        if (self.files.wants(descriptor)) {
            const sqe = self.next_sqe() orelse return false;
            self.files.register(descriptor, sqe, user_data(.files, port, epoch));
        }
        const sqe = self.next_sqe() orelse return false;
        sqe.* = receive_entry(port, epoch, descriptor);
        if (!many) sqe.ioprio = 0;
        self.use_file(sqe);
        return true;
    }

    pub fn receive_message(self: *IoUring, port: u32, epoch: u32, descriptor: i32) bool {
        const sqe = self.next_sqe() orelse return false;
        sqe.* = .{
            .opcode = .recvmsg,
            .flags = uring.sqe_buffer_select,
            .ioprio = uring.recv_multishot,
            .descriptor = descriptor,
            .address = @intFromPtr(&message_shape),
            .length = 1,
            .operation_flags = linux.MSG.TRUNC,
            .user_data = user_data(.receive_message, port, epoch),
        };
        return true;
    }

    fn receive_entry(port: u32, epoch: u32, descriptor: i32) uring.Sqe {
        return .{
            .opcode = .recv,
            .flags = uring.sqe_buffer_select,
            .ioprio = uring.recv_multishot,
            .descriptor = descriptor,
            .user_data = user_data(.receive, port, epoch),
        };
    }

    fn use_file(self: *const IoUring, sqe: *uring.Sqe) void {
        if (self.files.has(sqe.descriptor)) sqe.flags |= uring.sqe_fixed_file;
    }

    pub fn send(
        self: *IoUring,
        port: u32,
        epoch: u32,
        descriptor: i32,
        segments: []const contract.Segment,
    ) bool {
        std.debug.assert(segments.len > 0 and segments.len <= contract.segments_max);
        if (segments.len > 1) return self.send_gathered(port, epoch, descriptor, segments);
        const sqe = self.next_sqe() orelse return false;
        sqe.* = .{
            .opcode = .send,
            .descriptor = descriptor,
            .address = @intFromPtr(segments[0].pointer),
            .length = segments[0].length,
            .operation_flags = linux.MSG.NOSIGNAL | linux.MSG.WAITALL,
            .user_data = user_data(.send, port, epoch),
        };
        self.use_file(sqe);
        return true;
    }

    fn send_gathered(
        self: *IoUring,
        port: u32,
        epoch: u32,
        descriptor: i32,
        segments: []const contract.Segment,
    ) bool {
        if (self.gathers_used == self.gathers.len and !self.flush()) return false;
        const sqe = self.next_sqe() orelse return false;
        const gather = &self.gathers[self.gathers_used];
        self.gathers_used += 1;
        for (segments, gather.vectors[0..segments.len]) |segment, *vector| {
            vector.* = .{ .base = segment.pointer, .len = segment.length };
        }
        gather.header = std.mem.zeroInit(linux.msghdr_const, .{
            .iov = &gather.vectors,
            .iovlen = segments.len,
        });
        sqe.* = .{
            .opcode = .sendmsg,
            .descriptor = descriptor,
            .address = @intFromPtr(&gather.header),
            .length = 1,
            .operation_flags = linux.MSG.NOSIGNAL | linux.MSG.WAITALL,
            .user_data = user_data(.send, port, epoch),
        };
        self.use_file(sqe);
        return true;
    }

    pub fn connect(
        self: *IoUring,
        port: u32,
        epoch: u32,
        descriptor: i32,
        address: *const sockets_module.SocketAddress,
    ) bool {
        const sqe = self.next_sqe() orelse return false;
        sqe.* = .{
            .opcode = .connect,
            .descriptor = descriptor,
            .offset = address.length(),
            .address = @intFromPtr(address),
            .user_data = user_data(.connect, port, epoch),
        };
        return true;
    }

    /// Edges come from a multishot poll. The kernel has no lasting one that tells of what stays
    /// ready: that one ends with each completion.
    pub fn poll(
        self: *IoUring,
        port: u32,
        epoch: u32,
        descriptor: i32,
        interest: contract.Interest,
        edge: bool,
    ) bool {
        const sqe = self.next_sqe() orelse return false;
        var events: u32 = 0;
        if (interest.readable) events |= linux.EPOLL.IN | linux.EPOLL.RDHUP;
        if (interest.writable) events |= linux.EPOLL.OUT;
        if (edge) events |= linux.EPOLL.ET;
        sqe.* = .{
            .opcode = .poll_add,
            .descriptor = descriptor,
            .length = if (edge) uring.poll_add_multi else 0,
            .operation_flags = events,
            .user_data = user_data(.poll, port, epoch),
        };
        return true;
    }

    pub fn cancel(
        self: *IoUring,
        port: u32,
        epoch: u32,
        descriptor: i32,
        what: contract.Cancel,
    ) bool {
        const sqe = self.next_sqe() orelse return false;
        sqe.* = .{
            .opcode = .async_cancel,
            .descriptor = descriptor,
            .user_data = user_data(.cancel, port, epoch),
        };
        switch (what) {
            .all => sqe.operation_flags = uring.cancel_fd | uring.cancel_all,
            .receive => sqe.address = user_data(.receive, port, epoch),
            .receive_message => sqe.address = user_data(.receive_message, port, epoch),
            .poll => sqe.address = user_data(.poll, port, epoch),
        }
        return true;
    }

    pub fn forget(self: *IoUring, port: u32, epoch: u32, descriptor: i32) bool {
        if (!self.files.has(descriptor)) return true;
        const sqe = self.next_sqe() orelse return false;
        self.files.remove(descriptor, sqe, user_data(.files, port, epoch));
        return true;
    }

    pub fn enter(self: *IoUring, wait_ns: u64) i32 {
        const nothing_to_do = self.ring.unsubmitted() == 0 and !self.ring.kernel_has_work();
        if (nothing_to_do and (wait_ns == 0 or self.ring.has_completions())) return 0;
        const limit: ?u64 = if (wait_ns == std.math.maxInt(u64)) null else wait_ns;
        const rc = self.ring.enter(wait_ns > 0, limit);
        if (self.ring.unsubmitted() == 0) self.gathers_used = 0;
        return switch (rc) {
            kernel.negative(.TIME), kernel.negative(.INTR) => 0,
            // The completion queue overflowed or memory is short: reaping makes room.
            kernel.negative(.BUSY), kernel.negative(.AGAIN) => 0,
            else => rc,
        };
    }

    pub fn ready(self: *IoUring) bool {
        return self.ring.has_completions() or self.ring.kernel_has_work() or
            self.ring.unsubmitted() > 0;
    }

    pub fn reap(self: *IoUring, out: []contract.Completion) u32 {
        var count: u32 = 0;
        while (count < out.len) {
            const cqe = self.ring.take() orelse break;
            const tag: Tag = @enumFromInt(@as(u8, @truncate(cqe.user_data)));
            const completion = &out[count];
            completion.* = .{
                .kind = switch (tag) {
                    .accept => .accept,
                    .receive => .receive,
                    .receive_message => .receive_message,
                    .poll => .poll,
                    .message => .message,
                    .send => .send,
                    .connect => .connect,
                    .cancel, .files => continue,
                },
                .more = cqe.flags & uring.cqe_more != 0,
                .port = @as(u24, @truncate(cqe.user_data >> 8)),
                .epoch = @truncate(cqe.user_data >> 32),
                .result = cqe.result,
            };
            switch (tag) {
                .receive => if (cqe.flags & uring.cqe_buffer != 0) {
                    self.take_buffer(completion, cqe.flags >> uring.cqe_buffer_shift);
                },
                .receive_message => if (cqe.flags & uring.cqe_buffer != 0) {
                    completion.result -|= contract.message_payload_offset;
                    completion.buffer = self.buffer_ring.take(cqe.flags >> uring.cqe_buffer_shift);
                },
                .poll => if (cqe.result >= 0) {
                    completion.result = readiness_of(@intCast(cqe.result));
                },
                else => {},
            }
            count += 1;
        }
        return count;
    }

    /// The kernel may pick a buffer for a receive that then ends or fails: that one goes back.
    fn take_buffer(self: *IoUring, completion: *contract.Completion, number: u32) void {
        const buffer = self.buffer_ring.take(number);
        if (completion.result > 0) {
            completion.buffer = buffer;
        } else {
            self.provide(buffer);
        }
    }

    pub fn buffers(self: *const IoUring) u32 {
        return self.buffer_ring.count();
    }

    pub fn buffers_wanted(self: *IoUring) u32 {
        return self.buffer_ring.wanted();
    }

    pub fn provide(self: *IoUring, buffer: u32) void {
        self.buffer_ring.provide(buffer, self.pool.pointer(buffer));
    }

    pub fn register_slab(self: *IoUring, number: u32, memory: []u8) i32 {
        return self.slabs.register(&self.ring, number, memory);
    }

    pub fn unregister_slab(self: *IoUring, number: u32) void {
        self.slabs.unregister(&self.ring, number);
    }

    /// An eventfd that the ring signals. Polling the ring itself would not do: with DEFER_TASKRUN
    /// it becomes readable only once its thread has entered the kernel.
    pub fn wake_descriptor(self: *IoUring) i32 {
        return self.ring.event_descriptor();
    }

    pub fn arm(self: *IoUring) void {
        self.ring.signal_events(true);
    }

    pub fn disarm(self: *IoUring) void {
        self.ring.signal_events(false);
    }

    /// Tried out: sending without a ring of one's own is new in Linux 6.13.
    pub fn message_target(self: *IoUring) ?contract.MessageTarget {
        const target: contract.MessageTarget = .{
            .descriptor = self.ring.descriptor,
            .user_data = user_data(.message, 0, 0),
            .send = &uring.send_message,
        };
        return if (uring.send_message(target.descriptor, target.user_data) < 0) null else target;
    }

    pub fn system_calls(self: *const IoUring) u64 {
        return self.ring.system_calls;
    }

    pub fn now_ns(self: *const IoUring) u64 {
        _ = self;
        return host.now_ns();
    }

    /// A submission entry; a full queue is submitted first.
    fn next_sqe(self: *IoUring) ?*uring.Sqe {
        if (self.ring.next_sqe()) |sqe| return sqe;
        if (!self.flush()) return null;
        return self.ring.next_sqe();
    }

    fn flush(self: *IoUring) bool {
        _ = self.ring.enter(false, null);
        if (self.ring.unsubmitted() > 0) return false;
        self.gathers_used = 0;
        return true;
    }
};

fn readiness_of(events: u32) i32 {
    var bits: u32 = 0;
    if (events & (linux.EPOLL.IN | linux.EPOLL.RDHUP) != 0) bits |= layout.ready_readable;
    if (events & linux.EPOLL.OUT != 0) bits |= layout.ready_writable;
    if (events & linux.EPOLL.ERR != 0) bits |= layout.ready_error;
    if (events & linux.EPOLL.HUP != 0) bits |= layout.ready_hangup;
    return @intCast(bits);
}

fn user_data(tag: Tag, port: u32, epoch: u32) u64 {
    std.debug.assert(port < 1 << 24);
    return @as(u64, epoch) << 32 | @as(u64, port) << 8 | @intFromEnum(tag);
}
