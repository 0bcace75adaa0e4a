//! Completions that wait to be reaped: they may be seen late and overtake each other, but never
//! those of their own operation.

const std = @import("std");
const contract = @import("../contract.zig");
const never = @import("pipe.zig").never;

pub const capacity = 256;
/// Of a buffer that is released: those overtake each other.
pub const no_operation: u32 = std.math.maxInt(u32);

pub const Waiting = struct {
    completion: contract.Completion,
    /// Index of its operation, or `no_operation`.
    operation: u32,
    /// From when on it is seen.
    ready_ns: u64,
};

pub const Completions = struct {
    waiting: [capacity]Waiting = undefined,
    count: u32 = 0,

    pub fn room(self: *const Completions) u32 {
        return capacity - self.count;
    }

    pub fn push(self: *Completions, waiting: Waiting) void {
        var added = waiting;
        for (self.waiting[0..self.count]) |earlier| {
            if (earlier.operation != added.operation) continue;
            if (added.operation == no_operation) continue;
            added.ready_ns = @max(added.ready_ns, earlier.ready_ns);
        }
        self.waiting[self.count] = added;
        self.count += 1;
    }

    pub fn ready_count(self: *const Completions, now_ns: u64) u32 {
        var ready: u32 = 0;
        for (self.waiting[0..self.count]) |waiting| {
            ready += @intFromBool(waiting.ready_ns <= now_ns);
        }
        return ready;
    }

    pub fn next_ns(self: *const Completions) u64 {
        var next: u64 = never;
        for (self.waiting[0..self.count]) |waiting| next = @min(next, waiting.ready_ns);
        return next;
    }

    /// The one that is ready after `skipped` others, or an earlier one of the same operation.
    pub fn take(self: *Completions, now_ns: u64, skipped: u32) ?Waiting {
        var left = skipped;
        for (self.waiting[0..self.count]) |waiting| {
            if (waiting.ready_ns > now_ns) continue;
            if (left == 0) return self.take_at(self.first_of(waiting.operation, now_ns));
            left -= 1;
        }
        return null;
    }

    fn first_of(self: *const Completions, operation: u32, now_ns: u64) usize {
        return for (self.waiting[0..self.count], 0..) |waiting, index| {
            if (waiting.operation == operation and waiting.ready_ns <= now_ns) break index;
        } else unreachable;
    }

    fn take_at(self: *Completions, index: usize) Waiting {
        const found = self.waiting[index];
        std.mem.copyForwards(
            Waiting,
            self.waiting[index .. self.count - 1],
            self.waiting[index + 1 .. self.count],
        );
        self.count -= 1;
        return found;
    }
};

fn numbered(operation: u32, result: i32, ready_ns: u64) Waiting {
    return .{
        .operation = operation,
        .ready_ns = ready_ns,
        .completion = .{
            .kind = .receive,
            .more = true,
            .port = operation,
            .epoch = 0,
            .result = result,
        },
    };
}

test "completions overtake those of other operations only" {
    var completions: Completions = .{};
    completions.push(numbered(1, 10, 5));
    completions.push(numbered(1, 11, 0));
    completions.push(numbered(2, 20, 0));
    try std.testing.expectEqual(@as(u32, 1), completions.ready_count(4));
    try std.testing.expectEqual(@as(i32, 20), completions.take(4, 0).?.completion.result);
    try std.testing.expectEqual(null, completions.take(4, 0));
    try std.testing.expectEqual(@as(i32, 10), completions.take(5, 1).?.completion.result);
    try std.testing.expectEqual(@as(i32, 11), completions.take(5, 0).?.completion.result);
}
