//! An input: a byte string that stands for a program of calls. Any bytes are an input, and the same
//! bytes are always the same program.
//!
//! A head tells how the threads run and what their loops are like; records of one length follow,
//! one per step, so that steps can be dropped, repeated and mixed without changing the others. What
//! is cut off or missing reads as zero. No state, any thread.

const std = @import("std");
const Value = @import("values.zig").Value;

pub const head_bytes = 8;
pub const record_bytes = 24;
pub const records_max = 96;
pub const bytes_max = head_bytes + records_max * record_bytes;
/// Threads that a program can name.
pub const threads_max = 4;

pub const values_count = 4;

pub const Head = struct {
    /// One step at a time, in the order of the records, instead of all threads at once.
    lockstep: bool,
    /// Threads end with loops open.
    abandons: bool,
    /// Each thread has a loop whose region the others scribble on.
    shares: bool,
    /// What each thread's first loop is like; the last is that of the thread that is honest only.
    shapes: [threads_max + 1]u8,
};

pub const Record = struct {
    action: u8,
    thread: u8,
    modifier: u16,
    values: [values_count]Value,
};

pub fn head_of(bytes: []const u8) Head {
    const flags = byte_at(bytes, 0);
    var shapes: [threads_max + 1]u8 = undefined;
    for (&shapes, 1..) |*shape, index| shape.* = byte_at(bytes, index);
    return .{
        .lockstep = flags & 1 != 0,
        .abandons = flags & 2 != 0,
        .shares = flags & 4 != 0,
        .shapes = shapes,
    };
}

/// A record that is not whole counts.
pub fn record_count(bytes: []const u8) u32 {
    const count = std.math.divCeil(usize, bytes.len -| head_bytes, record_bytes) catch unreachable;
    return @intCast(@min(count, records_max));
}

pub fn record_of(bytes: []const u8, index: u32) Record {
    const at = head_bytes + @as(usize, index) * record_bytes;
    var values: [values_count]Value = undefined;
    for (&values, 0..) |*value, number| {
        const start = at + 4 + number * 5;
        value.* = .{ .selector = byte_at(bytes, start), .payload = word_at(bytes, start + 1) };
    }
    return .{
        .action = byte_at(bytes, at),
        .thread = byte_at(bytes, at + 1),
        .modifier = @truncate(word_at(bytes, at + 2)),
        .values = values,
    };
}

fn byte_at(bytes: []const u8, index: usize) u8 {
    return if (index < bytes.len) bytes[index] else 0;
}

fn word_at(bytes: []const u8, index: usize) u32 {
    var word: u32 = 0;
    for (0..4) |byte| word |= @as(u32, byte_at(bytes, index + byte)) << @intCast(8 * byte);
    return word;
}

test "any bytes are an input, and a short one reads as zeros" {
    try std.testing.expectEqual(@as(u32, 0), record_count(""));
    try std.testing.expectEqual(@as(u32, 1), record_count("\x01" ** 9));
    const record = record_of("\x01" ** 13, 0);
    try std.testing.expectEqual(@as(u8, 1), record.action);
    try std.testing.expectEqual(@as(u8, 1), record.values[0].selector);
    try std.testing.expectEqual(@as(u32, 0), record.values[0].payload);
    try std.testing.expect(head_of("\x05").lockstep and head_of("\x05").shares);
    try std.testing.expectEqual(@as(u32, records_max), record_count("\x00" ** (bytes_max + 100)));
}
