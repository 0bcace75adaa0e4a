//! What a backend is: it starts operations, enters the kernel, and hands out their completions.
//!
//! A *port* names a descriptor within a backend: a small number that the caller chooses and keeps
//! while the descriptor is open. Per port there is at most one operation of each kind under way.
//! The caller's *epoch* comes back in every completion, so that one that arrives after the port
//! changed hands is recognised. `accept` and `receive` stay armed: they complete many times, and
//! only a completion without `more` ends them. Every operation ends with exactly one such
//! completion, also after `cancel`. A send may complete with fewer bytes than asked for, even with
//! none: send again. Receive buffers belong to the backend from `provide` until a completion hands
//! them out; those that it still has when it ends are the pool's again.
//!
//! A port that is polled belongs to somebody else, who does not want it read or written here: it
//! has no other operation. `poll` may end with every completion; as long as it goes on it tells of
//! what is ready each time that the kernel is entered, or with `edge` once for each change.

const std = @import("std");
const layout = @import("../layout.zig");
const datagrams = @import("../sys/datagrams.zig");
const Pool = @import("../memory/pool.zig").Pool;
const Wishes = @import("ring_wishes.zig").Wishes;

pub const Kind = enum(u8) {
    accept,
    receive,
    receive_message,
    /// There are bytes to receive, or the peer's end, or an error.
    readable,
    send,
    /// There may be room again for messages that `send_messages` had none for.
    send_messages,
    connect,
    poll,
    message,
    /// A buffer of a send that completed before is not used any more.
    released,
};

/// What a poll waits for. Errors and hang-ups are always told.
pub const Interest = packed struct(u8) {
    readable: bool = false,
    writable: bool = false,
    padding: u6 = 0,

    pub const both: Interest = .{ .readable = true, .writable = true };
    pub const none: Interest = .{};

    pub fn includes(self: Interest, other: Interest) bool {
        return @as(u8, @bitCast(self)) | @as(u8, @bitCast(other)) == @as(u8, @bitCast(self));
    }

    pub fn with(self: Interest, other: Interest) Interest {
        return @bitCast(@as(u8, @bitCast(self)) | @as(u8, @bitCast(other)));
    }
};

/// Where the parts of a received message are in its buffer: the kernel's header
/// (`io_uring_recvmsg_out`), the sender's address, control data, and then what was sent.
pub const message_address_offset = 16;
pub const message_address_bytes = datagrams.address_bytes;
pub const message_control_offset = message_address_offset + message_address_bytes;
pub const message_control_bytes = datagrams.control_bytes;
pub const message_payload_offset = message_control_offset + message_control_bytes;
/// The four words of the header.
pub const MessageHeader = extern struct {
    address_bytes: u32,
    control_bytes: u32,
    /// Of the message; on Linux more than the buffer has where it was cut short.
    payload_bytes: u32,
    /// MSG_TRUNC, MSG_CTRUNC.
    flags: u32,
};

comptime {
    std.debug.assert(@sizeOf(MessageHeader) == message_address_offset);
    std.debug.assert(message_control_offset % 8 == 0);
    std.debug.assert(message_payload_offset == layout.datagram_offset);
}

/// What `cancel` ends: everything under way on the port, or just that. The descriptor of a poll may
/// be closed as soon as its end was asked for.
pub const Cancel = enum {
    all,
    receive,
    receive_message,
    readable,
    poll,
    /// The poll's descriptor was closed already: its number may be another's.
    lost_poll,

    /// Whether an operation of this kind is one that it ends.
    pub fn ends(self: Cancel, kind: Kind) bool {
        return switch (self) {
            .all => true,
            .receive => kind == .receive,
            .receive_message => kind == .receive_message,
            .readable => kind == .readable,
            .poll, .lost_poll => kind == .poll,
        };
    }
};

pub const no_buffer: u32 = std.math.maxInt(u32);

/// What of a buffer a receive filled.
pub const Share = enum(u8) {
    /// It from its start; nobody else has the rest.
    whole,
    /// A part; the backend keeps the buffer and fills more of it, for anybody.
    part,
    /// The last part: the backend does not have the buffer any more.
    last_part,
};

