//! The file of a listening Unix socket: made, taken over from one that is gone, and removed.
//!
//! Invariants: what is removed is a socket on which nobody listens, or the file that this listener
//! made and that nothing else has taken the place of; nobody can connect before the file has its
//! permissions. Used by the loop's thread only.

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

    /// Removes the file, if it is still the one that was made.
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

/// Whether a socket was at the path on which nobody listens, and is gone now.
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
