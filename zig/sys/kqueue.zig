//! kqueue(2) of macOS and the BSDs, and on Linux of a library that offers `kqueue` and `kevent` and
//! that the environment variable `TWINPOLL_KQUEUE` names.

const std = @import("std");
const host = @import("host_linux.zig");
const kernel = @import("kernel.zig");

const is_native = @import("system.zig").family == .bsd;

/// A change or an event. The layout of macOS, which libraries for Linux share.
pub const Event = if (is_native) std.c.Kevent else extern struct {
    ident: usize,
    filter: i16,
    flags: u16,
    fflags: u32,
    data: isize,
    udata: usize,
};

pub const filter_read: i16 = -1;
pub const filter_write: i16 = -2;

pub const flag_add: u16 = 0x0001;
pub const flag_delete: u16 = 0x0002;
/// Events tell of changes only.
pub const flag_clear: u16 = 0x0020;
/// Each change is answered by an event with its outcome in `data`.
pub const flag_receipt: u16 = 0x0040;
pub const flag_error: u16 = 0x4000;
pub const flag_end: u16 = 0x8000;

comptime {
    if (is_native) {
        const EV = std.c.EV;
        std.debug.assert(filter_read == std.c.EVFILT.READ and filter_write == std.c.EVFILT.WRITE);
        std.debug.assert(flag_add == EV.ADD and flag_delete == EV.DELETE);
        std.debug.assert(flag_clear == EV.CLEAR and flag_receipt == EV.RECEIPT);
        std.debug.assert(flag_error == EV.ERROR);
        if (@hasDecl(EV, "EOF")) std.debug.assert(flag_end == EV.EOF);
    }
}

const Open = fn () callconv(.c) c_int;
const Exchange = fn (
    queue: c_int,
    changes: ?[*]const Event,
    change_count: c_int,
    events: ?[*]Event,
    event_count: c_int,
    time: ?*const std.c.timespec,
) callconv(.c) c_int;

/// Where the two functions are.
pub const Library = struct {
    open: *const Open,
    exchange: *const Exchange,

    /// Null where there are none.
    pub fn find() ?Library {
        if (is_native) return .{ .open = &std.c.kqueue, .exchange = @ptrCast(&std.c.kevent) };
        const file = host.environment("TWINPOLL_KQUEUE") orelse return null;
        const library = host.load_library(file) orelse return null;
        const open = host.find_symbol(library, "kqueue") orelse return null;
        const exchange = host.find_symbol(library, "kevent") orelse return null;
        return .{ .open = @ptrCast(@alignCast(open)), .exchange = @ptrCast(@alignCast(exchange)) };
    }

    /// A queue's descriptor, or a negated errno.
    pub fn queue(self: Library) i32 {
        const descriptor = self.open();
        return if (descriptor >= 0) descriptor else failure();
    }

    /// Makes the changes, and takes events at most so many nanoseconds later; the largest number
    /// for no limit. How many events there are, or a negated errno.
    pub fn kevent(
        self: Library,
        descriptor: i32,
        changes: []const Event,
        events: []Event,
        wait_ns: u64,
    ) i32 {
        // Some systems refuse more than 10^8 seconds; waking early only means waiting again.
        const time: std.c.timespec = .{
            .sec = @intCast(@min(wait_ns / std.time.ns_per_s, 100_000_000)),
            .nsec = @intCast(wait_ns % std.time.ns_per_s),
        };
        const count = self.exchange(
            descriptor,
            changes.ptr,
            @intCast(changes.len),
            events.ptr,
            @intCast(events.len),
            if (wait_ns == std.math.maxInt(u64)) null else &time,
        );
        return if (count >= 0) count else failure();
    }

    fn failure() i32 {
        return if (is_native) kernel.last_error() else kernel.from_system(host.last_errno());
    }
};
