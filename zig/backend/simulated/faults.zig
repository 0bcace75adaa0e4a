//! What goes wrong in a simulated kernel, and how often.
//!
//! Each seed enables a random few of the faults, each at a rate of its own: a run in which
//! everything goes wrong a little never reaches the states that one fault alone, often, leads to.

const std = @import("std");

/// Chances out of `certain`.
pub const Rate = u16;
pub const certain = 1024;

pub const Faults = struct {
    /// Entering ends with EINTR, EAGAIN or EBUSY before anything was submitted.
    enter_interrupted: Rate = 0,
    /// Entering is refused with ENOMEM.
    enter_refused: Rate = 0,
    /// Only some of the submissions are taken.
    partial_submission: Rate = 0,
    /// There is no room to start an operation.
    no_room: Rate = 0,
    /// Fewer completions than there are, or none.
    partial_reap: Rate = 0,
    /// A completion overtakes those of other operations.
    reordering: Rate = 0,
    /// The kernel gets to an operation late.
    late_operation: Rate = 0,
    /// A completion is seen late.
    late_completion: Rate = 0,
    /// Bytes, ends and resets take a long time.
    late_network: Rate = 0,
    short_receive: Rate = 0,
    short_send: Rate = 0,
    empty_send: Rate = 0,
    /// A send keeps its buffers for a while, as one that copies nothing does.
    late_release: Rate = 0,
    /// A send fails with ENOBUFS.
    failed_send: Rate = 0,
    /// A receive ends with ENOBUFS although there are buffers.
    no_buffers: Rate = 0,
    /// A multishot operation ends with a result.
    disarmed: Rate = 0,
    /// An operation ends with EAGAIN, EINTR or ECANCELED, out of nothing.
    spurious_end: Rate = 0,
    /// A cancelled operation still succeeds.
    cancel_race: Rate = 0,
    /// Accepting fails for want of descriptors.
    accept_exhausted: Rate = 0,
    /// A connection is gone before it is accepted.
    accept_aborted: Rate = 0,
    connect_refused: Rate = 0,
    /// Nobody answers a connect for a while, or ever.
    connect_lost: Rate = 0,
    /// A socket cannot be opened.
    no_descriptor: Rate = 0,
    /// A connection breaks.
    reset: Rate = 0,
    clock_jump: Rate = 0,

    /// Every fault enabled with a chance of one in three.
    pub fn swarm(random: std.Random) Faults {
        var faults: Faults = .{};
        inline for (std.meta.fields(Faults)) |field| {
            const rates = [_]Rate{ 4, 16, 64, 256 };
            if (random.uintLessThan(u8, 3) == 0) {
                @field(faults, field.name) = rates[random.uintLessThan(usize, rates.len)];
            }
        }
        // Most of what is refused is asked for again by the way: what is not must be met often.
        if (faults.no_room > 0) faults.no_room = @max(faults.no_room, 64);
        // These end connections or whole turns: more often, nothing else would happen.
        faults.reset = @min(faults.reset, 4);
        faults.failed_send = @min(faults.failed_send, 8);
        faults.enter_refused = @min(faults.enter_refused, 64);
        return faults;
    }
};
