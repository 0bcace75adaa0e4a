//! A loop: one backend, one pool, one clock, one channel to the script, and the turn over them.
//!
//! Invariants: used by the thread that opened it; no allocation after `init`; every pass of a turn
//! is bounded by the channel's room. What is done with the loop (connections, …) is a *user*, a
//! type with `apply`, `complete`, `release`, `attend`, `waiting`, `timer_fired` and `publish`,
//! known at compile time. A user also hears of other loops of the process without the kernel:
//! `has_arrivals`, `take_arrivals`, `arm` and `disarm`; it says with `needs_kernel` whether the
//! kernel may have anything else to tell.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const Pool = @import("../memory/pool.zig").Pool;
const mapped = @import("../memory/mapped.zig");
const channel_module = @import("channel.zig");
const Channel = channel_module.Channel;
const Policy = @import("policy.zig").Policy;
const Timers = @import("timers.zig").Timers;
const Waiting = @import("waiting.zig").Waiting;

/// Completions that a user may emit for one completion of the backend.
pub const emitted_per_completion = 2;
/// Completions reaped at once.
const reap_batch = 256;
/// Where a virtual clock ends, so that every time limit is later than the time it starts at.
const clock_end_ns: u64 = 1 << 63;
/// Times a waiting turn looks again when all that happened concerned only the loop itself.
const passes_max = 8;

pub const Options = struct {
    backend: contract.Options,
    mode: layout.Mode,
    clock: layout.ClockKind,
    entries: u32,
    /// Slots of connections and of datagram sockets.
    connections: u32,
    sockets: u32,
    /// Timers of the script and of the loop's user.
    script_timers: u32,
    user_timers: u32,
    spin_ceiling_ns: u64,
    cpus_online: u32,
};

const ScriptTimer = struct { generation: u32, period_ns: u64, deadline_ns: u64 };

