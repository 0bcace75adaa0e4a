//! The lookups of this process that loops have asked for, and the threads that make them: at most
//! four, started as they are needed, parked while there is nothing to do. They never run JavaScript
//! and never touch a loop's memory: an answer goes to its loop's *box*, and the box's doorbell is
//! rung.
//!
//! Invariants: everything here is read and written under the lock, but for a request that is being
//! looked up, whose name and answer are the thread's meanwhile. A request is in one list at most,
//! of those that wait for a thread, or of those of its box that are answered. One that nobody wants
//! any more is free at once, or as soon as its thread has let go of it; a handle's generation
//! changes when its request is wanted no more.

const std = @import("std");
const host = @import("../../sys/host.zig");
const Lock = @import("../../sys/lock.zig").Lock;
const mapped = @import("../../memory/mapped.zig");
const doorbells = @import("../../loop/doorbells.zig");
const exchange = @import("exchange.zig");
const Files = @import("lookup.zig").Files;
const Ips = @import("ip.zig").Ips;
const lookup = @import("lookup.zig");
const paths = @import("paths.zig");
const Stop = @import("stop.zig").Stop;

pub const Outcome = exchange.Outcome;
pub const Query = lookup.Query;
pub const Handle = struct { slot: u32, generation: u32 };

/// Lookups at a time in the whole process, those of which the answer was not taken included.
pub const requests_max = 2048;
pub const boxes_max = 256;
const threads_max = 4;
const nothing: u32 = std.math.maxInt(u32);

const State = enum(u8) {
    /// Zero, so that fresh memory is free requests.
    free = 0,
    /// Waits for a thread.
    queued,
    /// A thread looks it up.
    running,
    /// The same, and nobody wants the answer.
    abandoned,
    /// The answer waits in the box.
    answered,
    /// The box's loop has seen the answer, and not taken it.
    seen,
};

const Request = struct {
    state: State,
    generation: u32,
    box: u32,
    /// What it is to whoever asked.
    purpose: u32,
    query: Query,
    outcome: Outcome,
    ips: Ips,
    /// Neighbours in the list that it is in.
    next: u32,
    previous: u32,
    /// Its thread.
    worker: u32,
};

/// First in, first out; anyone may leave.
const List = struct {
    first: u32 = nothing,
    last: u32 = nothing,

    fn push(self: *List, index: u32) void {
        const request = &table[index];
        request.next = nothing;
        request.previous = self.last;
        if (self.last == nothing) self.first = index else table[self.last].next = index;
        self.last = index;
    }

    fn remove(self: *List, index: u32) void {
        const request = &table[index];
        if (request.previous == nothing) {
            self.first = request.next;
        } else {
            table[request.previous].next = request.next;
        }
        if (request.next == nothing) {
            self.last = request.previous;
        } else {
            table[request.next].previous = request.previous;
        }
    }
};

const Box = struct {
    open: bool = false,
    /// Rung for answers, where anybody has to be asked.
    doorbell: ?doorbells.Handle = null,
    answered: List = .{},
};

const Worker = struct {
    running: bool = false,
    /// Its thread has found it.
    claimed: bool = false,
    /// Its thread waits for a signal, or will.
    parked: bool = false,
    stop: Stop = .{},
    /// Not on its stack, which may be small.
    buffer: lookup.Buffer = undefined,
};

var lock: Lock = .{};
/// Empty before the first lookup.
var table: []Request = &.{};
var boxes: [boxes_max]Box = @splat(.{});
var waiting: List = .{};
/// Free requests that were used before are chained by `next`; those from `fresh` on never were.
var free_first: u32 = nothing;
var fresh: u32 = 0;
var workers: []Worker = &.{};

/// The child of a fork has none of its parent's threads, loops and lookups. What was mapped stays:
/// a thread may have been in the middle of it.
pub fn reset() void {
    lock = .{};
    paths.reset();
    for (workers) |*worker| if (worker.running) worker.stop.notifier.close();
    workers = &.{};
    table = &.{};
    boxes = @splat(.{});
    waiting = .{};
    free_first = nothing;
    fresh = 0;
}

