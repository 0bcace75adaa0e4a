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
    /// The kernel goes on with the last of these buffers.
    stays: bool,
    completion: contract.Completion,

    pub const none: Filled = .{
        .left = 0,
        .number = 0,
        .stays = false,
        .completion = undefined,
    };

    /// A receive with bytes, the first of them in the buffer with `number`: makes `completion` the
    /// first part.
    pub fn begin(
        self: *Filled,
        ring: *BufferRing,
        completion: *contract.Completion,
        number: u32,
        stays: bool,
    ) void {
        self.* = .{
            .left = @intCast(completion.result),
            .number = number,
            .stays = stays,
            .completion = completion.*,
        };
        self.take_part(ring, completion);
    }

    /// The next part.
    pub fn take_part(self: *Filled, ring: *BufferRing, completion: *contract.Completion) void {
        const number = self.number;
        const offset = if (ring.is_shared()) ring.consumed[number] else 0;
        const length = @min(self.left, ring.buffer_size - offset);
        self.left -= length;
        self.number = ring.after(number);
        completion.* = self.completion;
        completion.result = @intCast(length);
        completion.more = self.completion.more or self.left > 0;
        completion.offset = offset;
        if (!ring.is_shared()) {
            completion.buffer = ring.take(number);
            return;
        }
        ring.consumed[number] = offset + length;
        const stays = self.stays and self.left == 0;
        completion.share = if (stays) .part else .last_part;
        completion.buffer = if (stays) ring.names[number] else ring.take(number);
    }
};
