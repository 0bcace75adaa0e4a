//! An open loop with all that is done with it: pool, loop, net. Made from the script's options.

const std = @import("std");
const layout = @import("../layout.zig");
const contract = @import("../backend/contract.zig");
const kernel = @import("../sys/kernel.zig");
const machine = @import("../sys/machine.zig");
const pages = @import("../sys/pages.zig");
const mapped = @import("../memory/mapped.zig");
const Pool = @import("../memory/pool.zig").Pool;
const slabs = @import("../memory/slabs.zig");
const doorbells = @import("../loop/doorbells.zig");
const loop_module = @import("../loop/loop.zig");
const ChannelLayout = @import("../loop/channel.zig").Layout;
const resegmenting = @import("../net/resegmenting.zig");
const socket_options = @import("../net/socket_options.zig");
const Lookup = @import("../net/resolving.zig").Handle;
const NetOf = @import("../net/net.zig").Net;
const Work = @import("work.zig").Work;
const memory = @import("memory.zig");
const moving = @import("moving.zig");
const options_module = @import("options.zig");

/// Sends that can wait, per entry of the submission array.
const sends_per_entry = 4;
/// Slots per listener: one may be reported closed while the next one opens.
const listener_slots = 2;
/// Most entries of the backend's own submission queue; a full one is submitted early.
const backend_entries_max = 256;

/// `NotGranted`: a wish that had to be granted was refused.
pub const Error = contract.InitError;

/// What to do without, so that tests see every fallback: set-up flags, `RingFeature` bits.
pub const Deny = struct { flags: u32 = 0, features: u32 = 0 };

