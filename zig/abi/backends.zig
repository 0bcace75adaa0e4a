//! The backends that this system's library has, the best first.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const Kqueue = @import("../backend/kqueue.zig").Kqueue;
const Select = @import("../backend/select.zig").Select;
const kernel = @import("../sys/kernel.zig");
const instance_module = @import("instance.zig");
const options_module = @import("options.zig");
const Instance = instance_module.Instance;

const is_linux = @import("../sys/system.zig").family == .linux;
const Epoll = if (is_linux) @import("../backend/epoll.zig").Epoll else noreturn;
const IoUring = if (is_linux) @import("../backend/io_uring.zig").IoUring else noreturn;

/// An open loop, whatever it waits with.
pub const Any = union(enum) {
    io_uring: if (is_linux) *Instance(IoUring) else noreturn,
    epoll: if (is_linux) *Instance(Epoll) else noreturn,
    kqueue: *Instance(Kqueue),
    select: *Instance(Select),
};

/// Opens a loop with the backend that is asked for, or with the first that works.
pub fn open(options: *layout.LoopOptions, failure: *contract.Failure) instance_module.Error!Any {
    const asked = try asked_backend(options, failure);
    inline for (all) |Backend| {
        const name = @tagName(Backend.kind);
        if (asked == Backend.kind or (asked == .auto and is_automatic(Backend.kind))) {
            if (Instance(Backend).open(options, 0, failure)) |instance| {
                return @unionInit(Any, name, instance);
            } else |err| if (asked != .auto or err != error.Unavailable) return err;
        }
    }
    if (!has(asked)) failure.reason = .other_system;
    return error.Unavailable;
}

/// With an option that only io_uring can honour there is no other choice.
fn asked_backend(
    options: *layout.LoopOptions,
    failure: *contract.Failure,
) instance_module.Error!layout.BackendKind {
    const asked: layout.BackendKind = @enumFromInt(options.backend);
    const option = options_module.ring_option(options);
    if (option == 0 or asked == .io_uring) return asked;
    if (asked == .auto and is_linux) return .io_uring;
    failure.errno = kernel.errno_of(kernel.negative(.OPNOTSUPP));
    options.error_detail = option;
    return error.NotGranted;
}

const all = if (is_linux)
    .{ IoUring, Epoll, Kqueue, Select }
else
    .{ Kqueue, Select };

/// A kqueue that a library makes of something else is only taken when asked for.
fn is_automatic(kind: layout.BackendKind) bool {
    return kind != .kqueue or !is_linux;
}

fn has(asked: layout.BackendKind) bool {
    inline for (all) |Backend| {
        if (asked == Backend.kind) return true;
    }
    return asked == .auto;
}

/// The child of a fork has none of its parent's rings.
pub fn reset() void {
    if (is_linux) @import("../backend/fixed_slabs.zig").reset();
}

/// What a backend of the name can do here, tried out with `grant_of`.
pub fn report(comptime kind: layout.BackendKind, comptime grant_of: anytype) layout.BackendReport {
    inline for (all) |Backend| {
        if (Backend.kind == kind) return grant_of(Backend);
    }
    return unavailable(.{ .reason = .other_system });
}

pub fn unavailable(failure: contract.Failure) layout.BackendReport {
    return std.mem.zeroInit(layout.BackendReport, .{
        .reason = @intFromEnum(failure.reason),
        .error_errno = failure.errno,
        .syscall = @intFromEnum(failure.syscall),
    });
}
