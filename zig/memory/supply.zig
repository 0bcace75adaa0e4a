//! Where a pool's blocks come from and where they go when they are free: its cache, its quarantine,
//! and behind them the arena, all within the pool's budget.
//!
//! Invariants: what is held (in use, with the backend, cached, in quarantine) and what is in
//! transit together never exceed `max_bytes`, but for what was received from another pool; what
//! could not be had is not asked for again before something became free or a while has passed:
//! other loops may have released or received meanwhile. Used by the loop's thread only.

const std = @import("std");
const arena_module = @import("arena.zig");
const Arena = arena_module.Arena;
const Cache = @import("cache.zig").Cache;
const classes = @import("classes.zig");
const members = @import("members.zig");
const Quarantine = @import("quarantine.zig").Quarantine;
const slabs = @import("slabs.zig");

/// After which what could not be had is asked for again: loops share the slabs.
const retry_ms: u64 = 10;

pub const Supply = struct {
    arena: *Arena,
    /// The owner in the states of its blocks.
    number: u32,
    max_bytes: u64,
    held_bytes: u64,
    released_early: u64,
    /// Goes up with each block that becomes free: what could not be had may be tried again.
    frees: u64,
    /// Size classes, and above them runs, that could not be had since a block last became free; a
    /// bit each.
    short: u32,
    /// When it was last asked, in vain or by the way.
    asked_ms: u32,
    /// Somebody waits for blocks.
    awaited: bool,
    /// The loop's clock in milliseconds.
    now_ms: u32,
    quarantine: Quarantine,
    cache: Cache,

    pub const Options = struct {
        arena: *Arena,
        number: u32,
        max_bytes: u64,
        quarantine_count: u32,
        quarantine_ms: u32,
    };

    pub fn init(self: *Supply, options: Options) void {
        self.* = .{
            .arena = options.arena,
            .number = options.number,
            .max_bytes = options.max_bytes,
            .held_bytes = 0,
            .released_early = 0,
            .frees = 0,
            .short = 0,
            .asked_ms = 0,
            .awaited = false,
            .now_ms = 0,
            .quarantine = .init(options.quarantine_count, options.quarantine_ms),
            .cache = undefined,
        };
        self.cache.init(options.max_bytes);
    }

    /// A block of a class, or `slabs.none`. Inside of the pool a name that is missing is `none`: an
    /// optional would be returned through memory, written in two parts and read as one, which costs
    /// more than all the rest.
    pub inline fn take_class(self: *Supply, class: u32) u32 {
        const name = self.cache.pop(class);
        return if (name == slabs.none) self.take_uncached(class) else name;
    }

    /// The same for who asks again and again by itself: what could not be had is not looked for in
    /// vain.
    pub inline fn take_class_patiently(self: *Supply, class: u32) u32 {
        const name = self.cache.pop(class);
        if (name != slabs.none) return name;
        return if (self.short & bit(class) != 0) slabs.none else self.take_uncached(class);
    }

    noinline fn take_uncached(self: *Supply, class: u32) u32 {
        if (self.refill(class) or self.release_oldest(class)) return self.cache.pop(class);
        // The arena may be out of blocks within the budget, when other pools have more than theirs.
        if (self.cache.bytes() > 0) {
            self.scavenge();
            if (self.refill(class)) return self.cache.pop(class);
        }
        self.note_short(class);
        return slabs.none;
    }

    fn note_short(self: *Supply, class: u32) void {
        self.short |= bit(class);
        self.asked_ms = self.now_ms;
    }

    fn bit(class: u32) u32 {
        return @as(u32, 1) << @intCast(class);
    }

    /// A run of whole pages, or `slabs.none`.
    pub fn take_run(self: *Supply, bytes: u32) u32 {
        var run = self.take_affordable_run(bytes);
        while (run == null) {
            const oldest = self.quarantine.pop_early(self.now_ms) orelse break;
            self.released_early += 1;
            self.put_back(oldest, slabs.state(oldest).class);
            run = self.take_affordable_run(bytes);
        }
        const name = run orelse {
            self.note_short(classes.run);
            return slabs.none;
        };
        self.held_bytes += bytes;
        slabs.state(name).set_owner(self.number);
        return name;
    }

    /// Gets a batch from the arena, as far as the budget goes.
    fn refill(self: *Supply, class: u32) bool {
        const size = classes.bytes_of(class);
        if (!self.afford(size)) return false;
        const affordable = self.left_bytes() / size;
        const room = self.cache.room(class);
        const wanted = room[0..@intCast(@min(room.len, affordable))];
        const count = self.arena.take(self.number, class, wanted);
        for (wanted[0..count]) |name| slabs.state(name).set_owner(self.number);
        self.cache.add(class, count);
        self.held_bytes += @as(u64, count) * size;
        return count > 0;
    }

    /// Whether the budget has room for so many bytes, after giving up what is only cached.
    fn afford(self: *Supply, bytes: u32) bool {
        if (self.left_bytes() >= bytes) return true;
        self.scavenge();
        return self.left_bytes() >= bytes;
    }

    pub fn left_bytes(self: *const Supply) u64 {
        return self.max_bytes -| (self.held_bytes + members.in_transit_bytes(self.number));
    }

    /// Gives everything that is cached back to the arena.
    pub fn scavenge(self: *Supply) void {
        self.cache.settle();
        for (0..classes.run) |class| {
            while (self.spill(@intCast(class)) > 0) {}
        }
    }

    fn spill(self: *Supply, class: u32) u32 {
        var names: [classes.kept_max]u32 = undefined;
        const spilled = self.cache.spill(class, &names);
        if (spilled.len == 0) return 0;
        self.held_bytes -= spilled.len * classes.bytes_of(class);
        self.arena.put(self.number, class, spilled, self.cache.limit(class));
        return @intCast(spilled.len);
    }

    fn take_affordable_run(self: *Supply, bytes: u32) ?u32 {
        if (!self.afford(bytes)) return null;
        if (self.arena.take_run(bytes)) |name| return name;
        if (self.cache.bytes() == 0) return null;
        self.scavenge();
        return self.arena.take_run(bytes);
    }

    /// Bytes that can be had without anything becoming free, counted until they are `enough`.
    pub fn obtainable_bytes(self: *const Supply, enough: u64) u64 {
        const yielding = self.quarantine.yielding_bytes(self.now_ms, enough);
        return self.left_bytes() + self.cache.bytes() + yielding;
    }

    /// A block that became free: to where the next one is taken from, or to quarantine first.
    pub inline fn give_back(self: *Supply, name: u32, class: u32, is_quarantined: bool) void {
        if (is_quarantined) self.rest(name) else self.put_back(name, class);
    }

    noinline fn rest(self: *Supply, name: u32) void {
        self.quarantine.push(name, self.now_ms);
        self.release_served();
    }

    /// A free block goes to the cache, a run to the arena.
    inline fn put_back(self: *Supply, name: u32, class: u32) void {
        const cached = class < classes.count and self.cache.push(class, name);
        if (!cached) self.put_back_far(name, class);
    }

    noinline fn put_back_far(self: *Supply, name: u32, class: u32) void {
        if (class >= classes.run) {
            self.held_bytes -= slabs.state(name).bytes;
            return arena_module.of_block(name).put_one(self.number, name);
        }
        _ = self.spill(class);
        const pushed = self.cache.push(class, name);
        std.debug.assert(pushed);
    }

    pub fn note_free(self: *Supply) void {
        self.frees +%= 1;
        self.short = 0;
    }

    /// The time, once in a turn. Ends the quarantine of what has served it.
    pub fn tick(self: *Supply, now_ns: u64) void {
        self.now_ms = @truncate(now_ns / std.time.ns_per_ms);
        self.release_served();
        if (self.short == 0 and !self.awaited) return;
        if (self.now_ms -% self.asked_ms < retry_ms) return;
        self.asked_ms = self.now_ms;
        self.note_free();
    }

    /// How long until it is worth asking again for what somebody waits for; null when nobody does.
    pub fn wake_ns(self: *const Supply) ?u64 {
        if (!self.awaited) return null;
        const rest_ms = self.quarantine.rest_ms(self.now_ms) orelse retry_ms;
        return std.math.clamp(rest_ms, 1, retry_ms) * std.time.ns_per_ms;
    }

    /// Ends the quarantine of what has served its time.
    fn release_served(self: *Supply) void {
        while (self.quarantine.pop_served(self.now_ms)) |name| {
            self.note_free();
            self.put_back(name, slabs.state(name).class);
        }
    }

    /// There is nothing else: the oldest blocks in quarantine, until one of the class is free.
    fn release_oldest(self: *Supply, class: u32) bool {
        while (self.quarantine.pop_early(self.now_ms)) |name| {
            self.released_early += 1;
            const found = slabs.state(name).class;
            self.put_back(name, found);
            if (found == class or self.refill(class)) return true;
        }
        return false;
    }
};
