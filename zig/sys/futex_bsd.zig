//! Sleeping on a word of memory on macOS (10.12, in no manual: bsd/sys/ulock.h of XNU) and on
//! FreeBSD (_umtx_op(2)).

const builtin = @import("builtin");
const c = @import("std").c;

/// Sleeps while the word holds `expected`; may return early.
pub fn wait(word: *const u32, expected: u32) void {
    switch (builtin.os.tag) {
        .macos => {
            const operation: c.UL = .{ .op = .COMPARE_AND_WAIT, .NO_ERRNO = true };
            _ = c.__ulock_wait(operation, word, expected, 0);
        },
        else => {
            const operation = @intFromEnum(c.UMTX_OP.WAIT_UINT_PRIVATE);
            _ = c._umtx_op(@intFromPtr(word), operation, expected, 0, 0);
        },
    }
}

/// Wakes one that sleeps on the word.
pub fn wake_one(word: *const u32) void {
    switch (builtin.os.tag) {
        .macos => {
            const operation: c.UL = .{ .op = .COMPARE_AND_WAIT, .NO_ERRNO = true };
            _ = c.__ulock_wake(operation, word, 0);
        },
        else => {
            const operation = @intFromEnum(c.UMTX_OP.WAKE_PRIVATE);
            _ = c._umtx_op(@intFromPtr(word), operation, 1, 0, 0);
        },
    }
}
