//! Lookups by the process's threads, against a name server of the test's own.

const std = @import("std");
const fork = @import("../../sys/fork.zig");
const kernel = @import("../../sys/kernel.zig");
const Notifier = @import("../../sys/notify.zig").Notifier;
const doorbells = @import("../../loop/doorbells.zig");
const Ip = @import("ip.zig").Ip;
const Ips = @import("ip.zig").Ips;
const names = @import("names.zig");
const paths = @import("paths.zig");
const record = @import("../../sys/record_test.zig");
const requests = @import("requests.zig");
const Server = @import("test_server.zig").Server;

/// What a loop has: a mailbox, a doorbell, a box.
const Asker = struct {
    notifier: Notifier = .{},
    mailbox: u32 = 0,
    doorbell: doorbells.Handle = undefined,
    box: u32 = 0,

    fn init(self: *Asker) !void {
        try std.testing.expectEqual(@as(i32, 0), self.notifier.open());
        self.mailbox = doorbells.open_mailbox(.{ .notifier = self.notifier }).?;
        self.doorbell = doorbells.add(self.mailbox).?;
        self.box = requests.open_box().?;
        requests.set_doorbell(self.box, self.doorbell);
    }

    fn deinit(self: *Asker) void {
        requests.close_box(self.box);
        doorbells.remove(self.doorbell.slot);
        doorbells.close_mailbox(self.mailbox);
        self.notifier.close();
    }

    fn start(self: *Asker, name: []const u8, purpose: u32) !requests.Handle {
        const query: requests.Query = .{ .name = names.Name.of(name).?, .family = .ipv4 };
        return requests.start(self.box, &query, purpose);
    }

    fn wait(self: *Asker) !requests.Told {
        for (0..100) |_| {
            if (requests.next_answer(self.box)) |told| return told;
            try std.testing.expect(self.notifier.wait(10_000));
            self.notifier.forget();
            doorbells.answer(self.mailbox);
            _ = doorbells.take(self.doorbell.slot);
        }
        return error.NoAnswer;
    }
};

const World = struct {
    server: Server = undefined,
    folder: std.testing.TmpDir = undefined,

    fn init(self: *World) !void {
        try self.server.init();
        self.folder = std.testing.tmpDir(.{});
        var text: [128]u8 = undefined;
        const format = "nameserver [127.0.0.1]:{d}\noptions timeout:30 attempts:1";
        try self.folder.dir.writeFile(std.testing.io, .{
            .sub_path = "config",
            .data = try std.fmt.bufPrint(&text, format, .{self.server.port}),
        });
        var path: [64]u8 = undefined;
        try std.testing.expect(paths.replace("/dev/null", try std.fmt.bufPrint(
            &path,
            ".zig-cache/tmp/{s}/config",
            .{self.folder.sub_path},
        )));
    }

    fn deinit(self: *World) void {
        self.server.deinit();
        self.folder.cleanup();
    }
};

// First, while there are places without a thread.
test "a child of a fork starts with threads of its own" {
    if (@import("builtin").sanitize_thread) {
        const why = "thread sanitizer: it takes what threads of the parent do for the child's";
        return record.skip(why, .{});
    }
    var world: World = .{};
    try world.init();
    defer world.deinit();
    var asker: Asker = .{};
    try asker.init();
    defer asker.deinit();
    _ = try asker.start("silent.example", 0);
    const Child = struct {
        fn live(_: void) u8 {
            const stays = kernel.is_open(0);
            requests.reset();
            if (kernel.is_open(0) != stays) return 7;
            doorbells.reset();
            var own: Asker = .{};
            own.init() catch return 1;
            _ = own.start("four.example", 5) catch return 2;
            const told = own.wait() catch return 3;
            if (told.purpose != 5 or told.count != 1) return 4;
            var ips: Ips = .{};
            if (!requests.take(own.box, told.handle, &ips)) return 5;
            return if (ips.list[0].eql(.v4(.{ 127, 0, 0, 2 }))) 0 else 6;
        }
    };
    try std.testing.expectEqual(@as(u8, 0), try fork.exit_code_of_child({}, Child.live));
}

