//! For tests: an io_uring backend over the real or the fake kernel, with a small pool.

const std = @import("std");
const record = @import("../sys/record_test.zig");
const Pool = @import("../memory/pool.zig").Pool;
const contract = @import("contract.zig");
const fake = @import("fake_kernel.zig");
const io_uring = @import("io_uring.zig");
const Wishes = @import("ring_wishes.zig").Wishes;

pub const buffer_bytes = 512;
pub const receive_count = 16;

pub fn Bench(comptime System: type) type {
    return struct {
        const Self = @This();

        pool: Pool,
        backend: io_uring.IoUringOver(System),

        pub fn open(self: *Self, wishes: Wishes) !void {
            var failure: contract.Failure = .{};
            self.open_over(.{}, wishes, &failure) catch |err| {
                if (err != error.Unavailable) return err;
                const args = .{ @tagName(failure.reason), failure.errno };
                return record.skip("kernel: io_uring: {s} (errno {d})", args);
            };
        }

        /// `state`: of the fake kernel. `error.Unavailable` when `failure` tells why.
        pub fn open_over(
            self: *Self,
            state: fake.State,
            wishes: Wishes,
            failure: *contract.Failure,
        ) !void {
            fake.reset(state);
            const bytes = 256 * 1024;
            try self.pool.init(.{
                .kind = .{ .slab_bytes = bytes },
                .max_bytes = bytes,
                .buffer_size = buffer_bytes,
                .receive_count = receive_count,
            });
            errdefer self.pool.deinit(true);
            try self.backend.init(.{
                .entries = 8,
                .ports = 16,
                .pool = &self.pool,
                .wishes = wishes,
            }, failure);
        }

        pub fn close(self: *Self) void {
            self.backend.deinit();
            self.pool.deinit(true);
        }

        pub fn refill(self: *Self) void {
            for (0..self.backend.buffers_wanted()) |_| {
                self.backend.provide(self.pool.take_for_backend() orelse return);
            }
        }

        pub fn next(self: *Self) ?contract.Completion {
            var out: [1]contract.Completion = undefined;
            return if (self.backend.reap(&out) == 1) out[0] else null;
        }

        /// Takes a buffer over from a completion and gives it back.
        pub fn use_up(self: *Self, completion: contract.Completion) void {
            switch (completion.share) {
                .whole => self.pool.received(completion.buffer, completion.port, completion.epoch),
                .part => self.pool.received_part(completion.buffer, false),
                .last_part => self.pool.received_part(completion.buffer, true),
            }
            _ = self.pool.release(completion.buffer);
        }
    };
}
