//! What a receive filled: one completion of the kernel's may stand for several buffers of the ring,
//! each of which is a completion of ours.
//!
//! Invariant: the parts are handed out in the order of their bytes, which is the order in which the
//! buffers were provided, before any later completion is.

const contract = @import("contract.zig");
const BufferRing = @import("buffer_ring.zig").BufferRing;

pub const Filled = struct {
    /// Bytes that are still to be told of, from the buffer with `number` on.
    left: u32,
    number: u32,
    completion: contract.Completion,

    pub const none: Filled = .{ .left = 0, .number = 0, .completion = undefined };

    /// A receive with bytes, the first of them in the buffer with `number`: makes `completion` the
    /// first part.
    pub fn begin(
        self: *Filled,
        ring: *BufferRing,
        completion: *contract.Completion,
        number: u32,
    ) void {
        self.* = .{
            .left = @intCast(completion.result),
            .number = number,
            .completion = completion.*,
        };
        self.take_part(ring, completion);
    }

    /// The next part.
    pub fn take_part(self: *Filled, ring: *BufferRing, completion: *contract.Completion) void {
        const number = self.number;
        const length = @min(self.left, ring.buffer_size);
        self.left -= length;
        self.number = ring.after(number);
        completion.* = self.completion;
        completion.result = @intCast(length);
        completion.more = self.completion.more or self.left > 0;
        completion.buffer = ring.take(number);
    }
};
