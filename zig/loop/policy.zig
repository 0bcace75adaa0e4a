//! When a loop polls and when it sleeps. Pure: it sees times and whether there was work, nothing
//! else.
//!
//! The rule of adaptive mode: watch the gap between running out of work and getting more. While the
//! usual gap is shorter than the ceiling, polling for about twice the gap costs less time than
//! sleeping and being woken. When gaps grow, or when polling finds nothing (on a machine where the
//! peer needs this very core it never will), the usual gap passes the ceiling and polling stops.

const std = @import("std");
const layout = @import("../layout.zig");

pub const Options = struct {
    mode: layout.Mode,
    /// Longest time to poll before sleeping.
    ceiling_ns: u64,
    /// CPUs of the machine. With one, polling only keeps the peer from running.
    cpus_online: u32,
};

/// A gap counts as at most this many ceilings, so that one long pause is soon forgotten.
const gap_limit = 4;
/// For other loops of the process it is polled as long as so many ceilings.
const peer_ceilings = 4;
/// After so many misses in a row only one in so many times is polled for peers.
const misses_max = 8;
/// A new gap moves the usual gap by 1/4.
const smoothing = 4;

pub const Policy = struct {
    mode: layout.Mode,
    ceiling_ns: u64,
    /// The usual gap. Starts beyond the ceiling: nothing is polled for before work was seen to
    /// come.
    gap_ns: u64,
    /// Since when there has been no work; null while there is.
    idle_since_ns: ?u64,
    /// Loops of this process were told something, or have told something, since there was last
    /// nothing to do.
    has_peers: bool,
    /// Times in a row that polling for them did not last until there was work.
    peer_misses: u32,
    /// Whether the last wait polled, to count changes.
    polling: bool,
    transitions: u64,

    pub fn init(options: Options) Policy {
        const alone = options.cpus_online < 2;
        const adaptive = options.mode == .adaptive;
        return .{
            .mode = if (adaptive and alone) .event else options.mode,
            .ceiling_ns = options.ceiling_ns,
            .gap_ns = options.ceiling_ns * gap_limit,
            .idle_since_ns = null,
            .has_peers = false,
            .peer_misses = 0,
            .polling = false,
            .transitions = 0,
        };
    }

    /// There is nothing to do at `now_ns`.
    pub fn idle(self: *Policy, now_ns: u64) void {
        if (self.idle_since_ns == null) self.idle_since_ns = now_ns;
    }

    /// Work was found at `now_ns`.
    pub fn work(self: *Policy, now_ns: u64) void {
        const since = self.idle_since_ns orelse return;
        self.idle_since_ns = null;
        if (self.has_peers) self.note_peer_gap(now_ns -| since);
        const gap = @min(now_ns -| since, self.ceiling_ns * gap_limit);
        self.gap_ns = self.gap_ns - self.gap_ns / smoothing + gap / smoothing;
    }

    /// There is something for or from other loops of this process. Those are polled for without
    /// entering the kernel, for longer than for the kernel: who answers may have to be woken first,
    /// and if this loop slept meanwhile each would wait for the other to wake for ever. Where that
    /// was in vain it is tried only now and then.
    pub fn note_peers(self: *Policy) void {
        self.has_peers = true;
    }

    fn note_peer_gap(self: *Policy, gap_ns: u64) void {
        self.has_peers = false;
        const bridged = gap_ns <= self.ceiling_ns * peer_ceilings;
        self.peer_misses = if (bridged) 0 else self.peer_misses +| 1;
    }

    /// Whether to poll for other loops of this process at `now_ns`.
    pub fn polls_peers(self: *const Policy, now_ns: u64) bool {
        if (!self.has_peers or self.mode == .event) return false;
        if (self.mode == .poll) return true;
        if (self.peer_misses >= misses_max and self.peer_misses % misses_max != 0) return false;
        return now_ns -| (self.idle_since_ns orelse now_ns) < self.ceiling_ns * peer_ceilings;
    }

    /// How long to poll from the start of idleness: 0 not at all, maximum for ever.
    pub fn budget_ns(self: *const Policy) u64 {
        return switch (self.mode) {
            .event => 0,
            .poll => std.math.maxInt(u64),
            .adaptive => if (self.gap_ns <= self.ceiling_ns)
                @min(self.gap_ns * 2, self.ceiling_ns)
            else
                0,
        };
    }

    /// Whether to poll on at `now_ns` (true) or to sleep (false).
    pub fn polls(self: *Policy, now_ns: u64) bool {
        const since = self.idle_since_ns orelse now_ns;
        const polling = now_ns -| since < self.budget_ns();
        if (polling != self.polling) self.transitions += 1;
        self.polling = polling;
        return polling;
    }
};

