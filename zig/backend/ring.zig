//! The submission and completion queues of one io_uring: set-up ladder, index arithmetic, entering.
//!
//! Invariants: only the loop's thread touches it; queue indices wrap at 2^32; what the kernel took
//! is read from its own head, never from the result of entering. Generic over the system calls, so
//! that tests run it over a kernel of their own. Source: io_uring(7), liburing.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("../sys/kernel.zig");
const layout = @import("../layout.zig");
const pages = @import("../sys/pages.zig");
const uring = @import("../sys/uring.zig");
const contract = @import("contract.zig");
const wishes_module = @import("ring_wishes.zig");
const Wishes = wishes_module.Wishes;

const common = uring.setup_cqsize | uring.setup_clamp | uring.setup_submit_all;

/// Best first. DEFER_TASKRUN 6.1, NO_SQARRAY 6.6; every kernel with multishot receive (6.0) has
/// what the last needs. A kernel that does not know a flag answers EINVAL.
pub const ladder = [_]u32{
    common | uring.setup_taskrun_flag | uring.setup_single_issuer | uring.setup_defer_taskrun |
        uring.setup_no_sqarray,
    common | uring.setup_taskrun_flag | uring.setup_single_issuer | uring.setup_defer_taskrun,
    common | uring.setup_taskrun_flag | uring.setup_coop_taskrun,
};

/// The same with a thread of the kernel that takes submissions, and runs what DEFER_TASKRUN and
/// COOP_TASKRUN are about.
pub const sqpoll_ladder = [_]u32{
    common | uring.setup_sqpoll | uring.setup_single_issuer | uring.setup_no_sqarray,
    common | uring.setup_sqpoll | uring.setup_single_issuer,
    common | uring.setup_sqpoll,
};

/// Completion entries per submission entry: multishot operations complete many times.
const completions_per_submission = 16;

pub const Options = struct {
    entries: u32,
    /// Completion entries; 0 for enough.
    completions: u32 = 0,
    deny_flags: u32 = 0,
    deny_features: u32 = 0,
    wishes: Wishes = .{},
};

