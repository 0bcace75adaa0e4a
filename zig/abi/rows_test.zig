//! What tests of the native side run over: each backend with each trigger.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const Epoll = @import("../backend/epoll.zig").Epoll;
const IoUring = @import("../backend/io_uring.zig").IoUring;
const Kqueue = @import("../backend/kqueue.zig").Kqueue;
const Select = @import("../backend/select.zig").Select;
const Instance = @import("instance.zig").Instance;
const skip_backend = @import("script_test.zig").skip_backend;

/// Every backend, with every trigger that it has.
const rows = .{
    .{ IoUring, .default },
    .{ Epoll, .edge },
    .{ Epoll, .level },
    .{ Kqueue, .edge },
    .{ Kqueue, .level },
    .{ Select, .level },
};

/// Runs a check over all rows. A backend that this machine lacks is passed over, and the test
/// counts as skipped when the others are done.
pub fn over_rows(comptime check: anytype) !void {
    var skipped = false;
    inline for (rows) |row| {
        const Backend, const trigger = row;
        check(Backend, trigger) catch |err| {
            if (err != error.SkipZigTest) {
                std.debug.print("on {t}, {t}\n", .{ Backend.kind, @as(layout.Trigger, trigger) });
                return err;
            }
            skipped = true;
        };
    }
    if (skipped) return error.SkipZigTest;
}

pub fn open(
    comptime Backend: type,
    trigger: layout.Trigger,
    options: *layout.LoopOptions,
) !*Instance(Backend) {
    options.trigger = @intFromEnum(trigger);
    var failure: contract.Failure = .{};
    return Instance(Backend).open(options, 0, &failure) catch |err| {
        return if (err == error.Unavailable) skip_backend(Backend.kind, failure) else err;
    };
}
