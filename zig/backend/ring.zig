//! The submission and completion queues of one io_uring: set-up ladder, index arithmetic, entering.
//!
//! Invariants: only the loop's thread touches it; queue indices wrap at 2^32; what the kernel took
//! is read from its own head, never from the result of entering. Source: io_uring(7), liburing.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("../sys/kernel.zig");
const pages = @import("../sys/pages.zig");
const uring = @import("../sys/uring.zig");
const contract = @import("contract.zig");

const Memory = []align(std.heap.page_size_min) u8;

const common = uring.setup_cqsize | uring.setup_clamp | uring.setup_submit_all |
    uring.setup_taskrun_flag;

/// Best first. DEFER_TASKRUN 6.1, NO_SQARRAY 6.6; every kernel with multishot receive (6.0) has
/// what the last needs. A kernel that does not know a flag answers EINVAL.
pub const ladder = [_]u32{
    common | uring.setup_single_issuer | uring.setup_defer_taskrun | uring.setup_no_sqarray,
    common | uring.setup_single_issuer | uring.setup_defer_taskrun,
    common | uring.setup_coop_taskrun,
};

/// Completion entries per submission entry: multishot operations complete many times.
const completions_per_submission = 16;

pub const Ring = struct {
    descriptor: i32,
    grant: contract.Grant,
    /// Both queues: one mapping since Linux 5.4.
    rings: Memory,
    entries_memory: Memory,

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

    system_calls: u64,

    /// Climbs down the ladder until the kernel accepts a rung.
    pub fn init(entries: u32, deny_flags: u32, failure: *contract.Failure) contract.InitError!Ring {
        var params: uring.Params = undefined;
        for (ladder, 0..) |flags, rung| {
            if (flags & deny_flags != 0) continue;
            params = std.mem.zeroes(uring.Params);
            params.flags = flags;
            params.cq_entries = entries * completions_per_submission;
            const descriptor = uring.setup(entries, &params);
            if (descriptor >= 0) return map(descriptor, &params, @intCast(rung), failure);
            failure.* = describe(descriptor);
            if (descriptor != kernel.negative(.INVAL)) return error.Unavailable;
        }
        return error.Unavailable;
    }

    fn map(
        descriptor: i32,
        params: *const uring.Params,
        rung: u32,
        failure: *contract.Failure,
    ) contract.InitError!Ring {
        errdefer kernel.close(descriptor);
        const needed = uring.feature_nodrop | uring.feature_submit_stable | uring.feature_ext_arg |
            uring.feature_single_mmap;
        if (params.features & needed != needed) {
            failure.* = .{ .reason = .kernel_too_old, .syscall = .io_uring_setup };
            return error.Unavailable;
        }
        const sq = params.sq_offsets;
        const cq = params.cq_offsets;
        const with_array = params.flags & uring.setup_no_sqarray == 0;
        const sq_end = if (with_array) sq.array + params.sq_entries * @sizeOf(u32) else 0;
        const cq_end = cq.cqes + params.cq_entries * @sizeOf(uring.Cqe);
        const rings = try map_ring(descriptor, @max(sq_end, cq_end), uring.offset_sq_ring);
        errdefer kernel.unmap(rings);
        const sqe_bytes = params.sq_entries * @sizeOf(uring.Sqe);
        const entries_memory = try map_ring(descriptor, sqe_bytes, uring.offset_sqes);
        const sqes: [*]uring.Sqe = @ptrCast(entries_memory.ptr);
        const cqes: [*]uring.Cqe = @ptrCast(@alignCast(rings.ptr + cq.cqes));
        if (with_array) {
            const array: [*]u32 = @ptrCast(@alignCast(rings.ptr + sq.array));
            for (array[0..params.sq_entries], 0..) |*entry, index| entry.* = @intCast(index);
        }
        const tail = word(rings, sq.tail);
        return .{
            .descriptor = descriptor,
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
            .system_calls = 0,
        };
    }

    pub fn deinit(self: *Ring) void {
        if (self.eventfd >= 0) kernel.close(self.eventfd);
        kernel.unmap(self.entries_memory);
        kernel.unmap(self.rings);
        kernel.close(self.descriptor);
        self.* = undefined;
    }

    /// The next free submission entry, to be written before the next call; null when the queue is
    /// full.
    pub fn next_sqe(self: *Ring) ?*uring.Sqe {
        const head = @atomicLoad(u32, self.sq_head, .acquire);
        if (self.sq_local_tail -% head == self.sqes.len) return null;
        const sqe = &self.sqes[self.sq_local_tail & self.sq_mask];
        self.sq_local_tail +%= 1;
        return sqe;
    }

    /// Entries that the kernel has not taken.
    pub fn unsubmitted(self: *const Ring) u32 {
        return self.sq_local_tail -% @atomicLoad(u32, self.sq_head, .acquire);
    }

    /// Whether a completion can be read now.
    pub fn has_completions(self: *const Ring) bool {
        return @atomicLoad(u32, self.cq_tail, .acquire) != self.cq_head.*;
    }

    /// Whether entering would yield completions that cannot be seen yet.
    pub fn kernel_has_work(self: *const Ring) bool {
        const flags = @atomicLoad(u32, self.sq_flags, .acquire);
        return flags & (uring.sq_taskrun | uring.sq_cq_overflow) != 0;
    }

    /// Submits everything and runs the kernel's pending work; with `wait` also waits for a
    /// completion. Zero, or a negated errno: EBUSY and EAGAIN mean "reap first", ETIME and EINTR
    /// that the wait ended early.
    pub fn enter(self: *Ring, wait: bool, timeout_ns: ?u64) i32 {
        @atomicStore(u32, self.sq_tail, self.sq_local_tail, .release);
        self.system_calls += 1;
        const minimum: u32 = @intFromBool(wait);
        const limit = if (wait) timeout_ns else null;
        const count = self.unsubmitted();
        const rc = uring.enter(self.descriptor, count, minimum, uring.enter_getevents, limit);
        return @min(rc, 0);
    }

    /// A descriptor that becomes readable with completions while `signal_events` is on, or a
    /// negated errno.
    pub fn event_descriptor(self: *Ring) i32 {
        if (self.eventfd >= 0) return self.eventfd;
        const flags = linux.EFD.CLOEXEC | linux.EFD.NONBLOCK;
        const descriptor = kernel.result(linux.eventfd(0, flags));
        if (descriptor < 0) return descriptor;
        self.signal_events(false);
        const rc = uring.register(self.descriptor, uring.register_eventfd, &descriptor, 1);
        if (rc < 0) {
            kernel.close(descriptor);
            return rc;
        }
        self.eventfd = descriptor;
        return descriptor;
    }

    /// Off while the loop runs, so that a busy loop does not pay for signals that nobody waits for.
    pub fn signal_events(self: *Ring, on: bool) void {
        if (on) self.forget_signals();
        const flags: u32 = if (on) 0 else uring.cq_eventfd_disabled;
        // Sequentially consistent: the look at the queues that follows must not come before it.
        @atomicStore(u32, self.cq_flags, flags, .seq_cst);
    }

    fn forget_signals(self: *Ring) void {
        var count: u64 = 0;
        _ = linux.read(self.eventfd, std.mem.asBytes(&count), @sizeOf(u64));
    }

    /// Takes one completion, or null.
    pub fn take(self: *Ring) ?uring.Cqe {
        const head = self.cq_head.*;
        if (@atomicLoad(u32, self.cq_tail, .acquire) == head) return null;
        const cqe = self.cqes[head & self.cq_mask];
        @atomicStore(u32, self.cq_head, head +% 1, .release);
        return cqe;
    }
};

fn map_ring(descriptor: i32, length: usize, offset: i64) error{OutOfMemory}!Memory {
    const bytes = kernel.round_to_page(length);
    const rc = linux.mmap(null, bytes, .{ .READ = true, .WRITE = true }, .{
        .TYPE = .SHARED,
        .POPULATE = true,
    }, descriptor, offset);
    if (kernel.result(rc) < 0) return error.OutOfMemory;
    const pointer: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(rc);
    pages.exclude_from_fork(pointer[0..bytes]);
    return pointer[0..bytes];
}

fn word(memory: Memory, offset: u32) *u32 {
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