pub fn Ring(comptime System: type) type {
    return struct {
        const Self = @This();

        descriptor: i32,
        /// What `enter` knows the ring by: its place among the thread's registered rings, or its
        /// descriptor; and the flag that tells which.
        name: i32,
        name_flags: u32,
        /// The thread with which it is registered.
        thread: i32,
        grant: contract.Grant,
        /// Both queues: one mapping since Linux 5.4.
        rings: uring.Memory,
        entries_memory: uring.Memory,

        sqes: []uring.Sqe,
        sq_head: *u32,
        sq_tail: *u32,
        sq_flags: *u32,
        sq_mask: u32,
        /// Tail including entries that are not yet shown to the kernel.
        sq_local_tail: u32,

        cqes: []uring.Cqe,
        cq_head: *u32,
        cq_tail: *u32,
        cq_mask: u32,
        cq_flags: *u32,
        /// Registered with the ring once somebody wants to be woken; -1 before.
        eventfd: i32,
        /// A thread of the kernel takes submissions.
        polled: bool,
        min_wait_us: u32,
        /// Completions that a wait is for, while `min_wait_us` lasts.
        wait_count: u32,

        system_calls: u64,

        /// Climbs down the ladder until the kernel accepts a rung.
        pub fn init(options: Options, failure: *contract.Failure) contract.InitError!Self {
            if (!options.wishes.sqpoll) return climb(&ladder, options, failure);
            const bit: u32 = @intFromEnum(layout.RingFeature.sqpoll);
            if (options.deny_features & bit == 0) {
                if (climb(&sqpoll_ladder, options, failure)) |self| return self else |_| {}
            }
            const errno = failure.errno;
            failure.* = .{};
            // Where there is no ring at all that is the error to tell.
            var self = try climb(&ladder, options, failure);
            errdefer self.deinit();
            try wishes_module.refuse(&options.wishes, .sqpoll, errno, failure);
            return self;
        }

        fn climb(
            rungs: []const u32,
            options: Options,
            failure: *contract.Failure,
        ) contract.InitError!Self {
            for (rungs, 0..) |flags, rung| {
                if (flags & options.deny_flags != 0) continue;
                var params = std.mem.zeroes(uring.Params);
                params.flags = flags;
                params.cq_entries = if (options.completions > 0)
                    options.completions
                else
                    options.entries * completions_per_submission;
                if (flags & uring.setup_sqpoll != 0) ask_for_thread(&params, &options.wishes);
                const descriptor = System.setup(options.entries, &params);
                if (descriptor >= 0) {
                    return map(descriptor, &params, @intCast(rung), options, failure);
                }
                failure.* = describe(descriptor);
                if (descriptor != kernel.negative(.INVAL)) return error.Unavailable;
            }
            return error.Unavailable;
        }

        fn ask_for_thread(params: *uring.Params, wishes: *const Wishes) void {
            params.sq_thread_idle = wishes.sqpoll_idle_ms;
            const cpu = wishes.sqpoll_cpu orelse return;
            params.flags |= uring.setup_sq_aff;
            params.sq_thread_cpu = cpu;
        }

        fn map(
            descriptor: i32,
            params: *const uring.Params,
            rung: u32,
            options: Options,
            failure: *contract.Failure,
        ) contract.InitError!Self {
            errdefer System.close(descriptor);
            const needed = uring.feature_nodrop | uring.feature_submit_stable |
                uring.feature_ext_arg | uring.feature_single_mmap;
            if (params.features & needed != needed) {
                failure.* = .{ .reason = .kernel_too_old, .syscall = .io_uring_setup };
                return error.Unavailable;
            }
            const sq = params.sq_offsets;
            const cq = params.cq_offsets;
            const with_array = params.flags & uring.setup_no_sqarray == 0;
            const sq_end = if (with_array) sq.array + params.sq_entries * @sizeOf(u32) else 0;
            const cq_end = cq.cqes + params.cq_entries * @sizeOf(uring.Cqe);
            const rings = try map_queues(descriptor, @max(sq_end, cq_end), uring.offset_sq_ring);
            errdefer System.unmap(rings);
            const sqe_bytes = params.sq_entries * @sizeOf(uring.Sqe);
            const entries_memory = try map_queues(descriptor, sqe_bytes, uring.offset_sqes);
            const sqes: [*]uring.Sqe = @ptrCast(entries_memory.ptr);
            const cqes: [*]uring.Cqe = @ptrCast(@alignCast(rings.ptr + cq.cqes));
            if (with_array) {
                const array: [*]u32 = @ptrCast(@alignCast(rings.ptr + sq.array));
                for (array[0..params.sq_entries], 0..) |*entry, index| entry.* = @intCast(index);
            }
            const tail = word(rings, sq.tail);
            var self: Self = .{
                .descriptor = descriptor,
                .name = descriptor,
                .name_flags = 0,
                .thread = 0,
                .grant = .{ .flags = params.flags, .features = params.features, .rung = rung },
                .rings = rings,
                .entries_memory = entries_memory,
                .sqes = sqes[0..params.sq_entries],
                .sq_head = word(rings, sq.head),
                .sq_tail = tail,
                .sq_flags = word(rings, sq.flags),
                .sq_mask = word(rings, sq.ring_mask).*,
                .sq_local_tail = tail.*,
                .cqes = cqes[0..params.cq_entries],
                .cq_head = word(rings, cq.head),
                .cq_tail = word(rings, cq.tail),
                .cq_mask = word(rings, cq.ring_mask).*,
                .cq_flags = word(rings, cq.flags),
                .eventfd = -1,
                .polled = params.flags & uring.setup_sqpoll != 0,
                .min_wait_us = 0,
                .wait_count = 1,
                .system_calls = 0,
            };
            if (self.polled) self.granted(.sqpoll);
            const place: u32 = @intFromEnum(layout.RingFeature.registered_ring);
            if (options.deny_features & place == 0) self.register_descriptor();
            return self;
        }

        fn map_queues(
            descriptor: i32,
            length: usize,
            offset: i64,
        ) error{OutOfMemory}!uring.Memory {
            const memory = System.map(descriptor, length, offset) orelse return error.OutOfMemory;
            pages.exclude_from_fork(memory);
            return memory;
        }

        pub fn deinit(self: *Self) void {
            if (self.eventfd >= 0) System.close(self.eventfd);
            self.unregister_descriptor();
            System.unmap(self.entries_memory);
            System.unmap(self.rings);
            System.close(self.descriptor);
            self.* = undefined;
        }

        pub fn granted(self: *Self, feature: layout.RingFeature) void {
            self.grant.granted |= @intFromEnum(feature);
        }

        pub fn has(self: *const Self, feature: layout.RingFeature) bool {
            return self.grant.granted & @intFromEnum(feature) != 0;
        }

        /// Spares the kernel looking up the descriptor at each call. A thread has 16 places.
        fn register_descriptor(self: *Self) void {
            var request: uring.RingDescriptor = .{
                .place = uring.any_place,
                .reserved = 0,
                .descriptor = @intCast(self.descriptor),
            };
            if (self.register(uring.register_ring_fds, &request, 1) != 1) return;
            self.name = @intCast(request.place);
            self.name_flags = uring.enter_registered_ring;
            self.thread = linux.gettid();
            self.granted(.registered_ring);
        }

        /// The place would keep the ring open until its thread ends. Another thread's places are
        /// not this one's.
        fn unregister_descriptor(self: *Self) void {
            if (self.name_flags == 0 or self.thread != linux.gettid()) return;
            const request: uring.RingDescriptor = .{
                .place = @intCast(self.name),
                .reserved = 0,
                .descriptor = 0,
            };
            _ = self.register(uring.unregister_ring_fds, &request, 1);
        }

        /// The result of the kernel.
        pub fn register(
            self: *const Self,
            operation: u32,
            argument: *const anyopaque,
            count: u32,
        ) i32 {
            return System.register(self.descriptor, operation, argument, count);
        }

        /// The next free submission entry, to be written before the next call; null when the queue
        /// is full.
        pub fn next_sqe(self: *Self) ?*uring.Sqe {
            const head = @atomicLoad(u32, self.sq_head, .acquire);
            if (self.sq_local_tail -% head == self.sqes.len) return null;
            const sqe = &self.sqes[self.sq_local_tail & self.sq_mask];
            self.sq_local_tail +%= 1;
            return sqe;
        }

        /// Entries that the kernel has not taken.
        pub fn unsubmitted(self: *const Self) u32 {
            return self.sq_local_tail -% @atomicLoad(u32, self.sq_head, .acquire);
        }

        /// Whether entries wait for a call of `enter`. The kernel's thread takes those that it was
        /// shown by itself, unless it sleeps.
        pub fn must_submit(self: *const Self) bool {
            if (self.unsubmitted() == 0) return false;
            if (!self.polled or self.sq_tail.* != self.sq_local_tail) return true;
            return self.thread_sleeps();
        }

        fn thread_sleeps(self: *const Self) bool {
            // Sequentially consistent: the look must not come before the tail is shown.
            return @atomicLoad(u32, self.sq_flags, .seq_cst) & uring.sq_need_wakeup != 0;
        }

        /// Whether a completion can be read now.
        pub fn has_completions(self: *const Self) bool {
            return @atomicLoad(u32, self.cq_tail, .acquire) != self.cq_head.*;
        }

        /// Whether entering would yield completions that cannot be seen yet.
        pub fn kernel_has_work(self: *const Self) bool {
            const flags = @atomicLoad(u32, self.sq_flags, .acquire);
            return flags & (uring.sq_taskrun | uring.sq_cq_overflow) != 0;
        }

        /// Shows the kernel what there is. Its thread, if there is one, goes on with that.
        pub fn show(self: *Self) void {
            if (self.polled) {
                @atomicStore(u32, self.sq_tail, self.sq_local_tail, .seq_cst);
            } else {
                @atomicStore(u32, self.sq_tail, self.sq_local_tail, .release);
            }
        }

        /// Submits everything and runs the kernel's pending work; with `wait` also waits for
        /// completions. Zero, or a negated errno: EBUSY and EAGAIN mean "reap first", ETIME and
        /// EINTR that the wait ended early.
        pub fn enter(self: *Self, wait: bool, timeout_ns: ?u64) i32 {
            self.show();
            self.system_calls += 1;
            var flags = uring.enter_getevents | self.name_flags;
            if (self.polled and self.thread_sleeps()) flags |= uring.enter_sq_wakeup;
            const count = self.unsubmitted();
            if (!wait) return @min(System.enter(self.name, count, 0, flags, null), 0);
            return @min(self.enter_waiting(count, flags, timeout_ns), 0);
        }

        fn enter_waiting(self: *Self, count: u32, flags: u32, timeout_ns: ?u64) i32 {
            if (timeout_ns == null and self.min_wait_us == 0) {
                return System.enter(self.name, count, 1, flags, null);
            }
            const limit_ns = timeout_ns orelse 0;
            const time: linux.kernel_timespec = .{
                .sec = @intCast(limit_ns / std.time.ns_per_s),
                .nsec = @intCast(limit_ns % std.time.ns_per_s),
            };
            const limit_us = if (timeout_ns == null) self.min_wait_us else limit_ns / 1000;
            const argument: uring.GetEventsArgument = .{
                .signal_mask = 0,
                .signal_mask_size = 0,
                // The kernel would wait so long although the whole wait is shorter.
                .min_wait_us = @intCast(@min(self.min_wait_us, limit_us)),
                .timeout = if (timeout_ns == null) 0 else @intFromPtr(&time),
            };
            const wanted = if (argument.min_wait_us == 0) 1 else self.wait_count;
            return System.enter(self.name, count, wanted, flags, &argument);
        }

        /// Waits until the kernel's thread has taken at least one entry of a full queue.
        pub fn wait_for_room(self: *Self) void {
            self.show();
            self.system_calls += 1;
            const flags = uring.enter_sq_wait | uring.enter_sq_wakeup | self.name_flags;
            _ = System.enter(self.name, 0, 0, flags, null);
        }

        /// A descriptor that becomes readable with completions while `signal_events` is on, or a
        /// negated errno.
        pub fn event_descriptor(self: *Self) i32 {
            if (self.eventfd >= 0) return self.eventfd;
            const flags = linux.EFD.CLOEXEC | linux.EFD.NONBLOCK;
            const descriptor = kernel.result(linux.eventfd(0, flags));
            if (descriptor < 0) return descriptor;
            self.signal_events(false);
            const rc = self.register(uring.register_eventfd, &descriptor, 1);
            if (rc < 0) {
                kernel.close(descriptor);
                return rc;
            }
            self.eventfd = descriptor;
            return descriptor;
        }

        /// Off while the loop runs, so that a busy loop does not pay for signals that nobody waits
        /// for.
        pub fn signal_events(self: *Self, on: bool) void {
            if (on) self.forget_signals();
            const flags: u32 = if (on) 0 else uring.cq_eventfd_disabled;
            // Sequentially consistent: the look at the queues that follows must not come before it.
            @atomicStore(u32, self.cq_flags, flags, .seq_cst);
        }

        fn forget_signals(self: *Self) void {
            var count: u64 = 0;
            _ = linux.read(self.eventfd, std.mem.asBytes(&count), @sizeOf(u64));
        }

        /// Takes one completion, or null.
        pub fn take(self: *Self) ?uring.Cqe {
            const head = self.cq_head.*;
            if (@atomicLoad(u32, self.cq_tail, .acquire) == head) return null;
            const cqe = self.cqes[head & self.cq_mask];
            @atomicStore(u32, self.cq_head, head +% 1, .release);
            return cqe;
        }
    };
}

