//! `wake_set.zig` on macOS and FreeBSD: kqueue(2). The word goes with each event, and what is told
//! once is taken out by the kernel.

const std = @import("std");
const c = std.c;
const host = @import("host.zig");
const kernel = @import("kernel.zig");
const layout = @import("../layout.zig");

const words_max = 64;
/// A deadline that is further away is told early, which costs its owner a look at the clock.
const longest_ns = std.time.ns_per_day;

pub const WakeSet = struct {
    descriptor: i32 = -1,

    pub const Timer = struct {
        number: u32 = 0,

        pub fn leave_to_parent(self: *Timer) void {
            self.* = .{};
        }
    };

    pub fn open(self: *WakeSet, failed: *layout.Syscall) i32 {
        failed.* = .kqueue;
        const descriptor = kernel.result(c.kqueue());
        if (descriptor < 0) return descriptor;
        _ = c.fcntl(descriptor, c.F.SETFD, @as(c_int, c.FD_CLOEXEC));
        self.descriptor = descriptor;
        return 0;
    }

    pub fn close(self: *WakeSet) void {
        kernel.close(self.descriptor);
        self.descriptor = -1;
    }

    /// A kqueue is not inherited: its number may be another descriptor's here.
    pub fn leave_to_parent(self: *WakeSet) void {
        self.descriptor = -1;
    }

    /// Nothing to prepare, but a descriptor that the system cannot watch is refused here.
    pub fn add(self: *const WakeSet, descriptor: i32, word: u64, failed: *layout.Syscall) i32 {
        failed.* = .kevent;
        return self.change(.{
            .ident = @intCast(descriptor),
            .filter = c.EVFILT.READ,
            .flags = c.EV.ADD | c.EV.DISABLE | c.EV.ONESHOT,
            .fflags = 0,
            .data = 0,
            .udata = word,
        });
    }

    pub fn arm(self: *const WakeSet, descriptor: i32, word: u64) i32 {
        return self.change(.{
            .ident = @intCast(descriptor),
            .filter = c.EVFILT.READ,
            .flags = c.EV.ADD | c.EV.ENABLE | c.EV.ONESHOT,
            .fflags = 0,
            .data = 0,
            .udata = word,
        });
    }

    pub fn remove(self: *const WakeSet, descriptor: i32) void {
        _ = self.change(.{
            .ident = @intCast(descriptor),
            .filter = c.EVFILT.READ,
            .flags = c.EV.DELETE,
            .fflags = 0,
            .data = 0,
            .udata = 0,
        });
    }

    pub fn add_timer(
        self: *const WakeSet,
        timer: *Timer,
        number: u32,
        word: u64,
        failed: *layout.Syscall,
    ) i32 {
        _ = self;
        _ = word;
        failed.* = .kevent;
        timer.number = number;
        return 0;
    }

    pub fn set_timer(self: *const WakeSet, timer: *const Timer, deadline_ns: u64, word: u64) i32 {
        if (deadline_ns == 0) {
            self.stop_timer(timer);
            return 0;
        }
        const left_ns = std.math.clamp(deadline_ns -| host.now_ns(), 1, longest_ns);
        return self.change(.{
            .ident = timer.number,
            .filter = c.EVFILT.TIMER,
            .flags = c.EV.ADD | c.EV.ENABLE | c.EV.ONESHOT,
            .fflags = c.NOTE.NSECONDS,
            .data = @intCast(left_ns),
            .udata = word,
        });
    }

    pub fn remove_timer(self: *const WakeSet, timer: *Timer) void {
        self.stop_timer(timer);
    }

    /// One that went off, or was never set, is not there.
    fn stop_timer(self: *const WakeSet, timer: *const Timer) void {
        _ = self.change(.{
            .ident = timer.number,
            .filter = c.EVFILT.TIMER,
            .flags = c.EV.DELETE,
            .fflags = 0,
            .data = 0,
            .udata = 0,
        });
    }

    pub fn wait(self: *const WakeSet, words: []u64) i32 {
        var events: [words_max]c.Kevent = undefined;
        const room: c_int = @intCast(@min(words.len, events.len));
        const none: [*]const c.Kevent = &events;
        const count = kernel.result(c.kevent(self.descriptor, none, 0, &events, room, null));
        if (count < 0) return count;
        for (events[0..@intCast(count)], words[0..@intCast(count)]) |event, *word| {
            word.* = event.udata;
        }
        return count;
    }

    /// Without room for events the kernel answers with the change's own error.
    fn change(self: *const WakeSet, event: c.Kevent) i32 {
        var none: [1]c.Kevent = undefined;
        const changes = [1]c.Kevent{event};
        return kernel.result(c.kevent(self.descriptor, &changes, 1, &none, 0, null));
    }
};
