//! Timers of one loop: a four-ary heap of deadlines over ids that the owner chooses.
//!
//! Start, stop and expiry cost O(log4 n) and no allocation; timers with equal deadlines fire in the
//! order in which they were started. Invariant: `positions[id]` is 1 + the id's place in the heap,
//! 0 when it is not running. Used by the loop's thread only.

const std = @import("std");
const mapped = @import("../memory/mapped.zig");

const arity = 4;

const Entry = struct {
    deadline_ns: u64,
    /// Decides between equal deadlines; wraps only after 2^32 starts, where order is lost once.
    sequence: u32,
    id: u32,

    fn before(self: Entry, other: Entry) bool {
        if (self.deadline_ns != other.deadline_ns) return self.deadline_ns < other.deadline_ns;
        return self.sequence < other.sequence;
    }
};

pub const Timers = struct {
    heap: []Entry,
    count: u32,
    positions: []u32,
    next_sequence: u32,

    /// `capacity`: ids are below it.
    pub fn init(capacity: u32) error{OutOfMemory}!Timers {
        const heap = try mapped.allocate(Entry, capacity);
        errdefer mapped.free(Entry, heap);
        return .{
            .heap = heap,
            .count = 0,
            .positions = try mapped.allocate(u32, capacity),
            .next_sequence = 0,
        };
    }

    pub fn deinit(self: *Timers) void {
        mapped.free(Entry, self.heap);
        mapped.free(u32, self.positions);
        self.* = undefined;
    }

    /// Starts a timer, or moves a running one.
    pub fn start(self: *Timers, id: u32, deadline_ns: u64) void {
        self.stop(id);
        const entry: Entry = .{
            .deadline_ns = deadline_ns,
            .sequence = self.next_sequence,
            .id = id,
        };
        self.next_sequence +%= 1;
        const place = self.count;
        self.count += 1;
        self.put(place, entry);
        self.sift_up(place);
    }

    /// Stops a timer; one that is not running stays so.
    pub fn stop(self: *Timers, id: u32) void {
        const position = self.positions[id];
        if (position == 0) return;
        self.remove(position - 1);
    }

    /// The earliest deadline, or null.
    pub fn next_deadline_ns(self: *const Timers) ?u64 {
        return if (self.count == 0) null else self.heap[0].deadline_ns;
    }

    /// Takes the earliest timer that is due at `now_ns`; its id, or null.
    pub fn take_due(self: *Timers, now_ns: u64) ?u32 {
        if (self.count == 0 or self.heap[0].deadline_ns > now_ns) return null;
        const id = self.heap[0].id;
        self.remove(0);
        return id;
    }

    fn remove(self: *Timers, place: u32) void {
        self.positions[self.heap[place].id] = 0;
        self.count -= 1;
        if (place == self.count) return;
        const moved = self.heap[self.count];
        self.put(place, moved);
        self.sift_up(place);
        self.sift_down(self.positions[moved.id] - 1);
    }

    fn put(self: *Timers, place: u32, entry: Entry) void {
        self.heap[place] = entry;
        self.positions[entry.id] = place + 1;
    }

    fn sift_up(self: *Timers, start_place: u32) void {
        var place = start_place;
        const entry = self.heap[place];
        while (place > 0) {
            const parent = (place - 1) / arity;
            if (!entry.before(self.heap[parent])) break;
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    fn sift_down(self: *Timers, start_place: u32) void {
        var place = start_place;
        const entry = self.heap[place];
        while (self.first_child(place)) |child| {
            if (!self.heap[child].before(entry)) break;
            self.put(place, self.heap[child]);
            place = child;
        }
        self.put(place, entry);
    }

    /// The child that fires first, or null at the heap's edge.
    fn first_child(self: *const Timers, place: u32) ?u32 {
        const begin = place * arity + 1;
        if (begin >= self.count) return null;
        const end = @min(begin + arity, self.count);
        var first = begin;
        for (begin + 1..end) |child| {
            if (self.heap[child].before(self.heap[first])) first = @intCast(child);
        }
        return first;
    }
};

test "timers fire in order of deadline, then of start" {
    var timers = try Timers.init(16);
    defer timers.deinit();
    timers.start(1, 300);
    timers.start(2, 100);
    timers.start(3, 300);
    timers.start(4, 200);
    try std.testing.expectEqual(@as(?u64, 100), timers.next_deadline_ns());
    try std.testing.expectEqual(@as(?u32, null), timers.take_due(99));
    for ([_]u32{ 2, 4, 1, 3 }) |id| {
        try std.testing.expectEqual(@as(?u32, id), timers.take_due(300));
    }
    try std.testing.expectEqual(@as(?u32, null), timers.take_due(300));
}

test "a stopped timer never fires and a moved one fires once" {
    var timers = try Timers.init(16);
    defer timers.deinit();
    timers.start(1, 100);
    timers.start(2, 50);
    timers.stop(2);
    timers.stop(2);
    timers.start(1, 10);
    try std.testing.expectEqual(@as(?u32, 1), timers.take_due(1000));
    try std.testing.expectEqual(@as(?u32, null), timers.take_due(1000));
}

test "random starts, stops and expiries agree with a plain list" {
    const capacity = 64;
    var timers = try Timers.init(capacity);
    defer timers.deinit();
    var model: [capacity]?u64 = @splat(null);
    var prng = std.Random.DefaultPrng.init(7);
    const random = prng.random();
    var now: u64 = 0;
    for (0..20_000) |_| {
        const id = random.uintLessThan(u32, capacity);
        switch (random.uintLessThan(u8, 4)) {
            0, 1 => {
                const deadline = now + random.uintLessThan(u64, 500);
                timers.start(id, deadline);
                model[id] = deadline;
            },
            2 => {
                timers.stop(id);
                model[id] = null;
            },
            else => {
                now += random.uintLessThan(u64, 100);
                var last: u64 = 0;
                while (timers.take_due(now)) |due| {
                    const deadline = model[due].?;
                    try std.testing.expect(deadline <= now and deadline >= last);
                    last = deadline;
                    model[due] = null;
                }
                for (model) |deadline| try std.testing.expect(deadline == null or deadline.? > now);
            },
        }
    }
}