fn word(memory: uring.Memory, offset: u32) *u32 {
    return @ptrCast(@alignCast(memory.ptr + offset));
}

/// Why the kernel refused to set up a ring.
fn describe(rc: i32) contract.Failure {
    return .{
        .syscall = .io_uring_setup,
        .errno = kernel.errno_of(rc),
        .reason = if (rc == kernel.negative(.NOSYS))
            .not_implemented
        else if (rc == kernel.negative(.PERM) or rc == kernel.negative(.ACCES))
            (if (disabled_by_sysctl() > 0) .disabled_by_sysctl else .not_permitted)
        else if (rc == kernel.negative(.NOMEM) or rc == kernel.negative(.MFILE) or
            rc == kernel.negative(.NFILE))
            .out_of_resources
        else if (rc == kernel.negative(.INVAL))
            .kernel_too_old
        else
            .other,
    };
}

/// kernel.io_uring_disabled: 0 allowed, 1 for privileged processes, 2 for nobody. 0 where the
/// kernel has no such setting (before 6.6).
pub fn disabled_by_sysctl() u32 {
    var buffer: [16]u8 = undefined;
    const text = kernel.read_file("/proc/sys/kernel/io_uring_disabled", &buffer) orelse return 0;
    return kernel.first_number(text) orelse 0;
}
