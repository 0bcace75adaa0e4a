//! The state of one datagram socket. What changes it is in `datagrams.zig`.

const layout = @import("../layout.zig");
const Link = @import("../memory/list.zig").Link;
const Held = @import("held.zig").Held;
const OwnedPath = @import("unix_path.zig").OwnedPath;
const Queue = @import("datagram_queue.zig").Queue;

pub const State = enum(u8) {
    /// The slot is nobody's. Zero, so that fresh memory is free slots.
    free = 0,
    open,
    /// Closed by the script: what is queued goes out, what arrives is discarded.
    lingering,
    /// Waits for its operations to end; then it is reported closed.
    ending,
};

/// Errors that the kernel tells one after the other, without a datagram between them, after which a
/// socket is of no more use.
const failures_max = 100;

pub const Socket = struct {
    state: State,
    descriptor: i32,
    /// Changes when the slot is freed; the epoch of its operations.
    generation: u32,
    /// The turn in which the slot was last freed.
    freed_turn: u64,
    /// As the system numbers it.
    family: u32,
    is_connected: bool,
    /// Whether the kernel tells when a send that found no room may be tried again. It does not know
    /// when the receiver is another one for each datagram and has room of its own.
    is_told_of_room: bool,
    high_water_mark: u32,
    linger_timeout_ms: u32,
    receive_credits: u32,
    /// Runs of datagrams go to the kernel as one.
    joins_runs: bool,
    /// The kernel cuts what is to be sent in segments.
    kernel_cuts: bool,
    /// The file of a Unix socket.
    path: OwnedPath,
    /// What was set, where the kernel does not tell.
    multicast_interface: u32,

    /// Operations under way in the backend.
    receiving: bool,
    awaits_room: bool,
    /// The end of the receive, or of everything, has been asked for.
    receive_cancelled: bool,
    cancelled: bool,
    /// There was no room, and a timer tells when it is tried again; how long it runs.
    resting: bool,
    rest_ms: u32,

    /// The script wants nothing delivered now.
    paused: bool,
    drain_wanted: bool,
    /// What the datagram that was refused needs: bytes, and bytes of buffers.
    drain_bytes: u32,
    drain_buffer_bytes: u32,

    /// What the kernel refused last and the script has not been told of, and where.
    failure: i32,
    failed_call: layout.Syscall,
    /// What it was told last, and in which turn.
    told: i32,
    told_turn: u64,
    /// Since the last datagram.
    failures: u32,
    /// The first datagram was refused once.
    is_retried: bool,
    /// What `socket_closed` will report.
    outcome: i32,

    queue: Queue,
    held: Held,
    /// Receive buffers that it answers for: held back, with the script, or on their way on.
    buffers: u32,
    /// Datagrams that the kernel had dropped when it last told.
    drops: u32,

    /// Something is to be done at the next chance.
    attention: Link,
    /// Receiving stopped for want of a buffer.
    starved: Link,
    /// Waits for buffers or places of others: to tell of room, or to receive.
    waiting: Link,

    /// Makes a free slot a socket. Its links stay: the slot may still stand in lists.
    pub fn open(self: *Socket, descriptor: i32, family: u32, options: *const layout.BindOptions) void {
        const kept = self.*;
        self.* = .{
            .state = .open,
            .descriptor = descriptor,
            .generation = kept.generation,
            .freed_turn = kept.freed_turn,
            .family = family,
            .is_connected = options.remote.family != 0,
            .is_told_of_room = true,
            .high_water_mark = options.high_water_mark,
            .linger_timeout_ms = options.linger_timeout_ms,
            .receive_credits = options.receive_credits,
            .joins_runs = options.send_segments != 0,
            .kernel_cuts = true,
            .path = .{},
            .multicast_interface = 0,
            .receiving = false,
            .awaits_room = false,
            .receive_cancelled = false,
            .cancelled = false,
            .resting = false,
            .rest_ms = 0,
            .paused = false,
            .drain_wanted = false,
            .drain_bytes = 0,
            .drain_buffer_bytes = 0,
            .failure = 0,
            .failed_call = .none,
            .told = 0,
            .told_turn = 0,
            .failures = 0,
            .is_retried = false,
            .outcome = 0,
            .queue = .empty,
            .held = .empty,
            .buffers = 0,
            .drops = 0,
            .attention = kept.attention,
            .starved = kept.starved,
            .waiting = kept.waiting,
        };
    }

    pub fn has_operations(self: *const Socket) bool {
        return self.receiving or self.awaits_room;
    }

    /// One more error; whether they go on and on.
    pub fn count_failure(self: *Socket) bool {
        self.failures += 1;
        return self.failures > failures_max;
    }

    /// Whether the datagram that was refused would be taken now, and not just before the queue is
    /// half empty.
    pub fn has_room(self: *const Socket) bool {
        const queued = self.queue.bytes;
        if (queued == 0) return true;
        return queued <= self.high_water_mark / 2 and
            self.drain_bytes <= self.high_water_mark - queued;
    }
};
