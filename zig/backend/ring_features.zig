//! What a ring can do beyond its set-up: asked of the kernel once, when the ring is opened.
//!
//! The kernel is asked by trying, by its feature bits, or, where neither tells (a defect that was
//! mended), by its release.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const uring = @import("../sys/uring.zig");
const contract = @import("contract.zig");
const operations = @import("operations.zig");
const ring_wishes = @import("ring_wishes.zig");
const Wishes = ring_wishes.Wishes;

const Feature = layout.RingFeature;

/// The first release without the known defects of receives that fill several buffers or parts of
/// one: bytes out of order (6.10 to 6.15: liburing's tests recv-bundle-short-ooo and recv-inc-ooo),
/// and one part of a buffer given to two receives (up to 6.16).
const sound_receive_release = [2]u32{ 6, 17 };
/// Notifications that tell whether bytes were copied.
const usage_release = [2]u32{ 6, 2 };
/// How long the ring's first answer is waited for, and how often: a signal ends a wait early, and
/// on a busy machine the kernel's thread may be late.
const answer_wait_ns = 100 * std.time.ns_per_ms;
const answer_waits_max = 100;

/// Settles which of the wishes are granted: those are noted in the ring.
pub fn negotiate(
    comptime System: type,
    ring: anytype,
    wishes: *const Wishes,
    deny: u32,
    failure: *contract.Failure,
) contract.InitError!void {
    if (wishes.zero_copy_bytes > 0) {
        try settle(ring, .zero_copy, zero_copy(ring), wishes, deny, failure);
    }
    if (wishes.min_wait_us > 0) {
        const rc = by_bit(ring, uring.feature_min_timeout);
        try settle(ring, .min_wait, rc, wishes, deny, failure);
        if (ring.has(.min_wait)) {
            ring.min_wait_us = wishes.min_wait_us;
            ring.wait_count = wishes.min_wait_count;
        }
    }
    if (wishes.napi_us > 0) {
        const rc = if (is_denied(deny, .napi)) 0 else napi(ring, wishes.napi_us);
        try settle(ring, .napi, rc, wishes, deny, failure);
    }
    if (wishes.bundles) {
        const sound = is_sound(System);
        const rc = if (sound) by_bit(ring, uring.feature_recvsend_bundle) else unsupported;
        try settle(ring, .bundles, rc, wishes, deny, failure);
    }
    if (wishes.incremental) {
        const rc: i32 = if (is_sound(System)) 0 else unsupported;
        try settle(ring, .incremental, rc, wishes, deny, failure);
    }
    if (!is_denied(deny, .clone_buffers) and clones_buffers(ring)) ring.granted(.clone_buffers);
    if (!is_denied(deny, .send_message) and takes_messages(System)) ring.granted(.send_message);
}

/// Multishot receive is new in Linux 6.0. The kernel checks an entry's flags before it looks at its
/// descriptor, so an entry without one tells: EBADF where the flag is known, EINVAL elsewhere.
pub fn require_multishot_receive(
    ring: anytype,
    failure: *contract.Failure,
) contract.InitError!void {
    ring.next_sqe().?.* = operations.receive(0, 0, -1, true);
    var reason: layout.Reason = .other;
    var errno: u32 = 0;
    for (0..answer_waits_max) |_| {
        const rc = ring.enter(true, answer_wait_ns);
        if (ring.take()) |cqe| {
            if (cqe.result == kernel.negative(.BADF)) return;
            reason = .kernel_too_old;
            break;
        }
        switch (rc) {
            // A signal ended the wait, or the kernel's thread had no processor so far.
            0, kernel.negative(.INTR), kernel.negative(.TIME) => continue,
            else => {},
        }
        reason = .not_permitted;
        errno = kernel.errno_of(rc);
        break;
    }
    failure.* = .{ .reason = reason, .errno = errno, .syscall = .io_uring_enter };
    return error.Unavailable;
}

/// Whether receives that share buffers keep to the order of bytes.
pub fn is_sound(comptime System: type) bool {
    return is_at_least(System, sound_receive_release);
}

/// Whether notifications of zero-copy sends can tell if bytes were copied.
pub fn tells_usage(comptime System: type) bool {
    return is_at_least(System, usage_release);
}

fn is_at_least(comptime System: type, release: [2]u32) bool {
    const running = System.kernel_release();
    if (running[0] != release[0]) return running[0] > release[0];
    return running[1] >= release[1];
}

const unsupported = kernel.negative(.OPNOTSUPP);

pub fn is_denied(deny: u32, feature: Feature) bool {
    return deny & @intFromEnum(feature) != 0;
}

/// `rc`: what the kernel says, negative for no.
pub fn settle(
    ring: anytype,
    feature: Feature,
    rc: i32,
    wishes: *const Wishes,
    deny: u32,
    failure: *contract.Failure,
) contract.InitError!void {
    const answer = if (is_denied(deny, feature)) unsupported else rc;
    if (answer >= 0) return ring.granted(feature);
    try ring_wishes.refuse(wishes, feature, kernel.errno_of(answer), failure);
}

fn by_bit(ring: anytype, bit: u32) i32 {
    return if (ring.grant.features & bit != 0) 0 else unsupported;
}

fn zero_copy(ring: anytype) i32 {
    var probe = std.mem.zeroes(uring.Probe);
    const rc = ring.register(uring.register_probe, &probe, uring.probe_operations);
    if (rc < 0) return rc;
    for ([_]uring.Opcode{ .send_zc, .sendmsg_zc }) |opcode| {
        const flags = probe.operations[@intFromEnum(opcode)].flags;
        if (flags & uring.op_supported == 0) return unsupported;
    }
    return 0;
}

fn napi(ring: anytype, busy_poll_us: u32) i32 {
    const request: uring.Napi = .{
        .busy_poll_us = busy_poll_us,
        .prefer_busy_poll = 1,
        .opcode = 0,
        .padding = @splat(0),
        .parameter = 0,
        .reserved = 0,
    };
    return ring.register(uring.register_napi, &request, 1);
}

/// A kernel that knows the request looks for the ring that it names, and finds none.
fn clones_buffers(ring: anytype) bool {
    const request: uring.BuffersClone = .{
        .source = std.math.maxInt(u32),
        .flags = 0,
        .source_offset = 0,
        .offset = 0,
        .count = 0,
        .padding = @splat(0),
    };
    const rc = ring.register(uring.register_clone_buffers, &request, 1);
    return rc == kernel.negative(.BADF);
}

/// A kernel that knows the request finds a field that must be zero; others look for the ring -1.
fn takes_messages(comptime System: type) bool {
    const message: uring.Sqe = .{
        .opcode = .msg_ring,
        .descriptor = -1,
        .user_data = 0,
        .buffer_group = 1,
    };
    const rc = System.register(-1, uring.register_send_msg_ring, &message, 1);
    return rc == kernel.negative(.INVAL);
}
