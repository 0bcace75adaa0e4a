//! The file of a Unix socket that listens or is for datagrams: made, taken over from one that is
//! gone, and removed.
//!
//! Invariants: what is removed is a socket that nobody has or on which nobody listens, or the file
//! that was made here and that nothing else has taken the place of; nobody can connect before the
//! file has its permissions. Used by the loop's thread only.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const paths = @import("../sys/paths.zig");
const sockets = @import("../sys/sockets.zig");
const SocketAddress = sockets.SocketAddress;

/// The file that a listener made. A listener that gives its descriptor away gives this up too.
pub const OwnedPath = struct {
    /// Whether the file is ours to remove.
    is_owned: bool = false,
    found: paths.Found = .{},
    address: SocketAddress = undefined,

    /// Removes the file, if it is still the one that was made. To be called while the socket is
    /// open: as long the file's number is not given to another one.
    pub fn remove(self: *OwnedPath) void {
        if (!self.is_owned) return;
        self.is_owned = false;
        const path = path_of(&self.address) orelse return;
        var found: paths.Found = .{};
        if (paths.look(path, &found) < 0 or !std.meta.eql(found.identity, self.found.identity)) {
            return;
        }
        _ = paths.remove(path);
    }
};

pub const Options = struct {
    unlink_stale: bool,
    /// Permissions of the file, or `layout.option_unset`.
    mode: u32,
};

/// Binds a socket that does not listen yet: until it does, whoever connects is refused, so that
/// the permissions are there in time. Names of Linux have no file and none of this.
pub fn bind(
    descriptor: i32,
    address: *const SocketAddress,
    options: Options,
    owned: *OwnedPath,
) i32 {
    owned.* = .{};
    const path = path_of(address) orelse return sockets.bind(descriptor, address);
    var rc = sockets.bind(descriptor, address);
    if (rc == kernel.negative(.ADDRINUSE) and options.unlink_stale and remove_stale(address)) {
        rc = sockets.bind(descriptor, address);
    }
    if (rc < 0) return rc;
    rc = paths.look(path, &owned.found);
    if (rc < 0) return rc;
    owned.address = address.*;
    owned.is_owned = true;
    if (options.mode == layout.option_unset) return 0;
    rc = paths.set_mode(path, options.mode);
    if (rc < 0) owned.remove();
    return rc;
}

/// Whether a socket was at the path on which nobody listens, and is gone now. One for datagrams
/// that somebody has answers with another error (EPROTOTYPE).
fn remove_stale(address: *const SocketAddress) bool {
    const path = path_of(address).?;
    var before: paths.Found = .{};
    if (paths.look(path, &before) < 0 or !before.is_socket) return false;
    const probe = sockets.open_stream(sockets.AF.UNIX, true);
    if (probe < 0) return false;
    defer sockets.close(probe);
    if (sockets.connect(probe, address) != kernel.negative(.CONNREFUSED)) return false;
    // Another program may have been quicker.
    var after: paths.Found = .{};
    if (paths.look(path, &after) < 0 or !after.is(before)) return false;
    return paths.remove(path) >= 0;
}

/// Null for a name, which no file has.
fn path_of(address: *const SocketAddress) ?[:0]const u8 {
    const path = address.path();
    if (path.len == 0 or path[0] == 0) return null;
    return address.storage.un.path[0..path.len :0];
}

fn path_in(folder: std.testing.TmpDir, name: []const u8) SocketAddress {
    var address = std.mem.zeroes(SocketAddress);
    const un = &address.storage.un;
    un.family = sockets.AF.UNIX;
    const format = ".zig-cache/tmp/{s}/{s}";
    const path = std.fmt.bufPrint(&un.path, format, .{ folder.sub_path, name }) catch unreachable;
    address.unix_length = @intCast(SocketAddress.path_offset + path.len + 1);
    return address;
}

test "a file is made with its permissions, taken over when stale, and removed if it is ours" {
    const testing = std.testing;
    var folder = testing.tmpDir(.{});
    defer folder.cleanup();
    const address = path_in(folder, "socket");
    const options: Options = .{ .unlink_stale = true, .mode = 0o600 };
    var owned: OwnedPath = .{};
    const first = sockets.open_stream(sockets.AF.UNIX, true);
    try testing.expectEqual(@as(i32, 0), bind(first, &address, options, &owned));
    try testing.expectEqual(@as(i32, 0), sockets.listen(first, 4));

    // Alive.
    var other: OwnedPath = .{};
    const second = sockets.open_stream(sockets.AF.UNIX, true);
    defer sockets.close(second);
    const in_use = kernel.negative(.ADDRINUSE);
    try testing.expectEqual(in_use, bind(second, &address, options, &other));
    try testing.expect(!other.is_owned);

    // Stale, and then another's.
    sockets.stop_listening(first);
    defer sockets.close(first);
    const keep: Options = .{ .unlink_stale = false, .mode = layout.option_unset };
    try testing.expectEqual(in_use, bind(second, &address, keep, &other));
    try testing.expectEqual(@as(i32, 0), bind(second, &address, options, &other));
    owned.remove();
    var found: paths.Found = .{};
    try testing.expectEqual(@as(i32, 0), paths.look(path_of(&address).?, &found));
    other.remove();
    try testing.expectEqual(
        kernel.negative(.NOENT),
        paths.look(path_of(&address).?, &found),
    );
}
