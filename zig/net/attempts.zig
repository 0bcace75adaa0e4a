//! Connections to names: a *race* looks the name up and tries its addresses, until the first of its
//! *attempts* has connected (RFC 8305).
//!
//! The connection has its slot from the start, in state `resolving`, without a descriptor.
//! Addresses are tried in order; the next one begins when one has failed, or `delay_ms` after the
//! last began. The winner's descriptor leaves its attempt's port and becomes the connection's; the
//! others end without a word. Invariants: a race lasts exactly as long as its connection is
//! `resolving`; each address has at most one attempt; an attempt has a port and a descriptor of its
//! own, and ends after its operation has; after `attend` no race waits while an attempt is free.
//! Used by the loop's thread only.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const mapped = @import("../memory/mapped.zig");
const plain = @import("../loop/channel.zig").plain;
const Connecting = @import("connecting.zig").Connecting;
const Ip = @import("resolve/ip.zig").Ip;
const Ips = @import("resolve/ip.zig").Ips;
const Link = @import("../memory/list.zig").Link;
const List = @import("../memory/list.zig").List;
const resolving_module = @import("resolving.zig");
const Resolving = resolving_module.Resolving;

/// Connections of a loop that may be looking for an address at a time, and attempts of all of them.
pub fn races_max(connections: u32) u32 {
    return @min(connections, 1024);
}

pub fn attempts_max(connections: u32) u32 {
    return 2 * races_max(connections);
}

const delay_min_ms = 10;
const delay_max_ms = 2000;
const none: u32 = layout.no_slot;

const Race = struct {
    state: enum(u8) { free = 0, resolving, trying, won },
    /// The attempt that is due may begin.
    due: bool,
    /// The connection.
    slot: u32,
    lookup: resolving_module.Handle,
    port: u16,
    delay_ms: u32,
    /// Every attempt's socket is opened with them.
    options: layout.StreamOptions,
    ips: Ips,
    /// Addresses from here on were not tried.
    next: u32,
    /// By address.
    attempts: [Ips.count_max]u32,
    /// Attempts that may still win.
    flying: u32,
    /// What the connection ends with if no attempt wins.
    failure: i32,
    attention: Link,
    /// It waits for an attempt to become free, or did: it may have got one in another way or be
    /// over, and the place be another race's, which `advance_race` sees.
    hungry: Link,
};

fn AttemptOf(comptime SocketAddress: type) type {
    return struct {
        state: enum(u8) { free = 0, connecting, won, ending },
        /// The connect is under way; its end has been asked for.
        under_way: bool,
        cancelled: bool,
        /// Changes when it is freed; the epoch of its operation.
        generation: u32,
        descriptor: i32,
        race: u32,
        /// Which address of the race.
        place: u32,
        /// The kernel reads it while the connect is under way.
        address: SocketAddress,
        attention: Link,
    };
}

