//! Counts what another process does, through the kernel's performance events: system calls, and
//! instructions in user and kernel mode. Counting slows every system call a little, so it belongs
//! in a pass of its own. Needs the rights that `perf stat -p` needs; without them a count is null.

const std = @import("std");
const linux = std.os.linux;

const threads_max = 256;

/// One event over all threads of a process, and the threads that they start.
pub const Counter = struct {
    fds: [threads_max]i32 = undefined,
    count: usize = 0,

    pub fn syscalls(pid: i32) Counter {
        const paths = [_][*:0]const u8{
            "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
            "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
        };
        for (paths) |path| {
            const id = readInteger(path) orelse continue;
            return open(pid, .TRACEPOINT, id);
        }
        return .{};
    }

    pub fn instructions(pid: i32) Counter {
        return open(pid, .HARDWARE, @intFromEnum(linux.PERF.COUNT.HW.INSTRUCTIONS));
    }

    /// A counter that covers some threads only would lie, so it is all or none.
    fn open(pid: i32, kind: linux.PERF.TYPE, config: u64) Counter {
        var counter: Counter = .{};
        var threads: [threads_max]i32 = undefined;
        for (threads[0..listThreads(pid, &threads)]) |thread| {
            var attributes: linux.perf_event_attr = .{
                .type = kind,
                .config = config,
                .flags = .{ .disabled = true, .inherit = true },
            };
            const flag_close_on_exec = 8;
            const result = linux.perf_event_open(&attributes, thread, -1, -1, flag_close_on_exec);
            if (linux.errno(result) == .SRCH) continue; // the thread has ended meanwhile
            if (linux.errno(result) != .SUCCESS) {
                counter.close();
                return .{};
            }
            counter.fds[counter.count] = @intCast(result);
            counter.count += 1;
        }
        return counter;
    }

    pub fn start(counter: *const Counter) void {
        for (counter.fds[0..counter.count]) |fd| {
            _ = linux.ioctl(fd, linux.PERF.EVENT_IOC.ENABLE, 0);
        }
    }

    pub fn stop(counter: *const Counter) void {
        for (counter.fds[0..counter.count]) |fd| {
            _ = linux.ioctl(fd, linux.PERF.EVENT_IOC.DISABLE, 0);
        }
    }

    /// Null when nothing could be counted.
    pub fn total(counter: *const Counter) ?u64 {
        if (counter.count == 0) return null;
        var sum: u64 = 0;
        for (counter.fds[0..counter.count]) |fd| {
            var value: u64 = 0;
            const result = linux.read(fd, std.mem.asBytes(&value), @sizeOf(u64));
            if (linux.errno(result) != .SUCCESS or result != @sizeOf(u64)) return null;
            sum += value;
        }
        return sum;
    }

    fn close(counter: *Counter) void {
        for (counter.fds[0..counter.count]) |fd| _ = linux.close(fd);
        counter.count = 0;
    }
};

/// Thread numbers of a process, as many as there is room for.
fn listThreads(pid: i32, threads: []i32) usize {
    var path_buffer: [64]u8 = undefined;
    const path = std.fmt.bufPrintZ(&path_buffer, "/proc/{d}/task", .{pid}) catch return 0;
    const directory = linux.open(path, .{ .DIRECTORY = true, .CLOEXEC = true }, 0);
    if (linux.errno(directory) != .SUCCESS) return 0;
    const fd: i32 = @intCast(directory);
    defer _ = linux.close(fd);
    var count: usize = 0;
    var buffer: [4096]u8 align(@alignOf(linux.dirent64)) = undefined;
    while (true) {
        const length = linux.getdents64(fd, &buffer, buffer.len);
        if (linux.errno(length) != .SUCCESS or length == 0) return count;
        var at: usize = 0;
        while (at < length) {
            const entry: *const linux.dirent64 = @ptrCast(@alignCast(&buffer[at]));
            at += entry.reclen;
            const name: [*:0]const u8 = @ptrCast(&entry.name);
            const thread = std.fmt.parseInt(i32, std.mem.span(name), 10) catch continue;
            if (count == threads.len) return count;
            threads[count] = thread;
            count += 1;
        }
    }
}

fn readInteger(path: [*:0]const u8) ?u64 {
    const file = linux.open(path, .{ .CLOEXEC = true }, 0);
    if (linux.errno(file) != .SUCCESS) return null;
    const fd: i32 = @intCast(file);
    defer _ = linux.close(fd);
    var buffer: [32]u8 = undefined;
    const length = linux.read(fd, &buffer, buffer.len);
    if (linux.errno(length) != .SUCCESS) return null;
    return std.fmt.parseInt(u64, std.mem.trim(u8, buffer[0..length], "\n "), 10) catch null;
}
