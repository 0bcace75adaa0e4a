//! What the steps of an input do: call an exported function, write a submission, scribble on the
//! shared region, or go a longer way that chance alone would rarely find. The functions and their
//! parameters are those of `layout.functions`; only what follows from a few of them is written out.

const std = @import("std");
const layout = @import("../layout.zig");
const kernel = @import("../sys/kernel.zig");
const calls = @import("calls.zig");
const honest_module = @import("honest.zig");
const input = @import("input.zig");
const OpenLoop = @import("open_loop.zig").OpenLoop;
const oracle = @import("oracle.zig");
const region_module = @import("region.zig");
const Handle = region_module.Handle;
const script_module = @import("script.zig");
const Script = script_module.Script;
const templates = @import("templates.zig");
const values = @import("values.zig");
const Value = values.Value;

const Step = enum {
    turn,
    entry,
    send,
    entry_2,
    scribble,
    pair,
    entry_3,
    use_loop,
    policy,
    sleep,
    turn_2,
    entries,
    alone,
    alone_2,
};

/// Actions from here on are steps, the others functions.
pub const first_step = 128;
pub const steps_count = std.meta.fields(Step).len;

pub fn perform(self: *Script, record: input.Record) void {
    self.recorder.calls += 1;
    if (record.action < first_step) return call_function(self, record);
    const step: Step = @enumFromInt((record.action - first_step) % steps_count);
    if (self.trace) std.debug.print("thread {d}: {t}\n", .{ self.thread, step });
    self.recorder.note(.step, @intFromEnum(step), 0);
    switch (step) {
        .turn, .turn_2 => turn(self, record),
        .entry, .entry_2, .entry_3 => write_entry(self, record),
        .entries => for (0..1 + record.modifier % 80) |_| write_entry(self, record),
        .alone, .alone_2 => submit_alone(self, record),
        .send => send(self, record),
        .scribble => scribble(self, record),
        .pair => open_pair(self),
        .use_loop => if (self.loops_count > 0) {
            self.current = record.values[0].payload % self.loops_count;
        },
        .policy => {
            const policies = std.meta.fields(script_module.Policy).len;
            self.policy = @enumFromInt(record.values[0].payload % policies);
        },
        .sleep => sleep(self),
    }
}

fn call_function(self: *Script, record: input.Record) void {
    inline for (layout.functions, 0..) |function, index| {
        if (record.action % layout.functions.len == index) {
            return call(self, function, index, record);
        }
    }
}

fn call(
    self: *Script,
    comptime function: layout.Function,
    index: u32,
    record: input.Record,
) void {
    const Arguments = std.meta.ArgsTuple(calls.Signature(function));
    var arguments: Arguments = undefined;
    var place: ?u32 = null;
    var options: []u8 = &.{};
    inline for (function.parameters, 0..) |parameter, number| {
        const name, const kind = parameter;
        const value = record.values[number];
        if (kind == .buffer) {
            options = fill_buffer(self, function, record);
            arguments[number] = options.ptr;
        } else if (comptime is_length_of_buffer(function, number)) {
            arguments[number] = @intCast(options.len);
        } else {
            const word = self.resolve(comptime values.kind_of(name), value);
            arguments[number] = @bitCast(word);
        }
        if (comptime std.mem.eql(u8, name, "loop")) place = self.find(arguments[number]);
    }
    if (!prepare(self, function, &arguments, record, place)) return;
    const was_leased = is_leased_before(function, arguments, place);
    const result = invoke(self, function, arguments, place);
    if (self.trace) std.debug.print("thread {d}: {s}{any} = {any}\n", .{
        self.thread,
        function.name,
        arguments,
        result,
    });
    switch (function.result) {
        .i32 => {
            self.check(.function, index, result);
            check_loop(function, result, place);
        },
        .u32 => self.recorder.note(.function, index, 0),
        .pointer => {
            self.recorder.note(.function, index, @intFromBool(result != null));
            if (place == null and result != null) @panic("a pointer for a loop that is not there");
        },
        .buffer => comptime unreachable,
    }
    if (was_leased) |leased| expect_released(leased, result);
    conclude(self, function, arguments, result, place, options);
}

