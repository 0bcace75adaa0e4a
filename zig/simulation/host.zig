//! A loop of a simulation with the script that drives it: writes submissions, takes turns, and
//! compares what it is told with what it may be told.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const Simulated = @import("../backend/simulated.zig").Simulated;
const Instance = @import("../abi/instance.zig").Instance;
const options_module = @import("../abi/options.zig");
const arena = @import("../memory/arena.zig");
const audit = @import("audit.zig");
const events = @import("events.zig");
const Lease = @import("lease.zig").Lease;
const Link = @import("link.zig").Link;
const World = @import("world.zig").World;

pub const timers_max = 8;
/// Wait of a turn that waits, in microseconds.
const wait_longest_us = 2000;

/// How the script drives its loop.
pub const Style = enum {
    /// Turns that never wait.
    busy,
    /// Turns that wait.
    waiting,
    /// Sleeps until it is woken, whenever it may.
    attached,
};

pub const Timer = struct {
    running: bool = false,
    generation: u32 = 0,
    /// Not before this, on the loop's clock.
    due_ns: u64 = 0,
    period_ns: u64 = 0,
    /// Fired since it was started, or since the faults stopped.
    fired: bool = false,
};

pub const Listener = struct { slot: u32, generation: u32, port: u32, closing: bool };

pub const Handle = struct { slot: u32, generation: u32 };

/// What the last turn delivered.
pub const Borrow = struct { buffer: u32, generation: u32, offset: u32, bytes: []const u8 };

pub const Host = struct {
    world: *World,
    index: u32,
    instance: *Instance(Simulated),
    style: Style,
    submissions: u32,
    /// Places in send queues that are left, as far as the script knows.
    free_sends: u32,
    links: []?*Link,
    listeners: std.ArrayList(Listener),
    leases: std.ArrayList(Lease),
    borrowed: std.ArrayList(Borrow),
    /// Connections that have ended.
    stale: std.ArrayList(Handle),
    /// Memory of the application whose end was not reported yet: buffers and their generations.
    adopted: std.ArrayList(Handle),
    timers: [timers_max]Timer,
    /// How often it has opened.
    openings: u32,
    /// Until something happens; whatever the script asks for ends it.
    asleep: bool,
    /// Completions of this turn that the script has dealt with, with the one that it deals with;
    /// null between turns.
    dispatched: ?u32,

    pub fn init(self: *Host, world: *World, index: u32) void {
        self.world = world;
        self.index = index;
        self.openings = 0;
        self.open();
    }

    fn open(self: *Host) void {
        const random = self.world.random();
        var options = choose_options(self.world);
        var failure: contract.Failure = .{};
        self.instance = Instance(Simulated).open(&options, 0, &failure) catch |err| {
            std.debug.panic("a simulated loop does not open: {t}", .{err});
        };
        self.openings += 1;
        self.style = random.enumValue(Style);
        self.submissions = 0;
        self.free_sends = self.instance.loop.channel.header.free_sends;
        const slots = self.instance.loop.channel.queued.len;
        self.links = self.world.gpa.alloc(?*Link, slots) catch @panic("out of memory");
        @memset(self.links, null);
        self.listeners = .empty;
        self.leases = .empty;
        self.borrowed = .empty;
        self.stale = .empty;
        self.adopted = .empty;
        self.timers = @splat(.{});
        self.asleep = false;
        self.dispatched = null;
        self.trace("opens, {t}, {t} clock, {d} connections", .{
            self.style,
            self.instance.loop.clock,
            options.max_connections,
        });
    }

    pub fn trace(self: *Host, comptime format: []const u8, args: anytype) void {
        self.world.network.trace("host {d}: " ++ format, .{self.index} ++ args);
    }

    pub fn fail(self: *Host, comptime format: []const u8, args: anytype) void {
        self.world.fail("host {d}: " ++ format, .{self.index} ++ args);
    }

    /// The loop's clock.
    pub fn now_ns(self: *const Host) u64 {
        const loop = &self.instance.loop;
        return if (loop.clock == .virtual) loop.virtual_ns else self.world.network.now_ns;
    }

    /// Writes a submission; when the array is full what is there is taken first.
    pub fn submit(self: *Host, entry: anytype) void {
        if (self.submissions == self.instance.loop.channel.submissions.len) self.flush();
        self.instance.loop.channel.submissions[self.submissions] = @bitCast(entry);
        self.submissions += 1;
    }

    /// Has what was written taken without a turn.
    pub fn flush(self: *Host) void {
        self.asleep = false;
        const submissions = self.submissions;
        self.submissions = 0;
        if (self.instance.submit(submissions) != 0) self.fail("submit was refused", .{});
    }

    pub fn handle(
        self: *Host,
        operation: layout.Operation,
        slot: u32,
        generation: u32,
    ) void {
        self.submit(std.mem.zeroInit(layout.HandleEntry, .{
            .operation = operation,
            .slot = slot,
            .generation = generation,
        }));
    }

    /// A turn, unless the host sleeps and nothing wakes it.
    pub fn step(self: *Host) void {
        if (self.asleep and !self.is_woken()) return;
        self.asleep = false;
        const count = self.turn();
        if (self.world.failed()) return;
        if (self.style != .attached or count > 0 or self.submissions > 0) return;
        self.asleep = self.instance.loop.arm(&self.instance.work.net);
    }

    pub fn is_woken(self: *const Host) bool {
        if (self.submissions > 0 or self.instance.loop.backend.ready()) return true;
        return self.wake_ns() <= self.world.network.now_ns;
    }

    /// Moves a virtual clock. The script knows that it has, and does not sleep over it.
    pub fn advance_clock(self: *Host, by_ns: u64) void {
        if (self.instance.loop.clock != .virtual) return;
        const advanced = self.instance.loop.advance_clock(by_ns);
        std.debug.assert(advanced);
        self.asleep = false;
    }

    /// When a timer wakes it.
    pub fn wake_ns(self: *const Host) u64 {
        return self.instance.loop.next_wake_ns() orelse std.math.maxInt(u64);
    }

    /// The number of completions.
    fn turn(self: *Host) u32 {
        self.check_borrowed();
        for (self.links[0..self.instance.work.net.streams.slots.fresh]) |link| {
            if (link) |open_link| open_link.begin_turn();
        }
        const submissions = self.submissions;
        self.submissions = 0;
        const random = self.world.random();
        const wait_us: u32 = switch (self.style) {
            .busy, .attached => 0,
            .waiting => random.uintAtMost(u32, wait_longest_us),
        };
        const flags: u32 = if (random.boolean()) layout.turn_flag_spin else 0;
        if (submissions > 0) self.trace("turn with {d} submissions", .{submissions});
        const count = self.instance.turn(submissions, wait_us, flags);
        self.free_sends = self.instance.loop.channel.header.free_sends;
        audit.check(self);
        if (self.world.failed() or count <= 0) return 0;
        for (0..@intCast(count)) |place| {
            self.dispatched = @intCast(place + 1);
            events.dispatch(self, self.instance.loop.channel.completions[place]);
            if (self.world.failed()) break;
        }
        self.dispatched = null;
        return @intCast(count);
    }

    /// What was lent for the last turn must still be there.
    fn check_borrowed(self: *Host) void {
        for (self.borrowed.items) |borrow| {
            const pool = &self.instance.pool;
            // It may have been transferred.
            if (!pool.valid(borrow.buffer, borrow.generation)) continue;
            const there = pool.pointer(borrow.buffer)[borrow.offset..][0..borrow.bytes.len];
            if (std.mem.eql(u8, borrow.bytes, there)) continue;
            self.fail("buffer {d} changed while it was lent", .{borrow.buffer});
        }
        self.borrowed.clearRetainingCapacity();
    }

    pub fn close(self: *Host) void {
        self.trace("closes", .{});
        const shared = self.instance.pool.arena();
        self.instance.close();
        if (shared.lost_bytes > 0) self.fail("{d} bytes are lost", .{shared.lost_bytes});
        for (self.links) |*link| {
            if (link.*) |open_link| open_link.state = .closed;
            link.* = null;
        }
    }

    /// The loop closes in the middle of everything, and another one takes its place.
    pub fn reopen(self: *Host) void {
        self.close();
        self.open();
    }

    /// A random connection; null when there is none.
    pub fn pick_link(self: *Host) ?*Link {
        const fresh = self.instance.work.net.streams.slots.fresh;
        if (fresh == 0) return null;
        const start = self.world.random().uintLessThan(u32, fresh);
        for (0..fresh) |step_count| {
            if (self.links[(start + step_count) % fresh]) |link| return link;
        }
        return null;
    }
};

