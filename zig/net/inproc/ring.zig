//! One direction of a pipe: what one end has sent and the other has not taken yet, as names of
//! buffers in transit. One producer, one consumer, no lock.
//!
//! Invariants: entries below `tail` are complete before it is stored, and the consumer reads none
//! from there on; entries below `head` are read before it is stored, and the producer writes none
//! that are not. Both only grow, modulo 2^32. The end is stored after the last entry. A ring has at
//! most `capacity` entries and `bytes_max` bytes, but always room for one entry. A producer without
//! room says so before it looks for room a last time, and the consumer looks at that after it has
//! made room: sequentially consistent, so that one of the two sees the other.

const std = @import("std");

pub const capacity: u32 = 128;
pub const bytes_max: u64 = 1 << 20;

/// Part of a buffer in transit.
pub const Entry = struct { buffer: u32, generation: u32, offset: u32, length: u32 };

pub const End = enum(u32) {
    none = 0,
    /// Nothing follows.
    orderly,
    /// The producer has gone without an orderly end.
    reset,
};

const line = std.atomic.cache_line;

pub const Ring = struct {
    /// The producer's: entries that there ever were, the sum of their bytes, and the end.
    tail: std.atomic.Value(u32) align(line),
    given_bytes: std.atomic.Value(u64),
    end: std.atomic.Value(End),
    /// Not to be seen yet.
    next_tail: u32,
    next_bytes: u64,
    /// The consumer's as last seen.
    seen_head: u32,
    seen_taken_bytes: u64,
    /// The consumer's: entries and bytes that it has taken, and that it takes no more.
    head: std.atomic.Value(u32) align(line),
    taken_bytes: std.atomic.Value(u64),
    gone: std.atomic.Value(u32),
    next_head: u32,
    next_taken_bytes: u64,
    seen_tail: u32,
    /// The producer waits for room; it sets, the consumer clears.
    wants_room: std.atomic.Value(u32) align(line),
    entries: [capacity]Entry align(line),

    /// Before both ends use it.
    pub fn init(self: *Ring) void {
        self.tail = .init(0);
        self.given_bytes = .init(0);
        self.end = .init(.none);
        self.next_tail = 0;
        self.next_bytes = 0;
        self.seen_head = 0;
        self.seen_taken_bytes = 0;
        self.head = .init(0);
        self.taken_bytes = .init(0);
        self.gone = .init(0);
        self.next_head = 0;
        self.next_taken_bytes = 0;
        self.seen_tail = 0;
        self.wants_room = .init(0);
    }

    // The producer's side.

    /// Whether `length` bytes more may be given now.
    pub fn has_room(self: *Ring, length: u32) bool {
        if (self.fits(length)) return true;
        self.seen_head = self.head.load(.seq_cst);
        // Stored before the head.
        self.seen_taken_bytes = self.taken_bytes.load(.monotonic);
        return self.fits(length);
    }

    fn fits(self: *const Ring, length: u32) bool {
        const count = self.next_tail -% self.seen_head;
        if (count == 0) return true;
        const bytes = self.next_bytes - self.seen_taken_bytes;
        return count < capacity and bytes + length <= bytes_max;
    }

    /// Gives an entry for which there is room. The consumer sees it with `show`.
    pub fn give(self: *Ring, entry: Entry) void {
        std.debug.assert(self.next_tail -% self.seen_head < capacity);
        self.entries[self.next_tail % capacity] = entry;
        self.next_tail +%= 1;
        self.next_bytes += entry.length;
    }

    /// Has the consumer see what was given; false when that is nothing.
    pub fn show(self: *Ring) bool {
        if (self.tail.load(.monotonic) == self.next_tail) return false;
        self.given_bytes.store(self.next_bytes, .monotonic);
        // Also a release, for the entries; in one order with `Node.inbox`.
        self.tail.store(self.next_tail, .seq_cst);
        return true;
    }

    /// Asks to be told of room for `length` bytes; false when there is some now.
    pub fn await_room(self: *Ring, length: u32) bool {
        self.wants_room.store(1, .seq_cst);
        if (!self.has_room(length)) return true;
        self.wants_room.store(0, .monotonic);
        return false;
    }

    /// Nothing will be given after what was shown. The first end counts.
    pub fn finish(self: *Ring, end: End) void {
        if (self.end.load(.monotonic) != .none) return;
        self.end.store(end, .seq_cst);
    }

    /// Whether the consumer takes no more.
    pub fn is_refused(self: *const Ring) bool {
        return self.gone.load(.acquire) != 0;
    }

    // The consumer's side.

    pub fn peek(self: *Ring) ?*const Entry {
        if (self.next_head == self.seen_tail) {
            self.seen_tail = self.tail.load(.seq_cst);
            if (self.next_head == self.seen_tail) return null;
        }
        return &self.entries[self.next_head % capacity];
    }

    /// Takes the entry that `peek` shows. The producer has its place with `settle`.
    pub fn drop(self: *Ring) void {
        self.next_taken_bytes += self.entries[self.next_head % capacity].length;
        self.next_head +%= 1;
    }

    /// Has the producer see what was taken; whether it is to be told because half of the ring is
    /// free, for which it waits.
    pub fn settle(self: *Ring) bool {
        if (self.head.load(.monotonic) != self.next_head) {
            self.taken_bytes.store(self.next_taken_bytes, .monotonic);
            self.head.store(self.next_head, .seq_cst);
        }
        if (self.wants_room.load(.seq_cst) == 0) return false;
        const count = self.tail.load(.acquire) -% self.next_head;
        // More than that tail has, where the producer goes on meanwhile: it does not wait then.
        const bytes = self.given_bytes.load(.monotonic) - self.next_taken_bytes;
        if (count > 0 and (count > capacity / 2 or bytes > bytes_max / 2)) return false;
        self.wants_room.store(0, .monotonic);
        return true;
    }

    /// How it ended, once everything before that was taken.
    pub fn ended(self: *Ring) End {
        const end = self.end.load(.acquire);
        if (end == .none or self.peek() != null) return .none;
        return end;
    }

    /// The consumer takes no more.
    pub fn refuse(self: *Ring) void {
        self.gone.store(1, .release);
    }
};

