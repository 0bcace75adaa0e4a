//! One run of one input: a thread per script, one more whose loop has nothing but an honest pair,
//! and the accounts afterwards. Threads start their steps together, once every honest pair is open,
//! so that no port of one is given to it twice. Nothing is left open when it returns.

const std = @import("std");
const layout = @import("../layout.zig");
const host = @import("../sys/host.zig");
const accounts = @import("accounts.zig");
const Board = @import("board.zig").Board;
const calls = @import("calls.zig");
const features = @import("features.zig");
const honest_module = @import("honest.zig");
const Honest = honest_module.Honest;
const input = @import("input.zig");
const leases = @import("leases.zig");
const OpenLoop = @import("open_loop.zig").OpenLoop;
const region_module = @import("region.zig");
const Script = @import("script.zig").Script;
const steps = @import("steps.zig");

pub const Options = struct {
    /// Threads that run steps.
    threads: u32,
    backends: []const layout.BackendKind,
    trace: bool = false,
};

const Run = struct {
    bytes: []const u8,
    head: input.Head,
    options: Options,
    board: Board,
    recorders: [input.threads_max]features.Recorder = @splat(.{}),
};

pub const Outcome = struct { found: features.Set, calls: u64 };

pub fn run(bytes: []const u8, options: Options) Outcome {
    const before = accounts.descriptors();
    var state: Run = .{
        .bytes = bytes,
        .head = input.head_of(bytes),
        .options = options,
        .board = .{ .threads = options.threads },
    };
    var threads: [input.threads_max + 1]std.Thread = undefined;
    for (threads[0..options.threads], 0..) |*thread, index| {
        thread.* = spawn(run_script, .{ &state, @as(u32, @intCast(index)) });
    }
    threads[options.threads] = spawn(run_honest, .{&state});
    for (threads[0 .. options.threads + 1]) |thread| thread.join();
    accounts.check(before);
    var outcome: Outcome = .{ .found = .initEmpty(), .calls = 0 };
    for (state.recorders[0..options.threads]) |*recorder| {
        _ = features.merge(&outcome.found, &recorder.set);
        outcome.calls += recorder.calls;
    }
    return outcome;
}

fn spawn(comptime body: anytype, arguments: anytype) std.Thread {
    return std.Thread.spawn(.{}, body, arguments) catch @panic("no thread for the fuzzer");
}

fn run_honest(state: *Run) void {
    const shape = state.head.shapes[input.threads_max];
    const backends = state.options.backends;
    var options = region_module.loop_options(backends[shape % backends.len], 0);
    const bytes = std.mem.asBytes(&options);
    const result = calls.named("tp_loop_open")(bytes, bytes.len);
    if (result < 0) std.debug.panic("opening an honest loop answered {d}", .{result});
    const handle: u32 = @intCast(result);
    const base = calls.named("tp_loop_region")(handle) orelse @panic("a loop has no region");
    var honest: Honest = .open(handle, .{ .base = base, .options = options });
    state.board.started.pass(state.options.threads + 1);
    const deadline_ns = host.now_ns() + honest_module.limit_ns;
    while (!honest.is_through()) {
        honest.turn();
        if (host.now_ns() > deadline_ns) @panic("an honest loop of its own does not get through");
    }
    const closed = calls.named("tp_loop_close")(handle);
    if (closed != 0) std.debug.panic("closing an honest loop answered {d}", .{closed});
}

fn run_script(state: *Run, thread: u32) void {
    const options = state.options;
    var script: Script = .init(
        &state.board,
        thread,
        options.backends,
        &state.recorders[thread],
        options.trace,
    );
    defer script.deinit();
    open_loops(&script, state.head);
    state.board.started.pass(options.threads + 1);
    for (0..input.record_count(state.bytes)) |number| {
        const index: u32 = @intCast(number);
        const record = input.record_of(state.bytes, index);
        if (record.thread % options.threads != thread) continue;
        if (state.head.lockstep) state.board.await_turn(index);
        steps.perform(&script, record);
        if (state.head.lockstep) state.board.end_turn();
    }
    finish(&script);
    state.board.finished.pass(options.threads);
    // What is not closed here closes with the thread.
    if (state.head.abandons) return;
    while (script.loops_count > 0) close(&script, 0);
}

fn open_loops(script: *Script, head: input.Head) void {
    const shape: u32 = head.shapes[script.thread];
    var options = region_module.loop_options(script.backend(shape), shape);
    const place = script.open(&options) orelse @panic("a thread's own loop did not open");
    const home = &script.loops[place];
    home.honest = .open(home.handle, home.region);
    if (!head.shares) return;
    var shared_options = region_module.loop_options(script.backend(shape >> 2), shape >> 1);
    const other = script.open(&shared_options) orelse return;
    const shared = &script.loops[other];
    shared.shared = true;
    const region = shared.region;
    script.board.share_region(script.thread, region.base, region.options.shared_bytes);
}

fn close(script: *Script, place: u32) void {
    const result = calls.named("tp_loop_close")(script.loops[place].handle);
    if (result != 0) std.debug.panic("closing a loop answered {d}", .{result});
    script.closed(place);
}

/// The hostile part is over. Once what it holds is given back the honest pair has to get through,
/// and nothing may be left in use.
fn finish(script: *Script) void {
    script.policy = .ignore;
    const home = home_of(script);
    const open_loop = &script.loops[home];
    const honest = &open_loop.honest.?;
    const deadline_ns = host.now_ns() + honest_module.limit_ns;
    open_loop.pending = 0;
    while (!honest.is_through()) {
        tidy(script, home);
        if (host.now_ns() > deadline_ns) @panic("an honest pair does not get through");
    }
    honest.close();
    while (!is_empty(open_loop)) {
        tidy(script, home);
        if (host.now_ns() > deadline_ns) {
            const header = open_loop.region.header();
            std.debug.panic("a loop keeps {d} connections, {d} listeners, {d} buffers", .{
                header.open_connections,
                header.open_listeners,
                header.buffers_in_use,
            });
        }
    }
}

fn home_of(script: *Script) u32 {
    for (script.loops[0..script.loops_count], 0..) |*open_loop, place| {
        if (open_loop.honest != null) return @intCast(place);
    }
    unreachable;
}

fn is_empty(open_loop: *const OpenLoop) bool {
    if (!open_loop.honest.?.is_closed()) return false;
    const header = open_loop.region.header();
    return header.open_connections == 0 and header.open_listeners == 0 and
        header.buffers_in_use == 0 and header.leases == 0;
}

/// Ends what the hostile part has left on a loop, as far as there is room now.
fn tidy(script: *Script, place: u32) void {
    const open_loop = &script.loops[place];
    for (open_loop.connections.all()) |handle| open_loop.append_handle(.abort, handle);
    for (open_loop.listeners.all()) |handle| open_loop.append_handle(.listener_close, handle);
    leases.release_all(open_loop);
    const result = script.turn(place, open_loop.pending, 300, 0);
    if (result < 0) std.debug.panic("a turn answered {d}", .{result});
    if (open_loop.region.options.clock == @intFromEnum(layout.ClockKind.virtual)) {
        _ = calls.named("tp_clock_advance")(open_loop.handle, 20_000, 0);
    }
}