fn choose_options(world: *World) layout.LoopOptions {
    const random = world.random();
    const wishes = [_]layout.Wish{ .no, .yes };
    var options = std.mem.zeroInit(layout.LoopOptions, .{
        .size = @sizeOf(layout.LoopOptions),
        .mode = @intFromEnum(layout.Mode.event),
        .clock = @intFromBool(world.one_in(4)),
        // Above 4,096 a listener accepts many at once.
        .max_connections = if (world.one_in(3)) 4200 else random.intRangeAtMost(u32, 1, 16),
        .max_listeners = random.intRangeAtMost(u32, 1, 3),
        .max_timers = timers_max,
        .entries = 64,
        .buffer_size = @as(u32, 512) << random.uintAtMost(u5, 2),
        .receive_buffers = @as(u32, 8) << random.uintAtMost(u5, 1),
        .max_kib = 128 * random.intRangeAtMost(u32, 1, 4),
        .slab_kib = 128,
        .lock = @intFromEnum(layout.Wish.no),
        .poison = @intFromEnum(wishes[random.uintLessThan(usize, 2)]),
        .fixed_buffers = @intFromEnum(wishes[random.uintLessThan(usize, 2)]),
        .spin_ceiling_us = 5,
    });
    if (world.one_in(4)) options.quarantine_count = random.uintAtMost(u32, 20);
    if (world.one_in(8)) options.quarantine_ms = random.uintAtMost(u32, 20);
    if (world.one_in(4)) options.mode = @intFromEnum(layout.Mode.poll);
    if (!options_module.complete(&options)) @panic("options of a simulated loop are refused");
    return options;
}
