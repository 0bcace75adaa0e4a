//! The kernel behind simulated backends: sockets, descriptors, the way between them, and the clock.
//!
//! All of it follows from one seed. Time passes when a loop enters its backend, and only then.
//! What the caller owes a kernel and does not keep (an operation on a closed descriptor, a
//! descriptor closed under an operation, …) is noted as a *violation*; the first one counts. Used
//! by one thread; at most one network is in use per thread, because sockets are named by numbers.

const std = @import("std");
const kernel = @import("../../sys/kernel.zig");
const Simulated = @import("../simulated.zig").Simulated;
const faults_module = @import("faults.zig");
const Faults = faults_module.Faults;
const messages = @import("messages.zig");
const Socket = @import("socket.zig").Socket;
const never = @import("pipe.zig").never;

pub const backends_max = 8;
pub const descriptors_max = 512;
/// The first descriptor, after those of the standard streams.
const descriptor_first = 3;
const port_first = 40_000;

pub const Options = struct {
    seed: u64,
    /// Descriptors that may be open at a time.
    descriptors: u32 = descriptors_max,
    /// Bytes that a connection takes in one direction.
    pipe_bytes: u32 = 16 * 1024,
    faults: Faults = .{},
    /// Gets a line for whatever happens.
    trace: ?*const fn (line: []const u8) void = null,
};

/// The network whose sockets this thread's calls mean.
pub threadlocal var current: ?*Network = null;

