//! What an io_uring loop may be asked for beyond what it does by default. Zero and false ask for
//! nothing.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("contract.zig");

pub const Wishes = struct {
    /// A thread of the kernel takes submissions, so that submitting costs no system call.
    sqpoll: bool = false,
    /// After how long without work it sleeps; 0 for the kernel's default of a second.
    sqpoll_idle_ms: u32 = 0,
    /// The CPU that it runs on.
    sqpoll_cpu: ?u32 = null,
    /// Sends of at least so many bytes are not copied (Linux 6.1).
    zero_copy_bytes: u32 = 0,
    /// How long a sleeping turn waits for `min_wait_count` completions before fewer end it
    /// (Linux 6.12).
    min_wait_us: u32 = 0,
    min_wait_count: u32 = 0,
    /// How long a wait polls the network device (Linux 6.9).
    napi_us: u32 = 0,
    /// A receive fills several buffers at once.
    bundles: bool = false,
    /// A receive uses no more of a buffer than it needs.
    incremental: bool = false,
    /// What the kernel refuses is done without.
    best_effort: bool = false,
};

/// The field of `LoopOptions` that asks for it.
pub fn field_of(feature: layout.RingFeature) u32 {
    return switch (feature) {
        .sqpoll => index("sqpoll"),
        .zero_copy => index("zero_copy_bytes"),
        .min_wait => index("min_wait_us"),
        .napi => index("napi_us"),
        .bundles => index("bundles"),
        .incremental => index("incremental_buffers"),
        .registered_ring, .registered_files, .clone_buffers, .send_message => 0,
    };
}

fn index(comptime field: []const u8) u32 {
    return comptime found: {
        @setEvalBranchQuota(10_000);
        break :found std.meta.fieldIndex(layout.LoopOptions, field).?;
    };
}

/// Notes that a wish was refused: an error, unless it was best effort.
pub fn refuse(
    wishes: *const Wishes,
    feature: layout.RingFeature,
    errno: u32,
    failure: *contract.Failure,
) contract.InitError!void {
    if (wishes.best_effort) return;
    failure.* = .{ .errno = errno, .field = field_of(feature) };
    return error.NotGranted;
}
