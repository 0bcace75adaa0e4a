//! The kernel's io_uring interface: the constants and structures that we use, and its system calls,
//! which a ring is generic over. Source: include/uapi/linux/io_uring.h; `zig build test` compares
//! every value here with it.

const std = @import("std");
const linux = std.os.linux;
const kernel = @import("kernel.zig");
const machine = @import("machine.zig");

pub const Memory = []align(std.heap.page_size_min) u8;

pub const setup_sqpoll: u32 = 1 << 1;
pub const setup_sq_aff: u32 = 1 << 2;
pub const setup_cqsize: u32 = 1 << 3;
pub const setup_clamp: u32 = 1 << 4;
pub const setup_submit_all: u32 = 1 << 7;
pub const setup_coop_taskrun: u32 = 1 << 8;
pub const setup_taskrun_flag: u32 = 1 << 9;
pub const setup_single_issuer: u32 = 1 << 12;
pub const setup_defer_taskrun: u32 = 1 << 13;
pub const setup_no_sqarray: u32 = 1 << 16;

pub const feature_single_mmap: u32 = 1 << 0;
pub const feature_nodrop: u32 = 1 << 1;
pub const feature_submit_stable: u32 = 1 << 2;
pub const feature_ext_arg: u32 = 1 << 8;
pub const feature_recvsend_bundle: u32 = 1 << 14;
pub const feature_min_timeout: u32 = 1 << 15;
pub const feature_rw_attr: u32 = 1 << 16;

pub const enter_getevents: u32 = 1 << 0;
pub const enter_sq_wakeup: u32 = 1 << 1;
pub const enter_sq_wait: u32 = 1 << 2;
pub const enter_ext_arg: u32 = 1 << 3;
pub const enter_registered_ring: u32 = 1 << 4;

pub const sq_need_wakeup: u32 = 1 << 0;
pub const sq_cq_overflow: u32 = 1 << 1;
pub const sq_taskrun: u32 = 1 << 2;

pub const sqe_fixed_file: u8 = 1 << 0;
pub const sqe_buffer_select: u8 = 1 << 5;
pub const sqe_skip_success: u8 = 1 << 6;

pub const cqe_buffer: u32 = 1 << 0;
pub const cqe_more: u32 = 1 << 1;
pub const cqe_notif: u32 = 1 << 3;
pub const cqe_buf_more: u32 = 1 << 4;
pub const cqe_buffer_shift = 16;

pub const recv_multishot: u16 = 1 << 1;
pub const recvsend_fixed_buf: u16 = 1 << 2;
pub const send_zc_report_usage: u16 = 1 << 3;
pub const recvsend_bundle: u16 = 1 << 4;
/// In the result of a notification: bytes were copied after all.
pub const notif_usage_zc_copied: u32 = 1 << 31;
pub const accept_multishot: u16 = 1 << 0;

pub const nop_inject_result: u32 = 1 << 0;

pub const poll_add_multi: u32 = 1 << 0;

pub const cancel_all: u32 = 1 << 0;
pub const cancel_fd: u32 = 1 << 1;

pub const register_eventfd: u32 = 4;
pub const register_probe: u32 = 8;
pub const register_files2: u32 = 13;
pub const register_buffers2: u32 = 15;
pub const register_buffers_update: u32 = 16;
pub const register_ring_fds: u32 = 20;
pub const unregister_ring_fds: u32 = 21;
pub const register_pbuf_ring: u32 = 22;
pub const register_napi: u32 = 27;
pub const register_clone_buffers: u32 = 30;
pub const register_send_msg_ring: u32 = 31;

pub const pbuf_ring_inc: u16 = 2;
pub const op_supported: u16 = 1 << 0;

pub const register_sparse: u32 = 1 << 0;

pub const cq_eventfd_disabled: u32 = 1 << 0;

pub const offset_sq_ring: i64 = 0;
pub const offset_cq_ring: i64 = 0x8000000;
pub const offset_sqes: i64 = 0x10000000;

pub const Opcode = enum(u8) {
    nop = 0,
    poll_add = 6,
    sendmsg = 9,
    recvmsg = 10,
    accept = 13,
    async_cancel = 14,
    connect = 16,
    files_update = 20,
    send = 26,
    recv = 27,
    msg_ring = 40,
    send_zc = 47,
    sendmsg_zc = 48,
    _,
};

pub const Sqe = extern struct {
    opcode: Opcode,
    flags: u8 = 0,
    ioprio: u16 = 0,
    descriptor: i32,
    offset: u64 = 0,
    address: u64 = 0,
    length: u32 = 0,
    operation_flags: u32 = 0,
    user_data: u64,
    /// Buffer group with `sqe_buffer_select`.
    buffer_group: u16 = 0,
    personality: u16 = 0,
    file_index: u32 = 0,
    address_3: u64 = 0,
    padding: u64 = 0,
};

pub const Cqe = extern struct {
    user_data: u64,
    result: i32,
    flags: u32,
};

pub const SqOffsets = extern struct {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    flags: u32,
    dropped: u32,
    array: u32,
    reserved: u32,
    user_address: u64,
};

pub const CqOffsets = extern struct {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    overflow: u32,
    cqes: u32,
    flags: u32,
    reserved: u32,
    user_address: u64,
};

pub const Params = extern struct {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    reserved: [3]u32,
    sq_offsets: SqOffsets,
    cq_offsets: CqOffsets,
};

