//! Watches descriptors with select(2), where nothing better is to be had: every wait costs time for
//! each of them, and only those below 1,024 can be watched. Used by the loop's thread only.
//!
//! A host that sleeps is woken through a better poller of the system, which watches the same
//! descriptors while the loop is armed.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const Notifier = @import("../sys/notify.zig").Notifier;
const select = @import("../sys/select.zig");
const mapped = @import("../memory/mapped.zig");
const contract = @import("contract.zig");
const Interest = contract.Interest;
const poller = @import("poller.zig");
const Readiness = @import("readiness.zig").Readiness;

pub const Select = Readiness(SelectPoller);

const Alarm = if (@import("../sys/system.zig").family == .linux)
    @import("epoll.zig").EpollPoller
else
    @import("kqueue.zig").KqueuePoller;

const Watched = struct { port: u32, epoch: u32 };

const Ready = struct { descriptor: u32, readable: bool, writable: bool, closed: bool };

pub const SelectPoller = struct {
    pub const kind: layout.BackendKind = .select;
    pub const descriptors_max: i32 = select.descriptors_max;
    pub const has_edges: bool = false;
    pub const forgets_closed: bool = false;
    pub const tells_hangups: bool = false;

    /// What is wanted.
    readable: select.Set,
    writable: select.Set,
    /// Wanted for nothing as well.
    watched: select.Set,
    /// Descriptors that are watched are below it.
    count: u32,
    calls: u64,
    /// By descriptor.
    ports: []Watched,
    events: []Ready,
    alarm: ?Alarm,
    is_armed: bool,
    /// Always readable: in the alarm where that cannot watch what select can.
    always: Notifier,

    pub fn init(self: *SelectPoller, failure: *contract.Failure) contract.InitError!void {
        _ = failure;
        const ports = try mapped.allocate(Watched, select.descriptors_max);
        errdefer mapped.free(Watched, ports);
        self.* = .{
            .readable = .empty,
            .writable = .empty,
            .watched = .empty,
            .count = 0,
            .calls = 0,
            .ports = ports,
            .events = try mapped.allocate(Ready, select.descriptors_max),
            .alarm = null,
            .is_armed = false,
            .always = .{},
        };
    }

    pub fn deinit(self: *SelectPoller) void {
        if (self.alarm) |*alarm| alarm.deinit();
        if (self.always.is_open()) self.always.close();
        mapped.free(Ready, self.events);
        mapped.free(Watched, self.ports);
        self.* = undefined;
    }

    pub fn add(
        self: *SelectPoller,
        port: u32,
        epoch: u32,
        descriptor: i32,
        interest: Interest,
        edge: bool,
    ) i32 {
        std.debug.assert(!edge);
        if (descriptor < 0) return kernel.negative(.BADF);
        if (descriptor >= descriptors_max) return @intFromEnum(layout.Status.descriptor_limit);
        const place: u32 = @intCast(descriptor);
        // What was watched under the number was closed, or there would not be another one now.
        self.ports[place] = .{ .port = port, .epoch = epoch };
        self.watched.put(place, true);
        self.count = @max(self.count, place + 1);
        self.set(place, interest);
        return 0;
    }

    pub fn modify(
        self: *SelectPoller,
        port: u32,
        epoch: u32,
        descriptor: i32,
        from: Interest,
        interest: Interest,
    ) i32 {
        _ = port;
        _ = epoch;
        _ = from;
        self.set(@intCast(descriptor), interest);
        return 0;
    }

    pub fn remove(self: *SelectPoller, port: u32, descriptor: i32, interest: Interest) void {
        const place: u32 = @intCast(descriptor);
        if (self.ports[place].port != port) return;
        if (self.is_armed) self.alarm.?.remove(port, descriptor, interest);
        self.watched.put(place, false);
        self.set(place, .none);
        while (self.count > 0 and !self.watched.has(self.count - 1)) self.count -= 1;
    }

    fn set(self: *SelectPoller, place: u32, interest: Interest) void {
        self.readable.put(place, interest.readable);
        self.writable.put(place, interest.writable);
    }

    pub fn wait(self: *SelectPoller, wait_ns: u64) i32 {
        var readable = self.readable;
        var writable = self.writable;
        self.calls += 1;
        const rc = select.wait(self.count, &readable, &writable, wait_ns);
        if (rc == kernel.negative(.INTR)) return 0;
        if (rc == kernel.negative(.BADF)) return self.find_closed();
        if (rc <= 0) return rc;
        var found: u32 = 0;
        for (&readable.words, &writable.words, 0..) |*in, *out, word| {
            var any = in.* | out.*;
            while (any != 0) : (any &= any - 1) {
                const place: u32 = @intCast(word * 64 + @ctz(any));
                self.events[found] = .{
                    .descriptor = place,
                    .readable = readable.has(place),
                    .writable = writable.has(place),
                    .closed = false,
                };
                found += 1;
            }
        }
        return @intCast(found);
    }

    /// Somebody closed a descriptor that is watched: it is told of, and nothing else this time.
    fn find_closed(self: *SelectPoller) i32 {
        var found: u32 = 0;
        for (0..self.count) |index| {
            const place: u32 = @intCast(index);
            if (!self.watched.has(place)) continue;
            self.calls += 1;
            if (kernel.is_open(@intCast(place))) continue;
            self.set(place, .none);
            self.events[found] = .{
                .descriptor = place,
                .readable = false,
                .writable = false,
                .closed = true,
            };
            found += 1;
        }
        return @intCast(found);
    }

    pub fn event(self: *SelectPoller, index: u32) poller.Event {
        const told = self.events[index];
        const watched = self.ports[told.descriptor];
        return .{
            .port = watched.port,
            .epoch = watched.epoch,
            .readable = told.readable,
            .writable = told.writable,
            .ending = false,
            .urgent = false,
            .hangup = false,
            .failed = false,
            .closed = told.closed,
        };
    }

    pub fn wake_descriptor(self: *SelectPoller) i32 {
        if (self.alarm == null) {
            var failure: contract.Failure = .{};
            var alarm: Alarm = undefined;
            alarm.init(&failure) catch |err| {
                const memory = err == error.OutOfMemory or failure.errno == 0;
                return if (memory) kernel.negative(.NOMEM) else -@as(i32, @intCast(failure.errno));
            };
            self.alarm = alarm;
        }
        return self.alarm.?.wake_descriptor();
    }

    /// What is ready already makes the descriptor readable at once.
    pub fn arm(self: *SelectPoller) void {
        self.set_alarm(true);
    }

    pub fn disarm(self: *SelectPoller) void {
        self.set_alarm(false);
    }

    fn set_alarm(self: *SelectPoller, on: bool) void {
        const alarm = if (self.alarm) |*alarm| alarm else return;
        self.is_armed = on;
        var watches_all = true;
        for (0..self.count) |index| {
            const place: u32 = @intCast(index);
            const interest: Interest = .{
                .readable = self.readable.has(place),
                .writable = self.writable.has(place),
            };
            if (interest == Interest.none) continue;
            if (on) {
                const rc = alarm.add(0, 0, @intCast(place), interest, false);
                watches_all = watches_all and rc >= 0;
            } else {
                alarm.remove(0, @intCast(place), interest);
            }
        }
        if (!on and self.always.is_open()) {
            alarm.remove(0, self.always.descriptor, .{ .readable = true });
        }
        if (!watches_all) self.go_off(alarm);
    }

    /// Select takes for ready what a better poller may refuse, such as a device that never waits.
    fn go_off(self: *SelectPoller, alarm: *Alarm) void {
        if (!self.always.is_open()) {
            if (self.always.open() < 0) return;
            self.always.signal();
        }
        _ = alarm.add(0, 0, self.always.descriptor, .{ .readable = true }, false);
    }

    pub fn system_calls(self: *const SelectPoller) u64 {
        return self.calls + if (self.alarm) |alarm| alarm.system_calls() else 0;
    }
};
