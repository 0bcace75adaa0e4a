//! A buffer that the script of a simulation holds, and what must stand in it for as long.

const std = @import("std");

pub const Lease = struct {
    buffer: u32,
    generation: u32,
    /// References of the script.
    references: u32,
    offset: u32,
    /// What stands there.
    bytes: []const u8,
    /// Memory of the application, whose end is reported.
    is_adopted: bool = false,

    pub fn is_intact(self: *const Lease, pointer: [*]const u8) bool {
        return std.mem.eql(u8, self.bytes, pointer[self.offset..][0..self.bytes.len]);
    }
};
