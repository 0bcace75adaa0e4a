//! What this machine offers, found out by trying: each backend is set up small and torn down again.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const backends = @import("backends.zig");
const ring = @import("../backend/ring.zig");
const host = @import("../sys/host.zig");
const machine = @import("../sys/machine.zig");
const memory_facts = @import("../sys/memory_facts.zig");
const uring = @import("../sys/uring.zig");
const Wishes = @import("../backend/ring_wishes.zig").Wishes;
const mapped = @import("../memory/mapped.zig");
const Pool = @import("../memory/pool.zig").Pool;

pub fn fill(report: *layout.MachineReport) void {
    const release = machine.kernel_release();
    const facts = memory_facts.read();
    report.* = .{
        .size = @sizeOf(layout.MachineReport),
        .page_bytes = @intCast(machine.page_bytes()),
        .cpus_online = machine.cpus_online(),
        .cpus_allowed = machine.cpus_allowed(),
        .memory_lock_limit = machine.limit(.MEMLOCK),
        .descriptor_limit = machine.limit(.NOFILE),
        .kernel_major = release[0],
        .kernel_minor = release[1],
        .kernel_patch = release[2],
        .io_uring_disabled = ring.disabled_by_sysctl(),
        .threads = @intFromBool(host.has_threads()),
        .huge_2m_total = facts.huge_2m_total,
        .huge_2m_free = facts.huge_2m_free,
        .huge_1g_total = facts.huge_1g_total,
        .huge_1g_free = facts.huge_1g_free,
        .transparent = @intFromEnum(facts.transparent),
        .numa_nodes = facts.numa_nodes,
        .padding = 0,
        .io_uring = backends.report(.io_uring, try_backend),
        .epoll = backends.report(.epoll, try_backend),
        .kqueue = backends.report(.kqueue, try_backend),
        .select = backends.report(.select, try_backend),
    };
}

fn try_backend(comptime Backend: type) layout.BackendReport {
    var failure: contract.Failure = .{};
    const grant = grant_of(Backend, &failure) catch |err| {
        if (err == error.OutOfMemory) failure.reason = .out_of_resources;
        return backends.unavailable(failure);
    };
    return .{
        .available = 1,
        .reason = 0,
        .error_errno = 0,
        .syscall = 0,
        .flags = grant.flags,
        .features = grant.features,
        .rung = grant.rung,
        .granted = grant.granted,
    };
}

fn grant_of(comptime Backend: type, failure: *contract.Failure) contract.InitError!contract.Grant {
    const pools = try mapped.allocate(Pool, 1);
    defer mapped.free(Pool, pools);
    const pool = &pools[0];
    const bytes = 64 * 1024;
    try pool.init(.{
        .kind = .{ .slab_bytes = bytes },
        .max_bytes = bytes,
        .buffer_size = 512,
        .receive_count = 8,
    });
    defer pool.deinit(true);
    var backend: Backend = undefined;
    try backend.init(.{
        .entries = 8,
        .ports = 1,
        .pool = pool,
        .wishes = everything,
    }, failure);
    defer backend.deinit();
    var grant = backend.grant();
    if (Backend.kind == .io_uring and has_sqpoll()) {
        grant.granted |= @intFromEnum(layout.RingFeature.sqpoll);
    }
    return grant;
}

/// All that a loop may ask for but the kernel's thread, with which the other flags are not those
/// of a usual loop.
const everything: Wishes = .{
    .zero_copy_bytes = 1,
    .min_wait_us = 1,
    .min_wait_count = 1,
    .napi_us = 1,
    .bundles = true,
    .incremental = true,
    .best_effort = true,
};

fn has_sqpoll() bool {
    var failure: contract.Failure = .{};
    const wishes: Wishes = .{ .sqpoll = true };
    var own = ring.Ring(uring).init(.{ .entries = 8, .wishes = wishes }, &failure) catch
        return false;
    own.deinit();
    return true;
}

test "this machine has at least epoll" {
    var report: layout.MachineReport = undefined;
    fill(&report);
    try std.testing.expectEqual(@as(u32, 1), report.epoll.available);
    try std.testing.expect(report.io_uring.available == 1 or report.io_uring.reason != 0);
    try std.testing.expect(report.cpus_allowed >= 1);
}

const record = @import("../sys/record_test.zig");

test "the record of the tests says what this machine offers" {
    var report: layout.MachineReport = undefined;
    fill(&report);
    const kernel = .{ report.kernel_major, report.kernel_minor, report.kernel_patch };
    record.note("kernel\t{d}.{d}.{d}", kernel);
    inline for (@typeInfo(layout.BackendKind).@"enum".fields) |kind| {
        if (!@hasField(layout.MachineReport, kind.name)) continue;
        const backend: layout.BackendReport = @field(report, kind.name);
        const reason: layout.Reason = @enumFromInt(backend.reason);
        try std.testing.expectEqual(backend.available == 1, reason == .none);
        if (reason == .none) record.note("offers\t{s}", .{kind.name});
    }
}
