//! Where the files are that say how names are resolved: the system's own, or others that the
//! process was told of. Any thread.

const std = @import("std");
const Lock = @import("../../sys/lock.zig").Lock;
const config = @import("config.zig");
const hosts = @import("hosts.zig");
const Files = @import("lookup.zig").Files;

pub const path_max = 255;

const Path = struct { bytes: [path_max:0]u8 = undefined, replaced: bool = false };

var lock: Lock = .{};
var hosts_path: Path = .{};
var config_path: Path = .{};

/// The child of a fork keeps them; only the lock may be held by a thread that it does not have.
pub fn reset() void {
    lock = .{};
}

/// Replaces what is not empty; false, and nothing changed, where one cannot be a path.
pub fn replace(new_hosts: []const u8, new_config: []const u8) bool {
    if (!valid(new_hosts) or !valid(new_config)) return false;
    lock.acquire();
    defer lock.release();
    put(&hosts_path, new_hosts);
    put(&config_path, new_config);
    return true;
}

fn valid(path: []const u8) bool {
    return path.len <= path_max and std.mem.indexOfScalar(u8, path, 0) == null;
}

fn put(path: *Path, text: []const u8) void {
    if (text.len == 0) return;
    @memcpy(path.bytes[0..text.len], text);
    path.bytes[text.len] = 0;
    path.replaced = true;
}

/// The paths as they are now, whatever changes later.
pub const Copy = struct {
    hosts: Path,
    config: Path,

    pub fn now() Copy {
        lock.acquire();
        defer lock.release();
        return .{ .hosts = hosts_path, .config = config_path };
    }

    pub fn files(self: *const Copy) Files {
        return .{
            .hosts = if (self.hosts.replaced) &self.hosts.bytes else hosts.default_path,
            .config = if (self.config.replaced) &self.config.bytes else config.default_path,
            .replaced = self.hosts.replaced or self.config.replaced,
        };
    }
};
