//! The lookups of one loop: asks the process's threads, and hears of their answers by a doorbell.
//!
//! A lookup of the script has a time limit and ends with one `resolved`; what the others are for,
//! connections, is the business of `attempts.zig`, which is given their answers. Invariant: from a
//! cancellation on nothing is told of a lookup, whatever its thread does; a handle of the script
//! reaches the script's lookups only. Used by the loop's thread only.

const std = @import("std");
const layout = @import("../layout.zig");
const doorbells = @import("../loop/doorbells.zig");
const LoopDoorbells = @import("../loop/loop_doorbells.zig").LoopDoorbells;
const plain = @import("../loop/channel.zig").plain;
const Family = @import("resolve/ip.zig").Family;
const Ips = @import("resolve/ip.zig").Ips;
const names = @import("resolve/names.zig");
const requests = @import("resolve/requests.zig");

pub const Handle = requests.Handle;
pub const Told = requests.Told;
/// Timers that a loop needs for lookups: one for each there may be.
pub const timers = requests.requests_max;
/// Purpose of the script's own lookups.
pub const for_script: u32 = layout.no_slot;

const bad_argument = @intFromEnum(layout.Status.bad_argument);
const exhausted = @intFromEnum(layout.Status.exhausted);
const stale = @intFromEnum(layout.Status.stale_handle);

