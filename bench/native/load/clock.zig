//! Time: the monotonic clock, this process's CPU time, and the CPU time of another process.

const std = @import("std");
const linux = std.os.linux;

pub const Reading = struct {
    monotonic_ns: u64 = 0,
    own_cpu_ns: u64 = 0,
    /// 0 when the process is not known or gone.
    server_cpu_ns: u64 = 0,
};

pub fn monotonic() u64 {
    var time: linux.timespec = undefined;
    _ = linux.clock_gettime(.MONOTONIC, &time);
    return total(time);
}

pub fn read(server_pid: i32, now: u64) Reading {
    return .{
        .monotonic_ns = now,
        .own_cpu_ns = processCpu(0),
        .server_cpu_ns = if (server_pid == 0) 0 else processCpu(server_pid),
    };
}

/// CPU time of all threads of a process, ended ones included, to the nanosecond. The clock's number
/// is made as clock_getcpuclockid(3) makes it; process 0 is the caller.
pub fn processCpu(pid: i32) u64 {
    const cpuclock_sched = 2;
    const id: i32 = (~pid << 3) | cpuclock_sched;
    var time: linux.timespec = undefined;
    const result = linux.syscall2(
        .clock_gettime,
        @bitCast(@as(isize, id)),
        @intFromPtr(&time),
    );
    return if (linux.errno(result) == .SUCCESS) total(time) else 0;
}

fn total(time: linux.timespec) u64 {
    return @as(u64, @intCast(time.sec)) * std.time.ns_per_s + @as(u64, @intCast(time.nsec));
}
