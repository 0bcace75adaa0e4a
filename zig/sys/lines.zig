//! A text file line by line, without allocation. A line that is longer than the buffer comes as an
//! empty one, and a file that never ends (a device) is left after `bytes_max`. One thread.

const std = @import("std");
const kernel = @import("kernel.zig");

pub const Lines = struct {
    pub const line_max = 1024;
    const bytes_max = 64 << 20;

    descriptor: i32,
    buffer: [line_max]u8 = undefined,
    /// What is in the buffer and was not given out.
    start: usize = 0,
    end: usize = 0,
    bytes_read: usize = 0,
    /// The line that has begun did not fit.
    skipping: bool = false,

    /// Null where the file cannot be opened.
    pub fn open(path: [*:0]const u8) ?Lines {
        const descriptor = kernel.open_for_reading(path);
        return if (descriptor < 0) null else .{ .descriptor = descriptor };
    }

    pub fn close(self: *Lines) void {
        kernel.close(self.descriptor);
        self.* = undefined;
    }

    /// The next line without its end, until the next call; null after the last.
    pub fn next(self: *Lines) ?[]const u8 {
        while (true) {
            const rest = self.buffer[self.start..self.end];
            if (std.mem.indexOfScalar(u8, rest, '\n')) |length| {
                self.start += length + 1;
                return self.line(rest[0..length]);
            }
            if (self.fill()) continue;
            if (self.start == self.end) return null;
            defer self.start = self.end;
            return self.line(self.buffer[self.start..self.end]);
        }
    }

    fn line(self: *Lines, text: []const u8) []const u8 {
        defer self.skipping = false;
        if (self.skipping) return "";
        return std.mem.trimEnd(u8, text, "\r");
    }

    /// Reads more; false at the end.
    fn fill(self: *Lines) bool {
        if (self.start > 0) {
            const rest = self.buffer[self.start..self.end];
            std.mem.copyForwards(u8, &self.buffer, rest);
            self.end = rest.len;
            self.start = 0;
        }
        if (self.end == self.buffer.len) {
            self.skipping = true;
            self.end = 0;
        }
        if (self.bytes_read >= bytes_max) return false;
        const count = kernel.read(self.descriptor, self.buffer[self.end..]);
        if (count <= 0) return false;
        self.end += @intCast(count);
        self.bytes_read += @intCast(count);
        return true;
    }
};

fn expect_lines(text: []const u8, expected: []const []const u8) !void {
    var name_buffer: [64]u8 = undefined;
    var folder = std.testing.tmpDir(.{});
    defer folder.cleanup();
    try folder.dir.writeFile(std.testing.io, .{ .sub_path = "text", .data = text });
    const path = try std.fmt.bufPrintZ(
        &name_buffer,
        ".zig-cache/tmp/{s}/text",
        .{folder.sub_path},
    );
    var lines = Lines.open(path).?;
    defer lines.close();
    for (expected) |line| try std.testing.expectEqualStrings(line, lines.next().?);
    try std.testing.expectEqual(@as(?[]const u8, null), lines.next());
    try std.testing.expectEqual(@as(?[]const u8, null), lines.next());
}

test "lines of a file" {
    try expect_lines("", &.{});
    try expect_lines("a\n\r\nbc\r\nd", &.{ "a", "", "bc", "d" });
    const long = "x" ** 3000;
    try expect_lines("a\n" ++ long ++ "\nb\n" ++ long, &.{ "a", "", "b", "" });
    const many = "0123456789abcdef\n" ** 200;
    try expect_lines(many, &(.{"0123456789abcdef"} ** 200));
}

test "a file that is not there" {
    try std.testing.expectEqual(@as(?Lines, null), Lines.open("/nowhere/at/all"));
}
