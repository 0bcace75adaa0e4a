//! The little of io_uring that the load generator needs: one ring of one thread with deferred task
//! work, one ring of provided buffers, registered files. Needs Linux 6.1; `init` fails below that.
//!
//! Invariants: entries are published by `enter`, which always submits all of them; a buffer belongs
//! to the kernel from `bufferReturn` + `buffersPublish` until a completion names it.

const std = @import("std");
const linux = std.os.linux;

const entry_count = 2048;

pub const Ring = struct {
    fd: i32,
    enter_fd: i32,
    enter_flags: u32,
    sq_tail: *u32,
    sq_head: *u32,
    sq_flags: *u32,
    sqes: [*]linux.io_uring_sqe,
    sq_mask: u32,
    /// Our tail; the kernel's copy follows at `enter`.
    sq_next: u32,
    cq_head: *u32,
    cq_tail: *u32,
    cqes: [*]linux.io_uring_cqe,
    cq_mask: u32,

    buffers: [*]linux.io_uring_buf = undefined,
    buffer_memory: []u8 = undefined,
    buffer_bytes: u32 = 0,
    buffer_mask: u16 = 0,
    buffer_tail: u16 = 0,

    pub const Error = error{ Unavailable, NoMemory, Kernel };

    pub fn init(completions: u32) Error!Ring {
        const wanted: u32 = linux.IORING_SETUP_SINGLE_ISSUER | linux.IORING_SETUP_DEFER_TASKRUN |
            linux.IORING_SETUP_TASKRUN_FLAG | linux.IORING_SETUP_SUBMIT_ALL |
            linux.IORING_SETUP_CQSIZE | linux.IORING_SETUP_CLAMP;
        var parameters = std.mem.zeroes(linux.io_uring_params);
        parameters.flags = wanted | linux.IORING_SETUP_NO_SQARRAY;
        parameters.cq_entries = completions;
        var result = linux.io_uring_setup(entry_count, &parameters);
        if (linux.errno(result) == .INVAL) { // no NO_SQARRAY before Linux 6.6
            parameters = std.mem.zeroes(linux.io_uring_params);
            parameters.flags = wanted;
            parameters.cq_entries = completions;
            result = linux.io_uring_setup(entry_count, &parameters);
        }
        if (linux.errno(result) != .SUCCESS) return error.Unavailable;
        var ring = try mapRing(@intCast(result), &parameters);
        ring.registerSelf();
        return ring;
    }

    fn mapRing(fd: i32, parameters: *const linux.io_uring_params) Error!Ring {
        const sq = parameters.sq_off;
        const cq = parameters.cq_off;
        const length = @max(
            sq.array + parameters.sq_entries * @sizeOf(u32),
            cq.cqes + parameters.cq_entries * @sizeOf(linux.io_uring_cqe),
        );
        const base = try map(fd, linux.IORING_OFF_SQ_RING, length);
        const sqes = try map(
            fd,
            linux.IORING_OFF_SQES,
            parameters.sq_entries * @sizeOf(linux.io_uring_sqe),
        );
        if (parameters.flags & linux.IORING_SETUP_NO_SQARRAY == 0) {
            const array: [*]u32 = @ptrCast(@alignCast(base + sq.array));
            for (0..parameters.sq_entries) |index| array[index] = @intCast(index);
        }
        return .{
            .fd = fd,
            .enter_fd = fd,
            .enter_flags = 0,
            .sq_tail = @ptrCast(@alignCast(base + sq.tail)),
            .sq_head = @ptrCast(@alignCast(base + sq.head)),
            .sq_flags = @ptrCast(@alignCast(base + sq.flags)),
            .sqes = @ptrCast(@alignCast(sqes)),
            .sq_mask = parameters.sq_entries - 1,
            .sq_next = 0,
            .cq_head = @ptrCast(@alignCast(base + cq.head)),
            .cq_tail = @ptrCast(@alignCast(base + cq.tail)),
            .cqes = @ptrCast(@alignCast(base + cq.cqes)),
            .cq_mask = parameters.cq_entries - 1,
        };
    }

    /// Saves a descriptor look-up per entry into the kernel; goes without where it cannot.
    fn registerSelf(ring: *Ring) void {
        var update: linux.io_uring_rsrc_update = .{
            .offset = std.math.maxInt(u32),
            .resv = 0,
            .data = @intCast(ring.fd),
        };
        const result = linux.io_uring_register(ring.fd, .REGISTER_RING_FDS, &update, 1);
        if (linux.errno(result) != .SUCCESS) return;
        ring.enter_fd = @intCast(update.offset);
        ring.enter_flags = linux.IORING_ENTER_REGISTERED_RING;
    }

    pub fn registerFiles(ring: *Ring, files: []const i32) Error!void {
        const count: u32 = @intCast(files.len);
        const result = linux.io_uring_register(ring.fd, .REGISTER_FILES, files.ptr, count);
        if (linux.errno(result) != .SUCCESS) return error.Kernel;
    }

    /// Registers group 0: `count` (a power of two) buffers of `bytes` each.
    pub fn registerBuffers(ring: *Ring, count: u16, bytes: u32) Error!void {
        const ring_bytes = @as(usize, count) * @sizeOf(linux.io_uring_buf);
        const head = try map(-1, 0, ring_bytes);
        ring.buffers = @ptrCast(@alignCast(head));
        const length = @as(usize, count) * bytes;
        ring.buffer_memory = (try map(-1, 0, length))[0..length];
        ring.buffer_bytes = bytes;
        ring.buffer_mask = count - 1;
        var registration = std.mem.zeroes(linux.io_uring_buf_reg);
        registration.ring_addr = @intFromPtr(head);
        registration.ring_entries = count;
        const result = linux.io_uring_register(ring.fd, .REGISTER_PBUF_RING, &registration, 1);
        if (linux.errno(result) != .SUCCESS) return error.Unavailable;
        for (0..count) |buffer| ring.bufferReturn(@intCast(buffer));
        ring.buffersPublish();
    }

    pub fn bufferSlice(ring: *const Ring, buffer: u16, length: usize) []const u8 {
        return ring.buffer_memory[@as(usize, buffer) * ring.buffer_bytes ..][0..length];
    }

    pub fn bufferReturn(ring: *Ring, buffer: u16) void {
        const place = &ring.buffers[ring.buffer_tail & ring.buffer_mask];
        const offset = @as(usize, buffer) * ring.buffer_bytes;
        place.addr = @intFromPtr(ring.buffer_memory.ptr) + offset;
        place.len = ring.buffer_bytes;
        place.bid = buffer; // `resv` is left alone: in entry 0 it is the ring's tail
        ring.buffer_tail +%= 1;
    }

    pub fn buffersPublish(ring: *Ring) void {
        @atomicStore(u16, &ring.buffers[0].resv, ring.buffer_tail, .release);
    }

    /// An empty entry. When the ring is full it is submitted first.
    pub fn entry(ring: *Ring) Error!*linux.io_uring_sqe {
        while (ring.sq_next -% @atomicLoad(u32, ring.sq_head, .acquire) > ring.sq_mask) {
            try ring.enter(0, 0);
        }
        const sqe = &ring.sqes[ring.sq_next & ring.sq_mask];
        sqe.* = std.mem.zeroes(linux.io_uring_sqe);
        ring.sq_next +%= 1;
        return sqe;
    }

    /// There is something to take, or the kernel has something that it completes when entered.
    pub fn ready(ring: *const Ring) bool {
        if (@atomicLoad(u32, ring.cq_tail, .acquire) != ring.cq_head.*) return true;
        const flags = @atomicLoad(u32, ring.sq_flags, .monotonic);
        return flags & (linux.IORING_SQ_TASKRUN | linux.IORING_SQ_CQ_OVERFLOW) != 0;
    }

    pub fn unsubmitted(ring: *const Ring) bool {
        return ring.sq_next != @atomicLoad(u32, ring.sq_head, .acquire);
    }

    /// Submits everything, runs deferred completions, waits for `wait_count` of them but no longer
    /// than `timeout_ns`.
    pub fn enter(ring: *Ring, wait_count: u32, timeout_ns: u64) Error!void {
        @atomicStore(u32, ring.sq_tail, ring.sq_next, .release);
        const count = ring.sq_next -% @atomicLoad(u32, ring.sq_head, .acquire);
        const time: linux.timespec = .{
            .sec = @intCast(timeout_ns / std.time.ns_per_s),
            .nsec = @intCast(timeout_ns % std.time.ns_per_s),
        };
        const argument: linux.io_uring_getevents_arg = .{
            .sigmask = 0,
            .sigmask_sz = 0,
            .pad = 0,
            .ts = @intFromPtr(&time),
        };
        const flags = ring.enter_flags | linux.IORING_ENTER_GETEVENTS |
            linux.IORING_ENTER_EXT_ARG;
        const result = linux.syscall6(
            .io_uring_enter,
            @intCast(ring.enter_fd),
            count,
            wait_count,
            flags,
            @intFromPtr(&argument),
            @sizeOf(linux.io_uring_getevents_arg),
        );
        switch (linux.errno(result)) {
            // Timed out, interrupted, or completions have to be taken first: the caller looks.
            .SUCCESS, .TIME, .INTR, .BUSY, .AGAIN => {},
            else => return error.Kernel,
        }
    }

    /// The next completion, if there is one; `pop` gives its place back.
    pub fn peek(ring: *const Ring) ?*const linux.io_uring_cqe {
        const head = ring.cq_head.*;
        if (@atomicLoad(u32, ring.cq_tail, .acquire) == head) return null;
        return &ring.cqes[head & ring.cq_mask];
    }

    pub fn pop(ring: *Ring) void {
        @atomicStore(u32, ring.cq_head, ring.cq_head.* +% 1, .release);
    }
};

fn map(fd: i32, offset: i64, length: usize) Ring.Error![*]u8 {
    const shared: linux.MAP = .{ .TYPE = .SHARED, .POPULATE = true };
    const private: linux.MAP = .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .POPULATE = true };
    const flags = if (fd < 0) private else shared;
    const result = linux.mmap(null, length, .{ .READ = true, .WRITE = true }, flags, fd, offset);
    if (linux.errno(result) != .SUCCESS) return error.NoMemory;
    return @ptrFromInt(result);
}
