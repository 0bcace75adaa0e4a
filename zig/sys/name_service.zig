//! What the system itself offers for looking names up. It waits, so it is for threads of their own.

const sockets = @import("sockets.zig");

const system = switch (@import("system.zig").family) {
    .linux => @import("name_service_linux.zig"),
    .bsd => @import("name_service_bsd.zig"),
};

pub const Result = union(enum) {
    /// So many addresses were written.
    found: u32,
    no_such_name,
    /// It could not be found out now.
    failed,
};

/// Writes a name's addresses, of one kernel family or with 0 of any; null where the system has
/// nothing but files that say whom to ask.
pub const lookup: ?*const fn (
    name: [*:0]const u8,
    family: u32,
    addresses: []sockets.SocketAddress,
) Result = system.lookup;