fn expect_released(leased: bool, result: anytype) void {
    if (@TypeOf(result) != i32 or leased == (result == 0)) return;
    std.debug.panic("releasing a buffer answered {d}, leased: {}", .{ result, leased });
}

/// Of what is to be released; null for any other function.
fn is_leased_before(
    comptime function: layout.Function,
    arguments: anytype,
    place: ?u32,
) ?bool {
    if (comptime !std.mem.eql(u8, function.name, "tp_buffer_release")) return null;
    if (place == null) return null;
    return oracle.is_leased(arguments[0], arguments[1], arguments[2]);
}

fn is_length_of_buffer(comptime function: layout.Function, comptime number: usize) bool {
    return number > 0 and function.parameters[number - 1][1] == .buffer;
}

/// What a function that takes bytes is given: its struct, or bytes for which it has no name.
fn fill_buffer(self: *Script, comptime function: layout.Function, record: input.Record) []u8 {
    if (calls.Options(function)) |Struct| {
        return templates.options_of(Struct, &self.scratch, record, .{
            .backend = self.backend(record.values[3].payload >> 16),
            .port = self.board.port(record.values[3].payload),
            .memory = &self.memory,
            .resolve = &resolve_number,
            .resolver = self,
        });
    }
    const bytes = self.scratch.tail(values.edge(record.values[3].payload));
    @memset(bytes, @truncate(record.values[3].payload >> 8));
    return bytes;
}

fn resolve_number(context: *anyopaque, value: Value) u32 {
    const self: *Script = @ptrCast(@alignCast(context));
    return self.resolve(.number, value);
}

/// Keeps a call from naming what the honest pair has; false where it must not be made at all.
fn prepare(
    self: *Script,
    comptime function: layout.Function,
    arguments: anytype,
    record: input.Record,
    place: ?u32,
) bool {
    const name = function.name;
    // Any descriptor of the process could be closed then.
    if (comptime std.mem.eql(u8, name, "tp_descriptor_inherit")) return false;
    const own = if (place) |index| &self.loops[index] else return true;
    if (comptime std.mem.eql(u8, name, "tp_loop_close")) {
        return own.honest == null and !own.shared;
    }
    if (comptime std.mem.eql(u8, name, "tp_buffer_receive")) {
        if (record.values[1].class() == .valid) {
            const transit = self.board.transit(record.values[1].payload);
            arguments[1] = transit.name;
            arguments[2] = transit.generation;
        }
    }
    const honest = if (own.honest) |*pair| pair else return true;
    inline for (function.parameters, 0..) |parameter, number| {
        if (comptime number > 0 and std.mem.eql(u8, parameter[0], "generation")) {
            arguments[number] = honest.shielded(arguments[number - 1], arguments[number]);
        }
    }
    if (comptime honest_module.Naming(name)) |Options| {
        if (arguments[2] != @sizeOf(Options)) return true;
        honest.shield_options(Options, @ptrCast(arguments[1]));
    }
    return true;
}

fn invoke(
    self: *Script,
    comptime function: layout.Function,
    arguments: anytype,
    place: ?u32,
) function.result.Zig() {
    if (place) |index| {
        if (comptime std.mem.eql(u8, function.name, "tp_loop_turn")) {
            const wait_us = @min(arguments[2], script_module.wait_us_max);
            return self.turn(index, arguments[1], wait_us, arguments[3]);
        }
        if (comptime std.mem.eql(u8, function.name, "tp_loop_submit")) {
            self.loops[index].shield(arguments[1]);
        }
    }
    return @call(.auto, calls.pointer_to(function), arguments);
}