pub fn Resolving(comptime Loop: type) type {
    return struct {
        const Self = @This();

        loop: *Loop,
        /// How the loop is woken.
        own: *LoopDoorbells(Loop),
        /// Timers are so many from here on.
        first_timer: u32,
        /// Where answers come to; null before the first lookup, and when the loop closes.
        box: ?u32,
        /// Rung for answers; null before somebody had to be asked.
        doorbell: ?doorbells.Handle,
        /// Lookups whose end was not told.
        pending: u32,
        /// There may be answers.
        due: bool,
        closed: bool,

        pub fn init(loop: *Loop, own: *LoopDoorbells(Loop), first_timer: u32) Self {
            return .{
                .loop = loop,
                .own = own,
                .first_timer = first_timer,
                .box = null,
                .doorbell = null,
                .pending = 0,
                .due = false,
                .closed = false,
            };
        }

        /// From now on nothing is told; what is looked up goes on for nobody, and ends soon.
        pub fn close(self: *Self) void {
            self.closed = true;
            const box = self.box orelse return;
            self.box = null;
            requests.close_box(box);
            if (self.doorbell) |doorbell| doorbells.remove(doorbell.slot);
            self.doorbell = null;
        }

        /// Starts a lookup of a name or an address. A negative status where it cannot.
        pub fn start(
            self: *Self,
            text: []const u8,
            family: ?Family,
            purpose: u32,
            made: *Handle,
        ) i32 {
            if (self.closed) return @intFromEnum(layout.Status.loop_closed);
            if (self.box == null) self.box = requests.open_box() orelse return exhausted;
            if (names.known(text, family)) |ips| {
                made.* = requests.answer_at_once(self.box.?, &ips, purpose) catch return exhausted;
                self.due = true;
            } else {
                const name = names.Name.of(text) orelse return bad_argument;
                const rc = self.add_doorbell();
                if (rc < 0) return rc;
                const query: requests.Query = .{ .name = name, .family = family };
                made.* = requests.start(self.box.?, &query, purpose) catch |err| switch (err) {
                    error.Exhausted => return exhausted,
                    error.NoThreads => return @intFromEnum(layout.Status.no_threads),
                };
            }
            self.pending += 1;
            return 0;
        }

        fn add_doorbell(self: *Self) i32 {
            if (self.doorbell != null) return 0;
            const rc = self.own.open_mailbox();
            if (rc < 0) return rc;
            const doorbell = doorbells.add(self.own.mailbox.?) orelse return exhausted;
            requests.set_doorbell(self.box.?, doorbell);
            self.doorbell = doorbell;
            return 0;
        }

        /// A lookup of the script. Its slot, or a negative status.
        pub fn start_for_script(
            self: *Self,
            options: *const layout.ResolveOptions,
            made: *Handle,
        ) i32 {
            if (options.timeout_ms > timeout_max_ms) return bad_argument;
            const text = name_of(&options.name, options.name_length) orelse return bad_argument;
            const family = family_of(options.family) orelse return bad_argument;
            const rc = self.start(text, family.wanted, for_script, made);
            if (rc < 0) return rc;
            if (options.timeout_ms > 0) {
                self.loop.start_user_timer(self.first_timer + made.slot, options.timeout_ms);
            }
            return @intCast(made.slot);
        }

        /// Ends a lookup of the script whose end was not told, or whose answer was not taken.
        pub fn cancel_for_script(self: *Self, handle: Handle) i32 {
            if (!self.is_of_script(handle) or !self.cancel(handle)) return stale;
            self.loop.stop_user_timer(self.first_timer + handle.slot);
            return 0;
        }

        /// A handle can be guessed, and those of connections are given out by the same table.
        fn is_of_script(self: *const Self, handle: Handle) bool {
            return requests.is_for(self.box orelse return false, handle, for_script);
        }

        /// False where the handle is stale.
        pub fn cancel(self: *Self, handle: Handle) bool {
            const box = self.box orelse return false;
            const ended = requests.cancel(box, handle) orelse return false;
            if (ended != .told) self.pending -= 1;
            return true;
        }

        pub fn timer_fired(self: *Self, slot: u32) void {
            const box = self.box orelse return;
            const handle = requests.handle_of(box, slot) orelse return;
            if (!self.cancel(handle)) return;
            self.tell(handle, @intFromEnum(layout.Status.resolve_timeout));
        }

        /// Copies what was found, once it was told of.
        pub fn report(self: *Self, result: *layout.ResolveReport) i32 {
            const box = self.box orelse return stale;
            const handle: Handle = .{ .slot = result.slot, .generation = result.generation };
            var ips: Ips = .{};
            if (!self.is_of_script(handle) or !requests.take(box, handle, &ips)) return stale;
            result.count = ips.count;
            for (ips.slice(), 0..) |ip, index| {
                result.families[index] = @intFromEnum(ip.family);
                result.scopes[index] = ip.scope;
                result.bytes[16 * index ..][0..16].* = ip.bytes;
            }
            return 0;
        }

        /// The addresses of an answer that `attend` passed on.
        pub fn take(self: *Self, handle: Handle, ips: *Ips) bool {
            return requests.take(self.box orelse return false, handle, ips);
        }

        /// Tells of what was answered. `others` are told of what is not the script's.
        pub fn attend(self: *Self, others: anytype) void {
            const box = self.box orelse return;
            if (self.pending == 0) return;
            const doorbell = self.doorbell;
            if (doorbell != null and doorbells.take(doorbell.?.slot)) self.due = true;
            if (!self.due) return;
            while (self.loop.channel.room() > 0) {
                const told = requests.next_answer(box) orelse {
                    self.due = false;
                    return;
                };
                self.pending -= 1;
                if (told.purpose != for_script) {
                    others.answered(told);
                    continue;
                }
                self.loop.stop_user_timer(self.first_timer + told.handle.slot);
                const status = status_of(told);
                if (status != 0) _ = requests.cancel(box, told.handle);
                self.tell(told.handle, if (status != 0) status else @intCast(told.count));
            }
        }

        fn tell(self: *Self, handle: Handle, result: i32) void {
            self.loop.channel.emit(plain(.resolved, handle.slot, handle.generation, result));
        }

        pub fn waiting(self: *const Self) bool {
            return self.due and self.pending > 0 and self.box != null;
        }
    };
}

/// The longest time limit that an option can set.
pub const timeout_max_ms = 3_600_000;

/// 0, or the status of a lookup that has found nothing.
pub fn status_of(told: Told) i32 {
    return @intFromEnum(switch (told.outcome) {
        .found => layout.Status.ok,
        .no_such_name => .name_not_found,
        .refused, .stopped => .resolve_failed,
        .timeout => .resolve_timeout,
    });
}

pub fn name_of(bytes: *const [layout.name_bytes_max]u8, length: u32) ?[]const u8 {
    if (length == 0 or length > bytes.len) return null;
    return bytes[0..length];
}

/// Null for what is no family of IP.
pub fn family_of(value: u32) ?struct { wanted: ?Family } {
    return switch (value) {
        0 => .{ .wanted = null },
        @intFromEnum(layout.AddressFamily.ipv4) => .{ .wanted = .ipv4 },
        @intFromEnum(layout.AddressFamily.ipv6) => .{ .wanted = .ipv6 },
        else => null,
    };
}
