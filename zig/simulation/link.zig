//! What a script must believe of one connection: what it asked for, what it was told, and so what
//! it may still be told.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const Socket = @import("../backend/simulated/socket.zig").Socket;
const Settings = @import("../net/settings.zig").Settings;

pub const State = enum { connecting, open, closed };

pub const Relayed = struct {
    other: *Link,
    /// It may end because nothing moves.
    has_limit: bool,
    /// Bytes that its script had queued on it.
    queued: u32,
};

pub const Link = struct {
    slot: u32,
    generation: u32,
    /// Null when it was gone before anybody could look.
    socket: ?*Socket,
    /// Its socket is known once it is open.
    is_named: bool = false,
    state: State,
    options: Settings,
    has_connect_timeout: bool = false,
    /// Asked for, and in force since the last turn began.
    paused: bool = false,
    is_paused: bool = false,
    /// An error came during a pause, which ends the connection without what was held back.
    failed_paused: bool = false,
    shutdown: bool = false,
    /// Once it is in force no event but `closed` may come any more.
    closing: bool = false,
    is_closing: bool = false,
    aborted: bool = false,
    /// The peer's end was reported.
    ended: bool = false,
    /// It was asked to leave its loop, and in force since the last turn began.
    leaving: bool = false,
    is_leaving: bool = false,
    /// It may be handed off.
    rests: bool = false,
    /// From another loop.
    has_arrived: bool = false,
    drain_wanted: bool = false,
    /// It is the script's no more, but joined with another.
    relayed: ?Relayed = null,
    /// Since before the last turn: no event but `open` and `closed` may come any more.
    is_relayed: bool = false,
    /// Something was sent since the last turn.
    has_unread: bool = false,
    /// Bytes that were delivered, with those that a segmenter does not show.
    received: usize = 0,
    /// What makes messages of them now, and whether anything ever has.
    segmenter: layout.Segmenter = std.mem.zeroes(layout.Segmenter),
    was_segmented: bool = false,
    /// Where the next part of a message begins, where the message ends, and how many parts follow.
    message_at: usize = 0,
    message_end: usize = 0,
    parts_left: u32 = 0,
    /// Bytes about which the script's segmenter could not tell.
    asked_in_vain: u32 = 0,
    /// What this turn still tells of its bytes comes again.
    is_void: bool = false,

    /// A turn begins, which takes what was asked for.
    pub fn begin_turn(self: *Link) void {
        if (self.socket) |socket| {
            if (self.is_paused and socket.read_before_error != null) self.failed_paused = true;
        }
        self.is_paused = self.paused;
        self.is_relayed = self.relayed != null;
        self.is_closing = self.closing;
        self.is_leaving = self.leaving;
        self.has_unread = false;
        self.is_void = false;
    }

    /// The connection has closed by itself: what it has not read of the script is lost.
    pub fn close_itself(self: *Link) void {
        self.closing = true;
        self.is_closing = true;
        if (!self.has_unread) return;
        const socket = self.socket orelse return;
        socket.broken = true;
        socket.peer.?.broken = true;
    }

    pub fn may_send(self: *const Link) bool {
        if (self.is_named and self.state == .connecting) return false;
        if (self.relayed != null or self.leaving) return false;
        return self.state != .closed and !self.closing and !self.shutdown;
    }

    /// Whether the connection may have ended like this.
    pub fn may_end_with(self: *const Link, result: i32) bool {
        const socket = self.socket orelse return true;
        if (self.relayed) |relayed| switch (result) {
            0, @intFromEnum(layout.Status.aborted) => return true,
            @intFromEnum(layout.Status.idle_timeout) => if (relayed.has_limit) return true,
            else => {},
        };
        return switch (result) {
            0 => self.closing or (self.ended and self.shutdown),
            @intFromEnum(layout.Status.aborted) => self.aborted or
                (self.closing and self.state == .connecting),
            @intFromEnum(layout.Status.connect_timeout) => self.has_connect_timeout and
                self.state == .connecting,
            @intFromEnum(layout.Status.idle_timeout) => self.options.idle_timeout_ms > 0 and
                (self.state != .connecting or self.has_arrived) and !self.rests,
            kernel.negative(.CONNRESET) => socket.broken,
            kernel.negative(.TIMEDOUT) => self.closing or socket.has_given(result),
            else => socket.has_given(result),
        };
    }
};
