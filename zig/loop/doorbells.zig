//! Doorbells of this process: with one, any thread tells a loop that there is something for it.
//!
//! A loop that has doorbells has a *mailbox*, which is how it is woken: a message that the kernel
//! puts into its ring, or a descriptor that it polls. Rings come together: a doorbell that has been
//! rung and not been answered is not rung again, and a mailbox is notified once until its loop
//! looks. Invariants: a doorbell is rung in the same atomic step that finds it to be its handle's,
//! so that one that comes late does not mark another that has its place; it is marked before
//! `notified` is set, and the loop clears `notified` before it looks for marks, so that no ring is
//! lost. A mailbox's target is only used and changed under its lock.

const std = @import("std");
const contract = @import("../backend/contract.zig");
const Notifier = @import("../sys/notify.zig").Notifier;
const Lock = @import("../sys/lock.zig").Lock;
const on_valgrind = @import("../sys/record_test.zig").on_valgrind;

pub const doorbells_max = 4096;
const mailboxes_max = 256;

/// How a loop is woken.
pub const Target = union(enum) {
    /// A ring that takes messages, and the message.
    ring: contract.MessageTarget,
    notifier: Notifier,
};

const Mailbox = struct {
    lock: Lock = .{},
    target: ?Target = null,
    notified: std.atomic.Value(u32) = .init(0),
};

const Doorbell = struct {
    /// Generation << 32 | `rung_bit` | 1 + mailbox; the lower half is 0 where the doorbell is
    /// nobody's.
    tag: std.atomic.Value(u64) = .init(0),
};

/// It was rung since its loop last looked.
const rung_bit: u64 = 1 << 31;

var lock: Lock = .{};
var mailboxes: [mailboxes_max]Mailbox = @splat(.{});
var doorbells: [doorbells_max]Doorbell = @splat(.{});

/// The child of a fork has none of its parent's loops.
pub fn reset() void {
    lock = .{};
    for (&mailboxes) |*mailbox| mailbox.* = .{};
    for (&doorbells) |*doorbell| {
        const generation = doorbell.tag.load(.monotonic) >> 32;
        doorbell.tag.store(generation + 1 << 32, .monotonic);
    }
}

/// A mailbox's number; null when there are too many.
pub fn open_mailbox(target: Target) ?u32 {
    lock.acquire();
    defer lock.release();
    for (&mailboxes, 0..) |*mailbox, number| {
        if (mailbox.target != null) continue;
        mailbox.lock.acquire();
        defer mailbox.lock.release();
        mailbox.notified.store(0, .monotonic);
        mailbox.target = target;
        return @intCast(number);
    }
    return null;
}

/// Its doorbells are removed; nobody uses its descriptor any more.
pub fn close_mailbox(number: u32) void {
    lock.acquire();
    defer lock.release();
    const mailbox = &mailboxes[number];
    mailbox.lock.acquire();
    defer mailbox.lock.release();
    mailbox.target = null;
}

pub const Handle = struct { slot: u32, generation: u32 };

/// A doorbell of a mailbox; null when there are too many.
pub fn add(mailbox: u32) ?Handle {
    lock.acquire();
    defer lock.release();
    for (&doorbells, 0..) |*doorbell, slot| {
        const tag = doorbell.tag.load(.monotonic);
        if (tag & std.math.maxInt(u32) != 0) continue;
        doorbell.tag.store(tag | (mailbox + 1), .release);
        return .{ .slot = @intCast(slot), .generation = @intCast(tag >> 32) };
    }
    return null;
}

/// By the loop that has it.
pub fn remove(slot: u32) void {
    const doorbell = &doorbells[slot];
    const generation: u32 = @truncate(doorbell.tag.load(.monotonic) >> 32);
    doorbell.tag.store(@as(u64, generation +% 1) << 32, .release);
}

/// From any thread. False when there is no such doorbell any more.
pub fn ring(slot: u32, generation: u32) bool {
    if (slot >= doorbells_max) return false;
    const doorbell = &doorbells[slot];
    var tag = doorbell.tag.load(.acquire);
    while (true) {
        if (tag & std.math.maxInt(u32) == 0 or tag >> 32 != generation) return false;
        if (tag & rung_bit != 0) return true;
        tag = doorbell.tag.cmpxchgWeak(tag, tag | rung_bit, .acq_rel, .acquire) orelse break;
    }
    return notify(@as(u32, @truncate(tag)) - 1);
}

/// Wakes the loop of a mailbox, from any thread; one that sleeps without having been rung hears
/// nothing but that. False when nobody has the mailbox.
pub fn notify(number: u32) bool {
    const mailbox = &mailboxes[number];
    if (mailbox.notified.swap(1, .acq_rel) == 1) return true;
    mailbox.lock.acquire();
    defer mailbox.lock.release();
    switch (mailbox.target orelse return false) {
        .ring => |to| if (to.send(to.descriptor, to.user_data) < 0) {
            // Short of memory: the loop hears of it when it looks next, or with the next ring.
            mailbox.notified.store(0, .release);
        },
        .notifier => |notifier| notifier.signal(),
    }
    return true;
}