pub fn Attempts(comptime Streams: type) type {
    return struct {
        const Self = @This();
        const Loop = Streams.Loop;
        const sockets = Streams.sockets;
        const Connect = Connecting(Streams);
        const Attempt = AttemptOf(sockets.SocketAddress);

        streams: *Streams,
        resolving: *Resolving(Loop),
        /// Ports and timers begin there.
        first_port: u32,
        first_timer: u32,
        races: []Race,
        attempts: []Attempt,
        free_races: Free,
        free_attempts: Free,
        attention: List(Race, "attention"),
        hungry: List(Race, "hungry"),
        busy: List(Attempt, "attention"),

        pub const Options = struct { connections: u32, first_port: u32, first_timer: u32 };

        pub fn init(
            streams: *Streams,
            resolving: *Resolving(Loop),
            options: Options,
        ) error{OutOfMemory}!Self {
            const race_count = races_max(options.connections);
            const attempt_count = attempts_max(options.connections);
            const races = try mapped.allocate(Race, race_count);
            errdefer mapped.free(Race, races);
            const attempts = try mapped.allocate(Attempt, attempt_count);
            errdefer mapped.free(Attempt, attempts);
            var free_races: Free = try .init(race_count);
            errdefer free_races.deinit();
            return .{
                .streams = streams,
                .resolving = resolving,
                .first_port = options.first_port,
                .first_timer = options.first_timer,
                .races = races,
                .attempts = attempts,
                .free_races = free_races,
                .free_attempts = try .init(attempt_count),
                .attention = .{},
                .hungry = .{},
                .busy = .{},
            };
        }

        pub fn deinit(self: *Self) void {
            for (self.attempts[0..self.free_attempts.fresh]) |*attempt| {
                if (attempt.state != .free) sockets.reset(attempt.descriptor);
            }
            self.free_attempts.deinit();
            self.free_races.deinit();
            mapped.free(Attempt, self.attempts);
            mapped.free(Race, self.races);
            self.* = undefined;
        }

        pub fn open_count(self: *const Self) u32 {
            return self.free_attempts.taken;
        }

        /// Starts to connect to a name. The slot, or a negative status.
        pub fn connect(self: *Self, options: *const layout.ConnectOptions) i32 {
            const bad_argument = @intFromEnum(layout.Status.bad_argument);
            const exhausted = @intFromEnum(layout.Status.exhausted);
            const text = resolving_module.name_of(&options.name, options.name_length) orelse
                return bad_argument;
            const family = resolving_module.family_of(options.address.family) orelse
                return bad_argument;
            if (!valid_limits(options)) return bad_argument;
            // A name stands for addresses of IP.
            if (options.stream.descriptors != 0) return bad_argument;
            if (!self.streams.accepts_more()) return exhausted;
            const index = self.free_races.take() orelse return exhausted;
            const race = &self.races[index];
            const rc = self.resolving.start(text, family.wanted, index, &race.lookup);
            if (rc < 0) {
                self.free_races.give_back(index);
                return rc;
            }
            race.state = .resolving;
            race.slot = self.streams.open_resolving(index, options);
            race.port = @intCast(options.address.port);
            race.options = options.stream;
            race.delay_ms = options.attempt_delay_ms;
            if (options.resolve_timeout_ms > 0) self.start_timer(index, options.resolve_timeout_ms);
            return @intCast(race.slot);
        }

        fn valid_limits(options: *const layout.ConnectOptions) bool {
            return options.address.port <= std.math.maxInt(u16) and
                options.resolve_timeout_ms <= resolving_module.timeout_max_ms and
                options.attempt_delay_ms >= delay_min_ms and
                options.attempt_delay_ms <= delay_max_ms;
        }

        /// The name of a race was looked up.
        pub fn answered(self: *Self, told: resolving_module.Told) void {
            const index = told.purpose;
            const race = &self.races[index];
            std.debug.assert(race.state == .resolving);
            self.stop_timer(index);
            race.ips = .{};
            _ = self.resolving.take(told.handle, &race.ips);
            const failure = resolving_module.status_of(told);
            race.state = .trying;
            race.next = 0;
            race.flying = 0;
            race.failure = 0;
            race.due = true;
            race.attempts = @splat(none);
            if (failure != 0) return self.streams.end(race.slot, failure, false);
            self.attention.push(self.races, index);
        }

        /// The connection of a race ends before any attempt has become it.
        pub fn abandon(self: *Self, index: u32) void {
            const race = &self.races[index];
            if (race.state == .resolving) {
                _ = self.resolving.cancel(race.lookup);
            } else {
                self.end_attempts(race, none);
            }
            self.end_race(index);
        }

        fn end_race(self: *Self, index: u32) void {
            self.stop_timer(index);
            self.races[index].state = .free;
            self.free_races.give_back(index);
        }

        /// Ends all attempts of a race but one.
        fn end_attempts(self: *Self, race: *Race, winner: u32) void {
            for (race.attempts[0..race.next]) |index| {
                if (index == none or index == winner) continue;
                self.end_attempt(index);
            }
        }

        fn end_attempt(self: *Self, index: u32) void {
            const attempt = &self.attempts[index];
            self.races[attempt.race].attempts[attempt.place] = none;
            attempt.state = .ending;
            self.busy.push(self.attempts, index);
        }

        pub fn timer_fired(self: *Self, index: u32) void {
            const race = &self.races[index];
            switch (race.state) {
                .free, .won => {},
                .resolving => {
                    const status = @intFromEnum(layout.Status.resolve_timeout);
                    self.streams.end(race.slot, status, false);
                },
                .trying => {
                    race.due = true;
                    self.attention.push(self.races, index);
                },
            }
        }

        /// A connect of an attempt has ended.
        pub fn complete(self: *Self, completion: contract.Completion) void {
            const index = completion.port - self.first_port;
            const attempt = &self.attempts[index];
            if (attempt.state == .free or attempt.generation != completion.epoch) return;
            attempt.under_way = false;
            self.busy.push(self.attempts, index);
            if (attempt.state != .connecting) return;
            const race = &self.races[attempt.race];
            if (completion.result < 0) {
                self.tell_failure(race, race.ips.list[attempt.place], completion.result);
                race.flying -= 1;
                self.end_attempt(index);
                race.due = true;
                return self.attention.push(self.races, attempt.race);
            }
            attempt.state = .won;
            race.state = .won;
            self.stop_timer(attempt.race);
            self.end_attempts(race, index);
        }

        fn tell_failure(self: *Self, race: *Race, ip: Ip, result: i32) void {
            if (race.failure == 0 or !is_telling(race.failure) and is_telling(result)) {
                race.failure = result;
            }
            const connection = &self.streams.connections[race.slot];
            var event = plain(.attempt_failed, race.slot, connection.generation, result);
            const words: [4]u32 = @bitCast(ip.mapped());
            event.buffer = words[0];
            event.buffer_generation = words[1];
            event.offset = words[2];
            event.length = words[3];
            self.streams.loop.channel.emit(event);
        }

        pub fn waiting(self: *const Self) bool {
            if (self.hungry.length > 0 and self.free_attempts.has_some()) return true;
            return self.attention.length > 0 or self.busy.length > 0;
        }

        pub fn attend(self: *Self) void {
            for (0..self.busy.length) |_| {
                self.advance_attempt(self.busy.pop(self.attempts).?);
            }
            // Those that have waited go first.
            for (0..self.hungry.length) |_| {
                if (!self.free_attempts.has_some()) break;
                self.advance_race(self.hungry.pop(self.races).?);
            }
            for (0..self.attention.length) |_| {
                self.advance_race(self.attention.pop(self.races).?);
            }
        }

        /// Begins the attempt that is due, or ends the connection when none is left.
        fn advance_race(self: *Self, index: u32) void {
            const race = &self.races[index];
            if (race.state != .trying) return;
            if (!race.due and race.flying > 0) return;
            while (race.next < race.ips.count and (race.due or race.flying == 0)) {
                if (self.streams.loop.channel.room() == 0) {
                    return self.attention.push(self.races, index);
                }
                const taken = self.free_attempts.take() orelse
                    return self.hungry.push(self.races, index);
                race.due = false;
                const rc = self.begin(index, taken);
                race.next += 1;
                if (rc >= 0) continue;
                self.free_attempts.give_back(taken);
                self.tell_failure(race, race.ips.list[race.next - 1], rc);
                race.due = true;
            }
            if (race.flying == 0) return self.streams.end(race.slot, race.failure, false);
            if (race.next < race.ips.count) self.start_timer(index, race.delay_ms);
        }

        fn begin(self: *Self, race_index: u32, index: u32) i32 {
            const race = &self.races[race_index];
            const attempt = &self.attempts[index];
            var failed: layout.Syscall = .none;
            attempt.address = race.ips.list[race.next].with_port(race.port);
            const address = &attempt.address;
            attempt.descriptor = Connect.open_socket(self.streams, address, &race.options, &failed);
            if (attempt.descriptor < 0) return attempt.descriptor;
            attempt.state = .connecting;
            attempt.under_way = false;
            attempt.cancelled = false;
            attempt.race = race_index;
            attempt.place = race.next;
            race.attempts[race.next] = index;
            race.flying += 1;
            self.advance_attempt(index);
            return 0;
        }

        fn advance_attempt(self: *Self, index: u32) void {
            const attempt = &self.attempts[index];
            const backend = &self.streams.loop.backend;
            const port = self.first_port + index;
            const epoch = attempt.generation;
            const done = switch (attempt.state) {
                .free => true,
                .connecting => done: {
                    if (attempt.under_way) break :done true;
                    const descriptor = attempt.descriptor;
                    attempt.under_way = backend.connect(port, epoch, descriptor, &attempt.address);
                    break :done attempt.under_way;
                },
                .won => self.hand_over(index),
                .ending => if (attempt.under_way) done: {
                    if (attempt.cancelled) break :done true;
                    attempt.cancelled = backend.cancel(port, epoch, attempt.descriptor, .all);
                    break :done attempt.cancelled;
                } else done: {
                    if (!backend.forget(port, epoch, attempt.descriptor)) break :done false;
                    sockets.reset(attempt.descriptor);
                    self.free_attempt(index);
                    break :done true;
                },
            };
            if (!done) self.busy.push(self.attempts, index);
        }

        /// The winner's descriptor becomes the connection's; false when that cannot be now.
        fn hand_over(self: *Self, index: u32) bool {
            const attempt = &self.attempts[index];
            const loop = self.streams.loop;
            const race = &self.races[attempt.race];
            if (loop.channel.room() == 0) return false;
            const port = self.first_port + index;
            if (!loop.backend.leave(port, attempt.generation, attempt.descriptor)) return false;
            const family: layout.AddressFamily = switch (race.ips.list[attempt.place].family) {
                .ipv4 => .ipv4,
                .ipv6 => .ipv6,
            };
            const slot = race.slot;
            self.end_race(attempt.race);
            self.streams.resolved(slot, attempt.descriptor, family);
            self.free_attempt(index);
            return true;
        }

        fn free_attempt(self: *Self, index: u32) void {
            const attempt = &self.attempts[index];
            attempt.state = .free;
            attempt.generation +%= 1;
            self.free_attempts.give_back(index);
        }

        fn start_timer(self: *Self, index: u32, delay_ms: u32) void {
            self.streams.loop.start_user_timer(self.first_timer + index, delay_ms);
        }

        fn stop_timer(self: *Self, index: u32) void {
            self.streams.loop.stop_user_timer(self.first_timer + index);
        }
    };
}