pub const Completion = struct {
    kind: Kind,
    /// The operation goes on and will complete again.
    more: bool,
    port: u32,
    epoch: u32,
    /// Accept: a descriptor. Receive: bytes, 0 at the peer's end. Receive of a message: its bytes,
    /// which may be 0. Send: bytes. Poll: `layout.ready_readable` and its like. Else negative: a
    /// negated errno, or a `layout.Status`.
    result: i32,
    /// Receive with a positive result, or of a message: the buffer that was filled, now the
    /// caller's. Released: the buffer on which the backend's reference is now the caller's.
    buffer: u32 = no_buffer,
    /// Receive: where in the buffer the bytes are.
    offset: u32 = 0,
    share: Share = .whole,
};

pub const Segment = struct {
    pointer: [*]const u8,
    length: u32,
    /// The buffer that it is part of, on which the backend may take a reference of its own.
    buffer: u32 = no_buffer,
};

/// Most segments of one send.
pub const segments_max = 16;

pub const Options = struct {
    /// Submission entries; a backend may round and clamp it.
    entries: u32,
    /// Ports are below this.
    ports: u32,
    pool: *Pool,
    /// When readiness is told of, on a backend that turns it into completions.
    trigger: layout.Trigger = .default,
    /// Set-up flags to do without, so that tests reach every rung of the ladder.
    deny_flags: u32 = 0,
    /// `layout.RingFeature` bits to do without, as on a kernel that lacks them.
    deny_features: u32 = 0,
    /// For the io_uring backend only.
    wishes: Wishes = .{},
};

/// A ring that takes messages, what to send, and how: from any thread. 0, or a negated errno.
pub const MessageTarget = struct {
    descriptor: i32,
    user_data: u64,
    send: *const fn (descriptor: i32, user_data: u64) i32,
};

/// Why `init` failed; the three go into the error that the script sees.
pub const Failure = struct {
    reason: layout.Reason = .none,
    errno: u32 = 0,
    syscall: layout.Syscall = .none,
    /// Not granted: the field of `layout.LoopOptions` that asked for it.
    field: u32 = 0,
};

/// What `init` was granted.
pub const Grant = struct {
    flags: u32 = 0,
    features: u32 = 0,
    rung: u32 = 0,
    /// Bits of `layout.RingFeature`.
    granted: u32 = 0,
    /// When readiness is told of; the default where that is not the question.
    trigger: layout.Trigger = .default,
};

/// `NotGranted`: the kernel refused a wish that was not best effort.
pub const InitError = error{ Unavailable, OutOfMemory, NotGranted };

/// Buffers on which a backend holds references of its own, and which it will release. Most hold
/// none and declare no `holding`.
pub fn holding(backend: anytype) u32 {
    const Backend = @typeInfo(@TypeOf(backend)).pointer.child;
    return if (@hasDecl(Backend, "holding")) backend.holding() else 0;
}

/// Whether receives share buffers, so that completions tell of parts.
pub fn shares_buffers(backend: anytype) bool {
    const Backend = @typeInfo(@TypeOf(backend)).pointer.child;
    return if (@hasDecl(Backend, "shares_buffers")) backend.shares_buffers() else false;
}

/// What there is to receive after somebody has received with a call of their own: when
/// `await_readable` follows before the kernel is entered again, the backend need not find out.
pub const Left = enum {
    /// There may be more.
    unknown,
    /// It got less than it asked for: at most the end is left, of most kinds of streams.
    end_at_most,
    /// There was nothing.
    nothing,
};

/// Sends whose bytes were not copied, and those whose were after all.
pub const ZeroCopies = struct { sends: u64 = 0, copied: u64 = 0 };

pub fn zero_copies(backend: anytype) ZeroCopies {
    const Backend = @typeInfo(@TypeOf(backend)).pointer.child;
    return if (@hasDecl(Backend, "zero_copies")) backend.zero_copies() else .{};
}

