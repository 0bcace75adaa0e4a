//! Asks name servers for the addresses of one complete name, and waits for what they say.
//!
//! All servers are asked at once, for both families; who knows first is believed. What stays
//! unanswered is asked again until the time is over. Each server has a socket of its own that is
//! connected to it, so that the kernel drops what others send and tells of a port where nobody
//! listens; the kernel also chooses the socket's port, and the question's number comes from the
//! system's random numbers, so that an answer is hard to forge. One that was cut short is asked for
//! again through a stream.
//!
//! One thread, which waits here; `Stop` ends that.

const std = @import("std");
const host = @import("../../sys/host.zig");
const kernel = @import("../../sys/kernel.zig");
const random = @import("../../sys/random.zig");
const sockets = @import("../../sys/sockets.zig");
const wait_module = @import("../../sys/wait_any.zig");
const Config = @import("config.zig").Config;
const Server = @import("config.zig").Server;
const Family = @import("ip.zig").Family;
const Ips = @import("ip.zig").Ips;
const message = @import("message.zig");
const Stop = @import("stop.zig").Stop;

/// How long one family is waited for when the other has addresses already: a server that does not
/// answer for one kind should not hold up everything (RFC 8305, section 3).
const patience_ns = 250 * std.time.ns_per_ms;

pub const Outcome = enum { found, no_such_name, refused, timeout, stopped };

/// Where answers are received, too large for the stack of a thread.
pub const Buffer = [std.math.maxInt(u16)]u8;

const Inquiry = struct {
    question: message.Question,
    /// What is known by now; null while nothing is.
    outcome: ?Outcome = null,
    /// Servers that cannot or will not tell, bit by bit.
    refused: u8 = 0,
};

/// The addresses of `name`, added to `ips`.
pub fn ask(
    config: *const Config,
    name: []const u8,
    family: ?Family,
    buffer: *Buffer,
    stop: *const Stop,
    ips: *Ips,
) Outcome {
    var exchange: Exchange = .{ .config = config, .buffer = buffer, .stop = stop, .ips = ips };
    defer exchange.close();
    for ([_]Family{ .ipv6, .ipv4 }) |kind| {
        if (family != null and family != kind) continue;
        exchange.inquiries[exchange.count] = .{
            .question = .init(random.number(u16), name, kind),
        };
        exchange.count += 1;
    }
    exchange.open();
    exchange.run();
    return exchange.outcome();
}