pub const Network = struct {
    gpa: std.mem.Allocator,
    prng: std.Random.DefaultPrng,
    options: Options,
    faults: Faults,
    now_ns: u64,
    /// By serial; sockets stay until the network ends.
    sockets: std.ArrayList(*Socket),
    /// Sockets to which something can still happen.
    live: std.ArrayList(*Socket),
    descriptors: [descriptors_max]?*Socket,
    descriptors_open: u32,
    next_port: u16,
    backends: [backends_max]?*Simulated,
    /// Datagrams for which their receiver had no room.
    lost: u64,
    violation: ?[]const u8,
    violation_text: [256]u8,

    /// `self` must stay where it is; `gpa` gives memory that is freed as a whole.
    pub fn init(self: *Network, gpa: std.mem.Allocator, options: Options) void {
        self.* = .{
            .gpa = gpa,
            .prng = .init(options.seed),
            .options = options,
            .faults = options.faults,
            .now_ns = std.time.ns_per_s,
            .sockets = .empty,
            .live = .empty,
            .descriptors = @splat(null),
            .descriptors_open = 0,
            .next_port = port_first,
            .backends = @splat(null),
            .lost = 0,
            .violation = null,
            .violation_text = undefined,
        };
        current = self;
    }

    pub fn deinit(self: *Network) void {
        current = null;
        self.* = undefined;
    }

    pub fn random(self: *Network) std.Random {
        return self.prng.random();
    }

    pub fn hit(self: *Network, rate: faults_module.Rate) bool {
        if (rate == 0) return false;
        return self.random().uintLessThan(u16, faults_module.certain) < rate;
    }

    pub fn trace(self: *Network, comptime format: []const u8, args: anytype) void {
        const sink = self.options.trace orelse return;
        var buffer: [512]u8 = undefined;
        const time = .{ self.now_ns / 1000, self.now_ns % 1000 };
        sink(std.fmt.bufPrint(&buffer, "{d}.{d:0>3} us  " ++ format, time ++ args) catch return);
    }

    /// Notes what must never be. The caller goes on as well as it can.
    pub fn violate(self: *Network, comptime format: []const u8, args: anytype) void {
        self.trace("violation: " ++ format, args);
        if (self.violation != null) return;
        self.violation = std.fmt.bufPrint(&self.violation_text, format, args) catch format;
    }

    /// How long something takes on its way.
    pub fn latency_ns(self: *Network) u64 {
        const longest: u64 = if (self.hit(self.faults.late_network))
            20 * std.time.ns_per_ms
        else
            20 * std.time.ns_per_us;
        return self.random().uintAtMost(u64, longest);
    }

    pub fn open_socket(self: *Network, family: u32) *Socket {
        const socket = self.gpa.create(Socket) catch @panic("out of memory");
        socket.* = .{ .serial = @intCast(self.sockets.items.len), .family = @intCast(family) };
        self.sockets.append(self.gpa, socket) catch @panic("out of memory");
        self.live.append(self.gpa, socket) catch @panic("out of memory");
        return socket;
    }

    /// The lowest free descriptor, as Linux gives them out, or a negated errno.
    pub fn assign_descriptor(self: *Network, socket: *Socket) i32 {
        if (self.descriptors_open >= self.options.descriptors) return kernel.negative(.MFILE);
        const free = std.mem.indexOfScalar(?*Socket, &self.descriptors, null) orelse
            return kernel.negative(.MFILE);
        self.descriptors[free] = socket;
        self.descriptors_open += 1;
        socket.descriptor = @as(i32, @intCast(free)) + descriptor_first;
        return socket.descriptor;
    }

    pub fn find(self: *Network, descriptor: i32) ?*Socket {
        const index = @as(i64, descriptor) - descriptor_first;
        if (index < 0 or index >= descriptors_max) return null;
        return self.descriptors[@intCast(index)];
    }

    /// Takes the descriptor back.
    pub fn release_descriptor(self: *Network, socket: *Socket) void {
        if (socket.operations > 0) {
            self.violate("socket {d}: closed under {d} operations", .{
                socket.serial,
                socket.operations,
            });
        }
        self.descriptors[@intCast(socket.descriptor - descriptor_first)] = null;
        self.descriptors_open -= 1;
        socket.descriptor = -1;
        socket.closed = true;
    }

    pub fn ephemeral_port(self: *Network) u16 {
        self.next_port += 1;
        return self.next_port;
    }

    pub fn listener_at(self: *Network, port: u16) ?*Socket {
        for (self.live.items) |socket| {
            if (socket.state == .listening and socket.port == port) return socket;
        }
        return null;
    }

    pub fn datagram_at(self: *Network, port: u16) ?*Socket {
        for (self.live.items) |socket| {
            if (socket.is_datagram and !socket.closed and socket.port == port) return socket;
        }
        return null;
    }

    /// Makes `socket` one end of a connection whose other end waits at `listener`.
    pub fn establish(self: *Network, socket: *Socket, listener: *Socket) void {
        const other = self.open_socket(socket.family);
        for ([_]*Socket{ socket, other }) |end| {
            end.state = .connected;
            end.incoming.bytes = self.gpa.alloc(u8, self.options.pipe_bytes) catch
                @panic("out of memory");
        }
        socket.port = self.ephemeral_port();
        socket.remote_port = listener.port;
        other.port = listener.port;
        other.remote_port = socket.port;
        socket.peer = other;
        other.peer = socket;
        listener.backlog.append(self.gpa, other) catch @panic("out of memory");
    }

    /// Something is under way to `socket`.
    pub fn schedule(self: *Network, socket: *Socket) void {
        if (socket.incoming.next_ns == never and socket.incoming.under_way()) {
            socket.incoming.next_ns = self.now_ns + self.latency_ns();
        }
    }

    pub fn end_send(self: *Network, socket: *Socket) void {
        if (socket.send_ended) return;
        socket.send_ended = true;
        const peer = socket.peer.?;
        peer.incoming.end_sent = true;
        self.schedule(peer);
    }

    /// Ends our side at once; the peer hears of it.
    pub fn reset(self: *Network, socket: *Socket) void {
        self.trace("socket {d} resets", .{socket.serial});
        const peer = socket.peer orelse return;
        const was_connected = socket.state == .connected;
        socket.broken = true;
        peer.broken = true;
        socket.state = .dead;
        socket.incoming.drop();
        if (!was_connected or peer.state != .connected) return;
        // What is under way may still arrive before the reset does.
        if (peer.reset_ns == never) peer.reset_ns = self.now_ns + self.latency_ns();
    }

    pub fn stop_listening(self: *Network, socket: *Socket) void {
        for (socket.backlog.items) |waiting| self.reset(waiting);
        socket.backlog.clearRetainingCapacity();
        socket.state = .dead;
    }

    /// What is due at this moment.
    pub fn progress(self: *Network) void {
        if (self.hit(self.faults.reset)) self.break_one();
        var index: usize = 0;
        while (index < self.live.items.len) {
            const socket = self.live.items[index];
            self.progress_socket(socket);
            if (is_over(socket)) _ = self.live.swapRemove(index) else index += 1;
        }
        for (self.backends) |backend| {
            if (backend) |present| present.progress();
        }
    }

    /// A connection breaks for both of its ends, at different times.
    fn break_one(self: *Network) void {
        if (self.live.items.len == 0) return;
        const socket = self.live.items[self.random().uintLessThan(usize, self.live.items.len)];
        if (socket.state != .connected) return;
        self.trace("socket {d}: the connection breaks", .{socket.serial});
        for ([_]*Socket{ socket, socket.peer.? }) |end| {
            end.broken = true;
            if (end.state == .connected) end.reset_ns = self.now_ns + self.latency_ns();
        }
    }

    fn progress_socket(self: *Network, socket: *Socket) void {
        if (socket.is_datagram) return messages.progress(self, socket);
        if (socket.reset_ns <= self.now_ns) {
            self.trace("socket {d} is reset", .{socket.serial});
            socket.break_off();
        }
        const pipe = &socket.incoming;
        if (pipe.next_ns > self.now_ns) return;
        pipe.next_ns = never;
        pipe.arrive(self.random().intRangeAtMost(u32, 1, @max(1, pipe.length)));
        // Nobody is there any more to take bytes.
        if (socket.closed and pipe.visible > 0) return self.reset(socket);
        self.schedule(socket);
    }

    /// Whether nothing can happen to it any more, nor to its peer because of it.
    fn is_over(socket: *const Socket) bool {
        if (!socket.closed) return socket.state == .dead and socket.reset_ns == never and
            socket.incoming.next_ns == never;
        return socket.state != .connected or socket.peer.?.closed;
    }

    /// When something happens next; `never` if nothing does by itself.
    pub fn next_ns(self: *const Network) u64 {
        var next: u64 = never;
        for (self.live.items) |socket| {
            next = @min(next, @min(socket.reset_ns, socket.incoming.next_ns));
            next = @min(next, messages.next_ns(socket, never));
        }
        for (self.backends) |backend| {
            if (backend) |present| next = @min(next, present.next_ns());
        }
        return next;
    }

    /// Lets time pass until `until_ns` or until `backend`, if there is one, has something.
    pub fn wait(self: *Network, until_ns: u64, backend: ?*Simulated) void {
        const steps_max = 10_000;
        for (0..steps_max) |_| {
            if (backend) |waiting| if (waiting.has_completions()) return;
            const next = @max(self.next_ns(), self.now_ns + 1);
            if (next > until_ns) break;
            // Nothing will ever happen: as if a signal had ended the wait.
            if (next == never) return;
            self.now_ns = next;
            self.progress();
        }
        if (until_ns != never) self.now_ns = @max(self.now_ns, until_ns);
    }
};
