//! From a name to its addresses: hosts file, then name servers, a short name in each domain of the
//! search list. One thread, which waits here; `Stop` ends that where the library asks by itself.
//!
//! On systems where every process has the same libc that is asked instead, unless the files were
//! replaced: it knows what else resolves names there. Nothing is remembered: files and servers are
//! asked each time, and remembering is what a name server on this machine is for.

const std = @import("std");
const AF = @import("../../sys/sockets.zig").AF;
const host = @import("../../sys/host.zig");
const kernel = @import("../../sys/kernel.zig");
const name_service = @import("../../sys/name_service.zig");
const sockets = @import("../../sys/sockets.zig");
const Config = @import("config.zig").Config;
const exchange = @import("exchange.zig");
const Outcome = exchange.Outcome;
const Family = @import("ip.zig").Family;
const hosts = @import("hosts.zig");
const Ip = @import("ip.zig").Ip;
const Ips = @import("ip.zig").Ips;
const names = @import("names.zig");
const Stop = @import("stop.zig").Stop;

pub const Buffer = exchange.Buffer;

/// Whom to ask.
pub const Files = struct {
    hosts: [*:0]const u8,
    config: [*:0]const u8,
    /// They are not the system's own.
    replaced: bool,
};

pub const Query = struct { name: names.Name, family: ?Family };

/// Addresses come in the order in which to try them. `found` means at least one.
pub fn find(
    files: Files,
    query: *const Query,
    buffer: *Buffer,
    stop: *const Stop,
    ips: *Ips,
) Outcome {
    const name = query.name.slice();
    const outcome = if (name_service.lookup != null and !files.replaced)
        ask_system(name, query.family, ips)
    else
        find_in_files(files, query, buffer, stop, ips);
    ips.interleave();
    return outcome;
}

fn find_in_files(
    files: Files,
    query: *const Query,
    buffer: *Buffer,
    stop: *const Stop,
    ips: *Ips,
) Outcome {
    hosts.find(files.hosts, query.name.slice(), query.family, ips);
    if (ips.count > 0) return .found;
    const config = Config.read(files.config);
    return ask_servers(&config, query, buffer, stop, ips);
}

fn ask_servers(
    config: *const Config,
    query: *const Query,
    buffer: *Buffer,
    stop: *const Stop,
    ips: *Ips,
) Outcome {
    const name = query.name.slice();
    const is_complete = std.mem.endsWith(u8, name, ".");
    const whole_first = is_complete or std.mem.count(u8, name, ".") >= config.dots;
    var worst: Outcome = .no_such_name;
    const domain_count = if (is_complete) 0 else config.domain_count;
    for (0..domain_count + 1) |step| {
        const is_whole = step == if (whole_first) 0 else domain_count;
        const domain = step -% @intFromBool(whole_first);
        const full = if (is_whole)
            query.name
        else
            joined(name, &config.domains[domain]) orelse continue;
        const outcome = exchange.ask(config, full.slice(), query.family, buffer, stop, ips);
        switch (outcome) {
            .found => if (ips.count > 0) return .found,
            .no_such_name => {},
            .refused => worst = .refused,
            .timeout, .stopped => return outcome,
        }
    }
    return worst;
}

/// A name in a domain; null where that is too long.
fn joined(name: []const u8, domain: *const names.Name) ?names.Name {
    var text: [2 * names.length_max + 2]u8 = undefined;
    const whole = std.fmt.bufPrint(&text, "{s}.{s}", .{ name, domain.slice() }) catch return null;
    return .of(whole);
}

fn ask_system(name: []const u8, family: ?Family, ips: *Ips) Outcome {
    var text: [names.length_max + 2]u8 = undefined;
    const terminated = std.fmt.bufPrintZ(&text, "{s}", .{name}) catch return .no_such_name;
    var addresses: [Ips.count_max]sockets.SocketAddress = undefined;
    const kernel_family: u32 = if (family) |one| switch (one) {
        .ipv4 => AF.INET,
        .ipv6 => AF.INET6,
    } else 0;
    switch (name_service.lookup.?(terminated.ptr, kernel_family, &addresses)) {
        .no_such_name => return .no_such_name,
        .failed => return .refused,
        .found => |count| {
            for (addresses[0..count]) |*address| if (Ip.of(address)) |ip| ips.add(ip);
            return if (ips.count > 0) .found else .no_such_name;
        },
    }
}

test {
    _ = @import("lookup_test.zig");
}