/// An entry of a provided-buffer ring. The ring's tail overlays `reserved` of entry 0, so that
/// field is never written through an entry.
pub const BufferRingEntry = extern struct {
    address: u64,
    length: u32,
    buffer: u16,
    reserved: u16,
};

pub const BufferRingRegistration = extern struct {
    ring_address: u64,
    ring_entries: u32,
    group: u16,
    flags: u16,
    reserved: [3]u64,
};

/// Of files or of buffers.
pub const TableRegistration = extern struct {
    count: u32,
    flags: u32,
    reserved: u64,
    data: u64,
    tags: u64,
};

pub const TableUpdate = extern struct {
    offset: u32,
    reserved: u32,
    data: u64,
    tags: u64,
    count: u32,
    reserved_2: u32,
};

pub const BuffersClone = extern struct {
    source: u32,
    flags: u32,
    source_offset: u32,
    offset: u32,
    count: u32,
    padding: [3]u32,
};

/// `struct msghdr` as a multishot receive reads it: how much room to leave before each message.
pub const MessageShape = extern struct {
    address: u64,
    address_bytes: u32,
    padding: u32,
    vectors: u64,
    vector_count: u64,
    control: u64,
    control_bytes: u64,
    flags: u32,
    padding_2: u32,
};

/// A ring's descriptor among those that are registered with the thread; also answers its place.
pub const RingDescriptor = extern struct {
    place: u32,
    reserved: u32,
    descriptor: u64,
};

/// Any place that is free.
pub const any_place: u32 = std.math.maxInt(u32);

pub const Napi = extern struct {
    busy_poll_us: u32,
    prefer_busy_poll: u8,
    opcode: u8,
    padding: [2]u8,
    parameter: u32,
    reserved: u32,
};

/// Most operation codes that are asked about.
pub const probe_operations = 128;

pub const ProbeOperation = extern struct {
    opcode: u8,
    reserved: u8,
    flags: u16,
    reserved_2: u32,
};

pub const Probe = extern struct {
    last: u8,
    count: u8,
    reserved: u16,
    reserved_2: [3]u32,
    operations: [probe_operations]ProbeOperation,
};

pub const GetEventsArgument = extern struct {
    signal_mask: u64,
    signal_mask_size: u32,
    min_wait_us: u32,
    /// Address of a `linux.kernel_timespec`.
    timeout: u64,
};

pub fn setup(entries: u32, params: *Params) i32 {
    return kernel.result(linux.syscall2(.io_uring_setup, entries, @intFromPtr(params)));
}

/// `argument` stands for `enter_ext_arg`: limits to the wait.
pub fn enter(
    descriptor: i32,
    submit: u32,
    wait: u32,
    flags: u32,
    argument: ?*const GetEventsArgument,
) i32 {
    return kernel.result(linux.syscall6(
        .io_uring_enter,
        @intCast(descriptor),
        submit,
        wait,
        if (argument == null) flags else flags | enter_ext_arg,
        @intFromPtr(argument),
        if (argument == null) 0 else @sizeOf(GetEventsArgument),
    ));
}

/// `descriptor` is -1 for what concerns no ring.
pub fn register(descriptor: i32, operation: u32, argument: *const anyopaque, count: u32) i32 {
    return kernel.result(linux.syscall4(
        .io_uring_register,
        @as(u32, @bitCast(descriptor)),
        operation,
        @intFromPtr(argument),
        count,
    ));
}

/// Puts a completion into another ring without one of one's own, from any thread (Linux 6.13). 0,
/// or a negated errno.
pub fn send_message(ring: i32, user_data: u64) i32 {
    const sqe: Sqe = .{
        .opcode = .msg_ring,
        .descriptor = ring,
        .offset = user_data,
        .user_data = 0,
    };
    return register(-1, register_send_msg_ring, &sqe, 1);
}

/// Maps the queues or the entries of a ring; null when there is no memory.
pub fn map(descriptor: i32, length: usize, offset: i64) ?Memory {
    const bytes = kernel.round_to_page(length);
    const rc = linux.mmap(null, bytes, .{ .READ = true, .WRITE = true }, .{
        .TYPE = .SHARED,
        .POPULATE = true,
    }, descriptor, offset);
    if (kernel.result(rc) < 0) return null;
    const pointer: [*]align(std.heap.page_size_min) u8 = @ptrFromInt(rc);
    return pointer[0..bytes];
}

pub const kernel_release = machine.kernel_release;
pub const unmap = kernel.unmap;
pub const close = kernel.close;

comptime {
    std.debug.assert(@sizeOf(MessageShape) == @sizeOf(linux.msghdr));
    std.debug.assert(@sizeOf(Sqe) == 64);
    std.debug.assert(@sizeOf(Cqe) == 16);
    std.debug.assert(@sizeOf(Params) == 120);
    std.debug.assert(@sizeOf(BufferRingEntry) == 16);
    std.debug.assert(@sizeOf(BufferRingRegistration) == 40);
    std.debug.assert(@sizeOf(TableRegistration) == 32);
    std.debug.assert(@sizeOf(TableUpdate) == 32);
    std.debug.assert(@sizeOf(BuffersClone) == 32);
    std.debug.assert(@sizeOf(RingDescriptor) == 16);
    std.debug.assert(@sizeOf(Napi) == 16);
    std.debug.assert(@sizeOf(ProbeOperation) == 8);
    std.debug.assert(@sizeOf(Probe) == 16 + 8 * probe_operations);
    std.debug.assert(@sizeOf(GetEventsArgument) == 24);
}
