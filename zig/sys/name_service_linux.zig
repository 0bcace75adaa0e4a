//! What `name_service.zig` is made of on Linux: nothing. What can look names up there is a libc, of
//! which there are several.

const sockets = @import("sockets.zig");
const Result = @import("name_service.zig").Result;

pub const lookup: ?*const fn ([*:0]const u8, u32, []sockets.SocketAddress) Result = null;
