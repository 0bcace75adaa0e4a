//! What the threads of one run see of each other: handles of loops, buffers in transit, ports that
//! listen, regions to scribble on, and whose turn it is. Numbers only: what they name may be gone.
//! All threads, atomically.

const std = @import("std");
const linux = std.os.linux;
const threads_max = @import("input.zig").threads_max;

const Word = std.atomic.Value(u32);
const loops_max = 8;
const ring_max = 16;

pub const Board = struct {
    /// Threads that run steps.
    threads: u32,
    loops: [threads_max][loops_max]Word = @splat(@splat(.init(0))),
    loops_next: [threads_max]Word = @splat(.init(0)),
    transits: [ring_max]std.atomic.Value(u64) = @splat(.init(0)),
    transits_next: Word = .init(0),
    ports: [ring_max]Word = @splat(.init(0)),
    ports_next: Word = .init(0),
    /// Addresses of regions that stay until all threads are through, and their bytes.
    regions: [threads_max]std.atomic.Value(usize) = @splat(.init(0)),
    region_bytes: [threads_max]Word = @splat(.init(0)),
    started: Gate = .{},
    finished: Gate = .{},
    /// The record whose turn it is, in lockstep.
    turn: Word = .init(0),

    pub fn add_loop(self: *Board, thread: u32, handle: u32) void {
        const place = self.loops_next[thread].fetchAdd(1, .monotonic) % loops_max;
        self.loops[thread][place].store(handle, .monotonic);
    }

    /// The handle of a loop of another thread, maybe closed; 0 when there is none.
    pub fn foreign_loop(self: *const Board, thread: u32, pick: u32) u32 {
        if (self.threads == 1) return 0;
        const other = (thread + 1 + pick % (self.threads - 1)) % self.threads;
        return self.loops[other][(pick >> 8) % loops_max].load(.monotonic);
    }

    pub fn add_transit(self: *Board, name: u32, generation: u32) void {
        const place = self.transits_next.fetchAdd(1, .monotonic) % ring_max;
        self.transits[place].store(@as(u64, generation) << 32 | name, .monotonic);
    }

    pub fn transit(self: *const Board, pick: u32) struct { name: u32, generation: u32 } {
        const word = self.transits[pick % ring_max].load(.monotonic);
        return .{ .name = @truncate(word), .generation = @intCast(word >> 32) };
    }

    pub fn add_port(self: *Board, number: u32) void {
        const place = self.ports_next.fetchAdd(1, .monotonic) % ring_max;
        self.ports[place].store(number, .monotonic);
    }

    pub fn port(self: *const Board, pick: u32) u32 {
        const known = @min(self.ports_next.load(.monotonic), ring_max);
        return if (known == 0) 0 else self.ports[pick % known].load(.monotonic);
    }

    pub fn share_region(self: *Board, thread: u32, region: [*]u8, bytes: u32) void {
        self.region_bytes[thread].store(bytes, .monotonic);
        self.regions[thread].store(@intFromPtr(region), .release);
    }

    /// A region that somebody shares, in words; null when nobody does.
    pub fn shared_region(self: *const Board, pick: u32) ?[]volatile u32 {
        const thread = pick % self.threads;
        const address = self.regions[thread].load(.acquire);
        if (address == 0) return null;
        const words: [*]volatile u32 = @ptrFromInt(address);
        return words[0 .. self.region_bytes[thread].load(.monotonic) / 4];
    }

    pub fn await_turn(self: *Board, record: u32) void {
        wait_until(&self.turn, record);
    }

    pub fn end_turn(self: *Board) void {
        _ = self.turn.fetchAdd(1, .release);
        wake_all(&self.turn);
    }
};

/// Opens when as many as expected are there.
pub const Gate = struct {
    arrived: Word = .init(0),

    pub fn pass(self: *Gate, expected: u32) void {
        _ = self.arrived.fetchAdd(1, .acq_rel);
        wake_all(&self.arrived);
        wait_until(&self.arrived, expected);
    }
};

fn wait_until(word: *Word, wanted: u32) void {
    while (true) {
        const seen = word.load(.acquire);
        if (seen >= wanted) return;
        _ = linux.futex_4arg(&word.raw, .{ .cmd = .WAIT, .private = true }, seen, null);
    }
}

fn wake_all(word: *Word) void {
    const all = std.math.maxInt(i32);
    _ = linux.futex_3arg(&word.raw, .{ .cmd = .WAKE, .private = true }, all);
}
