//! New inputs from old ones: records are changed, repeated, dropped, swapped and mixed with those
//! of another input, bytes are changed within them. The same random numbers give the same input.

const std = @import("std");
const input = @import("input.zig");
const steps = @import("steps.zig");

const head_bytes = input.head_bytes;
const record_bytes = input.record_bytes;

/// An input that is being made.
pub const Draft = struct {
    buffer: [input.bytes_max]u8 = undefined,
    length: usize = 0,

    pub fn bytes(self: *const Draft) []const u8 {
        return self.buffer[0..self.length];
    }

    pub fn set(self: *Draft, from: []const u8) void {
        self.length = @min(from.len, self.buffer.len);
        @memcpy(self.buffer[0..self.length], from[0..self.length]);
    }

    fn records(self: *const Draft) u32 {
        return @intCast((self.length -| head_bytes) / record_bytes);
    }

    fn record(self: *Draft, index: usize) *[record_bytes]u8 {
        return self.buffer[head_bytes + index * record_bytes ..][0..record_bytes];
    }

    fn set_records(self: *Draft, count: usize) void {
        self.length = head_bytes + count * record_bytes;
    }

    /// Makes room for one more at `index`; its bytes are still those of the one that stood there.
    fn insert(self: *Draft, index: usize) void {
        const count = self.records();
        if (count == input.records_max) return;
        self.set_records(count + 1);
        var at: usize = count;
        while (at > index) : (at -= 1) self.record(at).* = self.record(at - 1).*;
    }

    fn remove(self: *Draft, index: usize) void {
        const count = self.records();
        for (index..count - 1) |at| self.record(at).* = self.record(at + 1).*;
        self.set_records(count - 1);
    }
};

/// An input out of nothing.
pub fn make(draft: *Draft, random: std.Random) void {
    random.bytes(draft.buffer[0..head_bytes]);
    draft.set_records(random.intRangeAtMost(u32, 4, input.records_max));
    for (0..draft.records()) |index| fill(draft.record(index), random);
}

/// Changes a draft a few times; `other` is an input to mix it with.
pub fn change(draft: *Draft, other: []const u8, random: std.Random) void {
    if (draft.records() < 2) return make(draft, random);
    const changes = @as(u32, 1) << random.int(u2);
    for (0..changes) |_| {
        if (draft.records() < 2) return;
        change_once(draft, other, random);
    }
}

fn change_once(draft: *Draft, other: []const u8, random: std.Random) void {
    const count = draft.records();
    const index = random.uintLessThan(u32, count);
    switch (random.uintLessThan(u8, 12)) {
        0 => random.bytes(draft.buffer[random.uintLessThan(u32, head_bytes)..][0..1]),
        1, 2 => {
            draft.insert(index);
            fill(draft.record(index), random);
        },
        3 => draft.insert(index),
        4, 5 => draft.remove(index),
        6 => {
            const with = draft.record(random.uintLessThan(u32, count));
            std.mem.swap([record_bytes]u8, draft.record(index), with);
        },
        7 => mix(draft, index, other, random),
        8 => draft.record(index)[1] = random.int(u8),
        9 => {
            const byte = &draft.record(index)[random.uintLessThan(u32, record_bytes)];
            byte.* ^= @as(u8, 1) << random.int(u3);
        },
        else => draft.record(index)[random.uintLessThan(u32, record_bytes)] = random.int(u8),
    }
}

/// Goes on from `index` with records of another input.
fn mix(draft: *Draft, index: u32, other: []const u8, random: std.Random) void {
    const there = (other.len -| head_bytes) / record_bytes;
    if (there == 0) return;
    const from = random.uintLessThan(usize, there);
    const taken = @min(there - from, input.records_max - index);
    draft.set_records(@max(draft.records(), index + taken));
    const bytes = other[head_bytes + from * record_bytes ..][0 .. taken * record_bytes];
    @memcpy(draft.buffer[head_bytes + index * record_bytes ..][0..bytes.len], bytes);
}

fn fill(record: *[record_bytes]u8, random: std.Random) void {
    random.bytes(record);
    if (random.uintLessThan(u8, 5) < 3) {
        record[0] = steps.first_step + random.uintLessThan(u8, steps.steps_count);
    } else {
        record[0] %= steps.first_step;
    }
    // Most values are valid, or few programs get far.
    for (0..input.values_count) |value| {
        if (random.boolean()) record[4 + value * 5] &= 7;
        if (random.boolean()) @memset(record[4 + value * 5 + 2 ..][0..3], 0);
    }
}

test "whatever is made and changed is an input of whole records" {
    var generator: std.Random.DefaultPrng = .init(3);
    const random = generator.random();
    var other: Draft = .{};
    make(&other, random);
    var draft: Draft = .{};
    for (0..2000) |_| {
        change(&draft, other.bytes(), random);
        try std.testing.expectEqual(@as(usize, 0), (draft.length - head_bytes) % record_bytes);
        try std.testing.expectEqual(draft.records(), input.record_count(draft.bytes()));
    }
}
