//! One seed of the simulation: a network, a few loops on it, and what was sent over it.
//!
//! Everything follows from the seed, so a failure can be played again. What must never be is noted
//! in the network; the first of it ends the run.

const std = @import("std");
const layout = @import("../layout.zig");
const Network = @import("../backend/simulated/network.zig").Network;
const Faults = @import("../backend/simulated/faults.zig").Faults;
const Socket = @import("../backend/simulated/socket.zig").Socket;
const Host = @import("host.zig").Host;
const actions = @import("actions.zig");
const ending = @import("ending.zig");
const moves = @import("moves.zig");
const process_memory = @import("process_memory.zig");

pub const hosts_max = 3;
/// Bytes that the scripts of one seed send at most, all together.
const sent_bytes_max = 1 << 18;
/// One seed in so many has connections that move.
const seeds_per_move = 3;

pub const Trace = ?*const fn (line: []const u8) void;

/// What a relay sends on.
pub const Source = struct {
    /// Where it arrives.
    socket: *const Socket,
    /// Bytes that had arrived there before.
    offset: usize,
    /// No script has let go of it.
    is_whole: bool,
};

pub const Stream = struct {
    /// Everything that its script has sent.
    sent: std.ArrayList(u8) = .empty,
    /// It will send no more.
    has_ended: bool = false,
    /// What follows that.
    source: ?Source = null,
    /// A script was told of it.
    is_open: bool = false,
};

pub const World = struct {
    gpa: std.mem.Allocator,
    network: Network,
    hosts: [hosts_max]Host,
    host_count: u32,
    /// By serial of the socket.
    streams: std.ArrayList(Stream),
    /// What `whole_of` answered.
    whole: std.ArrayList(u8),
    sent_bytes: usize,
    /// Nothing new is begun any more.
    is_ending: bool,
    /// Which kinds of connections the seed has: they exclude each other, so that a seed with both
    /// has few of either.
    has_messages: bool,
    has_relays: bool,
    /// Connections go from loop to loop.
    has_moves: bool,
    travelling: std.ArrayList(moves.Travelling),
    /// Some connections end when they are idle, which hides what else would be stuck.
    has_idle_limits: bool,

    pub fn random(self: *World) std.Random {
        return self.network.random();
    }

    /// True once in `times`.
    pub fn one_in(self: *World, times: u32) bool {
        return self.random().uintLessThan(u32, times) == 0;
    }

    pub fn fail(self: *World, comptime format: []const u8, args: anytype) void {
        self.network.violate(format, args);
    }

    pub fn failed(self: *const World) bool {
        return self.network.violation != null;
    }

    /// What scripts know of a socket.
    pub fn stream(self: *World, socket: *const Socket) *Stream {
        while (self.streams.items.len <= socket.serial) {
            self.streams.append(self.gpa, .{}) catch @panic("out of memory");
        }
        return &self.streams.items[socket.serial];
    }

    /// Whether `bytes` are what was sent on a socket from `offset` on, by its script or a relay.
    pub fn was_sent(self: *World, socket: *const Socket, offset: usize, bytes: []const u8) bool {
        const own = self.stream(socket).sent.items;
        const start = @min(offset, own.len);
        const length = @min(bytes.len, own.len - start);
        if (!std.mem.eql(u8, bytes[0..length], own[start..][0..length])) return false;
        if (length == bytes.len) return true;
        const source = self.stream(socket).source orelse return false;
        const sender = source.socket.peer orelse return false;
        const relayed_at = source.offset + (@max(offset, own.len) - own.len);
        return self.was_sent(sender, relayed_at, bytes[length..]);
    }

    /// Everything that was sent on a socket, by its script and then by a relay. Valid until it is
    /// asked for again.
    pub fn whole_of(self: *World, socket: *const Socket) []const u8 {
        if (self.stream(socket).source == null) return self.stream(socket).sent.items;
        self.whole.clearRetainingCapacity();
        self.collect(socket, 0);
        return self.whole.items;
    }

    fn collect(self: *World, socket: *const Socket, offset: usize) void {
        const own = self.stream(socket).sent.items;
        const start = @min(offset, own.len);
        self.whole.appendSlice(self.gpa, own[start..]) catch @panic("out of memory");
        const source = self.stream(socket).source orelse return;
        const sender = source.socket.peer orelse return;
        self.collect(sender, source.offset + (@max(offset, own.len) - own.len));
    }

    /// Bytes of a socket that must arrive at its peer, unless that connection breaks.
    pub fn owed_bytes(self: *World, socket: *const Socket) usize {
        const own = self.stream(socket).sent.items.len;
        const source = self.stream(socket).source orelse return own;
        if (!source.is_whole or source.socket.broken) return own;
        const sender = source.socket.peer orelse return own;
        return own + (self.owed_bytes(sender) -| source.offset);
    }

    /// Whether the peer of a socket is owed the end of what it sends.
    pub fn owes_end(self: *World, socket: *const Socket) bool {
        const source = self.stream(socket).source orelse return self.stream(socket).has_ended;
        if (!source.is_whole or source.socket.broken) return false;
        return self.owes_end(source.socket.peer orelse return false);
    }

    pub fn may_send(self: *const World, length: usize) bool {
        return !self.is_ending and self.sent_bytes + length <= sent_bytes_max;
    }

    pub fn active_hosts(self: *World) []Host {
        return self.hosts[0..self.host_count];
    }

    fn play(self: *World) void {
        const steps = self.random().intRangeAtMost(u32, 20, 120);
        for (0..steps) |_| {
            const index = self.random().uintLessThan(u32, self.host_count);
            const host = &self.hosts[index];
            actions.act(host);
            host.step();
            if (self.failed()) return;
            if (self.one_in(4)) self.pass_time();
            if (self.one_in(200)) host.reopen();
        }
        ending.play(self);
    }

    fn pass_time(self: *World) void {
        const longest: u64 = if (self.one_in(8)) 300 * std.time.ns_per_ms else std.time.ns_per_ms;
        const until_ns = self.network.now_ns + self.random().uintAtMost(u64, longest);
        self.network.wait(until_ns, null);
    }
};

