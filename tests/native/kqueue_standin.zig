//! `kqueue` and `kevent` over epoll, so that the kqueue backend can run on Linux: its logic, not
//! its kernel. Read and write filters of descriptors, level- and edge-triggered (EV_CLEAR), with
//! receipts and EV_EOF. What closes a descriptor ends its filters, as with a true kqueue.

const std = @import("std");
const linux = std.os.linux;

const Event = extern struct {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: isize,
    udata: usize,
};

const filter_read: i16 = -1;
const filter_write: i16 = -2;
const flag_add: u16 = 0x0001;
const flag_delete: u16 = 0x0002;
const flag_clear: u16 = 0x0020;
const flag_receipt: u16 = 0x0040;
const flag_error: u16 = 0x4000;
const flag_end: u16 = 0x8000;

const queues_max = 256;
const idents_max = 1 << 16;

const Filter = struct { active: bool, udata: usize };
const Ident = struct { read: Filter, write: Filter, edge: bool };
const Queue = struct { descriptor: i32, idents: [*]Ident };

var lock: std.atomic.Value(u32) = .init(0);
var queues: [queues_max]Queue = undefined;
var queue_count: u32 = 0;

extern fn __errno_location() *c_int;

fn fail(code: linux.E) c_int {
    __errno_location().* = @intFromEnum(code);
    return -1;
}

fn acquire() void {
    while (lock.cmpxchgWeak(0, 1, .acquire, .monotonic) != null) std.atomic.spinLoopHint();
}

export fn kqueue() c_int {
    const rc = linux.epoll_create1(linux.EPOLL.CLOEXEC);
    if (linux.errno(rc) != .SUCCESS) return fail(linux.errno(rc));
    const descriptor: i32 = @intCast(rc);
    acquire();
    defer lock.store(0, .release);
    const queue = for (queues[0..queue_count]) |*known| {
        if (known.descriptor == descriptor) break known;
    } else blk: {
        if (queue_count == queues_max) return fail(.NFILE);
        queues[queue_count].idents = map() orelse return fail(.NOMEM);
        queue_count += 1;
        break :blk &queues[queue_count - 1];
    };
    queue.descriptor = descriptor;
    _ = linux.madvise(@ptrCast(queue.idents), idents_max * @sizeOf(Ident), linux.MADV.DONTNEED);
    return descriptor;
}

fn map() ?[*]Ident {
    const rc = linux.mmap(
        null,
        idents_max * @sizeOf(Ident),
        .{ .READ = true, .WRITE = true },
        .{ .TYPE = .PRIVATE, .ANONYMOUS = true, .NORESERVE = true },
        -1,
        0,
    );
    return if (linux.errno(rc) == .SUCCESS) @ptrFromInt(rc) else null;
}

fn find(descriptor: c_int) ?*Queue {
    acquire();
    defer lock.store(0, .release);
    for (queues[0..queue_count]) |*queue| {
        if (queue.descriptor == descriptor) return queue;
    }
    return null;
}

export fn kevent(
    descriptor: c_int,
    changes: ?[*]const Event,
    change_count: c_int,
    events: ?[*]Event,
    event_count: c_int,
    time: ?*const linux.timespec,
) c_int {
    const queue = find(descriptor) orelse return fail(.BADF);
    var told: usize = 0;
    const room: usize = @intCast(event_count);
    for (0..@intCast(change_count)) |index| {
        const change = changes.?[index];
        const code = apply(queue, &change);
        if (code == .SUCCESS and change.flags & flag_receipt == 0) continue;
        if (told == room) return fail(code);
        events.?[told] = change;
        events.?[told].flags |= flag_error;
        events.?[told].data = @intFromEnum(code);
        told += 1;
    }
    if (told > 0 or room == 0) return @intCast(told);
    return wait(queue, events.?[0..room], time);
}

