//! How a loop waits when it has nothing to do: it polls or sleeps as the policy says, and enters
//! the kernel only where that may have something to tell.
//!
//! Invariant: before it sleeps, other loops of the process are told that they must wake it, and it
//! is looked once more whether they have come already. Used by the loop's thread.

const std = @import("std");
const layout = @import("../layout.zig");

/// How long a turn that does not wait looks for an answer of another loop, and how often between
/// two looks at the clock.
const peer_moment_ns = 10 * std.time.ns_per_us;
const looks_per_clock = 16;

pub fn Waiting(comptime Loop: type) type {
    return struct {
        /// Enters the kernel, and polls or sleeps as the policy says.
        pub fn wait(loop: *Loop, user: anytype, deadline_ns: u64, flags: u32) i32 {
            if (user.has_arrivals()) return 0;
            var now = loop.backend.now_ns();
            loop.policy.idle(now);
            if (flags & layout.turn_flag_spin != 0) {
                if (deadline_ns == 0) {
                    if (poll_peers(loop, user, now)) return 0;
                } else if (polls(loop, now)) {
                    const rc = poll(loop, user, deadline_ns);
                    if (rc < 0 or loop.backend.ready() or user.has_arrivals()) return rc;
                    now = loop.backend.now_ns();
                    if (loop.policy.mode == .poll) return rc;
                }
            }
            const until = @min(deadline_ns, loop.timer_deadline(now));
            if (until <= now) return look(loop, user);
            loop.counters.sleeps += 1;
            const endless = until == std.math.maxInt(u64);
            return sleep(loop, user, if (endless) until else until - now);
        }

        /// Enters the kernel without waiting, unless it cannot have anything to tell.
        pub fn look(loop: *Loop, user: anytype) i32 {
            return if (user.needs_kernel()) loop.backend.enter(0) else 0;
        }

        /// Enters the kernel for so long, or until it or another loop has something to tell.
        pub fn sleep(loop: *Loop, user: anytype, wait_ns: u64) i32 {
            if (wait_ns == 0 or !user.arm()) return loop.backend.enter(0);
            defer user.disarm();
            return loop.backend.enter(wait_ns);
        }

        fn polls(loop: *Loop, now: u64) bool {
            return loop.policy.polls(now) or loop.policy.polls_peers(now);
        }

        /// Looks for a moment whether another loop answers, which may take less than to go back to
        /// the script and come again.
        fn poll_peers(loop: *Loop, user: anytype, start_ns: u64) bool {
            var now = start_ns;
            while (now -| start_ns < peer_moment_ns and loop.policy.polls_peers(now)) {
                loop.counters.spins += 1;
                for (0..looks_per_clock) |_| {
                    std.atomic.spinLoopHint();
                    if (user.has_arrivals()) return true;
                }
                now = loop.backend.now_ns();
            }
            return false;
        }

        /// Polls until something is ready, the policy has enough, or a timer or the turn is due.
        fn poll(loop: *Loop, user: anytype, deadline_ns: u64) i32 {
            while (true) {
                loop.counters.spins += 1;
                std.atomic.spinLoopHint();
                if (user.has_arrivals()) return 0;
                const rc = look(loop, user);
                if (rc < 0 or loop.backend.ready()) return rc;
                const now = loop.backend.now_ns();
                if (!polls(loop, now)) return 0;
                if (loop.timer_deadline(now) <= now) return 0;
                if (loop.policy.mode == .poll and now >= deadline_ns) return 0;
            }
        }
    };
}
