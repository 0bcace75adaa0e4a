//! Sleeping on a word of memory on Linux. Source: futex(2).

const linux = @import("std").os.linux;

/// Sleeps while the word holds `expected`; may return early.
pub fn wait(word: *const u32, expected: u32) void {
    _ = linux.futex_4arg(word, .{ .cmd = .WAIT, .private = true }, expected, null);
}

/// Wakes one that sleeps on the word.
pub fn wake_one(word: *const u32) void {
    _ = linux.futex_3arg(word, .{ .cmd = .WAKE, .private = true }, 1);
}
