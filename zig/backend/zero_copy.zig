//! Sends whose bytes the kernel does not copy: what they hold until it says that it is done.
//!
//! Such a send completes twice: as sent, and later with a notification that its buffers are not
//! read any more, unless the first completion says that there will be none. Invariants: a notice
//! holds one reference on each buffer of its send until then; the references are handed on by
//! `take_released`, one at a time; when there is no notice to be had a send is a plain one.

const std = @import("std");
const uring = @import("../sys/uring.zig");
const kernel = @import("../sys/kernel.zig");
const mapped = @import("../memory/mapped.zig");
const Pool = @import("../memory/pool.zig").Pool;
const contract = @import("contract.zig");

/// Sends whose notifications may be outstanding.
pub const notices_max = 256;
/// Buffers that one port may hold so, less than one send more: a peer that is slow to acknowledge
/// leaves something for the others.
pub const held_per_port = 32;

const none: u32 = std.math.maxInt(u32);

const Notice = struct {
    port: u32,
    epoch: u32,
    /// The next one of the list that this one is in.
    next: u32,
    count: u32,
    buffers: [contract.segments_max]u32,
};

/// What a port's sends hold. It is another one's when the epoch is another.
const Use = struct {
    epoch: u32,
    holding: u32,
    /// The kernel cannot send so there: all further sends are plain.
    refused: bool,
};

pub const Notices = struct {
    /// None where nothing is sent so.
    notices: []Notice,
    /// By port.
    uses: []Use,
    threshold_bytes: u32,
    free_head: u32,
    /// Those whose buffers are to be released.
    released_head: u32,
    /// Buffers held.
    holding: u32,
    counts: contract.ZeroCopies,

    pub const empty: Notices = .{
        .notices = &.{},
        .uses = &.{},
        .threshold_bytes = 0,
        .free_head = none,
        .released_head = none,
        .holding = 0,
        .counts = .{},
    };

    pub fn init(threshold_bytes: u32, ports: u32) error{OutOfMemory}!Notices {
        const notices = try mapped.allocate(Notice, notices_max);
        errdefer mapped.free(Notice, notices);
        for (notices, 1..) |*notice, next| {
            notice.next = if (next == notices_max) none else @intCast(next);
        }
        var self: Notices = .empty;
        self.uses = try mapped.allocate(Use, ports);
        self.notices = notices;
        self.threshold_bytes = threshold_bytes;
        self.free_head = 0;
        return self;
    }

    pub fn deinit(self: *Notices) void {
        mapped.free(Use, self.uses);
        mapped.free(Notice, self.notices);
        self.* = undefined;
    }

    /// A notice for a send, with references on its buffers; null when it is to be a plain one.
    pub fn take(
        self: *Notices,
        pool: *Pool,
        port: u32,
        epoch: u32,
        segments: []const contract.Segment,
    ) ?u32 {
        const index = self.free_head;
        if (index == none or pool.receive_is_scarce()) return null;
        const use = self.use_of(port, epoch);
        if (use.refused or use.holding >= held_per_port) return null;
        var bytes: u64 = 0;
        for (segments) |segment| {
            if (segment.buffer == contract.no_buffer) return null;
            bytes += segment.length;
        }
        if (bytes < self.threshold_bytes) return null;
        const notice = &self.notices[index];
        for (segments, 0..) |segment, held| {
            if (!pool.retain(segment.buffer)) {
                // Others hold these too: none becomes free.
                for (notice.buffers[0..held]) |buffer| _ = pool.release(buffer);
                return null;
            }
            notice.buffers[held] = segment.buffer;
        }
        self.free_head = notice.next;
        notice.port = port;
        notice.epoch = epoch;
        notice.count = @intCast(segments.len);
        self.holding += notice.count;
        use.holding += notice.count;
        return index;
    }

    fn use_of(self: *Notices, port: u32, epoch: u32) *Use {
        const use = &self.uses[port];
        if (use.epoch != epoch) use.* = .{ .epoch = epoch, .holding = 0, .refused = false };
        return use;
    }

    /// The first completion of a send: what the caller is told. A kernel or a socket that cannot do
    /// it is not asked again for this port.
    pub fn sent(self: *Notices, index: u32, cqe: uring.Cqe) contract.Completion {
        const notice = &self.notices[index];
        var result = cqe.result;
        switch (result) {
            kernel.negative(.OPNOTSUPP), kernel.negative(.NOMEM), kernel.negative(.NOBUFS) => {
                self.use_of(notice.port, notice.epoch).refused = true;
                result = 0;
            },
            else => {},
        }
        if (result > 0) self.counts.sends += 1;
        if (cqe.flags & uring.cqe_more == 0) self.release(index);
        return .{
            .kind = .send,
            .more = false,
            .port = notice.port,
            .epoch = notice.epoch,
            .result = result,
        };
    }

    /// The notification.
    pub fn notified(self: *Notices, index: u32, cqe: uring.Cqe) void {
        const usage: u32 = @bitCast(cqe.result);
        if (usage & uring.notif_usage_zc_copied != 0) self.counts.copied += 1;
        self.release(index);
    }

    fn release(self: *Notices, index: u32) void {
        const notice = &self.notices[index];
        const use = &self.uses[notice.port];
        if (use.epoch == notice.epoch) use.holding -= notice.count;
        self.notices[index].next = self.released_head;
        self.released_head = index;
    }

    pub fn has_released(self: *const Notices) bool {
        return self.released_head != none;
    }

    /// Tells of a buffer whose reference is the caller's from now on.
    pub fn tell_released(self: *Notices, completion: *contract.Completion) bool {
        const buffer = self.take_released() orelse return false;
        completion.* = .{
            .kind = .released,
            .more = false,
            .port = 0,
            .epoch = 0,
            .result = 0,
            .buffer = buffer,
        };
        return true;
    }

    /// A buffer whose reference is the caller's from now on, or null.
    pub fn take_released(self: *Notices) ?u32 {
        const index = self.released_head;
        if (index == none) return null;
        const notice = &self.notices[index];
        notice.count -= 1;
        self.holding -= 1;
        if (notice.count == 0) {
            self.released_head = notice.next;
            notice.next = self.free_head;
            self.free_head = index;
        }
        return notice.buffers[notice.count];
    }
};
