//! What memory this machine offers beside ordinary pages, for a report: huge pages, transparent
//! huge pages, NUMA nodes. Asked for on each call: an operator changes these numbers while a
//! process runs, and other processes take pages. No state, any thread.

const std = @import("std");

const system = switch (@import("system.zig").family) {
    .linux => @import("memory_facts_linux.zig"),
    .bsd => @import("memory_facts_bsd.zig"),
};

/// When ordinary memory may be backed by huge pages: everywhere, where madvise(2) asks for it, or
/// nowhere. `unknown` where the kernel has none of it, or does not tell.
pub const Transparent = enum(u32) { unknown = 0, always = 1, madvise = 2, never = 3 };

/// What is not told counts as 0, as `unknown`, or as one node.
pub const Facts = struct {
    /// Pages in the pool, and how many of them hold nothing. A free page may be promised to another
    /// process already, and a pool may grow on demand, so neither number is a promise.
    huge_2m_total: u32,
    huge_2m_free: u32,
    huge_1g_total: u32,
    huge_1g_free: u32,
    transparent: Transparent,
    /// Nodes online, at least 1.
    numa_nodes: u32,
};

pub const read = system.read;

test "the facts of this machine agree with each other" {
    const facts = read();
    try std.testing.expect(facts.numa_nodes >= 1);
    try std.testing.expect(facts.huge_2m_free <= facts.huge_2m_total);
    try std.testing.expect(facts.huge_1g_free <= facts.huge_1g_total);
}

test {
    _ = system;
}
