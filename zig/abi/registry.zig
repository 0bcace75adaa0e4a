//! The loops of this process by handle.
//!
//! A handle is slot + generation; only the thread that opened a loop may use it, and a thread that
//! ends closes its loops. Reserving a slot takes the lock; finding does not: it compares two atomic
//! words, and what lies behind them was written by the very thread that reads it.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const host = @import("../sys/host.zig");
const Lock = @import("../sys/lock.zig").Lock;
const doorbells = @import("../loop/doorbells.zig");
const waker = @import("../loop/waker.zig");
const arena = @import("../memory/arena.zig");
const fork = @import("../sys/fork.zig");
const members = @import("../memory/members.zig");
const memory = @import("memory.zig");
const lookups = @import("../net/resolve/requests.zig");
const regions = @import("../memory/regions.zig");
const slabs = @import("../memory/slabs.zig");
const backends = @import("backends.zig");
const Any = backends.Any;

const Slot = struct {
    /// 0: nobody's. `reserved`: being opened or closed.
    handle: std.atomic.Value(u32) = .init(0),
    thread: std.atomic.Value(usize) = .init(0),
    generation: u32 = 0,
    any: Any = undefined,
};

const slots_max = waker.slots_max;
const slot_bits = 8;
const generation_max = (1 << (31 - slot_bits)) - 1;
/// No handle has its top bit set.
const reserved: u32 = 1 << 31;

var lock: Lock = .{};
var slots: [slots_max]Slot = @splat(.{});

comptime {
    std.debug.assert(slots_max == 1 << slot_bits);
}

pub const FindError = error{ Stale, WrongThread, Forked };

pub fn slot_of(handle: u32) u32 {
    return handle & (slots_max - 1);
}

pub fn find(handle: u32) FindError!Any {
    if (fork.is_child()) return error.Forked;
    const slot = &slots[slot_of(handle)];
    if (handle == 0 or handle >= reserved) return error.Stale;
    if (slot.handle.load(.acquire) != handle) return error.Stale;
    if (slot.thread.load(.monotonic) != host.thread_identity()) return error.WrongThread;
    return slot.any;
}

/// Opens a loop with the first backend that works of those asked for. A handle, or a negative
/// status.
pub fn open(options: *layout.LoopOptions) i32 {
    start_afresh();
    const index = reserve_slot() orelse return @intFromEnum(layout.Status.exhausted);
    const slot = &slots[index];
    host.at_thread_end(close_own);
    slot.any = open_backend(options) catch |err| {
        slot.handle.store(0, .release);
        return switch (err) {
            error.Unavailable => @intFromEnum(layout.Status.backend_unavailable),
            error.OutOfMemory => @intFromEnum(layout.Status.exhausted),
            error.NotGranted => @intFromEnum(layout.Status.not_granted),
        };
    };
    slot.generation = if (slot.generation == generation_max) 1 else slot.generation + 1;
    const handle = slot.generation << slot_bits | index;
    slot.thread.store(host.thread_identity(), .monotonic);
    slot.handle.store(handle, .release);
    return @intCast(handle);
}

fn reserve_slot() ?u32 {
    lock.acquire();
    defer lock.release();
    for (&slots, 0..) |*slot, index| {
        if (slot.handle.load(.acquire) != 0) continue;
        slot.handle.store(reserved, .monotonic);
        return @intCast(index);
    }
    return null;
}

/// The process that starts afresh. Not a lock: a child of the child may find one held for ever.
var fresh_process: std.atomic.Value(i32) = .init(0);

/// In the child of a fork nothing of the parent is left: its memory is not there, its threads are
/// not, and its locks may be held by one of those for ever. Handles of the parent stay stale.
fn start_afresh() void {
    fork.watch();
    if (!fork.is_child()) return;
    const process = host.process_number();
    const before = fresh_process.load(.monotonic);
    const is_first = before != process and
        fresh_process.cmpxchgStrong(before, process, .acq_rel, .monotonic) == null;
    if (!is_first) {
        while (fork.is_child()) std.atomic.spinLoopHint();
        return;
    }
    lock = .{};
    for (&slots) |*slot| slot.handle.store(0, .monotonic);
    waker.reset();
    lookups.reset();
    doorbells.reset();
    regions.reset();
    arena.reset();
    members.reset();
    slabs.reset();
    backends.reset();
    memory.reset();
    fork.adopt();
}

fn open_backend(options: *layout.LoopOptions) !Any {
    var failure: contract.Failure = .{};
    defer {
        options.error_reason = @intFromEnum(failure.reason);
        options.error_errno = failure.errno;
        options.error_syscall = @intFromEnum(failure.syscall);
    }
    return backends.open(options, &failure);
}

/// A thread ends, such as that of a terminated Worker: nobody else could close its loops.
fn close_own() void {
    for (&slots) |*slot| {
        const handle = slot.handle.load(.acquire);
        if (slot.thread.load(.monotonic) == host.thread_identity()) close(handle) catch continue;
    }
}

pub fn close(handle: u32) FindError!void {
    const any = try find(handle);
    const index = slot_of(handle);
    slots[index].handle.store(reserved, .release);
    waker.close(index);
    switch (any) {
        inline else => |instance| instance.close(),
    }
    slots[index].handle.store(0, .release);
}
