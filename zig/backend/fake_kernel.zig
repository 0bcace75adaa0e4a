//! For tests: the system calls of io_uring without a kernel. Its queue indices start just below
//! 2^32; it takes as many submissions as it is told to, answers what it is told to, and completes
//! when it is told to. One ring at a time; `reset` before each.

const std = @import("std");
const kernel = @import("../sys/kernel.zig");
const uring = @import("../sys/uring.zig");

const page = std.heap.page_size_min;
const descriptor = 1 << 20;
const place = 7;
const start: u32 = std.math.maxInt(u32) - 2;
const taken_max = 1024;

var queues: [64 * page]u8 align(page) = undefined;
var entries: [16 * page]u8 align(page) = undefined;

const at = struct {
    const sq_head = 0;
    const sq_tail = 64;
    const sq_mask = 128;
    const sq_flags = 192;
    const cq_head = 256;
    const cq_tail = 320;
    const cq_mask = 384;
    const cq_flags = 448;
    const array = 512;
    const cqes = 16 * page;
};

pub const State = struct {
    sq_entries: u32 = 0,
    cq_entries: u32 = 0,
    flags: u32 = 0,
    /// Flags of `setup` that it does not know.
    unknown_flags: u32 = 0,
    features: u32 = all_features,
    release: [3]u32 = .{ 6, 18, 0 },
    /// Operations of `register` that it does not know.
    unknown_operations: u64 = 0,
    /// Most submissions that a call takes.
    takes_max: u32 = std.math.maxInt(u32),
    /// So many calls are ended by a signal before anything is taken.
    interruptions: u32 = 0,
    /// What the next call answers whatever it did.
    answer: ?i32 = null,
    /// What was taken, as far as it fits.
    taken: u32 = 0,
    calls: u32 = 0,
    last_name: i32 = 0,
    last_flags: u32 = 0,
    last_wait: u32 = 0,
    last_argument: ?uring.GetEventsArgument = null,
    registered: bool = false,
    closed: bool = false,
    buffers: []uring.BufferRingEntry = &.{},
    buffers_head: u16 = 0,
    buffer_flags: u16 = 0,
    /// Completions that found no room.
    overflowed: u32 = 0,
};

const all_features = uring.feature_nodrop | uring.feature_submit_stable | uring.feature_ext_arg |
    uring.feature_single_mmap | uring.feature_recvsend_bundle | uring.feature_min_timeout;

pub var state: State = .{};
pub var submissions: [taken_max]uring.Sqe = undefined;
var overflow: [1024]uring.Cqe = undefined;

pub fn reset(with: State) void {
    state = with;
    @memset(&queues, 0);
    @memset(&entries, 0);
}

fn word(offset: usize) *u32 {
    return @ptrCast(@alignCast(&queues[offset]));
}

pub fn setup(count: u32, params: *uring.Params) i32 {
    if (params.flags & state.unknown_flags != 0) return kernel.negative(.INVAL);
    state.sq_entries = count;
    state.cq_entries = params.cq_entries;
    state.flags = params.flags;
    params.sq_entries = count;
    params.features = state.features;
    params.sq_offsets.head = at.sq_head;
    params.sq_offsets.tail = at.sq_tail;
    params.sq_offsets.ring_mask = at.sq_mask;
    params.sq_offsets.flags = at.sq_flags;
    params.sq_offsets.array = at.array;
    params.cq_offsets.head = at.cq_head;
    params.cq_offsets.tail = at.cq_tail;
    params.cq_offsets.ring_mask = at.cq_mask;
    params.cq_offsets.flags = at.cq_flags;
    params.cq_offsets.cqes = at.cqes;
    for ([_]usize{ at.sq_head, at.sq_tail, at.cq_head, at.cq_tail }) |offset| {
        word(offset).* = start;
    }
    word(at.sq_mask).* = count - 1;
    word(at.cq_mask).* = params.cq_entries - 1;
    return descriptor;
}

pub fn map(_: i32, length: usize, offset: i64) ?uring.Memory {
    const memory: uring.Memory = if (offset == uring.offset_sqes) &entries else &queues;
    std.debug.assert(length <= memory.len);
    return memory;
}

pub fn unmap(_: uring.Memory) void {}

pub fn close(closed: i32) void {
    state.closed = closed == descriptor;
}

pub fn send_message(_: i32, _: u64) i32 {
    return kernel.negative(.INVAL);
}

pub fn kernel_release() [3]u32 {
    return state.release;
}

