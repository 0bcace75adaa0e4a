//! What a run showed that others may not have: pairs of an event and the one before it on the same
//! thread. An input that shows a new one is worth keeping. A recorder belongs to one thread.

const std = @import("std");

pub const count = 1 << 16;

pub const Set = std.bit_set.ArrayBitSet(u64, count);

/// What happened: a function or operation with its result, a completion, …
pub const Source = enum(u32) { function, operation, event, rejection, step };

pub const Recorder = struct {
    set: Set = .initEmpty(),
    previous: u32 = 0,
    calls: u64 = 0,

    pub fn note(self: *Recorder, source: Source, name: u32, class: u32) void {
        const what = @intFromEnum(source) << 24 | (name & 0xffff) << 8 | (class & 0xff);
        self.set.set(hash(what, 0));
        self.set.set(hash(what, self.previous));
        // The class of what went before would make too much of chance.
        self.previous = @intFromEnum(source) << 24 | (name & 0xffff) << 8 | 1;
    }
};

fn hash(what: u32, before: u32) u16 {
    return @truncate(std.hash.int(@as(u64, before) << 32 | what));
}

/// Adds what is new to `all`; how much that was.
pub fn merge(all: *Set, found: *const Set) u32 {
    var new: u32 = 0;
    for (&all.masks, found.masks) |*known, mask| {
        new += @popCount(mask & ~known.*);
        known.* |= mask;
    }
    return new;
}
