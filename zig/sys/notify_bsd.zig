//! What `notify.zig` is made of on macOS and FreeBSD: two connected sockets.

const sockets = @import("sockets.zig");

pub fn open(descriptor: *i32, end: *i32) i32 {
    var pair: [2]i32 = undefined;
    const rc = sockets.open_pair(&pair);
    if (rc < 0) return rc;
    descriptor.* = pair[0];
    end.* = pair[1];
    return 0;
}

pub fn signal(end: i32) void {
    _ = sockets.send(end, "!");
}

pub fn forget(descriptor: i32) void {
    var bytes: [64]u8 = undefined;
    while (sockets.receive(descriptor, &bytes) == bytes.len) {}
}