pub fn Loop(comptime BackendType: type) type {
    comptime contract.check(BackendType);
    return struct {
        const Self = @This();
        pub const Backend = BackendType;
        const Wait = Waiting(Self);

        backend: Backend,
        pool: *Pool,
        channel: Channel,
        policy: Policy,
        timers: Timers,
        script_timers: []ScriptTimer,
        clock: layout.ClockKind,
        virtual_ns: u64,
        /// The loop's clock as of this turn.
        now_ns: u64,
        /// The host may be asleep and is woken by what happens.
        armed: bool,
        counters: Counters,
        /// What is being reaped. Here and not on the stack, where a safe build would first fill it.
        batch: [reap_batch]contract.Completion,

        pub const Counters = struct {
            turns: u64 = 0,
            sleeps: u64 = 0,
            spins: u64 = 0,
            accepted: u64 = 0,
            connected: u64 = 0,
            closed: u64 = 0,
            received_bytes: u64 = 0,
            sent_bytes: u64 = 0,
            rejected: u64 = 0,
            starved: u64 = 0,
            relayed_bytes: u64 = 0,
            datagrams_received: u64 = 0,
            datagrams_sent: u64 = 0,
            datagrams_refused: u64 = 0,
            datagrams_dropped: u64 = 0,
        };

        /// `self` must stay where it is afterwards.
        pub fn init(
            self: *Self,
            options: Options,
            failure: *contract.Failure,
        ) contract.InitError!void {
            self.pool = options.backend.pool;
            self.clock = options.clock;
            self.virtual_ns = 0;
            self.armed = false;
            self.counters = .{};
            self.policy = .init(.{
                .mode = options.mode,
                .ceiling_ns = options.spin_ceiling_ns,
                .cpus_online = options.cpus_online,
            });
            self.channel = try Channel.init(.{
                .entries = options.entries,
                .connections = options.connections,
                .sockets = options.sockets,
            });
            errdefer self.channel.deinit();
            self.timers = try Timers.init(options.script_timers + options.user_timers);
            errdefer self.timers.deinit();
            self.script_timers = try mapped.allocate(ScriptTimer, options.script_timers);
            errdefer mapped.free(ScriptTimer, self.script_timers);
            try self.backend.init(options.backend, failure);
            self.now_ns = self.clock_ns();
            self.publish();
        }

        pub fn deinit(self: *Self) void {
            self.backend.deinit();
            mapped.free(ScriptTimer, self.script_timers);
            self.timers.deinit();
            self.channel.deinit();
            self.* = undefined;
        }

        pub fn clock_ns(self: *const Self) u64 {
            return switch (self.clock) {
                .monotonic => self.backend.now_ns(),
                .virtual => self.virtual_ns,
            };
        }

        /// False where it would go past its end.
        pub fn advance_clock(self: *Self, by_ns: u64) bool {
            if (by_ns > clock_end_ns - self.virtual_ns) return false;
            self.virtual_ns += by_ns;
            self.now_ns = self.clock_ns();
            self.publish();
            return true;
        }

        /// One turn. The number of completions, or a negated errno of the kernel.
        pub fn turn(self: *Self, user: anytype, submissions: u32, wait_us: u32, flags: u32) i32 {
            self.disarm(user);
            self.counters.turns += 1;
            self.channel.count = 0;
            self.take(user, submissions);
            self.end_borrows(user);
            self.now_ns = self.clock_ns();
            self.pool.supply.tick(self.now_ns);
            self.pool.register_new_slabs();
            self.refill();
            self.fire_timers(user);
            user.attend();
            self.report_released();
            const rc = self.wait_and_reap(user, wait_us, flags);
            self.publish();
            user.publish();
            return if (rc < 0 and self.channel.count == 0) rc else @intCast(self.channel.count);
        }

        /// Takes submissions in the middle of the script's dispatch.
        pub fn submit(self: *Self, user: anytype, submissions: u32) void {
            self.take(user, submissions);
            self.publish();
            user.publish();
        }

        /// One pass while the loop closes: nothing of it reaches the script.
        pub fn discard_pass(self: *Self, user: anytype) void {
            self.channel.count = 0;
            self.end_borrows(user);
            user.attend();
            const wait_ns: u64 = if (user.waiting()) 0 else std.time.ns_per_ms;
            _ = Wait.sleep(self, user, wait_ns);
            self.channel.count = 0;
            self.reap(user);
            self.channel.count = 0;
            user.attend();
        }

        fn end_borrows(self: *Self, user: anytype) void {
            for (self.channel.borrowed[0..self.channel.borrowed_count]) |buffer| {
                if (self.pool.end_borrow(buffer)) user.release(buffer);
            }
            self.channel.borrowed_count = 0;
        }

        /// Gives the backend the receive buffers that it wants, as far as there are any.
        fn refill(self: *Self) void {
            for (0..self.backend.buffers_wanted()) |_| {
                self.backend.provide(self.pool.take_for_backend() orelse return);
            }
        }

        /// Tells the script of adopted memory that nothing here uses any more.
        fn report_released(self: *Self) void {
            while (self.pool.released_count > 0 and self.channel.room() > 0) {
                const released = self.pool.take_released().?;
                var completion = channel_module.plain(.memory_released, layout.no_slot, 0, 0);
                completion.buffer = released.name;
                completion.buffer_generation = released.generation;
                self.channel.emit(completion);
            }
        }

        fn take(self: *Self, user: anytype, submissions: u32) void {
            for (0..submissions) |index| {
                const raw = self.channel.submissions[index];
                self.channel.applied = @intCast(index);
                const applied = switch (std.enums.fromInt(
                    layout.Operation,
                    @as(u8, @truncate(raw[0])),
                ) orelse .none) {
                    .none => false,
                    .retain => self.apply_retain(@bitCast(raw)),
                    .release => self.apply_release(user, @bitCast(raw)),
                    .timer_start => self.apply_timer_start(@bitCast(raw)),
                    .timer_stop => self.apply_timer_stop(@bitCast(raw)),
                    else => |operation| user.apply(operation, &raw),
                };
                if (!applied) self.counters.rejected += 1;
            }
        }

        fn apply_retain(self: *Self, entry: layout.BufferEntry) bool {
            if (!self.pool.valid(entry.buffer, entry.buffer_generation)) return false;
            return self.pool.script_retain(entry.buffer);
        }

        fn apply_release(self: *Self, user: anytype, entry: layout.BufferEntry) bool {
            if (!self.pool.valid(entry.buffer, entry.buffer_generation)) return false;
            if (!self.pool.take_from_script(entry.buffer)) return false;
            user.release(entry.buffer);
            return true;
        }

        fn apply_timer_start(self: *Self, entry: layout.TimerEntry) bool {
            if (entry.slot >= self.script_timers.len) return false;
            const delay_ns = nanoseconds(entry.delay_us) orelse return false;
            const period_ns = nanoseconds(entry.period_us) orelse return false;
            // Not by nanoseconds: less than one of them would pass for no period.
            if (entry.period_us > 0 and entry.period_us < 1) return false;
            const deadline_ns = self.clock_ns() +| delay_ns;
            self.script_timers[entry.slot] = .{
                .generation = entry.generation,
                .period_ns = period_ns,
                .deadline_ns = deadline_ns,
            };
            self.timers.start(entry.slot, deadline_ns);
            return true;
        }

        fn apply_timer_stop(self: *Self, entry: layout.TimerEntry) bool {
            if (entry.slot >= self.script_timers.len) return false;
            if (self.script_timers[entry.slot].generation != entry.generation) return false;
            self.timers.stop(entry.slot);
            return true;
        }

        /// Starts a timer of the user, `id` below `Options.user_timers`.
        pub fn start_user_timer(self: *Self, id: u32, delay_ms: u32) void {
            const delay_ns = @as(u64, delay_ms) * std.time.ns_per_ms;
            self.timers.start(self.user_timer(id), self.clock_ns() +| delay_ns);
        }

        pub fn stop_user_timer(self: *Self, id: u32) void {
            self.timers.stop(self.user_timer(id));
        }

        fn user_timer(self: *const Self, id: u32) u32 {
            return @as(u32, @intCast(self.script_timers.len)) + id;
        }

        fn fire_timers(self: *Self, user: anytype) void {
            // Half of the room at most: what the kernel has must not starve.
            const least_room = self.channel.completions.len / 2;
            while (self.channel.room() > least_room) {
                const id = self.timers.take_due(self.now_ns) orelse return;
                if (id >= self.script_timers.len) {
                    user.timer_fired(id - @as(u32, @intCast(self.script_timers.len)));
                    continue;
                }
                const timer = &self.script_timers[id];
                self.channel.emit(channel_module.plain(.timer, id, timer.generation, 0));
                if (timer.period_ns == 0) continue;
                timer.deadline_ns = next_deadline(timer.*, self.now_ns);
                self.timers.start(id, timer.deadline_ns);
            }
        }

        fn wait_and_reap(self: *Self, user: anytype, wait_us: u32, flags: u32) i32 {
            const deadline_ns = self.wait_deadline(wait_us);
            for (0..passes_max) |_| {
                const relayed_bytes = self.counters.relayed_bytes;
                self.refill();
                const may_wait = self.channel.count == 0 and !user.waiting();
                const rc = if (may_wait)
                    Wait.wait(self, user, deadline_ns, flags)
                else
                    Wait.look(self, user);
                if (rc < 0) return rc;
                // What is reaped has happened by now, and not before the wait.
                self.now_ns = self.clock_ns();
                self.reap(user);
                if (self.channel.count == 0) self.fire_timers(user);
                user.attend();
                self.report_released();
                if (self.counters.relayed_bytes != relayed_bytes) self.policy.work(self.now_ns);
                if (!may_wait or self.channel.count > 0) break;
                if (deadline_ns == 0 or self.backend.now_ns() >= deadline_ns) break;
            }
            if (self.channel.count > 0) self.policy.work(self.backend.now_ns());
            return 0;
        }

        /// Until when a turn may sleep, on the backend's clock; 0 when it may not.
        fn wait_deadline(self: *const Self, wait_us: u32) u64 {
            return switch (wait_us) {
                0 => 0,
                layout.wait_forever => std.math.maxInt(u64),
                else => self.backend.now_ns() + @as(u64, wait_us) * std.time.ns_per_us,
            };
        }

        /// When the next timer is due on the backend's clock. A virtual clock only moves when the
        /// script moves it, so its timers never end a sleep.
        pub fn timer_deadline(self: *const Self, now: u64) u64 {
            if (self.clock == .virtual) return std.math.maxInt(u64);
            return @max(self.next_wake_ns() orelse std.math.maxInt(u64), now);
        }

        fn reap(self: *Self, user: anytype) void {
            user.take_arrivals();
            while (true) {
                const fitting = self.channel.room() / emitted_per_completion;
                const wanted = @min(reap_batch, fitting);
                if (wanted == 0) return;
                const count = self.backend.reap(self.batch[0..wanted]);
                if (count == 0) return;
                for (self.batch[0..count]) |completion| {
                    if (completion.kind == .released) {
                        user.release(completion.buffer);
                        continue;
                    }
                    if (completion.buffer != contract.no_buffer) {
                        self.note_received(completion);
                    }
                    user.complete(completion);
                }
                if (count == reap_batch) self.refill();
            }
        }

        fn note_received(self: *Self, completion: contract.Completion) void {
            const pool = self.pool;
            switch (completion.share) {
                .whole => pool.received(completion.buffer, completion.port, completion.epoch),
                .part => pool.received_part(completion.buffer, false),
                .last_part => pool.received_part(completion.buffer, true),
            }
        }

        /// From now on what happens makes the backend's wake descriptor readable; false when a turn
        /// has something to do already, so that the host must not sleep.
        pub fn arm(self: *Self, user: anytype) bool {
            self.backend.arm();
            self.armed = true;
            if (user.arm() and !self.has_work(user)) return true;
            self.disarm(user);
            return false;
        }

        fn disarm(self: *Self, user: anytype) void {
            if (!self.armed) return;
            self.armed = false;
            user.disarm();
            self.backend.disarm();
        }

        fn has_work(self: *Self, user: anytype) bool {
            if (user.waiting() or self.channel.borrowed_count > 0) return true;
            if (self.backend.ready() or self.pool.released_count > 0) return true;
            const next = self.timers.next_deadline_ns() orelse return false;
            return next <= self.clock_ns();
        }

        /// When the waker must wake the host for a timer, on the monotonic clock; null for never.
        pub fn next_wake_ns(self: *const Self) ?u64 {
            if (self.clock == .virtual) return null;
            const timer = self.timers.next_deadline_ns();
            const after_ns = self.pool.supply.wake_ns() orelse return timer;
            const memory = self.now_ns +| after_ns;
            return @min(timer orelse memory, memory);
        }

        pub inline fn publish_buffers(self: *Self) void {
            self.channel.header.leases = @truncate(self.pool.leases);
            self.channel.header.buffers_in_use = self.pool.buffers_in_use;
        }

        /// Writes what the script reads from the header.
        fn publish(self: *Self) void {
            const header = self.channel.header;
            header.now_us = microseconds(self.now_ns);
            const next = self.timers.next_deadline_ns();
            header.next_timer_us = if (next) |deadline| microseconds(deadline) else -1;
            self.publish_buffers();
            inline for (std.meta.fields(Counters)) |field| {
                @field(header.counters, field.name) =
                    @floatFromInt(@field(self.counters, field.name));
            }
            header.counters.transitions = @floatFromInt(self.policy.transitions);
            const copies = contract.zero_copies(&self.backend);
            header.counters.zero_copied = @floatFromInt(copies.sends);
            header.counters.zero_copy_copied = @floatFromInt(copies.copied);
            header.counters.system_calls = @floatFromInt(self.backend.system_calls());
        }
    };
}

