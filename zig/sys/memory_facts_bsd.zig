//! What `memory_facts.zig` tells on macOS and FreeBSD, where huge pages are the kernel's own
//! affair: none can be reserved, and no setting tells whether it makes any.

const Facts = @import("memory_facts.zig").Facts;
const sysctl = @import("sysctl_bsd.zig");

pub fn read() Facts {
    return .{
        .huge_2m_total = 0,
        .huge_2m_free = 0,
        .huge_1g_total = 0,
        .huge_1g_free = 0,
        .transparent = .unknown,
        // Of FreeBSD.
        .numa_nodes = @max(1, sysctl.number("vm.ndomains") orelse 1),
    };
}