/// A compile error, with the missing name, unless `Backend` is one.
pub fn check(comptime Backend: type) void {
    const address = @import("../sys/sockets.zig").SocketAddress;
    const declarations = .{
        // Which backend it is.
        .{ "kind", layout.BackendKind },
        // Whether its descriptors must be non-blocking.
        .{ "nonblocking", bool },
        // Descriptors that it can work with are below this.
        .{ "descriptors_max", i32 },
        // Whether a poll may tell of changes only.
        .{ "has_edges", bool },
        // Whether it receives and sends with calls of their own anyway.
        .{ "calls_singly", bool },
        // `self` must stay where it is afterwards.
        .{ "init", fn (*Backend, Options, *Failure) InitError!void },
        .{ "deinit", fn (*Backend) void },
        .{ "grant", fn (*const Backend) Grant },
        // The operations; false when there is no room to start one now.
        // Accept: whether to go on after the first.
        .{ "accept", fn (*Backend, u32, u32, i32, bool) bool },
        // Receive: whether to go on after the first buffer.
        .{ "receive", fn (*Backend, u32, u32, i32, bool) bool },
        // For sockets that keep messages apart; goes on, though it may end with any message.
        .{ "receive_message", fn (*Backend, u32, u32, i32) bool },
        // Completes once with 0 when there is something to receive, for whoever receives it with a
        // call of their own.
        .{ "await_readable", fn (*Backend, u32, u32, i32, Left) bool },
        .{ "send", fn (*Backend, u32, u32, i32, []const Segment) bool },
        // A send of one segment with control data, which stays where it is until that completes.
        .{ "send_control", fn (*Backend, u32, u32, i32, Segment, []align(8) const u8) bool },
        // How many messages of the batch were taken, from its first on, or a negated errno for that
        // one; nothing of the batch is used afterwards. EAGAIN: there is no room, and with true a
        // completion tells when there may be. EBUSY: that cannot be noted now.
        .{ "send_messages", fn (*Backend, u32, u32, i32, *datagrams.Outgoing, bool) i32 },
        .{ "connect", fn (*Backend, u32, u32, i32, *const address) bool },
        // Until cancelled or ended, tells what is ready; with true only of changes.
        .{ "poll", fn (*Backend, u32, u32, i32, Interest, bool) bool },
        .{ "cancel", fn (*Backend, u32, u32, i32, Cancel) bool },
        // The port's operations have all ended and its descriptor is about to be closed, or is -1
        // because it belongs to others, who may have closed it; false when that cannot be noted
        // now.
        .{ "forget", fn (*Backend, u32, u32, i32) bool },
        // The same for a descriptor that stays open elsewhere: here nothing looks at it any more.
        .{ "leave", fn (*Backend, u32, u32, i32) bool },
        // Submits and waits until something completes, at most so many nanoseconds; 0 only looks.
        // A negated errno when the kernel refused; an interrupted or timed-out wait is 0.
        .{ "enter", fn (*Backend, u64) i32 },
        // Whether `reap` has something now, without entering the kernel.
        .{ "ready", fn (*Backend) bool },
        .{ "reap", fn (*Backend, []Completion) u32 },
        // Free receive buffers that it has, and how many more it has use for.
        .{ "buffers", fn (*const Backend) u32 },
        .{ "buffers_wanted", fn (*Backend) u32 },
        .{ "provide", fn (*Backend, u32) void },
        // A slab by its number, so that operations on its buffers cost less. 0, or a negated errno.
        .{ "register_slab", fn (*Backend, u32, []u8) i32 },
        .{ "unregister_slab", fn (*Backend, u32) void },
        // A descriptor that becomes readable when something happens between `arm` and `disarm`, or
        // a negated errno. What happened before `arm` is seen by `ready`.
        .{ "wake_descriptor", fn (*Backend) i32 },
        .{ "arm", fn (*Backend) void },
        .{ "disarm", fn (*Backend) void },
        // How another thread makes it complete with `message`, for no port; null where none can.
        .{ "message_target", fn (*Backend) ?MessageTarget },
        // System calls made so far.
        .{ "system_calls", fn (*const Backend) u64 },
        // The only clock.
        .{ "now_ns", fn (*const Backend) u64 },
    };
    inline for (declarations) |declaration| {
        const name, const Expected = declaration;
        if (!@hasDecl(Backend, name)) {
            @compileError(@typeName(Backend) ++ " lacks " ++ name);
        }
        const Actual = @TypeOf(@field(Backend, name));
        if (Actual != Expected) {
            @compileError(@typeName(Backend) ++ "." ++ name ++ " is " ++ @typeName(Actual) ++
                ", the contract wants " ++ @typeName(Expected));
        }
    }
    if (!@hasDecl(Backend, "sockets")) @compileError(@typeName(Backend) ++ " lacks sockets");
}