/// The first multiple of the period that is still to come: a late loop skips, it does not catch up.
fn next_deadline(timer: ScriptTimer, now_ns: u64) u64 {
    const late_ns = now_ns -| timer.deadline_ns;
    return timer.deadline_ns +| (late_ns / timer.period_ns +| 1) *| timer.period_ns;
}

/// Null for anything that is not a time; more than 2^52 microseconds (142 years) counts as that.
fn nanoseconds(time_us: f64) ?u64 {
    const limit: f64 = 1 << 53;
    if (!(time_us >= 0 and time_us <= limit)) return null;
    return @intFromFloat(@min(time_us * std.time.ns_per_us, @as(f64, 1 << 62)));
}

fn microseconds(time_ns: u64) f64 {
    return @as(f64, @floatFromInt(time_ns)) / std.time.ns_per_us;
}

test "a periodic timer keeps its beat and skips what it missed" {
    const timer: ScriptTimer = .{ .generation = 0, .period_ns = 100, .deadline_ns = 1000 };
    try std.testing.expectEqual(@as(u64, 1100), next_deadline(timer, 1000));
    try std.testing.expectEqual(@as(u64, 1100), next_deadline(timer, 1099));
    try std.testing.expectEqual(@as(u64, 1400), next_deadline(timer, 1350));
}

test "times from a script are checked" {
    try std.testing.expectEqual(@as(?u64, 1500), nanoseconds(1.5));
    try std.testing.expectEqual(@as(?u64, null), nanoseconds(-1));
    try std.testing.expectEqual(@as(?u64, null), nanoseconds(std.math.nan(f64)));
    try std.testing.expectEqual(@as(?u64, null), nanoseconds(std.math.inf(f64)));
    try std.testing.expect(nanoseconds(1 << 53).? > 0);
}