/// Where a loop's answers go. Null when there are too many loops, or there is no memory.
pub fn open_box() ?u32 {
    lock.acquire();
    defer lock.release();
    if (table.len == 0) table = mapped.allocate(Request, requests_max) catch return null;
    if (workers.len == 0) workers = mapped.allocate(Worker, threads_max) catch return null;
    for (&boxes, 0..) |*box, number| {
        if (box.open) continue;
        box.* = .{ .open = true };
        return @intCast(number);
    }
    return null;
}

/// What is rung when one of a box's lookups was answered; before the first is started.
pub fn set_doorbell(number: u32, doorbell: doorbells.Handle) void {
    lock.acquire();
    defer lock.release();
    boxes[number].doorbell = doorbell;
}

/// Nobody wants the answers to what was asked for here any more.
pub fn close_box(number: u32) void {
    lock.acquire();
    defer lock.release();
    for (table[0..fresh], 0..) |*request, index| {
        if (request.box == number) drop(@intCast(index));
    }
    boxes[number].open = false;
}

pub const Refusal = error{ Exhausted, NoThreads };

/// Asks for a lookup. What needs nobody to be asked is answered when this returns; the doorbell is
/// not rung for that.
pub fn start(box: u32, query: *const Query, purpose: u32) Refusal!Handle {
    lock.acquire();
    defer lock.release();
    try have_thread();
    const index = take_free() orelse return error.Exhausted;
    const request = &table[index];
    request.state = .queued;
    request.box = box;
    request.purpose = purpose;
    request.query = query.*;
    waiting.push(index);
    wake_one();
    return .{ .slot = index, .generation = request.generation };
}

/// The same for what is known already, such as the address that a text is.
pub fn answer_at_once(box: u32, ips: *const Ips, purpose: u32) Refusal!Handle {
    lock.acquire();
    defer lock.release();
    const index = take_free() orelse return error.Exhausted;
    const request = &table[index];
    request.box = box;
    request.purpose = purpose;
    request.ips = ips.*;
    request.outcome = if (ips.count > 0) .found else .no_such_name;
    request.state = .answered;
    boxes[box].answered.push(index);
    return .{ .slot = index, .generation = request.generation };
}

/// Whether `next_answer` had told of a request.
pub const Ended = enum { told, untold };

/// Nobody wants the answer any more. Null where the handle is stale.
pub fn cancel(box: u32, handle: Handle) ?Ended {
    lock.acquire();
    defer lock.release();
    const request = find(box, handle) orelse return null;
    const ended: Ended = if (request.state == .seen) .told else .untold;
    drop(handle.slot);
    return ended;
}

pub const Told = struct { handle: Handle, purpose: u32, outcome: Outcome, count: u32 };

/// The next answer of a box; the request stays until `take` or `cancel`.
pub fn next_answer(number: u32) ?Told {
    lock.acquire();
    defer lock.release();
    const list = &boxes[number].answered;
    if (list.first == nothing) return null;
    const index = list.first;
    list.remove(index);
    const request = &table[index];
    request.state = .seen;
    return .{
        .handle = .{ .slot = index, .generation = request.generation },
        .purpose = request.purpose,
        .outcome = request.outcome,
        .count = request.ips.count,
    };
}

/// Copies the addresses of an answer that was told of, whose request ends. False where the handle
/// is stale.
pub fn take(box: u32, handle: Handle, ips: *Ips) bool {
    lock.acquire();
    defer lock.release();
    const request = find(box, handle) orelse return false;
    if (request.state != .seen) return false;
    ips.* = request.ips;
    drop(handle.slot);
    return true;
}

/// Whether a handle names a request that was asked for as this; false where it is stale.
pub fn is_for(box: u32, handle: Handle, purpose: u32) bool {
    lock.acquire();
    defer lock.release();
    const request = find(box, handle) orelse return false;
    return request.purpose == purpose;
}

/// The handle of a request that is known by its slot only; null where it is none of the box's.
pub fn handle_of(box: u32, slot: u32) ?Handle {
    lock.acquire();
    defer lock.release();
    if (slot >= fresh or table[slot].state == .free or table[slot].box != box) return null;
    return .{ .slot = slot, .generation = table[slot].generation };
}