/// A loop that this thread has not open must be refused, and one that it has must not.
fn check_loop(comptime function: layout.Function, result: i32, place: ?u32) void {
    if (comptime function.parameters.len == 0 or
        !std.mem.eql(u8, function.parameters[0][0], "loop")) return;
    const is_wrong = calls.is(result, .wrong_thread);
    if (place == null and !is_wrong and !calls.is(result, .stale_handle)) {
        std.debug.panic("{s} answered {d} for a loop that is not there", .{
            function.name,
            result,
        });
    }
    if (place != null and is_wrong) @panic("a loop is said to be another thread's");
}

/// What a script knows after a call.
fn conclude(
    self: *Script,
    comptime function: layout.Function,
    arguments: anytype,
    result: anytype,
    place: ?u32,
    options: []u8,
) void {
    const name = function.name;
    if (comptime std.mem.eql(u8, name, "tp_loop_open")) {
        if (result < 0) return;
        const granted = std.mem.bytesToValue(layout.LoopOptions, options);
        _ = self.opened(@intCast(result), granted);
    }
    const own = if (place) |index| &self.loops[index] else return;
    if (comptime std.mem.eql(u8, name, "tp_loop_close")) return self.closed(place.?);
    if (comptime std.mem.eql(u8, name, "tp_connect") or
        std.mem.eql(u8, name, "tp_connection_receive"))
    {
        return connected(self, own, result);
    }
    if (comptime std.mem.eql(u8, name, "tp_connection_take") or
        std.mem.eql(u8, name, "tp_connection_hand_off"))
    {
        if (result < 0) return;
        _ = own.connections.remove(.{ .name = arguments[1], .generation = arguments[2] });
    }
    if (comptime std.mem.eql(u8, name, "tp_connection_take") or
        std.mem.eql(u8, name, "tp_listener_share"))
    {
        if (result < 0) return;
        if (calls.named("tp_descriptor_close")(result) != 0) @panic("given out, and not ours");
    }
    if (comptime std.mem.eql(u8, name, "tp_listen")) return listening(self, own, result);
    if (comptime std.mem.eql(u8, name, "tp_bind")) return bound(self, own, result);
    if (comptime std.mem.eql(u8, name, "tp_buffer_take") or
        std.mem.eql(u8, name, "tp_connection_read") or
        std.mem.eql(u8, name, "tp_memory_adopt"))
    {
        if (result < 0 or own.shared) return;
        self.buffers.add(.{ .name = @intCast(result), .generation = own.result_generation() });
    }
    if (comptime std.mem.eql(u8, name, "tp_buffer_receive")) {
        if (result == 0) self.buffers.add(.{ .name = arguments[1], .generation = arguments[2] });
    }
    if (comptime std.mem.eql(u8, name, "tp_buffer_transfer")) {
        if (result == 0) self.board.add_transit(arguments[1], arguments[2]);
    }
    if (comptime std.mem.eql(u8, name, "tp_loop_wake_descriptor")) {
        if (result >= 0) kernel.close(result);
    }
    if (comptime std.mem.eql(u8, name, "tp_connection_address")) {
        if (!own.shared and own.honest == null) {
            expect_alive(own.connections.has(arguments[1], arguments[2]), result);
        }
    }
    if (comptime std.mem.eql(u8, name, "tp_listener_address")) {
        const alive = own.listeners.has(arguments[1], arguments[2]);
        // One that is being closed may answer either way.
        if (!own.shared and own.honest == null and alive == false) expect_alive(false, result);
    }
}

fn expect_alive(alive: ?bool, result: i32) void {
    const known = alive orelse return;
    const is_stale = calls.is(result, .stale_handle);
    if (known == is_stale) std.debug.panic("alive: {}, answered {d}", .{ known, result });
}

fn connected(self: *Script, own: *OpenLoop, result: i32) void {
    if (result < 0 or own.shared) return;
    const handle: Handle = .{ .name = @intCast(result), .generation = own.result_generation() };
    own.connections.add(handle);
    self.slots.add(handle);
}

