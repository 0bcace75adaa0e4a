//! The io_uring backend: multishot accept and receive on a ring of provided buffers, one send in
//! flight per port, cancellation by descriptor. Needs Linux 6.0 (multishot receive).
//!
//! Invariants: every entry carries kind, port and epoch in its user data, so nothing is kept per
//! port; a zero-copy send carries its notice instead, which has them. Used by the loop's thread
//! only: the kernel refuses others (SINGLE_ISSUER).

const std = @import("std");
const layout = @import("../layout.zig");
const datagrams = @import("../sys/datagrams.zig");
const host = @import("../sys/host.zig");
const kernel = @import("../sys/kernel.zig");
const sockets_module = @import("../sys/sockets.zig");
const uring = @import("../sys/uring.zig");
const Pool = @import("../memory/pool.zig").Pool;
const memory_slabs = @import("../memory/slabs.zig");
const contract = @import("contract.zig");
const BufferRing = @import("buffer_ring.zig").BufferRing;
const Files = @import("files.zig").Files;
const Gathers = @import("gathers.zig").Gathers;
const FixedSlabs = @import("fixed_slabs.zig").FixedSlabs;
const Filled = @import("filled.zig").Filled;
const features = @import("ring_features.zig");
const Notices = @import("zero_copy.zig").Notices;
const messages = @import("ring_messages.zig");
const operations = @import("operations.zig");
const ring_module = @import("ring.zig");

pub const IoUring = IoUringOver(uring);