/// Whether a failure says something of the peer, and not that this machine has no way to such
/// addresses.
fn is_telling(failure: i32) bool {
    for ([_]kernel.E{ .NETUNREACH, .HOSTUNREACH, .ADDRNOTAVAIL, .AFNOSUPPORT }) |code| {
        if (failure == kernel.negative(code)) return false;
    }
    return true;
}

/// Which of a number of things are nobody's.
const Free = struct {
    stack: []u32,
    count: u32,
    /// Those from here on were never taken.
    fresh: u32,
    taken: u32,

    fn init(capacity: u32) error{OutOfMemory}!Free {
        return .{
            .stack = try mapped.allocate(u32, capacity),
            .count = 0,
            .fresh = 0,
            .taken = 0,
        };
    }

    fn deinit(self: *Free) void {
        mapped.free(u32, self.stack);
    }

    fn has_some(self: *const Free) bool {
        return self.count > 0 or self.fresh < self.stack.len;
    }

    fn take(self: *Free) ?u32 {
        if (!self.has_some()) return null;
        self.taken += 1;
        if (self.count > 0) {
            self.count -= 1;
            return self.stack[self.count];
        }
        self.fresh += 1;
        return self.fresh - 1;
    }

    fn give_back(self: *Free, index: u32) void {
        self.stack[self.count] = index;
        self.count += 1;
        self.taken -= 1;
    }
};

test "what was given back is taken again, and there is no more than there is" {
    var free: Free = try .init(2);
    defer free.deinit();
    try std.testing.expectEqual(@as(?u32, 0), free.take());
    try std.testing.expectEqual(@as(?u32, 1), free.take());
    try std.testing.expectEqual(@as(?u32, null), free.take());
    free.give_back(0);
    try std.testing.expectEqual(@as(u32, 1), free.taken);
    try std.testing.expectEqual(@as(?u32, 0), free.take());
}

test "what says nothing of the peer" {
    try std.testing.expect(!is_telling(kernel.negative(.NETUNREACH)));
    try std.testing.expect(is_telling(kernel.negative(.CONNREFUSED)));
}
