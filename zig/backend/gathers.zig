//! Headers of sends of several segments, or with control data, which the kernel copies when it
//! takes their entries.
//!
//! Invariant: a header is used again only after the kernel has taken everything.

const std = @import("std");
const linux = std.os.linux;
const mapped = @import("../memory/mapped.zig");
const contract = @import("contract.zig");

/// Sends whose headers wait for the kernel to copy them, between two entries.
const gathers_max = 64;

const Gather = struct {
    header: linux.msghdr_const,
    vectors: [contract.segments_max]std.posix.iovec_const,
};

pub const Gathers = struct {
    gathers: []Gather,
    used: u32,

    pub fn init() error{OutOfMemory}!Gathers {
        return .{ .gathers = try mapped.allocate(Gather, gathers_max), .used = 0 };
    }

    pub fn deinit(self: *Gathers) void {
        mapped.free(Gather, self.gathers);
        self.* = undefined;
    }

    /// Whether all of them are used.
    pub fn are_used(self: *const Gathers) bool {
        return self.used == self.gathers.len;
    }

    /// `control` is not copied: it stays where it is until the send completes.
    pub fn take(
        self: *Gathers,
        segments: []const contract.Segment,
        control: []align(8) const u8,
    ) *const linux.msghdr_const {
        const gather = &self.gathers[self.used];
        self.used += 1;
        for (segments, gather.vectors[0..segments.len]) |segment, *vector| {
            vector.* = .{ .base = segment.pointer, .len = segment.length };
        }
        gather.header = std.mem.zeroInit(linux.msghdr_const, .{
            .iov = &gather.vectors,
            .iovlen = segments.len,
        });
        if (control.len > 0) {
            gather.header.control = control.ptr;
            gather.header.controllen = @intCast(control.len);
        }
        return &gather.header;
    }
};