pub fn Instance(comptime Backend: type) type {
    return struct {
        const Self = @This();
        pub const Loop = loop_module.Loop(Backend);
        const Net = NetOf(Loop);

        pool: Pool,
        loop: Loop,
        work: Work(Loop),

        /// `options` are checked and complete; what was granted is written back to them.
        /// `deny_flags`: set-up flags to do without (tests).
        pub fn open(
            options: *layout.LoopOptions,
            deny_flags: u32,
            failure: *contract.Failure,
        ) Error!*Self {
            return open_without(options, .{ .flags = deny_flags }, failure);
        }

        pub fn open_without(
            options: *layout.LoopOptions,
            deny: Deny,
            failure: *contract.Failure,
        ) Error!*Self {
            errdefer |err| if (err == error.NotGranted and failure.field != 0) {
                options.error_detail = failure.field;
            };
            const instances = try mapped.allocate(Self, 1);
            errdefer mapped.free(Self, instances);
            const self = &instances[0];
            try memory.open(&self.pool, options);
            errdefer self.pool.deinit(true);
            const connections = options.max_connections + options.entries;
            const listeners = options.max_listeners * listener_slots;
            const sockets = options.max_sockets + options.entries;
            const counts = Net.count(
                options.max_connections,
                options.entries,
                listeners,
                sockets,
            );
            try self.loop.init(.{
                .backend = .{
                    .entries = @min(options.entries, backend_entries_max),
                    .ports = counts.ports + options.max_watches + 1,
                    .pool = &self.pool,
                    .trigger = @enumFromInt(options.trigger),
                    .deny_flags = deny.flags,
                    .deny_features = deny.features,
                    .wishes = options_module.wishes(options),
                },
                .mode = @enumFromInt(options.mode),
                .clock = @enumFromInt(options.clock),
                .entries = options.entries,
                .connections = connections,
                .sockets = sockets,
                .script_timers = options.max_timers,
                // Those of relays follow: each has a connection at least.
                .user_timers = counts.timers + connections,
                .spin_ceiling_ns = @as(u64, options.spin_ceiling_us) * std.time.ns_per_us,
                .cpus_online = machine.cpus_online(),
            }, failure);
            errdefer self.loop.deinit();
            try self.work.init(&self.loop, .{
                .doorbells = &self.work.doorbells,
                .connections = options.max_connections,
                .spare = options.entries,
                .listeners = listeners,
                .sockets = options.max_sockets,
                .sends = options.entries * sends_per_entry,
            }, options.max_watches);
            errdefer self.work.deinit();
            if (options.fixed_buffers == @intFromEnum(layout.Wish.yes)) self.register_slabs();
            if (options.strict == @intFromEnum(layout.Wish.yes)) try self.insist(options, failure);
            self.describe(options);
            return self;
        }

        fn describe(self: *Self, options: *layout.LoopOptions) void {
            const shape: ChannelLayout = .{
                .entries = options.entries,
                .connections = options.max_connections + options.entries,
                .sockets = options.max_sockets + options.entries,
            };
            const grant = self.loop.backend.grant();
            options.backend = @intFromEnum(Backend.kind);
            options.shared_bytes = shape.bytes();
            options.submissions_offset = shape.submissions_offset();
            options.completions_offset = shape.completions_offset();
            options.queued_offset = shape.queued_offset();
            options.relayed_offset = shape.relayed_offset();
            options.socket_queued_offset = shape.socket_queued_offset();
            options.addresses_offset = shape.addresses_offset();
            options.sources_offset = shape.sources_offset();
            options.granted_flags = grant.flags;
            options.rung = grant.rung;
            options.granted_features = grant.granted;
            options.trigger = @intFromEnum(grant.trigger);
            options.pool_key = memory.key();
        }

        fn insist(
            self: *Self,
            options: *layout.LoopOptions,
            failure: *contract.Failure,
        ) error{NotGranted}!void {
            const refusal = memory.refusal(&self.pool) orelse return;
            options.error_detail = refusal.field;
            failure.errno = refusal.errno;
            return error.NotGranted;
        }

        fn register_slabs(self: *Self) void {
            const Hook = struct {
                fn register(context: *anyopaque, number: u32, slab: []u8) i32 {
                    const backend: *Backend = @ptrCast(@alignCast(context));
                    return backend.register_slab(number, slab);
                }

                fn unregister(context: *anyopaque, number: u32) void {
                    const backend: *Backend = @ptrCast(@alignCast(context));
                    backend.unregister_slab(number);
                }
            };
            const added = self.pool.add_device(.{
                .context = &self.loop.backend,
                .register = &Hook.register,
                .unregister = &Hook.unregister,
            });
            std.debug.assert(added);
        }

        pub fn close(self: *Self) void {
            const idle = self.work.close_all();
            self.work.deinit();
            self.pool.remove_devices();
            self.loop.deinit();
            self.pool.deinit(idle);
            const instances: [*]Self = @ptrCast(self);
            mapped.free(Self, instances[0..1]);
        }

        pub fn region(self: *Self) [*]u8 {
            return self.loop.channel.region.ptr;
        }

        pub fn turn(self: *Self, submissions: u32, wait_us: u32, flags: u32) i32 {
            if (submissions > self.loop.channel.submissions.len) return bad_argument;
            return self.loop.turn(&self.work, submissions, wait_us, flags);
        }

        pub fn submit(self: *Self, submissions: u32) i32 {
            if (submissions > self.loop.channel.submissions.len) return bad_argument;
            self.loop.submit(&self.work, submissions);
            return 0;
        }

        pub fn take_buffer(self: *Self, bytes: u32) i32 {
            if (bytes == 0 or bytes > self.pool.arena().kind.slab_bytes) return bad_argument;
            const name = self.pool.take(bytes) orelse
                return @intFromEnum(layout.Status.exhausted);
            return self.answer_buffer(name);
        }

        pub fn release_buffer(self: *Self, name: u32, generation: u32) i32 {
            const stale = @intFromEnum(layout.Status.stale_handle);
            if (!self.pool.valid(name, generation)) return stale;
            if (!self.pool.take_from_script(name)) return stale;
            self.work.net.release(name);
            self.loop.publish_buffers();
            return 0;
        }

        pub fn transfer_buffer(self: *Self, name: u32, generation: u32, references: u32) i32 {
            const freed = self.pool.transfer(name, generation, references) catch |err| {
                return @intFromEnum(switch (err) {
                    error.Stale => layout.Status.stale_handle,
                    error.Busy => layout.Status.busy,
                    error.Adopted => layout.Status.bad_argument,
                });
            };
            self.work.net.returned(freed);
            self.loop.publish_buffers();
            return 0;
        }

        pub fn receive_buffer(self: *Self, name: u32, generation: u32, key: u32) i32 {
            const stale = @intFromEnum(layout.Status.stale_handle);
            if (key != memory.key() or !self.pool.receive(name, generation)) return stale;
            _ = self.answer_buffer(name);
            return 0;
        }

        pub fn adopt(self: *Self, options: *const layout.AdoptOptions) i32 {
            const address = @as(u64, options.address_high) << 32 | options.address_low;
            if (options.bytes == 0 or options.bytes > slabs.bytes_max) return bad_argument;
            if (!pages.is_mapped(address, options.bytes)) return kernel.negative(.FAULT);
            const base: [*]u8 = @ptrFromInt(address);
            const name = self.pool.adopt(base, options.bytes) orelse
                return @intFromEnum(layout.Status.exhausted);
            return self.answer_buffer(name);
        }

        fn answer_buffer(self: *Self, name: u32) i32 {
            const header = self.loop.channel.header;
            const state = self.pool.state(name);
            header.result_generation = state.generation();
            header.result_bytes = state.bytes;
            self.loop.publish_buffers();
            return @intCast(name);
        }

        pub fn pool_report(self: *Self, report: *layout.PoolReport) void {
            memory.report(&self.pool, report);
        }

        pub fn listen(self: *Self, options: *const layout.ListenOptions) i32 {
            self.loop.channel.note_option(null);
            if (!valid_stream(&self.pool, &options.stream)) return bad_argument;
            const has_mode = options.mode != layout.option_unset;
            if (has_mode and options.mode > 0o777) return bad_argument;
            if (options.backlog == 0 or options.backlog > 65_535) return bad_argument;
            if (!self.may_pass(&options.stream)) return unsupported;
            if (self.is_watched(&options.address)) {
                return self.refuse(kernel.negative(.EXIST), .none);
            }
            var failed: layout.Syscall = .none;
            const slot = self.work.net.listeners.listen(options, &failed);
            if (slot < 0) return self.refuse(slot, failed);
            const listener = &self.work.net.listeners.listeners[@intCast(slot)];
            self.loop.channel.header.result_generation = listener.generation;
            self.work.net.publish();
            return slot;
        }

        /// Whether an address is a descriptor that the application has watched.
        fn is_watched(self: *const Self, address: *const layout.Address) bool {
            if (address.family != @intFromEnum(layout.AddressFamily.descriptor)) return false;
            const descriptor = std.math.cast(i32, address.port) orelse return false;
            return self.work.watches.has(descriptor);
        }

        pub fn connect(self: *Self, options: *const layout.ConnectOptions) i32 {
            self.loop.channel.note_option(null);
            if (!valid_stream(&self.pool, &options.stream)) return bad_argument;
            if (!self.may_pass(&options.stream)) return unsupported;
            var failed: layout.Syscall = .none;
            const slot = self.work.net.connect(options, &failed);
            if (slot < 0) return self.refuse(slot, failed);
            const connection = &self.work.net.streams.connections[@intCast(slot)];
            self.loop.channel.header.result_generation = connection.generation;
            self.work.net.publish();
            return slot;
        }

        pub fn resolve(self: *Self, options: *const layout.ResolveOptions) i32 {
            var made: Lookup = undefined;
            const slot = self.work.net.resolving.start_for_script(options, &made);
            if (slot >= 0) self.loop.channel.header.result_generation = made.generation;
            return self.refuse(slot, .eventfd);
        }

        pub fn resolve_report(self: *Self, report: *layout.ResolveReport) i32 {
            return self.work.net.resolving.report(report);
        }

        pub fn cancel_resolve(self: *Self, slot: u32, generation: u32) i32 {
            const lookup: Lookup = .{ .slot = slot, .generation = generation };
            return self.work.net.resolving.cancel_for_script(lookup);
        }

        pub fn relay(self: *Self, options: *const layout.RelayOptions) i32 {
            return self.work.net.streams.relay(options);
        }

        pub fn adopt_connection(self: *Self, options: *const layout.ConnectionOptions) i32 {
            if (!valid_stream(&self.pool, &options.stream)) return bad_argument;
            if (!self.may_pass(&options.stream)) return unsupported;
            return moving.adopt(self, options);
        }

        /// Messages do not go with shared buffers.
        fn may_pass(self: *Self, options: *const layout.StreamOptions) bool {
            return options.descriptors == 0 or !contract.shares_buffers(&self.loop.backend);
        }

        pub fn receive_connection(self: *Self, options: *const layout.ConnectionOptions) i32 {
            if (options.has_stream > 1) return bad_argument;
            const has_stream = options.has_stream == 1;
            if (has_stream and !valid_stream(&self.pool, &options.stream)) {
                return bad_argument;
            }
            return moving.receive(self, options);
        }

        pub fn bind(self: *Self, options: *const layout.BindOptions) i32 {
            var failed: layout.Syscall = .none;
            const datagrams = &self.work.net.datagrams;
            const slot = datagrams.bind(options, &failed);
            if (slot < 0) return self.refuse(slot, failed);
            self.loop.channel.header.result_generation =
                datagrams.sockets[@intCast(slot)].generation;
            self.work.net.publish();
            return slot;
        }

        pub fn socket_address(self: *Self, slot: u32, generation: u32, remote: u32) i32 {
            var failed: layout.Syscall = .none;
            const rc = self.work.net.socket_address(slot, generation, remote != 0, &failed);
            return self.refuse(rc, failed);
        }

        pub fn socket_request(self: *Self, request: *layout.SocketRequest) i32 {
            return self.refuse(self.work.net.datagrams.request(request), .setsockopt);
        }

        pub fn configure(self: *Self, control: *const layout.SocketControl) i32 {
            self.loop.channel.note_option(null);
            return self.refuse(self.work.net.configure(control), .setsockopt);
        }

        pub fn read_options(self: *Self, control: *layout.SocketControl) i32 {
            return self.refuse(self.work.net.read_options(control), .getsockopt);
        }

        pub fn read_credentials(self: *Self, credentials: *layout.PeerCredentials) i32 {
            return self.refuse(self.work.net.read_credentials(credentials), .getsockopt);
        }

        pub fn watch(self: *Self, descriptor: i32, interest: u32) i32 {
            const slot = self.work.watches.add(descriptor, interest);
            if (slot < 0) return self.refuse(slot, .fcntl);
            const generation = self.work.watches.generation_of(@intCast(slot));
            self.loop.channel.header.result_generation = generation;
            self.work.publish();
            return slot;
        }

        pub fn modify_watch(self: *Self, slot: u32, generation: u32, interest: u32) i32 {
            return self.refuse(self.work.watches.modify(slot, generation, interest), .none);
        }

        pub fn remove_watch(self: *Self, slot: u32, generation: u32) i32 {
            return self.refuse(self.work.watches.remove(slot, generation), .none);
        }

        pub fn add_doorbell(self: *Self) i32 {
            var made: doorbells.Handle = undefined;
            const rc = self.work.doorbells.add(&made);
            if (rc < 0) return self.refuse(rc, .eventfd);
            self.loop.channel.header.result_generation = made.generation;
            return @intCast(made.slot);
        }

        pub fn listener_address(self: *Self, slot: u32, generation: u32) i32 {
            var failed: layout.Syscall = .none;
            return self.refuse(self.work.net.listener_address(slot, generation, &failed), failed);
        }

        pub fn connection_address(self: *Self, slot: u32, generation: u32, remote: u32) i32 {
            var failed: layout.Syscall = .none;
            const rc = self.work.net.connection_address(slot, generation, remote != 0, &failed);
            return self.refuse(rc, failed);
        }

        pub fn set_segmenter(self: *Self, options: *const layout.SegmenterOptions) i32 {
            return self.refuse(self.work.net.streams.set_segmenter(options), .none);
        }

        pub fn refuse(self: *Self, status: i32, failed: layout.Syscall) i32 {
            const kernel_said_no = status < 0 and status > -4096;
            const syscall: layout.Syscall = if (kernel_said_no) failed else .none;
            self.loop.channel.header.error_syscall = @intFromEnum(syscall);
            return status;
        }
    };
}

const bad_argument = @intFromEnum(layout.Status.bad_argument);
const unsupported = @intFromEnum(layout.Status.unsupported);

fn valid_stream(pool: *const Pool, options: *const layout.StreamOptions) bool {
    return socket_options.check(&options.socket) and
        resegmenting.is_valid(pool, &options.segmenter) and
        options.idle_timeout_ms <= 1 << 30 and
        options.descriptors <= 1 and
        // Messages would be delivered without what came with them.
        (options.descriptors == 0 or options.segmenter.kind == 0) and
        options.high_water_mark >= 2 * pool.buffer_size and
        options.high_water_mark <= 1 << 30 and
        options.linger_timeout_ms <= 1 << 30 and
        options.receive_credits >= 1 and options.receive_credits <= 65_536;
}
