//! Files by their paths, as far as sockets that have one need it. Every function gives a
//! non-negative value or a negated errno; a link at the end of a path is not followed. No state,
//! any thread.

const std = @import("std");
const kernel = @import("kernel.zig");

const system = switch (@import("system.zig").family) {
    .linux => @import("paths_linux.zig"),
    .bsd => @import("paths_bsd.zig"),
};

/// What is at a path, so that another thing that takes its place is told from it.
pub const Found = struct {
    identity: kernel.Identity = .{},
    /// When it was changed last: numbers of files that are gone are given out again.
    changed_ns: i128 = 0,
    is_socket: bool = false,

    pub fn is(self: Found, other: Found) bool {
        return std.meta.eql(self.identity, other.identity) and self.changed_ns == other.changed_ns;
    }
};

pub fn look(path: [:0]const u8, found: *Found) i32 {
    return system.look(path, found);
}

pub fn remove(path: [:0]const u8) i32 {
    return system.remove(path);
}

/// Gives the file the permissions, whatever the umask is.
pub fn set_mode(path: [:0]const u8, mode: u32) i32 {
    return system.set_mode(path, mode);
}

test "a path that is not there, and one that is no socket" {
    var found: Found = .{};
    const absent = "/proc/self/no-such-file";
    try std.testing.expectEqual(kernel.negative(.NOENT), look(absent, &found));
    try std.testing.expectEqual(kernel.negative(.NOENT), remove(absent));
    try std.testing.expectEqual(kernel.negative(.NOENT), set_mode(absent, 0o600));
    try std.testing.expectEqual(@as(i32, 0), look("/", &found));
    try std.testing.expect(!found.is_socket and found.is(found));
}
