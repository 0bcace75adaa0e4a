//! The pool against a model: random sequences of everything that pools can be asked for, after each
//! step of which the accounts must be what the model says.

const std = @import("std");
const Lock = @import("../sys/lock.zig").Lock;
const on_valgrind = @import("../sys/record_test.zig").on_valgrind;
const pool_module = @import("pool.zig");
const pool_test = @import("pool_test.zig");
const Pool = pool_module.Pool;
const slabs = @import("slabs.zig");

const close = pool_test.close;
const free = pool_test.free;
const gpa = testing.allocator;
const open = pool_test.open;
const small = pool_test.small;
const testing = std.testing;

/// A block that somebody holds, as the model knows it.
const Block = struct {
    name: u32,
    generation: u32,
    bytes: u32,
    /// Index of the pool; null in transit.
    pool: ?u32,
    sender: u32 = 0,
    script: u32,
    others: u32,
};

const pools_count = 3;

const Model = struct {
    random: std.Random,
    options: pool_module.Options,
    pools: [pools_count]*Pool,
    blocks: std.ArrayList(Block) = .empty,
    /// Handles that have ended.
    stale: std.ArrayList([2]u32) = .empty,
    /// Units of all slabs that are in somebody's block.
    used: std.AutoHashMap(u32, void),
    most_unusable_bytes: u64,
    /// What earlier models have left mapped.
    mapped_before: u64,

    fn init(random: std.Random, options: pool_module.Options) !Model {
        var pools: [pools_count]*Pool = undefined;
        for (&pools) |*pool| pool.* = try open(options);
        return .{
            .random = random,
            .options = options,
            .pools = pools,
            .used = .init(gpa),
            .most_unusable_bytes = pools[0].arena().unusable_bytes(),
            .mapped_before = pools[0].arena().mapped_bytes,
        };
    }

    fn deinit(self: *Model) void {
        for (self.pools) |pool| close(pool, true);
        self.blocks.deinit(gpa);
        self.stale.deinit(gpa);
        self.used.deinit();
    }

    fn pick(self: *Model) ?*Block {
        if (self.blocks.items.len == 0) return null;
        return &self.blocks.items[self.random.uintLessThan(usize, self.blocks.items.len)];
    }

    fn mark(self: *Model, name: u32, bytes: u32) !void {
        for (0..bytes / slabs.unit_bytes) |unit| {
            const entry = try self.used.getOrPut(name + @as(u32, @intCast(unit)));
            try testing.expect(!entry.found_existing);
        }
    }

    fn add(self: *Model, name: u32, pool: u32, script: u32, others: u32) !void {
        const state = slabs.state(name);
        try self.mark(name, state.bytes);
        try self.blocks.append(gpa, .{
            .name = name,
            .generation = state.generation(),
            .bytes = state.bytes,
            .pool = pool,
            .script = script,
            .others = others,
        });
    }

    fn remove(self: *Model, block: *Block) !void {
        for (0..block.bytes / slabs.unit_bytes) |unit| {
            try testing.expect(self.used.remove(block.name + @as(u32, @intCast(unit))));
        }
        try self.stale.append(gpa, .{ block.name, block.generation });
        const index = block - self.blocks.items.ptr;
        _ = self.blocks.swapRemove(index);
    }

    fn step(self: *Model) !void {
        const index = self.random.uintLessThan(u32, pools_count);
        const pool = self.pools[index];
        switch (self.random.uintLessThan(u32, 100)) {
            0...29 => try self.take(index, pool),
            30...39 => try self.receive_from_kernel(index, pool),
            40...44 => if (self.pick()) |block| try self.retain(block),
            45...84 => if (self.pick()) |block| try self.release(block),
            85...90 => if (self.pick()) |block| try self.transfer(block),
            91...96 => if (self.pick()) |block| try self.receive(index, pool, block),
            97 => try self.stale_use(pool),
            98 => pool.supply.tick(self.random.int(u32)),
            else => if (self.random.uintLessThan(u32, 20) == 0) try self.reopen(index),
        }
    }

    fn take(self: *Model, index: u32, pool: *Pool) !void {
        const exponent = self.random.uintLessThan(u5, 16);
        const bytes = self.random.intRangeAtMost(u32, 1, @as(u32, 64) << exponent);
        const name = pool.take(bytes) orelse return;
        try testing.expect(slabs.state(name).bytes >= bytes);
        try self.add(name, index, 1, 0);
    }

    fn receive_from_kernel(self: *Model, index: u32, pool: *Pool) !void {
        const name = pool.take_for_backend() orelse return;
        pool.received(name, 0, 0);
        try self.add(name, index, 0, 1);
    }

    fn retain(self: *Model, block: *Block) !void {
        const pool = self.pools[block.pool orelse return];
        if (self.random.boolean()) {
            try testing.expect(pool.script_retain(block.name));
            block.script += 1;
        } else {
            try testing.expect(pool.retain(block.name));
            block.others += 1;
        }
    }

    fn release(self: *Model, block: *Block) !void {
        const pool = self.pools[block.pool orelse return];
        const of_script = block.script > 0 and (block.others == 0 or self.random.boolean());
        if (of_script) {
            try testing.expect(pool.take_from_script(block.name));
            block.script -= 1;
        } else {
            block.others -= 1;
        }
        if (block.script == 0) try testing.expect(!pool.take_from_script(block.name));
        const freed = pool.release(block.name);
        try testing.expectEqual(block.script + block.others == 0, freed != null);
        if (freed != null) try self.remove(block);
    }

    fn transfer(self: *Model, block: *Block) !void {
        const index = block.pool orelse return;
        const pool = self.pools[index];
        const result = pool.transfer(block.name, block.generation, block.script);
        if (block.others > 0) return testing.expectError(error.Busy, result);
        _ = try result;
        block.pool = null;
        block.sender = index;
        try testing.expect(!pool.valid(block.name, block.generation));
    }

    fn receive(self: *Model, index: u32, pool: *Pool, block: *Block) !void {
        _ = self;
        const expected = block.pool == null;
        try testing.expectEqual(expected, pool.receive(block.name, block.generation));
        if (!expected) return;
        block.pool = index;
        block.script = 1;
        block.others = 0;
    }

    fn stale_use(self: *Model, pool: *Pool) !void {
        for (self.stale.items) |handle| {
            try testing.expect(!pool.valid(handle[0], handle[1]));
            try testing.expect(!pool.receive(handle[0], handle[1]));
            const result = pool.transfer(handle[0], handle[1], 1);
            try testing.expectError(error.Stale, result);
        }
        if (self.stale.items.len > 64) self.stale.clearRetainingCapacity();
    }

    /// A loop ends with whatever it holds, and another one begins.
    fn reopen(self: *Model, index: u32) !void {
        close(self.pools[index], true);
        var at: usize = 0;
        while (at < self.blocks.items.len) {
            const block = &self.blocks.items[at];
            if (block.pool == index) {
                try self.remove(block);
            } else {
                at += 1;
            }
        }
        self.pools[index] = try open(self.options);
    }

    fn check(self: *Model) !void {
        var sums: [pools_count]u64 = @splat(0);
        var leases: [pools_count]u32 = @splat(0);
        var counts: [pools_count]u32 = @splat(0);
        var transit_bytes: u64 = 0;
        for (self.blocks.items) |block| {
            const pool = block.pool orelse {
                transit_bytes += block.bytes;
                continue;
            };
            sums[pool] += block.bytes;
            leases[pool] += @intFromBool(block.script > 0);
            counts[pool] += 1;
            try testing.expect(self.pools[pool].valid(block.name, block.generation));
        }
        var held_bytes = transit_bytes;
        for (self.pools, sums, leases, counts) |pool, sum, lease_count, count| {
            try testing.expectEqual(sum, pool.in_use_bytes());
            try testing.expectEqual(@as(u64, lease_count), pool.leases);
            try testing.expectEqual(count, pool.buffers_in_use);
            const backend_bytes = @as(u64, pool.with_backend) * pool.buffer_size;
            const supply = &pool.supply;
            const parts = sum + backend_bytes + supply.cache.bytes() + supply.quarantine.bytes;
            try testing.expectEqual(parts, supply.held_bytes);
            held_bytes += pool.supply.held_bytes;
        }
        const arena = self.pools[0].arena();
        const report = arena.report();
        const mapped_bytes = @as(u64, report.slabs) * arena.kind.slab_bytes;
        try testing.expectEqual(mapped_bytes, held_bytes + report.free_bytes + report.lost_bytes);
        const allowed_bytes = pools_count * self.options.max_bytes + self.most_unusable_bytes;
        self.most_unusable_bytes = @max(self.most_unusable_bytes, arena.unusable_bytes());
        try testing.expect(mapped_bytes <= @max(allowed_bytes, self.mapped_before));
    }
};

