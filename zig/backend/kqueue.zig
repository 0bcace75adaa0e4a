//! Watches descriptors with kqueue. Used by the loop's thread only. Source: kqueue(2) of FreeBSD
//! and macOS.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const kqueue = @import("../sys/kqueue.zig");
const mapped = @import("../memory/mapped.zig");
const contract = @import("contract.zig");
const Interest = contract.Interest;
const poller = @import("poller.zig");
const Readiness = @import("readiness.zig").Readiness;

pub const Kqueue = Readiness(KqueuePoller);

pub const KqueuePoller = struct {
    pub const kind: layout.BackendKind = .kqueue;
    pub const descriptors_max: i32 = std.math.maxInt(i32);
    pub const has_edges: bool = true;
    pub const forgets_closed: bool = true;
    pub const tells_hangups: bool = false;

    library: kqueue.Library,
    queue: i32,
    calls: u64,
    events: []kqueue.Event,

    pub fn init(self: *KqueuePoller, failure: *contract.Failure) contract.InitError!void {
        const library = kqueue.Library.find() orelse {
            failure.* = .{ .reason = .no_library };
            return error.Unavailable;
        };
        const queue = library.queue();
        if (queue < 0) {
            failure.* = .{
                .reason = .out_of_resources,
                .errno = kernel.errno_of(queue),
                .syscall = .kqueue,
            };
            return error.Unavailable;
        }
        errdefer kernel.close(queue);
        self.* = .{
            .library = library,
            .queue = queue,
            .calls = 0,
            .events = try mapped.allocate(kqueue.Event, poller.events_max),
        };
    }

    pub fn deinit(self: *KqueuePoller) void {
        mapped.free(kqueue.Event, self.events);
        kernel.close(self.queue);
        self.* = undefined;
    }

    pub fn add(
        self: *KqueuePoller,
        port: u32,
        epoch: u32,
        descriptor: i32,
        interest: Interest,
        edge: bool,
    ) i32 {
        const flags: u16 = if (edge) kqueue.flag_clear else 0;
        return self.change(port, epoch, descriptor, .none, interest, flags);
    }

    pub fn modify(
        self: *KqueuePoller,
        port: u32,
        epoch: u32,
        descriptor: i32,
        from: Interest,
        interest: Interest,
    ) i32 {
        return self.change(port, epoch, descriptor, from, interest, 0);
    }

    pub fn remove(self: *KqueuePoller, port: u32, descriptor: i32, interest: Interest) void {
        _ = port;
        _ = self.change(0, 0, descriptor, interest, .none, 0);
    }

    /// A filter for each direction comes or goes. 0, or the first error; then none has come.
    fn change(
        self: *KqueuePoller,
        port: u32,
        epoch: u32,
        descriptor: i32,
        from: Interest,
        to: Interest,
        flags: u16,
    ) i32 {
        if (descriptor < 0) return kernel.negative(.BADF);
        var changes: [2]kqueue.Event = undefined;
        var count: usize = 0;
        for ([_]struct { i16, bool, bool }{
            .{ kqueue.filter_read, from.readable, to.readable },
            .{ kqueue.filter_write, from.writable, to.writable },
        }) |direction| {
            const filter, const was, const is = direction;
            if (was == is) continue;
            changes[count] = std.mem.zeroInit(kqueue.Event, .{
                .ident = @as(usize, @intCast(descriptor)),
                .filter = filter,
                .flags = flags | kqueue.flag_receipt |
                    if (is) kqueue.flag_add else kqueue.flag_delete,
                .udata = @as(usize, epoch) << 32 | port,
            });
            count += 1;
        }
        if (count == 0) return 0;
        self.calls += 1;
        var outcomes: [2]kqueue.Event = undefined;
        const rc = self.library.kevent(self.queue, changes[0..count], outcomes[0..count], 0);
        if (rc < 0) return rc;
        const refused = first_error(outcomes[0..@intCast(rc)]);
        if (refused < 0 and to != Interest.none) self.take_back(changes[0..count]);
        return refused;
    }

    fn first_error(outcomes: []const kqueue.Event) i32 {
        for (outcomes) |outcome| {
            if (outcome.flags & kqueue.flag_error != 0 and outcome.data != 0) {
                return kernel.from_system(@intCast(outcome.data));
            }
        }
        return 0;
    }

    /// A filter that nobody knows of would keep the loop awake.
    fn take_back(self: *KqueuePoller, changes: []kqueue.Event) void {
        for (changes) |*made| made.flags = kqueue.flag_receipt | kqueue.flag_delete;
        self.calls += 1;
        var outcomes: [2]kqueue.Event = undefined;
        _ = self.library.kevent(self.queue, changes, outcomes[0..changes.len], 0);
    }

    pub fn wait(self: *KqueuePoller, wait_ns: u64) i32 {
        self.calls += 1;
        const rc = self.library.kevent(self.queue, &.{}, self.events, wait_ns);
        return if (rc == kernel.negative(.INTR)) 0 else rc;
    }

    pub fn event(self: *KqueuePoller, index: u32) poller.Event {
        const told = self.events[index];
        const ends = told.flags & kqueue.flag_end != 0;
        const reads = told.filter == kqueue.filter_read;
        return .{
            .port = @truncate(told.udata),
            .epoch = @truncate(told.udata >> 32),
            .readable = reads,
            .writable = !reads,
            .ending = ends and reads,
            .urgent = false,
            .hangup = ends and !reads,
            .failed = ends and told.fflags != 0,
        };
    }

    pub fn wake_descriptor(self: *KqueuePoller) i32 {
        return self.queue;
    }

    /// The queue is readable whenever it has events.
    pub fn arm(self: *KqueuePoller) void {
        _ = self;
    }

    pub fn disarm(self: *KqueuePoller) void {
        _ = self;
    }

    pub fn system_calls(self: *const KqueuePoller) u64 {
        return self.calls;
    }
};

/// A kqueue that refuses to watch for writing, as one does whose pipe has no reader.
const Refusing = struct {
    var readers: i32 = 0;

    fn open() callconv(.c) c_int {
        return -1;
    }

    fn exchange(
        _: c_int,
        changes: ?[*]const kqueue.Event,
        change_count: c_int,
        events: ?[*]kqueue.Event,
        _: c_int,
        _: ?*const std.c.timespec,
    ) callconv(.c) c_int {
        for (0..@intCast(change_count)) |index| {
            const change = changes.?[index];
            const told = &events.?[index];
            told.* = change;
            told.flags |= kqueue.flag_error;
            if (change.filter == kqueue.filter_write) {
                told.data = @intFromEnum(std.posix.E.PIPE);
            } else {
                told.data = 0;
                readers += if (change.flags & kqueue.flag_delete != 0) -1 else 1;
            }
        }
        return change_count;
    }
};

test "a descriptor that cannot be watched in one direction is not watched in the other" {
    var refusing: KqueuePoller = .{
        .library = .{ .open = &Refusing.open, .exchange = &Refusing.exchange },
        .queue = -1,
        .calls = 0,
        .events = &.{},
    };
    const refused = kernel.negative(.PIPE);
    try std.testing.expectEqual(refused, refusing.add(1, 0, 5, .both, false));
    try std.testing.expectEqual(@as(i32, 0), Refusing.readers);
}