const us = std.time.ns_per_us;

fn test_policy(mode: layout.Mode, cpus_online: u32) Policy {
    return .init(.{ .mode = mode, .ceiling_ns = 50 * us, .cpus_online = cpus_online });
}

/// Runs `count` gaps of `gap_ns` from `start_ns`; the time afterwards.
fn run_gaps(policy: *Policy, start_ns: u64, gap_ns: u64, count: u32) u64 {
    var now = start_ns;
    for (0..count) |_| {
        policy.idle(now);
        now += gap_ns;
        policy.work(now);
    }
    return now;
}

test "a fresh loop sleeps at once" {
    var policy = test_policy(.adaptive, 2);
    policy.idle(1000);
    try std.testing.expect(!policy.polls(1000));
}

test "work that keeps coming is polled for, about twice its gap" {
    var policy = test_policy(.adaptive, 2);
    const now = run_gaps(&policy, 0, 10 * us, 20);
    policy.idle(now);
    try std.testing.expect(policy.polls(now));
    try std.testing.expect(policy.polls(now + 18 * us));
    try std.testing.expect(!policy.polls(now + 30 * us));
}

test "gaps beyond the ceiling end polling, and short ones bring it back" {
    var policy = test_policy(.adaptive, 2);
    var now = run_gaps(&policy, 0, 10 * us, 20);
    now = run_gaps(&policy, now, 1000 * us, 3);
    policy.idle(now);
    try std.testing.expect(!policy.polls(now));
    policy.work(now + 10 * us);
    now = run_gaps(&policy, now + 10 * us, 10 * us, 20);
    policy.idle(now);
    try std.testing.expect(policy.polls(now));
}

test "one long pause does not end polling for good" {
    var policy = test_policy(.adaptive, 2);
    var now = run_gaps(&policy, 0, 10 * us, 20);
    now = run_gaps(&policy, now, std.time.ns_per_s, 1);
    now = run_gaps(&policy, now, 10 * us, 8);
    policy.idle(now);
    try std.testing.expect(policy.polls(now));
}

test "on one core adaptive never polls, and the other modes do what they say" {
    var alone = test_policy(.adaptive, 1);
    var now = run_gaps(&alone, 0, 1 * us, 50);
    alone.idle(now);
    try std.testing.expect(!alone.polls(now));

    var event = test_policy(.event, 8);
    now = run_gaps(&event, 0, 1 * us, 50);
    event.idle(now);
    try std.testing.expect(!event.polls(now));

    var poll = test_policy(.poll, 8);
    poll.idle(0);
    try std.testing.expect(poll.polls(std.time.ns_per_hour));
}

test "peers are polled for after they were heard of, and seldom while that is in vain" {
    var policy = test_policy(.adaptive, 2);
    policy.idle(0);
    try std.testing.expect(!policy.polls_peers(0));
    var polled: u32 = 0;
    var now: u64 = 0;
    for (0..80) |_| {
        policy.note_peers();
        policy.idle(now);
        polled += @intFromBool(policy.polls_peers(now + 199 * us));
        try std.testing.expect(!policy.polls_peers(now + 200 * us));
        now += 210 * us;
        policy.work(now);
    }
    try std.testing.expectEqual(@as(u32, 8 + 9), polled);
    policy.note_peers();
    policy.idle(now);
    policy.work(now + 190 * us);
    policy.note_peers();
    policy.idle(now + 200 * us);
    try std.testing.expect(policy.polls_peers(now + 300 * us));
}

test "changes between polling and sleeping are counted once each" {
    var policy = test_policy(.adaptive, 2);
    const now = run_gaps(&policy, 0, 10 * us, 20);
    policy.idle(now);
    _ = policy.polls(now);
    _ = policy.polls(now + 1 * us);
    _ = policy.polls(now + 90 * us);
    _ = policy.polls(now + 95 * us);
    try std.testing.expectEqual(@as(u64, 2), policy.transitions);
}