fn test_ring() !*Ring {
    const ring = try std.testing.allocator.create(Ring);
    ring.init();
    return ring;
}

fn entry_of(number: u32, length: u32) Entry {
    return .{ .buffer = number, .generation = 0, .offset = 0, .length = length };
}

test "entries come in order, and a full ring tells when half of it is free" {
    const ring = try test_ring();
    defer std.testing.allocator.destroy(ring);
    for (0..capacity) |number| {
        try std.testing.expect(ring.has_room(1));
        ring.give(entry_of(@intCast(number), 1));
    }
    try std.testing.expect(ring.peek() == null);
    try std.testing.expect(ring.show());
    try std.testing.expect(!ring.show());
    try std.testing.expect(!ring.has_room(1));
    try std.testing.expect(ring.await_room(1));
    for (0..capacity) |number| {
        try std.testing.expectEqual(@as(u32, @intCast(number)), ring.peek().?.buffer);
        ring.drop();
        try std.testing.expectEqual(number == capacity / 2 - 1, ring.settle());
    }
    try std.testing.expect(ring.peek() == null);
    try std.testing.expect(ring.has_room(1));
}

test "bytes are bounded, but one entry always fits" {
    const ring = try test_ring();
    defer std.testing.allocator.destroy(ring);
    try std.testing.expect(ring.has_room(1 << 30));
    ring.give(entry_of(1, 1 << 30));
    try std.testing.expect(!ring.has_room(1));
    _ = ring.show();
    try std.testing.expect(ring.await_room(1));
    _ = ring.peek();
    ring.drop();
    try std.testing.expect(ring.settle());
    try std.testing.expect(ring.has_room(1 << 20));
    ring.give(entry_of(2, 1 << 20));
    try std.testing.expect(!ring.has_room(1));
}

test "the end comes after everything before it" {
    const ring = try test_ring();
    defer std.testing.allocator.destroy(ring);
    ring.give(entry_of(1, 1));
    _ = ring.show();
    ring.finish(.orderly);
    ring.finish(.reset);
    try std.testing.expectEqual(End.none, ring.ended());
    _ = ring.peek();
    ring.drop();
    try std.testing.expectEqual(End.orderly, ring.ended());
    try std.testing.expect(!ring.is_refused());
    ring.refuse();
    try std.testing.expect(ring.is_refused());
}

/// Gives numbers, as long as there is room, and counts how often it had to wait.
const Producer = struct {
    ring: *Ring,
    count: u32,
    woken: std.atomic.Value(u32) = .init(0),
    waits: u32 = 0,

    fn run(self: *Producer) void {
        var number: u32 = 0;
        while (number < self.count) {
            if (self.ring.has_room(1)) {
                self.ring.give(entry_of(number, 1));
                number += 1;
                if (number % 7 == 0) _ = self.ring.show();
                continue;
            }
            _ = self.ring.show();
            if (!self.ring.await_room(1)) continue;
            self.waits += 1;
            while (self.woken.swap(0, .acquire) == 0) std.atomic.spinLoopHint();
        }
        _ = self.ring.show();
        self.ring.finish(.orderly);
    }
};

test "two threads lose nothing, and neither waits for ever" {
    const ring = try test_ring();
    defer std.testing.allocator.destroy(ring);
    const count: u32 = if (@import("../../sys/record_test.zig").on_valgrind()) 2_000 else 200_000;
    var producer: Producer = .{ .ring = ring, .count = count };
    const thread = try std.Thread.spawn(.{}, Producer.run, .{&producer});
    var expected: u32 = 0;
    while (ring.ended() == .none) {
        while (ring.peek()) |entry| {
            if (entry.buffer != expected) break;
            expected += 1;
            ring.drop();
        }
        if (ring.settle()) producer.woken.store(1, .release);
        std.atomic.spinLoopHint();
    }
    thread.join();
    try std.testing.expectEqual(count, expected);
}