pub fn register(_: i32, operation: u32, argument: *const anyopaque, count: u32) i32 {
    _ = count;
    if (operation < 64 and state.unknown_operations >> @intCast(operation) & 1 != 0) {
        return kernel.negative(.INVAL);
    }
    switch (operation) {
        uring.register_ring_fds => {
            const request: *uring.RingDescriptor = @ptrCast(@alignCast(@constCast(argument)));
            request.place = place;
            state.registered = true;
            return 1;
        },
        uring.unregister_ring_fds => {
            const request: *const uring.RingDescriptor = @ptrCast(@alignCast(argument));
            state.registered = request.place != place;
            return 1;
        },
        uring.register_pbuf_ring => {
            const request: *const uring.BufferRingRegistration = @ptrCast(@alignCast(argument));
            const first: [*]uring.BufferRingEntry = @ptrFromInt(request.ring_address);
            state.buffers = first[0..request.ring_entries];
            state.buffer_flags = request.flags;
            return 0;
        },
        uring.register_probe => {
            const probe: *uring.Probe = @ptrCast(@alignCast(@constCast(argument)));
            for (&probe.operations) |*known| known.flags = uring.op_supported;
            return 0;
        },
        uring.register_napi => return 0,
        else => return kernel.negative(.INVAL),
    }
}

pub fn enter(
    name: i32,
    submit: u32,
    wait: u32,
    flags: u32,
    argument: ?*const uring.GetEventsArgument,
) i32 {
    state.calls += 1;
    state.last_name = name;
    state.last_flags = flags;
    state.last_wait = wait;
    state.last_argument = if (argument) |given| given.* else null;
    if (state.interruptions > 0) {
        state.interruptions -= 1;
        return kernel.negative(.INTR);
    }
    if (flags & uring.enter_sq_wakeup != 0) {
        _ = @atomicRmw(u32, word(at.sq_flags), .And, ~uring.sq_need_wakeup, .seq_cst);
    }
    const polled = state.flags & uring.setup_sqpoll != 0;
    const count = if (polled) take(state.takes_max) else take(@min(submit, state.takes_max));
    const blocked = flags & uring.enter_getevents != 0 and !flush_overflow();
    if (state.answer) |answer| {
        state.answer = null;
        return answer;
    }
    return if (blocked) kernel.negative(.BUSY) else @intCast(count);
}

/// Takes up to `most` submissions that are shown; those on no descriptor fail at once.
pub fn take(most: u32) u32 {
    const head = word(at.sq_head);
    const shown = @atomicLoad(u32, word(at.sq_tail), .acquire) -% head.*;
    const all: [*]const uring.Sqe = @ptrCast(&entries);
    const count = @min(shown, most);
    for (0..count) |_| {
        const sqe = all[head.* & (state.sq_entries - 1)];
        submissions[state.taken % taken_max] = sqe;
        state.taken += 1;
        if (sqe.opcode == .recv and sqe.descriptor == -1) {
            complete(sqe.user_data, kernel.negative(.BADF), 0);
        }
        @atomicStore(u32, head, head.* +% 1, .release);
    }
    return count;
}

/// The thread of the kernel goes to sleep.
pub fn fall_asleep() void {
    _ = @atomicRmw(u32, word(at.sq_flags), .Or, uring.sq_need_wakeup, .seq_cst);
}

/// Posts a completion, or keeps it until there is room.
pub fn complete(user_data: u64, result: i32, flags: u32) void {
    const cqe: uring.Cqe = .{ .user_data = user_data, .result = result, .flags = flags };
    if (state.overflowed > 0 or !post(cqe)) {
        overflow[state.overflowed] = cqe;
        state.overflowed += 1;
        word(at.sq_flags).* |= uring.sq_cq_overflow;
    }
}

fn post(cqe: uring.Cqe) bool {
    const tail = word(at.cq_tail);
    if (tail.* -% word(at.cq_head).* == state.cq_entries) return false;
    const all: [*]uring.Cqe = @ptrCast(@alignCast(&queues[at.cqes]));
    all[tail.* & (state.cq_entries - 1)] = cqe;
    @atomicStore(u32, tail, tail.* +% 1, .release);
    return true;
}

fn flush_overflow() bool {
    var posted: u32 = 0;
    while (posted < state.overflowed and post(overflow[posted])) posted += 1;
    const left = state.overflowed - posted;
    std.mem.copyForwards(uring.Cqe, &overflow, overflow[posted..][0..left]);
    state.overflowed = left;
    if (left > 0) return false;
    word(at.sq_flags).* &= ~uring.sq_cq_overflow;
    return true;
}

/// Uses the next provided buffer; null when there is none.
pub fn take_buffer() ?uring.BufferRingEntry {
    const tail = @atomicLoad(u16, &state.buffers[0].reserved, .acquire);
    // A ring that seems to hold more than it can is broken.
    if (state.buffers_head == tail or tail -% state.buffers_head > state.buffers.len) return null;
    const mask: u16 = @intCast(state.buffers.len - 1);
    const entry = state.buffers[state.buffers_head & mask];
    state.buffers_head +%= 1;
    return entry;
}