/// `System`: the system calls, `sys/uring.zig` or a test's.
pub fn IoUringOver(comptime System: type) type {
    return struct {
        const Self = @This();
        const Ring = ring_module.Ring(System);
        pub const kind: layout.BackendKind = .io_uring;
        /// A non-blocking descriptor would turn every wait into EAGAIN.
        pub const nonblocking: bool = false;
        pub const descriptors_max: i32 = std.math.maxInt(i32);
        pub const has_edges: bool = true;
        pub const calls_singly: bool = false;
        pub const sockets = sockets_module;

        ring: Ring,
        files: Files,
        slabs: FixedSlabs,
        pool: *Pool,
        buffer_ring: BufferRing,
        gathers: Gathers,
        notices: Notices,
        /// Asks notifications whether bytes were copied.
        notice_flags: u16,
        /// What is left of a completion that stands for several.
        filled: Filled,

        pub fn init(
            self: *Self,
            options: contract.Options,
            failure: *contract.Failure,
        ) contract.InitError!void {
            self.ring = try Ring.init(.{
                .entries = options.entries,
                .deny_flags = options.deny_flags,
                .deny_features = options.deny_features,
                .wishes = options.wishes,
            }, failure);
            errdefer self.ring.deinit();
            const deny = options.deny_features;
            try features.negotiate(System, &self.ring, &options.wishes, deny, failure);
            self.pool = options.pool;
            self.filled = .none;
            self.gathers = try .init();
            errdefer self.gathers.deinit();
            const shared = self.ring.has(.incremental);
            self.buffer_ring = try .init(&self.ring, options.pool, shared, failure);
            errdefer self.buffer_ring.deinit();
            try features.require_multishot_receive(&self.ring, failure);
            self.notices = .empty;
            if (self.ring.has(.zero_copy)) {
                self.notices = try .init(options.wishes.zero_copy_bytes, options.ports);
            }
            const tells = features.tells_usage(System);
            self.notice_flags = if (tells) uring.send_zc_report_usage else 0;
            self.files = if (features.is_denied(deny, .registered_files))
                .empty
            else
                .init(&self.ring);
            if (self.files.is_there()) self.ring.granted(.registered_files);
            self.slabs = .init();
        }

        pub fn deinit(self: *Self) void {
            self.slabs.deinit(&self.ring);
            self.ring.deinit();
            self.files.deinit();
            self.notices.deinit();
            self.buffer_ring.deinit();
            self.gathers.deinit();
            self.* = undefined;
        }

        pub fn grant(self: *const Self) contract.Grant {
            return self.ring.grant;
        }

        pub fn accept(self: *Self, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
            const sqe = self.next_sqe() orelse return false;
            sqe.* = operations.accept(port, epoch, descriptor, many);
            return true;
        }

        /// The first receive of a descriptor is where it becomes a connection worth registering.
        pub fn receive(self: *Self, port: u32, epoch: u32, descriptor: i32, many: bool) bool {
            if (self.files.wants(descriptor)) {
                const sqe = self.next_sqe() orelse return false;
                self.files.register(descriptor, sqe, operations.user_data(.files, port, epoch));
            }
            const sqe = self.next_sqe() orelse return false;
            sqe.* = operations.receive(port, epoch, descriptor, many);
            if (many and self.ring.has(.bundles)) sqe.ioprio |= uring.recvsend_bundle;
            self.use_file(sqe);
            return true;
        }

        pub fn receive_message(self: *Self, port: u32, epoch: u32, descriptor: i32) bool {
            return messages.receive(self, port, epoch, descriptor);
        }

        pub fn await_readable(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            left: contract.Left,
        ) bool {
            // The kernel looks when it takes the entry.
            _ = left;
            const sqe = self.next_sqe() orelse return false;
            sqe.* = operations.await_readable(port, epoch, descriptor);
            self.use_file(sqe);
            return true;
        }

        pub fn send_messages(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            batch: *datagrams.Outgoing,
            waits: bool,
        ) i32 {
            return messages.send(self, port, epoch, descriptor, batch, waits);
        }

        fn use_file(self: *const Self, sqe: *uring.Sqe) void {
            if (self.files.has(sqe.descriptor)) sqe.flags |= uring.sqe_fixed_file;
        }

        pub fn send(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            segments: []const contract.Segment,
        ) bool {
            std.debug.assert(segments.len > 0 and segments.len <= contract.segments_max);
            if (segments.len > 1) return self.send_gathered(port, epoch, descriptor, segments);
            const sqe = self.next_sqe() orelse return false;
            sqe.* = operations.send(port, epoch, descriptor, segments[0]);
            if (self.notices.take(self.pool, port, epoch, segments)) |notice| {
                self.copy_nothing(sqe, notice, .send_zc);
                self.use_slab(sqe, segments[0].buffer);
            }
            self.use_file(sqe);
            return true;
        }

        fn copy_nothing(
            self: *const Self,
            sqe: *uring.Sqe,
            notice: u32,
            opcode: uring.Opcode,
        ) void {
            sqe.opcode = opcode;
            sqe.ioprio = self.notice_flags;
            sqe.user_data = operations.user_data(.zero_copy, notice, 0);
        }

        /// The pages of a registered slab need not be looked up.
        fn use_slab(self: *const Self, sqe: *uring.Sqe, buffer: u32) void {
            const slab = memory_slabs.slab_of(buffer);
            if (slab >= memory_slabs.slabs_max or !self.slabs.has(slab)) return;
            sqe.ioprio |= uring.recvsend_fixed_buf;
            sqe.buffer_group = @intCast(slab);
        }

        fn send_gathered(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            segments: []const contract.Segment,
        ) bool {
            if (self.gathers.are_used() and !self.flush()) return false;
            const sqe = self.next_sqe() orelse return false;
            const header = self.gathers.take(segments, &.{});
            sqe.* = operations.send_gathered(port, epoch, descriptor, header);
            if (self.notices.take(self.pool, port, epoch, segments)) |notice| {
                self.copy_nothing(sqe, notice, .sendmsg_zc);
            }
            self.use_file(sqe);
            return true;
        }

        pub fn send_control(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            segment: contract.Segment,
            control: []align(8) const u8,
        ) bool {
            if (self.gathers.are_used() and !self.flush()) return false;
            const sqe = self.next_sqe() orelse return false;
            const header = self.gathers.take(&.{segment}, control);
            sqe.* = operations.send_control(port, epoch, descriptor, header);
            self.use_file(sqe);
            return true;
        }

        pub fn connect(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            address: *const sockets_module.SocketAddress,
        ) bool {
            const sqe = self.next_sqe() orelse return false;
            sqe.* = operations.connect(port, epoch, descriptor, address);
            return true;
        }

        pub fn poll(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            interest: contract.Interest,
            edge: bool,
        ) bool {
            const sqe = self.next_sqe() orelse return false;
            sqe.* = operations.poll(port, epoch, descriptor, interest, edge);
            return true;
        }

        pub fn cancel(
            self: *Self,
            port: u32,
            epoch: u32,
            descriptor: i32,
            what: contract.Cancel,
        ) bool {
            const sqe = self.next_sqe() orelse return false;
            sqe.* = operations.cancel(port, epoch, descriptor, what);
            return true;
        }

        pub fn forget(self: *Self, port: u32, epoch: u32, descriptor: i32) bool {
            if (self.files.has(descriptor)) {
                const sqe = self.next_sqe() orelse return false;
                self.files.remove(descriptor, sqe, operations.user_data(.files, port, epoch));
            }
            return true;
        }

        pub const leave = forget;

        pub fn enter(self: *Self, wait_ns: u64) i32 {
            self.ring.show();
            const work = self.ring.must_submit() or self.ring.kernel_has_work();
            const waits = wait_ns > 0 and !self.has_backlog();
            if (!work and (!waits or self.ring.has_completions())) {
                _ = self.note_taken();
                return 0;
            }
            const limit: ?u64 = if (wait_ns == std.math.maxInt(u64)) null else wait_ns;
            const rc = self.ring.enter(waits, limit);
            _ = self.note_taken();
            return switch (rc) {
                kernel.negative(.TIME), kernel.negative(.INTR) => 0,
                // The completion queue overflowed or memory is short: reaping makes room.
                kernel.negative(.BUSY), kernel.negative(.AGAIN) => 0,
                else => rc,
            };
        }

        /// Whether the kernel has taken everything: it has copied the headers then.
        fn note_taken(self: *Self) bool {
            // One look: a thread of the kernel may take more between two.
            const all = self.ring.unsubmitted() == 0;
            if (all) self.gathers.used = 0;
            return all;
        }

        pub fn ready(self: *Self) bool {
            return self.has_backlog() or self.ring.has_completions() or
                self.ring.kernel_has_work() or self.ring.must_submit();
        }

        /// Whether there are completions that the kernel knows nothing of any more.
        fn has_backlog(self: *const Self) bool {
            return self.filled.left > 0 or self.notices.has_released();
        }

        pub fn reap(self: *Self, out: []contract.Completion) u32 {
            var count: u32 = 0;
            while (count < out.len) {
                const completion = &out[count];
                if (self.filled.left > 0) {
                    self.filled.take_part(&self.buffer_ring, completion);
                } else if (!self.notices.tell_released(completion)) {
                    const cqe = self.ring.take() orelse break;
                    if (!self.convert(cqe, completion)) continue;
                }
                count += 1;
            }
            return count;
        }

        /// Makes a completion of the kernel's one of ours; false where there is nothing to tell.
        fn convert(self: *Self, cqe: uring.Cqe, completion: *contract.Completion) bool {
            const tag: operations.Tag = @enumFromInt(@as(u8, @truncate(cqe.user_data)));
            const port: u24 = @truncate(cqe.user_data >> 8);
            completion.* = .{
                .kind = switch (tag) {
                    .accept => .accept,
                    .receive => .receive,
                    .receive_message => .receive_message,
                    .readable => .readable,
                    .send => .send,
                    .send_messages => .send_messages,
                    .connect => .connect,
                    .poll => .poll,
                    .message => .message,
                    .cancel, .files => return false,
                    .zero_copy => return self.convert_zero_copy(port, cqe, completion),
                },
                .more = cqe.flags & uring.cqe_more != 0,
                .port = port,
                .epoch = @truncate(cqe.user_data >> 32),
                .result = cqe.result,
            };
            const number = cqe.flags >> uring.cqe_buffer_shift;
            switch (tag) {
                .receive => {
                    self.buffer_ring.demand.received(port, cqe.result);
                    if (cqe.flags & uring.cqe_buffer != 0) {
                        const stays = cqe.flags & uring.cqe_buf_more != 0;
                        self.take_buffers(completion, number, stays);
                    }
                },
                .receive_message => if (cqe.flags & uring.cqe_buffer != 0) {
                    messages.take(self, completion, number);
                },
                .readable, .send_messages => completion.result = @min(completion.result, 0),
                .poll => if (cqe.result >= 0) {
                    completion.result = operations.readiness_of(@intCast(cqe.result));
                },
                else => {},
            }
            return true;
        }

        fn convert_zero_copy(
            self: *Self,
            notice: u32,
            cqe: uring.Cqe,
            completion: *contract.Completion,
        ) bool {
            const is_notification = cqe.flags & uring.cqe_notif != 0;
            if (is_notification) {
                self.notices.notified(notice, cqe);
            } else {
                completion.* = self.notices.sent(notice, cqe);
            }
            return !is_notification;
        }

        /// The kernel may pick a buffer for a receive that then ends or fails: that one goes back,
        /// unless receives share buffers: then nothing of it was used, and the kernel goes on with
        /// it, whether it says so (mended in 2026) or not.
        fn take_buffers(
            self: *Self,
            completion: *contract.Completion,
            number: u32,
            stays: bool,
        ) void {
            if (completion.result > 0) {
                self.filled.begin(&self.buffer_ring, completion, number, stays);
            } else if (!self.buffer_ring.is_shared()) {
                self.provide(self.buffer_ring.take(number));
            }
        }

        pub fn buffers(self: *const Self) u32 {
            return self.buffer_ring.count();
        }

        pub fn buffers_wanted(self: *Self) u32 {
            return self.buffer_ring.wanted();
        }

        pub fn provide(self: *Self, buffer: u32) void {
            self.buffer_ring.provide(buffer, self.pool.pointer(buffer));
        }

        pub fn register_slab(self: *Self, number: u32, memory: []u8) i32 {
            return self.slabs.register(&self.ring, number, memory);
        }

        pub fn unregister_slab(self: *Self, number: u32) void {
            self.slabs.unregister(&self.ring, number);
        }

        /// An eventfd that the ring signals. Polling the ring itself would not do: with
        /// DEFER_TASKRUN it becomes readable only once its thread has entered the kernel.
        pub fn wake_descriptor(self: *Self) i32 {
            return self.ring.event_descriptor();
        }

        pub fn arm(self: *Self) void {
            self.ring.signal_events(true);
        }

        pub fn disarm(self: *Self) void {
            self.ring.signal_events(false);
        }

        /// Tried out, since what the kernel can do may be forbidden: sending without a ring of
        /// one's own is new in Linux 6.13.
        pub fn message_target(self: *Self) ?contract.MessageTarget {
            if (!self.ring.has(.send_message)) return null;
            const target: contract.MessageTarget = .{
                .descriptor = self.ring.descriptor,
                .user_data = operations.user_data(.message, 0, 0),
                .send = &System.send_message,
            };
            const rc = System.send_message(target.descriptor, target.user_data);
            return if (rc < 0) null else target;
        }

        pub fn system_calls(self: *const Self) u64 {
            return self.ring.system_calls;
        }

        pub fn now_ns(self: *const Self) u64 {
            _ = self;
            return host.now_ns();
        }

        /// A submission entry; a full queue is submitted first.
        pub fn next_sqe(self: *Self) ?*uring.Sqe {
            if (self.ring.next_sqe()) |sqe| return sqe;
            if (self.ring.polled) self.ring.wait_for_room() else _ = self.flush();
            return self.ring.next_sqe();
        }

        /// Whether the kernel has taken everything.
        fn flush(self: *Self) bool {
            self.ring.show();
            if (self.ring.must_submit()) _ = self.ring.enter(false, null);
            return self.note_taken();
        }

        pub fn holding(self: *const Self) u32 {
            return self.notices.holding;
        }

        pub fn shares_buffers(self: *const Self) bool {
            return self.buffer_ring.is_shared();
        }

        pub fn zero_copies(self: *const Self) contract.ZeroCopies {
            return self.notices.counts;
        }
    };
}