/// Whether no thread has anything to do.
pub fn is_idle() bool {
    lock.acquire();
    defer lock.release();
    for (workers) |worker| if (worker.running and !worker.parked) return false;
    return true;
}

/// Threads that were started; each keeps a descriptor.
pub fn thread_count() u32 {
    lock.acquire();
    defer lock.release();
    var count: u32 = 0;
    for (workers) |worker| count += @intFromBool(worker.running);
    return count;
}

fn find(box: u32, handle: Handle) ?*Request {
    if (handle.slot >= fresh) return null;
    const request = &table[handle.slot];
    if (request.box != box or request.generation != handle.generation) return null;
    return switch (request.state) {
        .free, .abandoned => null,
        .queued, .running, .answered, .seen => request,
    };
}

fn take_free() ?u32 {
    if (free_first != nothing) {
        const index = free_first;
        free_first = table[index].next;
        return index;
    }
    if (fresh == requests_max) return null;
    fresh += 1;
    return fresh - 1;
}

fn drop(index: u32) void {
    const request = &table[index];
    switch (request.state) {
        .free, .abandoned => return,
        .queued => waiting.remove(index),
        .answered => boxes[request.box].answered.remove(index),
        .seen => {},
        .running => {
            request.state = .abandoned;
            request.generation +%= 1;
            return workers[request.worker].stop.request();
        },
    }
    request.generation +%= 1;
    give_back(index);
}

fn give_back(index: u32) void {
    table[index].state = .free;
    table[index].box = nothing;
    table[index].next = free_first;
    free_first = index;
}

/// One that is parked, or that could be started; if there is neither, those that run will come to
/// what waits.
fn have_thread() error{NoThreads}!void {
    var running: u32 = 0;
    for (workers) |*worker| {
        if (worker.parked) return;
        if (worker.running) running += 1;
    }
    for (workers) |*worker| {
        if (worker.running) continue;
        worker.stop = .{};
        if (worker.stop.notifier.open() < 0) break;
        worker.running = true;
        worker.claimed = false;
        worker.parked = true;
        if (host.start_thread(run)) return;
        worker.running = false;
        worker.parked = false;
        worker.stop.notifier.close();
        break;
    } else return;
    if (running == 0) return error.NoThreads;
}

fn wake_one() void {
    for (workers) |*worker| {
        if (!worker.parked) continue;
        worker.parked = false;
        return worker.stop.notifier.signal();
    }
}

fn run() void {
    host.block_signals();
    const number = claim();
    const worker = &workers[number];
    while (true) {
        while (next_request(number)) |index| look_up(worker, index);
        _ = worker.stop.notifier.wait(-1);
        worker.stop.notifier.forget();
    }
}

/// The number of a worker that has no thread yet, of which there are as many as new threads.
fn claim() u32 {
    lock.acquire();
    defer lock.release();
    for (workers, 0..) |*worker, number| {
        if (!worker.running or worker.claimed) continue;
        worker.claimed = true;
        return @intCast(number);
    }
    unreachable;
}

fn next_request(number: u32) ?u32 {
    lock.acquire();
    defer lock.release();
    const worker = &workers[number];
    worker.parked = waiting.first == nothing;
    if (worker.parked) return null;
    const index = waiting.first;
    waiting.remove(index);
    const request = &table[index];
    request.state = .running;
    request.worker = number;
    request.ips = .{};
    worker.stop.wanted.store(false, .release);
    return index;
}

fn look_up(worker: *Worker, index: u32) void {
    const request = &table[index];
    const copy: paths.Copy = .now();
    const files = copy.files();
    request.outcome =
        lookup.find(files, &request.query, &worker.buffer, &worker.stop, &request.ips);
    lock.acquire();
    defer lock.release();
    if (request.state == .abandoned) return give_back(index);
    request.state = .answered;
    const box = &boxes[request.box];
    box.answered.push(index);
    const doorbell = box.doorbell orelse return;
    _ = doorbells.ring(doorbell.slot, doorbell.generation);
}

test {
    _ = @import("requests_test.zig");
}