fn listening(self: *Script, own: *OpenLoop, result: i32) void {
    if (result < 0 or own.shared) return;
    const handle: Handle = .{ .name = @intCast(result), .generation = own.result_generation() };
    own.listeners.add(handle);
    self.slots.add(handle);
    const address = calls.named("tp_listener_address");
    const found = address(own.handle, handle.name, handle.generation);
    if (found != 0) std.debug.panic("a new listener's address answered {d}", .{found});
    self.board.add_port(own.region.header().address.port);
}

fn bound(self: *Script, own: *OpenLoop, result: i32) void {
    if (result < 0 or own.shared) return;
    const handle: Handle = .{ .name = @intCast(result), .generation = own.result_generation() };
    own.sockets.add(handle);
    self.slots.add(handle);
}

fn turn(self: *Script, record: input.Record) void {
    const own = self.loop() orelse return;
    const wait_us = record.values[0].payload % script_module.wait_us_max;
    const result = self.turn(self.current, own.pending, wait_us, record.modifier & 1);
    self.check(.step, @intFromEnum(Step.turn), result);
}

/// Sleeps for ever, with a timer that ends it.
fn sleep(self: *Script) void {
    const own = self.loop() orelse return;
    if (own.region.options.clock != 0 or own.shared) return;
    // Before whatever else stands there.
    own.pending = 0;
    own.append(std.mem.zeroInit(layout.TimerEntry, .{
        .operation = .timer_start,
        .slot = 0,
        .delay_us = 50,
        .period_us = 200,
    }));
    const result = self.turn(self.current, 1, 0, 0);
    self.check(.step, @intFromEnum(Step.sleep), result);
    if (result < 0) return;
    self.check(.step, @intFromEnum(Step.sleep), self.turn(self.current, 0, layout.wait_forever, 0));
}

/// A submission of any operation, known or not, with fields that may fit it.
fn write_entry(self: *Script, record: input.Record) void {
    const own = self.loop() orelse return;
    const operations: u32 = std.meta.fields(layout.Operation).len;
    const is_known = record.modifier >> 12 != 15;
    const byte: u32 = record.modifier & 0xff;
    const number = if (is_known) byte % operations else byte;
    const flags = @as(u32, record.modifier >> 8 & 7);
    var entry: region_module.Submission = @splat(0);
    entry[0] = number | flags << 8;
    entry[1] = self.resolve(.slot, record.values[0]);
    entry[2] = self.resolve(.generation, record.values[1]);
    if (number == @intFromEnum(layout.Operation.timer_start) or
        number == @intFromEnum(layout.Operation.timer_stop))
    {
        entry[1] = self.resolve(.number, record.values[0]);
        entry[2] = self.resolve(.number, record.values[1]);
        entry[4..6].* = @bitCast(values.time(record.values[2]));
        entry[6..8].* = @bitCast(values.time(record.values[3]));
    } else {
        const value = record.values[3];
        entry[3] = self.resolve(.buffer, record.values[2]);
        entry[4] = self.resolve(.generation, .{
            .selector = record.values[2].selector >> 4,
            .payload = value.payload,
        });
        // Offset and length; each is mostly one that fits.
        const is_near = record.modifier & 1 << 10 == 0;
        entry[5] = if (is_near) value.payload >> 16 & 63 else values.edge(value.payload >> 16);
        const is_short = value.class() == .valid;
        entry[6] = if (is_short) 1 + value.payload % 600 else values.edge(value.payload);
    }
    own.append(entry);
    self.recorder.note(.operation, number, flags);
}

/// Hands one submission over by itself, to see whether it is taken.
fn submit_alone(self: *Script, record: input.Record) void {
    const own = self.loop() orelse return;
    if (own.shared) return;
    own.pending = 0;
    write_entry(self, record);
    own.shield(1);
    const entry = own.region.submissions()[0];
    const may_apply = oracle.may_apply(own, &entry);
    const submit = calls.named("tp_loop_submit");
    const rejected = &own.region.header().counters.rejected;
    // Puts right what may have been scribbled over.
    self.check(.step, @intFromEnum(Step.alone), submit(own.handle, 0));
    const before = rejected.*;
    self.check(.step, @intFromEnum(Step.alone), submit(own.handle, 1));
    own.pending = 0;
    const is_applied = rejected.* == before;
    self.recorder.note(.rejection, entry[0] & 0xff, 4 + @as(u32, @intFromBool(is_applied)));
    if (is_applied and !may_apply) {
        std.debug.panic("taken, but malformed or of nothing: {any}", .{entry});
    }
}

