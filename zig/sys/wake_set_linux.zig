//! `wake_set.zig` on Linux: epoll(7), and a timerfd for each timer, because epoll_wait knows only
//! one deadline, in milliseconds.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");
const layout = @import("../layout.zig");

const words_max = 64;

pub const WakeSet = struct {
    descriptor: i32 = -1,

    pub const Timer = struct {
        descriptor: i32 = -1,

        pub fn leave_to_parent(self: *Timer) void {
            if (self.descriptor >= 0) kernel.close(self.descriptor);
            self.* = .{};
        }
    };

    pub fn open(self: *WakeSet, failed: *layout.Syscall) i32 {
        failed.* = .epoll_create;
        const descriptor = kernel.result(linux.epoll_create1(linux.EPOLL.CLOEXEC));
        if (descriptor >= 0) self.descriptor = descriptor;
        return @min(descriptor, 0);
    }

    pub fn close(self: *WakeSet) void {
        kernel.close(self.descriptor);
        self.descriptor = -1;
    }

    /// The child's copy of the descriptor goes, and the parent's set stays as it is.
    pub fn leave_to_parent(self: *WakeSet) void {
        self.close();
    }

    pub fn add(self: *const WakeSet, descriptor: i32, word: u64, failed: *layout.Syscall) i32 {
        failed.* = .epoll_ctl;
        return self.control(linux.EPOLL.CTL_ADD, descriptor, linux.EPOLL.ONESHOT, word);
    }

    pub fn arm(self: *const WakeSet, descriptor: i32, word: u64) i32 {
        const events = linux.EPOLL.IN | linux.EPOLL.ONESHOT;
        return self.control(linux.EPOLL.CTL_MOD, descriptor, events, word);
    }

    pub fn remove(self: *const WakeSet, descriptor: i32) void {
        _ = linux.epoll_ctl(self.descriptor, linux.EPOLL.CTL_DEL, descriptor, null);
    }

    pub fn add_timer(
        self: *const WakeSet,
        timer: *Timer,
        number: u32,
        word: u64,
        failed: *layout.Syscall,
    ) i32 {
        _ = number;
        failed.* = .timerfd;
        timer.descriptor = kernel.result(linux.timerfd_create(
            .MONOTONIC,
            .{ .CLOEXEC = true, .NONBLOCK = true },
        ));
        if (timer.descriptor < 0) return timer.descriptor;
        failed.* = .epoll_ctl;
        // Nobody reads it: its edge tells that it went off.
        const events = linux.EPOLL.IN | linux.EPOLL.ET;
        return self.control(linux.EPOLL.CTL_ADD, timer.descriptor, events, word);
    }

    pub fn set_timer(self: *const WakeSet, timer: *const Timer, deadline_ns: u64, word: u64) i32 {
        _ = self;
        _ = word;
        const setting: linux.itimerspec = .{
            .it_interval = .{ .sec = 0, .nsec = 0 },
            .it_value = .{
                .sec = @intCast(deadline_ns / std.time.ns_per_s),
                .nsec = @intCast(deadline_ns % std.time.ns_per_s),
            },
        };
        return kernel.result(linux.timerfd_settime(
            timer.descriptor,
            .{ .ABSTIME = true },
            &setting,
            null,
        ));
    }

    pub fn remove_timer(self: *const WakeSet, timer: *Timer) void {
        _ = self;
        timer.leave_to_parent();
    }

    pub fn wait(self: *const WakeSet, words: []u64) i32 {
        var events: [words_max]linux.epoll_event = undefined;
        const room: u32 = @intCast(@min(words.len, events.len));
        const count = kernel.result(linux.epoll_wait(self.descriptor, &events, room, -1));
        if (count < 0) return count;
        for (events[0..@intCast(count)], words[0..@intCast(count)]) |event, *word| {
            word.* = event.data.u64;
        }
        return count;
    }

    fn control(self: *const WakeSet, operation: u32, descriptor: i32, events: u32, word: u64) i32 {
        var event: linux.epoll_event = .{ .events = events, .data = .{ .u64 = word } };
        return kernel.result(linux.epoll_ctl(self.descriptor, operation, descriptor, &event));
    }
};