/// Plays a seed. What went wrong, written to `text`, or null.
pub fn run(arena: *std.heap.ArenaAllocator, seed: u64, trace: Trace, text: []u8) ?[]const u8 {
    _ = arena.reset(.retain_capacity);
    process_memory.release();
    const gpa = arena.allocator();
    const world = gpa.create(World) catch @panic("out of memory");
    world.gpa = gpa;
    world.streams = .empty;
    world.whole = .empty;
    world.travelling = .empty;
    world.sent_bytes = 0;
    world.is_ending = false;
    world.network.init(gpa, .{ .seed = seed, .trace = trace });
    defer world.network.deinit();
    choose_network(world);
    const kinds = world.random().uintLessThan(u8, 5);
    world.has_messages = kinds != 0 and kinds != 1;
    world.has_relays = kinds != 2 and kinds != 3;
    world.has_moves = seed % seeds_per_move == 0;
    world.has_idle_limits = world.one_in(4);
    world.host_count = world.random().intRangeAtMost(u32, 1, hosts_max);
    for (world.active_hosts(), 0..) |*host, index| host.init(world, @intCast(index));
    if (!world.failed()) world.play();
    const violation = world.network.violation orelse return null;
    const length = @min(violation.len, text.len);
    @memcpy(text[0..length], violation[0..length]);
    return text[0..length];
}

fn choose_network(world: *World) void {
    const random = world.random();
    const options = &world.network.options;
    options.pipe_bytes = @as(u32, 512) << random.uintAtMost(u5, 6);
    if (world.one_in(4)) options.descriptors = random.intRangeAtMost(u32, 8, 24);
    // One in eight runs without faults, so that one of ours is not taken for one of theirs.
    world.network.faults = if (world.one_in(8)) .{} else Faults.swarm(random);
    inline for (std.meta.fields(Faults)) |field| {
        const rate = @field(world.network.faults, field.name);
        if (rate > 0) world.network.trace("fault {s} {d}/1024", .{ field.name, rate });
    }
}