/// By its loop, before it looks which of its doorbells were rung.
pub fn answer(mailbox: u32) void {
    _ = mailboxes[mailbox].notified.swap(0, .acq_rel);
}

/// Whether a doorbell was rung since it was last asked.
pub fn take(slot: u32) bool {
    return doorbells[slot].tag.fetchAnd(~rung_bit, .acq_rel) & rung_bit != 0;
}

test "rings come together, and none is lost" {
    var notifier: Notifier = .{};
    try std.testing.expectEqual(@as(i32, 0), notifier.open());
    defer notifier.close();
    const mailbox = open_mailbox(.{ .notifier = notifier }).?;
    const first = add(mailbox).?;
    const second = add(mailbox).?;
    for (0..3) |_| {
        try std.testing.expect(ring(first.slot, first.generation));
        try std.testing.expect(ring(second.slot, second.generation));
        try std.testing.expect(notifier.wait(0));
        notifier.forget();
        answer(mailbox);
        try std.testing.expect(take(first.slot));
        try std.testing.expect(take(second.slot));
        try std.testing.expect(!take(first.slot));
    }
    remove(first.slot);
    try std.testing.expect(!ring(first.slot, first.generation));
    const third = add(mailbox).?;
    try std.testing.expect(third.slot != first.slot or third.generation != first.generation);
    remove(second.slot);
    remove(third.slot);
    close_mailbox(mailbox);
    try std.testing.expect(!ring(second.slot, second.generation));
    try std.testing.expect(!ring(doorbells_max, 0));
}

test "threads that ring while the loop answers lose nothing" {
    var notifier: Notifier = .{};
    try std.testing.expectEqual(@as(i32, 0), notifier.open());
    defer notifier.close();
    const mailbox = open_mailbox(.{ .notifier = notifier }).?;
    defer close_mailbox(mailbox);
    const Ringer = struct {
        handle: Handle,
        sent: std.atomic.Value(u32) = .init(0),

        fn run(self: *@This()) void {
            for (0..20_000) |_| {
                _ = self.sent.fetchAdd(1, .acq_rel);
                _ = ring(self.handle.slot, self.handle.generation);
            }
        }
    };
    var ringers: [2]Ringer = undefined;
    var threads: [2]std.Thread = undefined;
    for (&ringers, &threads) |*ringer, *thread| {
        ringer.* = .{ .handle = add(mailbox).? };
        thread.* = try std.Thread.spawn(.{}, Ringer.run, .{ringer});
    }
    var seen: [2]u32 = @splat(0);
    while (seen[0] < 20_000 or seen[1] < 20_000) {
        try std.testing.expect(notifier.wait(10_000));
        notifier.forget();
        answer(mailbox);
        for (&ringers, &seen) |*ringer, *count| {
            if (take(ringer.handle.slot)) count.* = ringer.sent.load(.acquire);
        }
    }
    for (threads) |thread| thread.join();
    for (ringers) |ringer| remove(ringer.handle.slot);
}

/// Rings whatever handle it was told last, which may be nobody's by then.
const Late = struct {
    handle: std.atomic.Value(u64) = .init(0),
    stopped: std.atomic.Value(u32) = .init(0),

    fn run(self: *Late) void {
        while (self.stopped.load(.acquire) == 0) {
            const told = self.handle.load(.acquire);
            _ = ring(@truncate(told), @truncate(told >> 32));
        }
    }

    fn tell(self: *Late, handle: Handle) void {
        self.handle.store(@as(u64, handle.generation) << 32 | handle.slot, .release);
    }
};

test "a ring that comes late does not silence the doorbell that has the place now" {
    var notifiers: [2]Notifier = @splat(.{});
    for (&notifiers) |*notifier| try std.testing.expectEqual(@as(i32, 0), notifier.open());
    defer for (&notifiers) |*notifier| notifier.close();
    var late: Late = .{};
    const thread = try std.Thread.spawn(.{}, Late.run, .{&late});
    defer {
        late.stopped.store(1, .release);
        thread.join();
    }
    const rounds: usize = if (on_valgrind()) 500 else 20_000;
    for (0..rounds) |round| {
        var boxes: [2]u32 = undefined;
        for (&boxes, notifiers) |*box, notifier| box.* = open_mailbox(.{ .notifier = notifier }).?;
        defer for (boxes) |box| close_mailbox(box);
        const first = add(boxes[0]).?;
        late.tell(first);
        // So that its end comes at all sorts of moments.
        for (0..round % 256) |_| std.atomic.spinLoopHint();
        remove(first.slot);
        const second = add(boxes[1]).?;
        defer remove(second.slot);
        try std.testing.expectEqual(first.slot, second.slot);
        for (0..round / 256) |_| std.atomic.spinLoopHint();
        try std.testing.expect(ring(second.slot, second.generation));
        try std.testing.expect(notifiers[1].wait(0));
        for (&notifiers) |*notifier| notifier.forget();
    }
}
