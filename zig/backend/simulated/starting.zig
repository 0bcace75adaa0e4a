//! How an operation of a simulated backend starts, and what the contract asks of whoever starts it.

const contract = @import("../contract.zig");
const Operation = @import("operation.zig").Operation;
const simulated = @import("../simulated.zig");
const Simulated = simulated.Simulated;
const kinds_count = simulated.kinds_count;

/// The operation, or null where there is no room for it, or must not be.
pub fn start(
    backend: *Simulated,
    what: contract.Kind,
    port: u32,
    epoch: u32,
    descriptor: i32,
) ?*Operation {
    const network = backend.network;
    if (network.hit(network.faults.no_room)) return null;
    if (!backend.has_submission_room()) return null;
    const socket = network.find(descriptor) orelse {
        network.violate("port {d}: {t} on descriptor {d}, which is not open", .{
            port,
            what,
            descriptor,
        });
        return null;
    };
    const first = port * kinds_count;
    for (backend.operations[first..][0..kinds_count]) |other| {
        if (!other.under_way()) continue;
        if (other.kind == what) network.violate("port {d}: two times {t}", .{ port, what });
        if (other.epoch == epoch and other.socket == socket) continue;
        network.violate("port {d}: operations of two connections", .{port});
    }
    const index: u32 = first + @intFromEnum(what);
    const operation = &backend.operations[index];
    if (operation.under_way()) return null;
    operation.state = .submitted;
    operation.kind = what;
    operation.many = false;
    operation.cancelled = false;
    operation.port = port;
    operation.epoch = epoch;
    operation.descriptor = descriptor;
    operation.socket = socket;
    operation.attempts = 0;
    operation.segment_count = 0;
    socket.operations += 1;
    backend.started += 1;
    backend.put_submission(.{ .start = index });
    return operation;
}