/// Takes a buffer, fills it, and moves it into a connection's queue.
fn send(self: *Script, record: input.Record) void {
    const own = self.loop() orelse return;
    if (own.shared or own.connections.count == 0) return;
    const bytes = 1 + record.values[1].payload % 9000;
    const result = calls.named("tp_buffer_take")(own.handle, bytes);
    self.check(.step, @intFromEnum(Step.send), result);
    if (result < 0) return;
    const buffer: Handle = .{ .name = @intCast(result), .generation = own.result_generation() };
    self.buffers.add(buffer);
    const slab = buffer.name >> layout.buffer_slab_shift;
    const base = calls.named("tp_slab")(own.handle, slab) orelse @panic("a buffer in no slab");
    const unit = buffer.name & ((1 << layout.buffer_slab_shift) - 1);
    @memset((base + @as(usize, unit) * layout.buffer_unit)[0..bytes], 'h');
    const to = own.connections.handles[record.values[0].payload % own.connections.count];
    own.append(std.mem.zeroInit(layout.SendEntry, .{
        .operation = .send,
        .flags = @as(u8, @truncate(record.modifier & 3)),
        .slot = to.name,
        .generation = to.generation,
        .buffer = buffer.name,
        .buffer_generation = buffer.generation,
        .length = bytes,
    }));
}

/// A listener and a connection to it, on one loop.
fn open_pair(self: *Script) void {
    const own = self.loop() orelse return;
    if (own.shared) return;
    const before = own.listeners.count;
    call_with(self, own, "tp_listen");
    if (own.listeners.count > before) call_with(self, own, "tp_connect");
}

fn call_with(self: *Script, own: *OpenLoop, comptime name: []const u8) void {
    const is_listen = comptime std.mem.eql(u8, name, "tp_listen");
    var options = std.mem.zeroes(if (is_listen) layout.ListenOptions else layout.ConnectOptions);
    options.size = @sizeOf(@TypeOf(options));
    options.address = region_module.loopback(0);
    options.stream = region_module.stream_options;
    if (is_listen) {
        options.backlog = 8;
    } else {
        options.address.port = own.region.header().address.port;
    }
    const bytes = std.mem.asBytes(&options);
    const result = calls.named(name)(own.handle, bytes, bytes.len);
    self.check(.step, @intFromEnum(Step.pair), result);
    if (is_listen) listening(self, own, result) else connected(self, own, result);
}

/// Writes anything anywhere in the shared region, own or of a loop that is shared.
fn scribble(self: *Script, record: input.Record) void {
    const own = self.loop() orelse return;
    const is_foreign = record.modifier & 8 != 0;
    const words = if (is_foreign)
        self.board.shared_region(record.values[0].payload >> 16) orelse return
    else
        own.region.words();
    const sections = [_]u32{
        0,
        own.region.options.submissions_offset / 4,
        own.region.options.completions_offset / 4,
        own.region.options.queued_offset / 4,
    };
    const start = sections[record.modifier & 3] + (record.values[0].payload & 0xffff) % 2048;
    for (0..1 + record.values[1].payload % 128) |offset| {
        const at = start + offset;
        if (at >= words.len) return;
        const value: Value = .{
            .selector = record.values[2].selector +% @as(u8, @truncate(offset * 5)),
            .payload = record.values[2].payload +% @as(u32, @intCast(offset)),
        };
        const kinds = [_]values.Kind{ .number, .slot, .generation, .buffer };
        words[at] = self.resolve(kinds[(offset + record.values[3].payload) % 4], value);
    }
}
