//! Watches descriptors with epoll. Used by the loop's thread only. Source: epoll(7).

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const mapped = @import("../memory/mapped.zig");
const contract = @import("contract.zig");
const Interest = contract.Interest;
const poller = @import("poller.zig");
const Readiness = @import("readiness.zig").Readiness;

pub const Epoll = Readiness(EpollPoller);

pub const EpollPoller = struct {
    pub const kind: layout.BackendKind = .epoll;
    pub const descriptors_max: i32 = std.math.maxInt(i32);
    pub const has_edges: bool = true;
    pub const forgets_closed: bool = true;
    pub const tells_hangups: bool = true;

    epoll: i32,
    /// False once the kernel, or a filter before it, has refused epoll_pwait2.
    has_pwait2: bool,
    calls: u64,
    events: []linux.epoll_event,

    pub fn init(self: *EpollPoller, failure: *contract.Failure) contract.InitError!void {
        const epoll = kernel.result(linux.epoll_create1(linux.EPOLL.CLOEXEC));
        if (epoll < 0) {
            failure.* = .{
                .reason = .out_of_resources,
                .errno = kernel.errno_of(epoll),
                .syscall = .epoll_create,
            };
            return error.Unavailable;
        }
        errdefer kernel.close(epoll);
        self.* = .{
            .epoll = epoll,
            .has_pwait2 = true,
            .calls = 0,
            .events = try mapped.allocate(linux.epoll_event, poller.events_max),
        };
    }

    pub fn deinit(self: *EpollPoller) void {
        mapped.free(linux.epoll_event, self.events);
        kernel.close(self.epoll);
        self.* = undefined;
    }

    pub fn add(
        self: *EpollPoller,
        port: u32,
        epoch: u32,
        descriptor: i32,
        interest: Interest,
        edge: bool,
    ) i32 {
        return self.control(linux.EPOLL.CTL_ADD, port, epoch, descriptor, bits(interest, edge));
    }

    pub fn modify(
        self: *EpollPoller,
        port: u32,
        epoch: u32,
        descriptor: i32,
        from: Interest,
        interest: Interest,
    ) i32 {
        _ = from;
        return self.control(linux.EPOLL.CTL_MOD, port, epoch, descriptor, bits(interest, false));
    }

    pub fn remove(self: *EpollPoller, port: u32, descriptor: i32, interest: Interest) void {
        _ = port;
        _ = interest;
        _ = self.control(linux.EPOLL.CTL_DEL, 0, 0, descriptor, 0);
    }

    fn control(
        self: *EpollPoller,
        operation: u32,
        port: u32,
        epoch: u32,
        descriptor: i32,
        events: u32,
    ) i32 {
        var change: linux.epoll_event = .{
            .events = events,
            .data = .{ .u64 = @as(u64, epoch) << 32 | port },
        };
        self.calls += 1;
        return kernel.result(linux.epoll_ctl(self.epoll, operation, descriptor, &change));
    }

    /// epoll_pwait2 (Linux 5.11) waits in nanoseconds; older kernels round up to a millisecond.
    pub fn wait(self: *EpollPoller, wait_ns: u64) i32 {
        self.calls += 1;
        const rc = if (self.has_pwait2 and wait_ns % std.time.ns_per_ms != 0 and
            wait_ns != std.math.maxInt(u64))
            self.wait_exactly(wait_ns)
        else
            self.wait_ms(wait_ns);
        return if (rc == kernel.negative(.INTR)) 0 else rc;
    }

    fn wait_ms(self: *EpollPoller, wait_ns: u64) i32 {
        const events = self.events.ptr;
        const limit_ms = timeout_ms(wait_ns);
        return kernel.result(linux.epoll_wait(self.epoll, events, poller.events_max, limit_ms));
    }

    fn wait_exactly(self: *EpollPoller, wait_ns: u64) i32 {
        const time: linux.kernel_timespec = .{
            .sec = @intCast(wait_ns / std.time.ns_per_s),
            .nsec = @intCast(wait_ns % std.time.ns_per_s),
        };
        const rc = kernel.result(linux.syscall6(
            .epoll_pwait2,
            @intCast(self.epoll),
            @intFromPtr(self.events.ptr),
            poller.events_max,
            @intFromPtr(&time),
            0,
            0,
        ));
        if (rc != kernel.negative(.NOSYS) and rc != kernel.negative(.PERM)) return rc;
        self.has_pwait2 = false;
        return self.wait_ms(wait_ns);
    }

    pub fn event(self: *EpollPoller, index: u32) poller.Event {
        const told = self.events[index];
        return .{
            .port = @truncate(told.data.u64),
            .epoch = @truncate(told.data.u64 >> 32),
            .readable = told.events & linux.EPOLL.IN != 0,
            .writable = told.events & linux.EPOLL.OUT != 0,
            .ending = told.events & linux.EPOLL.RDHUP != 0,
            .urgent = told.events & linux.EPOLL.PRI != 0,
            .hangup = told.events & linux.EPOLL.HUP != 0,
            .failed = told.events & linux.EPOLL.ERR != 0,
        };
    }

    pub fn wake_descriptor(self: *EpollPoller) i32 {
        return self.epoll;
    }

    /// The set is readable whenever it has events.
    pub fn arm(self: *EpollPoller) void {
        _ = self;
    }

    pub fn disarm(self: *EpollPoller) void {
        _ = self;
    }

    pub fn system_calls(self: *const EpollPoller) u64 {
        return self.calls;
    }
};

fn bits(interest: Interest, edge: bool) u32 {
    var events: u32 = 0;
    if (interest.readable) events |= linux.EPOLL.IN | linux.EPOLL.RDHUP;
    if (interest.writable) events |= linux.EPOLL.OUT;
    // As long as it lasts it would be told of again and again.
    if (interest.readable and edge) events |= linux.EPOLL.PRI;
    if (edge) events |= linux.EPOLL.ET;
    return events;
}

/// Rounded up: waking too early would only mean waiting again.
fn timeout_ms(wait_ns: u64) i32 {
    if (wait_ns == std.math.maxInt(u64)) return -1;
    const ms = std.math.divCeil(u64, wait_ns, std.time.ns_per_ms) catch unreachable;
    return std.math.cast(i32, ms) orelse std.math.maxInt(i32);
}