const Exchange = struct {
    config: *const Config,
    buffer: *Buffer,
    stop: *const Stop,
    ips: *Ips,
    inquiries: [2]Inquiry = undefined,
    count: u32 = 0,
    /// By server; negative where there is none.
    descriptors: [Config.servers_max]i32 = @splat(-1),

    fn open(self: *Exchange) void {
        if (self.config.stream_only) return;
        for (self.config.server_list(), 0..) |server, number| {
            self.descriptors[number] = open_connected(server) orelse {
                self.refuse_all(number);
                continue;
            };
        }
    }

    fn close(self: *Exchange) void {
        for (self.descriptors) |descriptor| if (descriptor >= 0) kernel.close(descriptor);
    }

    fn open_inquiries(self: *Exchange) []Inquiry {
        return self.inquiries[0..self.count];
    }

    fn run(self: *Exchange) void {
        const whole_ns = @as(u64, self.config.timeout_s) * std.time.ns_per_s;
        const start = host.now_ns();
        for (0..self.config.attempts) |attempt| {
            const until = start + whole_ns * (attempt + 1) / self.config.attempts;
            if (self.config.stream_only) self.ask_streams(until) else self.send_questions();
            self.receive_until(until);
            if (self.is_over()) return;
        }
    }

    fn is_over(self: *Exchange) bool {
        if (self.stop.is_wanted()) return true;
        for (self.open_inquiries()) |inquiry| if (inquiry.outcome == null) return false;
        return true;
    }

    fn send_questions(self: *Exchange) void {
        var bytes: [message.question_bytes_max]u8 = undefined;
        for (self.open_inquiries()) |*inquiry| {
            if (inquiry.outcome != null) continue;
            const question = inquiry.question.write(&bytes);
            for (self.config.server_list(), 0..) |_, number| {
                const descriptor = self.descriptors[number];
                if (descriptor < 0 or inquiry.refused & bit(number) != 0) continue;
                const sent = sockets.send(descriptor, question);
                // A socket without room is asked again with the next attempt.
                // Else the error may be of what was sent before.
                if (sent < 0 and sent != kernel.negative(.AGAIN)) self.refuse_all(number);
            }
        }
    }

    fn receive_until(self: *Exchange, until: u64) void {
        var limit = until;
        while (!self.is_over()) {
            if (self.ips.count > 0) limit = @min(limit, host.now_ns() + patience_ns);
            const now = host.now_ns();
            if (now >= limit) {
                if (self.ips.count > 0) self.settle(.found);
                return;
            }
            var waits: [Config.servers_max + 1]wait_module.Wait = undefined;
            waits[0] = .{ .descriptor = self.stop.notifier.descriptor };
            for (self.descriptors, waits[1..]) |descriptor, *wait| {
                wait.* = .{ .descriptor = descriptor };
            }
            wait_module.wait_any(&waits, milliseconds(limit - now));
            if (waits[0].ready) self.stop.looked();
            for (waits[1..], 0..) |wait, number| if (wait.ready) self.receive(number, until);
        }
    }

    fn settle(self: *Exchange, result: Outcome) void {
        for (self.open_inquiries()) |*inquiry| inquiry.outcome = inquiry.outcome orelse result;
    }

    fn receive(self: *Exchange, number: usize, until: u64) void {
        for (0..self.count + 1) |_| {
            const rc = sockets.receive(self.descriptors[number], self.buffer);
            if (rc == kernel.negative(.AGAIN)) return;
            // Nobody listens there, or there is no way to it.
            if (rc < 0) return self.refuse_all(number);
            self.take(self.buffer[0..@intCast(rc)], number, until);
        }
    }

    fn take(self: *Exchange, bytes: []const u8, number: usize, until: u64) void {
        for (self.open_inquiries()) |*inquiry| {
            if (inquiry.outcome != null) continue;
            switch (message.read(bytes, &inquiry.question, self.ips)) {
                .other => {},
                .found => inquiry.outcome = .found,
                .no_such_name => inquiry.outcome = .no_such_name,
                .refused => self.refuse(inquiry, number),
                .truncated => self.ask_stream(inquiry, number, until),
            }
        }
    }

    fn refuse_all(self: *Exchange, number: usize) void {
        for (self.open_inquiries()) |*inquiry| self.refuse(inquiry, number);
    }

    fn refuse(self: *Exchange, inquiry: *Inquiry, number: usize) void {
        if (inquiry.outcome != null) return;
        inquiry.refused |= bit(number);
        if (@popCount(inquiry.refused) == self.config.server_count) inquiry.outcome = .refused;
    }

    fn ask_streams(self: *Exchange, until: u64) void {
        for (self.open_inquiries()) |*inquiry| {
            for (self.config.server_list(), 0..) |_, number| {
                if (inquiry.outcome != null or self.stop.is_wanted()) break;
                self.ask_stream(inquiry, number, until);
            }
        }
    }

    fn ask_stream(self: *Exchange, inquiry: *Inquiry, number: usize, until: u64) void {
        const server = self.config.servers[number];
        const question = &inquiry.question;
        const answer = through_stream(server, question, self.buffer, self.stop, until) orelse
            return self.refuse(inquiry, number);
        switch (message.read(answer, question, self.ips)) {
            .found => inquiry.outcome = .found,
            .no_such_name => inquiry.outcome = .no_such_name,
            .other, .refused, .truncated => self.refuse(inquiry, number),
        }
    }

    /// What both inquiries come to: addresses of one family count, and a name that exists.
    fn outcome(self: *Exchange) Outcome {
        if (self.stop.is_wanted()) return .stopped;
        if (self.ips.count > 0) return .found;
        var whole: Outcome = .found;
        for (self.open_inquiries()) |inquiry| {
            const result = inquiry.outcome orelse .timeout;
            if (@intFromEnum(result) > @intFromEnum(whole)) whole = result;
        }
        return whole;
    }
};