fn apply(queue: *Queue, change: *const Event) linux.E {
    if (change.ident >= idents_max) return .BADF;
    const ident = &queue.idents[change.ident];
    const filter = switch (change.filter) {
        filter_read => &ident.read,
        filter_write => &ident.write,
        else => return .INVAL,
    };
    const was_watched = ident.read.active or ident.write.active;
    if (change.flags & flag_delete != 0) {
        if (!filter.active) return .NOENT;
        filter.active = false;
    } else {
        filter.* = .{ .active = true, .udata = change.udata };
        ident.edge = change.flags & flag_clear != 0;
    }
    const is_watched = ident.read.active or ident.write.active;
    const operation: u32 = if (!is_watched)
        linux.EPOLL.CTL_DEL
    else if (was_watched) linux.EPOLL.CTL_MOD else linux.EPOLL.CTL_ADD;
    var code = control(queue, operation, change.ident);
    if (code == .NOENT and change.flags & flag_delete == 0) {
        // It was closed since, and this is another one of the same number.
        ident.read.active = change.filter == filter_read;
        ident.write.active = change.filter == filter_write;
        code = control(queue, linux.EPOLL.CTL_ADD, change.ident);
    }
    if (code != .SUCCESS) {
        ident.read.active = false;
        ident.write.active = false;
    }
    return code;
}

fn control(queue: *Queue, operation: u32, number: usize) linux.E {
    const ident = &queue.idents[number];
    var events: u32 = 0;
    if (ident.read.active) events |= linux.EPOLL.IN | linux.EPOLL.RDHUP;
    if (ident.write.active) events |= linux.EPOLL.OUT;
    if (ident.edge) events |= linux.EPOLL.ET;
    var event: linux.epoll_event = .{ .events = events, .data = .{ .u64 = number } };
    return linux.errno(linux.epoll_ctl(queue.descriptor, operation, @intCast(number), &event));
}

/// epoll_pwait2 is new in Linux 5.11, and Valgrind does not have it; the older call rounds up.
fn wait_for(epoll: i32, events: []linux.epoll_event, time: ?*const linux.timespec) usize {
    const descriptor: usize = @intCast(epoll);
    const base = @intFromPtr(events.ptr);
    const address = @intFromPtr(time);
    const rc = linux.syscall6(.epoll_pwait2, descriptor, base, events.len, address, 0, 0);
    if (linux.errno(rc) != .NOSYS) return rc;
    const limit_ms: i32 = if (time) |limit| milliseconds(limit.*) else -1;
    return linux.epoll_wait(epoll, events.ptr, @intCast(events.len), limit_ms);
}

fn milliseconds(time: linux.timespec) i32 {
    const of_seconds = @as(i64, time.sec) *| std.time.ms_per_s;
    const of_rest = @divFloor(@as(i64, time.nsec) + std.time.ns_per_ms - 1, std.time.ns_per_ms);
    return std.math.lossyCast(i32, of_seconds +| of_rest);
}

fn wait(queue: *Queue, events: []Event, time: ?*const linux.timespec) c_int {
    var ready: [256]linux.epoll_event = undefined;
    // One event may become two.
    const most: u32 = @intCast(@min(ready.len, @max(1, events.len / 2)));
    const rc = wait_for(queue.descriptor, ready[0..most], time);
    if (linux.errno(rc) != .SUCCESS) return fail(linux.errno(rc));
    var told: usize = 0;
    for (ready[0..rc]) |event| told += tell(queue, event, events[told..]);
    return @intCast(told);
}

fn tell(queue: *Queue, event: linux.epoll_event, out: []Event) usize {
    const number: usize = @intCast(event.data.u64);
    const ident = queue.idents[number];
    const failed = event.events & linux.EPOLL.ERR != 0;
    const hung = event.events & linux.EPOLL.HUP != 0;
    const ended = hung or failed or event.events & linux.EPOLL.RDHUP != 0;
    var told: usize = 0;
    if (ident.read.active and (ended or event.events & linux.EPOLL.IN != 0)) {
        out[told] = made(number, filter_read, ident.read, ended, failed);
        told += 1;
    }
    const writes = hung or failed or event.events & linux.EPOLL.OUT != 0;
    if (ident.write.active and writes and told < out.len) {
        out[told] = made(number, filter_write, ident.write, hung or failed, failed);
        told += 1;
    }
    return told;
}

fn made(number: usize, filter: i16, from: Filter, ended: bool, failed: bool) Event {
    return .{
        .ident = number,
        .filter = filter,
        .flags = if (ended) flag_end else 0,
        .fflags = if (failed) @intFromEnum(linux.E.CONNRESET) else 0,
        .data = 0,
        .udata = from.udata,
    };
}