test "more names than threads are looked up, and each answer is told once" {
    var world: World = .{};
    try world.init();
    defer world.deinit();
    var asker: Asker = .{};
    try asker.init();
    defer asker.deinit();
    var handles: [32]requests.Handle = undefined;
    for (&handles, 0..) |*handle, number| {
        const name = if (number % 2 == 0) "four.example" else "none.example";
        handle.* = try asker.start(name, @intCast(number));
    }
    var seen: u32 = 0;
    for (handles) |_| {
        const told = try asker.wait();
        const is_known = told.purpose % 2 == 0;
        try std.testing.expectEqual(@as(u32, @intFromBool(is_known)), told.count);
        try std.testing.expectEqual(is_known, told.outcome == .found);
        try std.testing.expectEqual(handles[told.purpose], told.handle);
        seen |= @as(u32, 1) << @intCast(told.purpose);
        var ips: Ips = .{};
        try std.testing.expect(requests.take(asker.box, told.handle, &ips));
        try std.testing.expectEqual(told.count, ips.count);
        try std.testing.expect(!requests.take(asker.box, told.handle, &ips));
        try std.testing.expect(requests.cancel(asker.box, told.handle) == null);
    }
    try std.testing.expectEqual(@as(u32, std.math.maxInt(u32)), seen);
    try std.testing.expectEqual(@as(?requests.Told, null), requests.next_answer(asker.box));
}

test "what is cancelled in any state is never told, and makes room at once" {
    var world: World = .{};
    try world.init();
    defer world.deinit();
    var asker: Asker = .{};
    try asker.init();
    defer asker.deinit();
    // Threads that hang, and lookups that wait behind them.
    var hanging: [12]requests.Handle = undefined;
    for (&hanging) |*handle| handle.* = try asker.start("silent.example", 1);
    while (world.server.asked.load(.acquire) < 4) std.atomic.spinLoopHint();
    for (hanging) |handle| {
        try std.testing.expect(requests.cancel(asker.box, handle).? == .untold);
        try std.testing.expect(requests.cancel(asker.box, handle) == null);
    }
    const first = try asker.start("four.example", 2);
    const told = try asker.wait();
    try std.testing.expectEqual(first, told.handle);
    try std.testing.expect(requests.cancel(asker.box, told.handle).? == .told);
    const second = try asker.start("four.example", 3);
    try std.testing.expect(asker.notifier.wait(10_000));
    try std.testing.expect(requests.cancel(asker.box, second).? == .untold);
    try std.testing.expectEqual(@as(?requests.Told, null), requests.next_answer(asker.box));
}

test "there is room for so many, a closed box gives all back, and handles are its own" {
    var world: World = .{};
    try world.init();
    defer world.deinit();
    var other: Asker = .{};
    try other.init();
    defer other.deinit();
    for (0..2) |_| {
        var asker: Asker = .{};
        try asker.init();
        defer asker.deinit();
        var last: requests.Handle = undefined;
        for (0..requests.requests_max - 8) |_| last = try asker.start("silent.example", 0);
        try std.testing.expect(requests.cancel(other.box, last) == null);
        try std.testing.expectEqual(last, requests.handle_of(asker.box, last.slot).?);
        try std.testing.expectEqual(@as(?requests.Handle, null), requests.handle_of(other.box, 9));
        // Threads may still have to let go of what was asked for before.
        var more: u32 = 0;
        while (asker.start("silent.example", 0)) |_| more += 1 else |err| {
            try std.testing.expectEqual(error.Exhausted, err);
        }
        try std.testing.expect(more >= 4 and more <= 8);
    }
    const known = try requests.answer_at_once(other.box, &names.known("localhost", null).?, 7);
    const told = requests.next_answer(other.box).?;
    try std.testing.expectEqual(known, told.handle);
    try std.testing.expectEqual(@as(u32, 7), told.purpose);
    var ips: Ips = .{};
    try std.testing.expect(requests.take(other.box, told.handle, &ips));
    try std.testing.expect(ips.list[0].eql(.loopback6));
}