fn bit(number: usize) u8 {
    return @as(u8, 1) << @intCast(number);
}

fn milliseconds(duration_ns: u64) i32 {
    return @intCast(duration_ns / std.time.ns_per_ms + 1);
}

fn open_connected(server: Server) ?i32 {
    const address = server.ip.with_port(server.port);
    const descriptor = sockets.open_datagram(server.ip.kernel_family(), true);
    if (descriptor < 0) return null;
    if (sockets.connect(descriptor, &address) == 0) return descriptor;
    kernel.close(descriptor);
    return null;
}

/// The answer to one question through a stream, or null.
fn through_stream(
    server: Server,
    question: *const message.Question,
    buffer: *Buffer,
    stop: *const Stop,
    until: u64,
) ?[]const u8 {
    const address = server.ip.with_port(server.port);
    const descriptor = sockets.open_stream(server.ip.kernel_family(), true);
    if (descriptor < 0) return null;
    defer kernel.close(descriptor);
    const stream: Stream = .{ .descriptor = descriptor, .stop = stop, .until = until };
    const started = sockets.connect(descriptor, &address);
    if (started < 0) {
        if (started != kernel.negative(.INPROGRESS)) return null;
        if (!stream.wait(true) or sockets.connect_outcome(descriptor) < 0) return null;
    }
    var bytes: [2 + message.question_bytes_max]u8 = undefined;
    const asked = question.write(bytes[2..]);
    std.mem.writeInt(u16, bytes[0..2], @intCast(asked.len), .big);
    if (!stream.send(bytes[0 .. 2 + asked.len])) return null;
    var length: [2]u8 = undefined;
    if (!stream.receive(&length)) return null;
    const answer = buffer[0..std.mem.readInt(u16, &length, .big)];
    return if (stream.receive(answer)) answer else null;
}

const Stream = struct {
    descriptor: i32,
    stop: *const Stop,
    until: u64,

    /// False when the time is over or nobody wants to know any more.
    fn wait(self: Stream, for_writing: bool) bool {
        while (!self.stop.is_wanted()) {
            const now = host.now_ns();
            if (now >= self.until) return false;
            var waits = [_]wait_module.Wait{
                .{ .descriptor = self.stop.notifier.descriptor },
                .{ .descriptor = self.descriptor, .for_writing = for_writing },
            };
            wait_module.wait_any(&waits, milliseconds(self.until - now));
            if (waits[0].ready) self.stop.looked();
            if (waits[1].ready) return true;
        }
        return false;
    }

    fn send(self: Stream, bytes: []const u8) bool {
        var sent: usize = 0;
        while (sent < bytes.len) {
            const rc = sockets.send(self.descriptor, bytes[sent..]);
            if (rc >= 0) {
                sent += @intCast(rc);
            } else if (rc != kernel.negative(.AGAIN) or !self.wait(true)) {
                return false;
            }
        }
        return true;
    }

    fn receive(self: Stream, bytes: []u8) bool {
        var received: usize = 0;
        while (received < bytes.len) {
            const rc = sockets.receive(self.descriptor, bytes[received..]);
            if (rc > 0) {
                received += @intCast(rc);
            } else if (rc != kernel.negative(.AGAIN) or !self.wait(false)) {
                return false;
            }
        }
        return true;
    }
};
