//! A thread of a run as a script: the loops that it has open, the handles that it has seen, and
//! what it makes of completions. What an input chooses of it is resolved here; what the steps of an
//! input do is in `steps.zig`.
//!
//! Whatever the library answers is compared with what the script knows. A difference is a panic:
//! the process that watches reports it. Used by one thread.

const std = @import("std");
const linux = std.os.linux;
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const Board = @import("board.zig").Board;
const calls = @import("calls.zig");
const features = @import("features.zig");
const Recorder = features.Recorder;
const OpenLoop = @import("open_loop.zig").OpenLoop;
const region_module = @import("region.zig");
const Handle = region_module.Handle;
const Scratch = @import("templates.zig").Scratch;
const values = @import("values.zig");
const Value = values.Value;

const loops_max = 6;
/// Longest sleep of a turn that nothing is known to end: an input has a hundred of them.
pub const wait_us_max = 300;

/// What becomes of data that arrives.
pub const Policy = enum {
    ignore,
    retain,
    echo,
    answer,
    /// Release what is only borrowed, twice.
    release,
    /// Move a reference that is not there.
    steal,
    retain_and_move,
    pause,
    transfer,
};

pub const Script = struct {
    board: *Board,
    thread: u32,
    backends: []const layout.BackendKind,
    recorder: *Recorder,
    /// Tell what is called.
    trace: bool,
    loops: [loops_max]OpenLoop = undefined,
    loops_count: u32 = 0,
    current: u32 = 0,
    /// Connections and listeners that were alive, and buffers, the latest last.
    slots: Ring = .{},
    buffers: Ring = .{},
    /// The one that was named last, whose generation may follow.
    named: Handle = .{},
    policy: Policy = .echo,
    /// Both ends of a socket pair, to be named where a descriptor is wanted.
    descriptors: [2]i32 = .{ -1, -1 },
    scratch: Scratch,
    /// What may be adopted.
    memory: [4096]u8 = @splat(7),

    pub fn init(
        board: *Board,
        thread: u32,
        backends: []const layout.BackendKind,
        recorder: *Recorder,
        trace: bool,
    ) Script {
        var self: Script = .{
            .board = board,
            .thread = thread,
            .backends = backends,
            .recorder = recorder,
            .trace = trace,
            .scratch = .init(),
        };
        const kind = linux.SOCK.STREAM | linux.SOCK.NONBLOCK | linux.SOCK.CLOEXEC;
        _ = linux.socketpair(linux.AF.UNIX, kind, 0, &self.descriptors);
        return self;
    }

    pub fn deinit(self: *Script) void {
        for (self.descriptors) |descriptor| kernel.close(descriptor);
        self.scratch.deinit();
    }

    pub fn backend(self: *const Script, pick: u32) layout.BackendKind {
        return self.backends[pick % self.backends.len];
    }

    /// Opens a loop; its place, or null where that fails.
    pub fn open(self: *Script, options: *layout.LoopOptions) ?u32 {
        const bytes = std.mem.asBytes(options);
        const result = calls.named("tp_loop_open")(bytes, bytes.len);
        self.check(.function, 0, result);
        return if (result < 0) null else self.opened(@intCast(result), options.*);
    }

    pub fn opened(self: *Script, handle: u32, options: layout.LoopOptions) ?u32 {
        self.board.add_loop(self.thread, handle);
        if (self.loops_count == loops_max) {
            const result = calls.named("tp_loop_close")(handle);
            if (result != 0) std.debug.panic("closing a loop answered {d}", .{result});
            return null;
        }
        const base = calls.named("tp_loop_region")(handle) orelse @panic("a loop has no region");
        const place = self.loops_count;
        self.loops[place] = .{ .handle = handle, .region = .{ .base = base, .options = options } };
        self.loops_count += 1;
        return place;
    }

    /// Forgets a loop that was closed.
    pub fn closed(self: *Script, place: u32) void {
        self.loops_count -= 1;
        self.loops[place] = self.loops[self.loops_count];
        self.current = 0;
    }

    pub fn find(self: *Script, handle: u32) ?u32 {
        for (self.loops[0..self.loops_count], 0..) |*open_loop, place| {
            if (open_loop.handle == handle) return @intCast(place);
        }
        return null;
    }

    pub fn loop(self: *Script) ?*OpenLoop {
        return if (self.loops_count == 0) null else &self.loops[self.current];
    }

    /// Notes a result, which must be a declared one.
    pub fn check(
        self: *Script,
        source: features.Source,
        name: u32,
        result: i32,
    ) void {
        if (!calls.is_declared(result)) {
            std.debug.panic("{t} {d} answered {d}, which nothing declares", .{
                source,
                name,
                result,
            });
        }
        self.recorder.note(source, name, calls.class_of(result));
    }

    /// What a value stands for just now.
    pub fn resolve(self: *Script, kind: values.Kind, value: Value) u32 {
        return switch (value.class()) {
            .valid => self.valid(kind, value.payload),
            .above => self.valid(kind, value.payload) +% 1,
            .below => self.valid(kind, value.payload) -% 1,
            .edge => values.edge(value.payload),
            .arbitrary => value.payload,
            .foreign => if (kind == .loop)
                self.board.foreign_loop(self.thread, value.payload)
            else
                self.valid(.buffer, value.payload),
        };
    }

    fn valid(self: *Script, kind: values.Kind, pick: u32) u32 {
        const current = self.loop();
        switch (kind) {
            .loop => {
                if (self.loops_count == 0) return 0;
                if (pick & 3 != 0) return current.?.handle;
                return self.loops[(pick >> 2) % self.loops_count].handle;
            },
            .slot, .buffer => {
                const ring = if (kind == .slot) &self.slots else &self.buffers;
                self.named = ring.pick(pick);
                return self.named.name;
            },
            .generation => return self.named.generation,
            .slab => return pick % 8,
            .submissions => return if (current) |open_loop| open_loop.pending else 0,
            .wait_us => return pick % wait_us_max,
            .pool_key => return if (current) |open_loop| open_loop.region.options.pool_key else 0,
            .descriptor => return @bitCast(self.descriptors[pick % 2]),
            .references => return pick % 3,
            .number => return pick % 16,
        }
    }

    /// A turn of a loop of this thread, and what becomes of its completions.
    pub fn turn(self: *Script, place: u32, submissions: u32, wait_us: u32, flags: u32) i32 {
        const open_loop = &self.loops[place];
        open_loop.shield(submissions);
        const call = calls.named("tp_loop_turn");
        const result = call(open_loop.handle, submissions, wait_us, flags);
        const entries = open_loop.region.options.entries;
        if (submissions <= entries) open_loop.pending = 0;
        if (result > @as(i64, entries)) @panic("a turn left more completions than there is room");
        if (result <= 0 or open_loop.shared) return result;
        const header = open_loop.region.header();
        if (header.counters.rejected > 0) {
            const rejected = std.math.lossyCast(u32, header.counters.rejected);
            self.recorder.note(.rejection, 0, @min(rejected, 3));
        }
        for (open_loop.region.completions()[0..@intCast(result)]) |completion| {
            self.complete(open_loop, completion);
        }
        if (open_loop.honest) |*honest| honest.pump();
        return result;
    }

    fn complete(self: *Script, open_loop: *OpenLoop, completion: layout.Completion) void {
        if (completion.event != .open and !calls.is_declared(completion.result)) {
            std.debug.panic("{t} reported {d}", .{ completion.event, completion.result });
        }
        self.recorder.note(
            .event,
            @intFromEnum(completion.event),
            calls.class_of(completion.result),
        );
        if (self.trace) std.debug.print("  thread {d} <- {t} {d}/{d} result {d} length {d}\n", .{
            self.thread,
            completion.event,
            completion.slot,
            completion.generation,
            completion.result,
            completion.length,
        });
        if (open_loop.honest) |*honest| if (honest.dispatch(completion)) return;
        const handle: Handle = .{ .name = completion.slot, .generation = completion.generation };
        const connections = &open_loop.connections;
        switch (completion.event) {
            .open => if (completion.result >= 0) {
                connections.add(handle);
                self.slots.add(handle);
            } else if (connections.has(handle.name, handle.generation) == false) {
                @panic("a connection opened that nobody asked for");
            },
            .data, .end, .drain => {
                if (connections.has(handle.name, handle.generation) == false) {
                    @panic("a connection that is closed reported something");
                }
                if (completion.event == .data) self.data(open_loop, handle, completion);
            },
            .closed => if (!connections.remove(handle)) {
                @panic("a connection was closed that was not open");
            },
            .listener_closed => if (!open_loop.listeners.remove(handle)) {
                @panic("a listener was closed that was not open");
            },
            .none => @panic("a completion without an event"),
            .datagram => self.buffers.add(.{
                .name = completion.buffer,
                .generation = completion.buffer_generation,
            }),
            .socket_closed => if (!open_loop.sockets.remove(handle)) {
                @panic("a datagram socket was closed that was not open");
            },
            .socket_error, .socket_drain => {},
            .timer, .listener_error, .memory_released, .ready, .rung => {},
        }
    }

    fn data(
        self: *Script,
        open_loop: *OpenLoop,
        from: Handle,
        completion: layout.Completion,
    ) void {
        const buffer: Handle = .{
            .name = completion.buffer,
            .generation = completion.buffer_generation,
        };
        self.buffers.add(buffer);
        switch (self.policy) {
            .ignore => {},
            .retain => open_loop.append_buffer(.retain, buffer),
            .echo => send_back(open_loop, from, completion, 0),
            .answer => send_back(open_loop, from, completion, layout.send_flag_answer),
            .steal => send_back(open_loop, from, completion, layout.send_flag_move),
            .release => for (0..2) |_| open_loop.append_buffer(.release, buffer),
            .retain_and_move => {
                open_loop.append_buffer(.retain, buffer);
                send_back(open_loop, from, completion, layout.send_flag_move);
            },
            .pause => open_loop.append_handle(.pause, from),
            .transfer => {
                const transfer = calls.named("tp_buffer_transfer");
                const result = transfer(open_loop.handle, buffer.name, buffer.generation, 0);
                if (result != 0) std.debug.panic("transferring a borrow answered {d}", .{result});
                self.board.add_transit(buffer.name, buffer.generation);
            },
        }
    }

    fn send_back(
        open_loop: *OpenLoop,
        to: Handle,
        completion: layout.Completion,
        flags: u8,
    ) void {
        open_loop.append(std.mem.zeroInit(layout.SendEntry, .{
            .operation = .send,
            .flags = flags,
            .slot = to.name,
            .generation = to.generation,
            .buffer = completion.buffer,
            .buffer_generation = completion.buffer_generation,
            .offset = completion.offset,
            .length = completion.length,
        }));
    }
};

/// The handles that were added last.
const Ring = struct {
    handles: [size]Handle = @splat(.{}),
    next: u32 = 0,

    const size = 16;

    pub fn add(self: *Ring, handle: Handle) void {
        self.handles[self.next % size] = handle;
        self.next += 1;
    }

    /// Zero is the latest.
    pub fn pick(self: *const Ring, number: u32) Handle {
        const known = @min(self.next, size);
        if (known == 0) return .{};
        return self.handles[(self.next - 1 - number % known) % size];
    }
};