fn play(seed: u64, options: pool_module.Options, steps: u32) !void {
    var prng: std.Random.DefaultPrng = .init(seed);
    errdefer std.debug.print("seed {d}\n", .{seed});
    var model = try Model.init(prng.random(), options);
    const arena = model.pools[0].arena();
    {
        defer model.deinit();
        for (0..steps) |_| {
            try model.step();
            try model.check();
        }
        // What is in transit when all pools end stays so: somebody may still receive it.
        for (model.blocks.items) |*block| {
            if (block.pool == null) try model.receive(0, model.pools[0], block);
        }
    }
    const report = arena.report();
    const mapped_bytes = @as(u64, report.slabs) * arena.kind.slab_bytes;
    try testing.expectEqual(mapped_bytes, report.free_bytes + report.lost_bytes);
}

test "thousands of random sequences: slots conserved, none handed out twice, accounts true" {
    // Valgrind takes a hundred times as long, and looks at the same accesses for every seed.
    const seeds: u64 = if (on_valgrind()) 30 else 2000;
    for (0..seeds) |seed| {
        var options = small(1 << 18, 1 << 19);
        // A kind of memory of its own, which no other test uses.
        options.kind.prefault = true;
        if (seed % 3 == 1) options.quarantine_count = 5;
        if (seed % 5 == 1) options.quarantine_ms = 1000;
        options.poison = seed % 7 == 1;
        try play(seed, options, 120);
    }
}

