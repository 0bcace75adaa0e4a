//! What `memory_facts.zig` tells on Linux, from /sys.
//! Source: Documentation/admin-guide/mm/hugetlbpage.rst and transhuge.rst, and
//! Documentation/ABI/stable/sysfs-devices-node.

const std = @import("std");
const kernel = @import("kernel.zig");
const Facts = @import("memory_facts.zig").Facts;
const Transparent = @import("memory_facts.zig").Transparent;

pub fn read() Facts {
    const pool_2m = "/sys/kernel/mm/hugepages/hugepages-2048kB/";
    const pool_1g = "/sys/kernel/mm/hugepages/hugepages-1048576kB/";
    return .{
        .huge_2m_total = number_in(pool_2m ++ "nr_hugepages"),
        .huge_2m_free = number_in(pool_2m ++ "free_hugepages"),
        .huge_1g_total = number_in(pool_1g ++ "nr_hugepages"),
        .huge_1g_free = number_in(pool_1g ++ "free_hugepages"),
        .transparent = read_transparent(),
        .numa_nodes = read_numa_nodes(),
    };
}

/// Since Linux 6.8 each size has a setting of its own, which is "inherit" unless somebody changed
/// it; otherwise it decides, whatever the common one says.
pub fn read_transparent() Transparent {
    const folder = "/sys/kernel/mm/transparent_hugepage/";
    var buffer: [256]u8 = undefined;
    if (kernel.read_file(folder ++ "hugepages-2048kB/enabled", &buffer)) |text| {
        const own = parse_transparent(text);
        if (own != .unknown) return own;
    }
    const text = kernel.read_file(folder ++ "enabled", &buffer) orelse return .unknown;
    return parse_transparent(text);
}

/// The word in brackets is the one that holds: "always [madvise] never".
fn parse_transparent(text: []const u8) Transparent {
    const open = std.mem.indexOfScalar(u8, text, '[') orelse return .unknown;
    const rest = text[open + 1 ..];
    const close = std.mem.indexOfScalar(u8, rest, ']') orelse return .unknown;
    return std.meta.stringToEnum(Transparent, rest[0..close]) orelse .unknown;
}

fn number_in(path: [*:0]const u8) u32 {
    var buffer: [64]u8 = undefined;
    const text = kernel.read_file(path, &buffer) orelse return 0;
    return kernel.first_number(text) orelse 0;
}

fn read_numa_nodes() u32 {
    // The longest text is every second one of 1,024 nodes.
    var buffer: [4096]u8 = undefined;
    const text = kernel.read_file("/sys/devices/system/node/online", &buffer) orelse return 1;
    return @max(1, count_ranges(text));
}

/// "0-1,4" means three.
fn count_ranges(text: []const u8) u32 {
    var count: u32 = 0;
    var ranges = std.mem.tokenizeAny(u8, text, ", \n");
    while (ranges.next()) |range| {
        const first = kernel.first_number(range) orelse continue;
        const dash = std.mem.indexOfScalar(u8, range, '-');
        const last = if (dash) |at| kernel.first_number(range[at..]) orelse first else first;
        if (last >= first) count +|= last - first +| 1;
    }
    return count;
}

test "the setting of transparent huge pages is the word in brackets" {
    const Case = struct { []const u8, Transparent };
    for ([_]Case{
        .{ "[always] madvise never\n", .always },
        .{ "always [madvise] never\n", .madvise },
        .{ "always madvise [never]\n", .never },
        .{ "always [inherit] madvise never\n", .unknown },
        .{ "always madvise never\n", .unknown },
        .{ "always [madvise", .unknown },
        .{ "]never[", .unknown },
        .{ "[]", .unknown },
        .{ "[unknown]", .unknown },
        .{ "", .unknown },
    }) |case| try std.testing.expectEqual(case[1], parse_transparent(case[0]));
}

test "nodes are counted as the kernel lists them" {
    const Case = struct { []const u8, u32 };
    for ([_]Case{
        .{ "0\n", 1 },
        .{ "0-1\n", 2 },
        .{ "0-1,4\n", 3 },
        .{ "0,2,4-7\n", 6 },
        .{ "3-1\n", 0 },
        .{ "\n", 0 },
        .{ "", 0 },
        .{ "0-", 1 },
        .{ "none", 0 },
        .{ "0-4294967295,0-4294967295", std.math.maxInt(u32) },
        .{ "99999999999", 0 },
    }) |case| try std.testing.expectEqual(case[1], count_ranges(case[0]));
}

test "files that are absent or hold no number count as nothing" {
    try std.testing.expectEqual(@as(u32, 0), number_in("/sys/kernel/mm/no/such/file"));
    try std.testing.expectEqual(@as(u32, 0), number_in("/sys/kernel/mm"));
}
