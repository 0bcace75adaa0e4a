//! What a poller is: it watches descriptors for readiness, on behalf of `readiness.zig`.
//!
//! A descriptor is added once and carries its port and epoch to every event. With `edge` an event
//! comes when something changes, else as long as it lasts, for what is in the interest. Errors and
//! hang-ups come in any case.

const layout = @import("../layout.zig");
const contract = @import("contract.zig");
const Interest = contract.Interest;

/// Events taken from the kernel at once.
pub const events_max = 512;

pub const Event = struct {
    port: u32,
    epoch: u32,
    readable: bool,
    writable: bool,
    /// The peer ended its direction.
    ending: bool,
    /// There is urgent data, before which a receive ends. Only with `edge`, and where it is told.
    urgent: bool,
    /// Nothing will be sent or received any more.
    hangup: bool,
    /// An error is pending.
    failed: bool,
    /// Somebody closed the descriptor; where that can be noticed.
    closed: bool = false,
};

/// A compile error, with the missing name, unless `Poller` is one.
pub fn check(comptime Poller: type) void {
    const declarations = .{
        .{ "kind", layout.BackendKind },
        .{ "descriptors_max", i32 },
        .{ "has_edges", bool },
        // Whether a descriptor that is closed is not watched any more.
        .{ "forgets_closed", bool },
        // Whether its events tell errors and hang-ups of whatever kind of descriptor apart.
        .{ "tells_hangups", bool },
        // `self` must stay where it is afterwards.
        .{ "init", fn (*Poller, *contract.Failure) contract.InitError!void },
        .{ "deinit", fn (*Poller) void },
        // 0, or a negative status.
        .{ "add", fn (*Poller, u32, u32, i32, Interest, bool) i32 },
        // The last two: what was wanted, and what is.
        .{ "modify", fn (*Poller, u32, u32, i32, Interest, Interest) i32 },
        // Of a port that has the descriptor no more nothing is removed.
        .{ "remove", fn (*Poller, u32, i32, Interest) void },
        // How many events there are, at most so many nanoseconds later, or a negated errno. An
        // interrupted wait is 0.
        .{ "wait", fn (*Poller, u64) i32 },
        // By number, until the next wait.
        .{ "event", fn (*Poller, u32) Event },
        // As in the contract of backends.
        .{ "wake_descriptor", fn (*Poller) i32 },
        .{ "arm", fn (*Poller) void },
        .{ "disarm", fn (*Poller) void },
        .{ "system_calls", fn (*const Poller) u64 },
    };
    inline for (declarations) |declaration| {
        const name, const Expected = declaration;
        if (!@hasDecl(Poller, name)) @compileError(@typeName(Poller) ++ " lacks " ++ name);
        const Actual = @TypeOf(@field(Poller, name));
        if (Actual != Expected) {
            @compileError(@typeName(Poller) ++ "." ++ name ++ " is " ++ @typeName(Actual) ++
                ", a poller has " ++ @typeName(Expected));
        }
    }
}