test "long random sequences in a tight pool" {
    const seeds: u64 = if (on_valgrind()) 1 else 8;
    for (0..seeds) |seed| {
        var options = small(1 << 16, 1 << 17);
        options.kind.prefault = true;
        try play(10_000 + seed, options, 3000);
    }
}

const Worker = struct {
    fn work(
        pool_out: *?*Pool,
        mailbox: *Mailbox,
        seed: u64,
        failures: *std.atomic.Value(u32),
    ) void {
        run_worker(pool_out, mailbox, seed) catch {
            _ = failures.fetchAdd(1, .monotonic);
        };
    }

    /// Takes, frees, and exchanges blocks with the other thread, each stamped with who wrote it.
    fn run_worker(pool_out: *?*Pool, mailbox: *Mailbox, seed: u64) !void {
        var options = small(1 << 18, 1 << 20);
        options.kind.prefault = true;
        const pool = try open(options);
        pool_out.* = pool;
        defer close(pool, true);
        var prng: std.Random.DefaultPrng = .init(seed);
        const random = prng.random();
        var held: [64]?u32 = @splat(null);
        for (0..50_000) |_| {
            const place = &held[random.uintLessThan(usize, held.len)];
            if (place.*) |name| {
                const bytes = pool.pointer(name);
                if (bytes[0] != @as(u8, @truncate(name))) return error.Corrupt;
                place.* = null;
                if (random.uintLessThan(u32, 4) == 0) {
                    const generation = pool.state(name).generation();
                    _ = try pool.transfer(name, generation, 1);
                    mailbox.put(name, generation);
                } else {
                    try free(pool, name);
                }
            } else if (random.boolean()) {
                const name = pool.take(random.intRangeAtMost(u32, 1, 8192)) orelse continue;
                pool.pointer(name)[0] = @truncate(name);
                place.* = name;
            } else if (mailbox.take()) |handle| {
                if (!pool.receive(handle[0], handle[1])) return error.Lost;
                if (pool.pointer(handle[0])[0] != @as(u8, @truncate(handle[0]))) {
                    return error.Corrupt;
                }
                place.* = handle[0];
            }
        }
    }
};

const Mailbox = struct {
    lock: Lock = .{},
    handles: std.ArrayList([2]u32) = .empty,

    fn put(self: *Mailbox, name: u32, generation: u32) void {
        self.lock.acquire();
        defer self.lock.release();
        self.handles.append(std.heap.page_allocator, .{ name, generation }) catch unreachable;
    }

    fn take(self: *Mailbox) ?[2]u32 {
        self.lock.acquire();
        defer self.lock.release();
        return self.handles.pop();
    }
};

test "threads exchange blocks without losing or sharing one" {
    var failures: std.atomic.Value(u32) = .init(0);
    var mailbox: Mailbox = .{};
    var pools: [2]?*Pool = @splat(null);
    const other = try std.Thread.spawn(.{}, Worker.work, .{ &pools[0], &mailbox, 1, &failures });
    Worker.work(&pools[1], &mailbox, 2, &failures);
    other.join();
    try testing.expectEqual(@as(u32, 0), failures.load(.monotonic));
    var options = small(1 << 18, 1 << 20);
    options.kind.prefault = true;
    const last = try open(options);
    defer close(last, true);
    while (mailbox.take()) |handle| {
        try testing.expect(last.receive(handle[0], handle[1]));
        try free(last, handle[0]);
    }
    mailbox.handles.deinit(std.heap.page_allocator);
}
