//! Our declarations of io_uring's interface against the kernel's own header, and against that of
//! liburing where it is installed.

const std = @import("std");
const liburing = @import("liburing");
const record = @import("record_test.zig");
const uapi = @import("uapi");
const uring = @import("uring.zig");

const constants = .{
    .{ "setup_cqsize", "IORING_SETUP_CQSIZE" },
    .{ "setup_clamp", "IORING_SETUP_CLAMP" },
    .{ "setup_submit_all", "IORING_SETUP_SUBMIT_ALL" },
    .{ "setup_coop_taskrun", "IORING_SETUP_COOP_TASKRUN" },
    .{ "setup_taskrun_flag", "IORING_SETUP_TASKRUN_FLAG" },
    .{ "setup_single_issuer", "IORING_SETUP_SINGLE_ISSUER" },
    .{ "setup_defer_taskrun", "IORING_SETUP_DEFER_TASKRUN" },
    .{ "setup_no_sqarray", "IORING_SETUP_NO_SQARRAY" },
    .{ "feature_single_mmap", "IORING_FEAT_SINGLE_MMAP" },
    .{ "feature_nodrop", "IORING_FEAT_NODROP" },
    .{ "feature_submit_stable", "IORING_FEAT_SUBMIT_STABLE" },
    .{ "feature_ext_arg", "IORING_FEAT_EXT_ARG" },
    .{ "feature_rw_attr", "IORING_FEAT_RW_ATTR" },
    .{ "enter_getevents", "IORING_ENTER_GETEVENTS" },
    .{ "enter_ext_arg", "IORING_ENTER_EXT_ARG" },
    .{ "sq_cq_overflow", "IORING_SQ_CQ_OVERFLOW" },
    .{ "sq_taskrun", "IORING_SQ_TASKRUN" },
    .{ "sqe_fixed_file", "IOSQE_FIXED_FILE" },
    .{ "sqe_buffer_select", "IOSQE_BUFFER_SELECT" },
    .{ "sqe_skip_success", "IOSQE_CQE_SKIP_SUCCESS" },
    .{ "cqe_buffer", "IORING_CQE_F_BUFFER" },
    .{ "cqe_more", "IORING_CQE_F_MORE" },
    .{ "cqe_buffer_shift", "IORING_CQE_BUFFER_SHIFT" },
    .{ "recv_multishot", "IORING_RECV_MULTISHOT" },
    .{ "accept_multishot", "IORING_ACCEPT_MULTISHOT" },
    .{ "cancel_all", "IORING_ASYNC_CANCEL_ALL" },
    .{ "cancel_fd", "IORING_ASYNC_CANCEL_FD" },
    .{ "register_eventfd", "IORING_REGISTER_EVENTFD" },
    .{ "register_files2", "IORING_REGISTER_FILES2" },
    .{ "register_send_msg_ring", "IORING_REGISTER_SEND_MSG_RING" },
    .{ "poll_add_multi", "IORING_POLL_ADD_MULTI" },
    .{ "register_sparse", "IORING_RSRC_REGISTER_SPARSE" },
    .{ "register_pbuf_ring", "IORING_REGISTER_PBUF_RING" },
    .{ "cq_eventfd_disabled", "IORING_CQ_EVENTFD_DISABLED" },
    .{ "offset_sq_ring", "IORING_OFF_SQ_RING" },
    .{ "offset_cq_ring", "IORING_OFF_CQ_RING" },
    .{ "offset_sqes", "IORING_OFF_SQES" },
    .{ "setup_sqpoll", "IORING_SETUP_SQPOLL" },
    .{ "setup_sq_aff", "IORING_SETUP_SQ_AFF" },
    .{ "feature_recvsend_bundle", "IORING_FEAT_RECVSEND_BUNDLE" },
    .{ "feature_min_timeout", "IORING_FEAT_MIN_TIMEOUT" },
    .{ "enter_sq_wakeup", "IORING_ENTER_SQ_WAKEUP" },
    .{ "enter_sq_wait", "IORING_ENTER_SQ_WAIT" },
    .{ "enter_registered_ring", "IORING_ENTER_REGISTERED_RING" },
    .{ "sq_need_wakeup", "IORING_SQ_NEED_WAKEUP" },
    .{ "cqe_notif", "IORING_CQE_F_NOTIF" },
    .{ "cqe_buf_more", "IORING_CQE_F_BUF_MORE" },
    .{ "recvsend_fixed_buf", "IORING_RECVSEND_FIXED_BUF" },
    .{ "send_zc_report_usage", "IORING_SEND_ZC_REPORT_USAGE" },
    .{ "recvsend_bundle", "IORING_RECVSEND_BUNDLE" },
    .{ "notif_usage_zc_copied", "IORING_NOTIF_USAGE_ZC_COPIED" },
    .{ "nop_inject_result", "IORING_NOP_INJECT_RESULT" },
    .{ "register_probe", "IORING_REGISTER_PROBE" },
    .{ "register_buffers2", "IORING_REGISTER_BUFFERS2" },
    .{ "register_buffers_update", "IORING_REGISTER_BUFFERS_UPDATE" },
    .{ "register_ring_fds", "IORING_REGISTER_RING_FDS" },
    .{ "unregister_ring_fds", "IORING_UNREGISTER_RING_FDS" },
    .{ "register_napi", "IORING_REGISTER_NAPI" },
    .{ "register_clone_buffers", "IORING_REGISTER_CLONE_BUFFERS" },
    .{ "pbuf_ring_inc", "IOU_PBUF_RING_INC" },
    .{ "op_supported", "IO_URING_OP_SUPPORTED" },
};

/// Operation codes and their names in the headers.
const opcodes = .{
    .{ uring.Opcode.nop, "IORING_OP_NOP" },
    .{ uring.Opcode.sendmsg, "IORING_OP_SENDMSG" },
    .{ uring.Opcode.poll_add, "IORING_OP_POLL_ADD" },
    .{ uring.Opcode.recvmsg, "IORING_OP_RECVMSG" },
    .{ uring.Opcode.accept, "IORING_OP_ACCEPT" },
    .{ uring.Opcode.async_cancel, "IORING_OP_ASYNC_CANCEL" },
    .{ uring.Opcode.connect, "IORING_OP_CONNECT" },
    .{ uring.Opcode.files_update, "IORING_OP_FILES_UPDATE" },
    .{ uring.Opcode.send, "IORING_OP_SEND" },
    .{ uring.Opcode.recv, "IORING_OP_RECV" },
    .{ uring.Opcode.msg_ring, "IORING_OP_MSG_RING" },
    .{ uring.Opcode.send_zc, "IORING_OP_SEND_ZC" },
    .{ uring.Opcode.sendmsg_zc, "IORING_OP_SENDMSG_ZC" },
};

test "constants are the kernel's" {
    inline for (constants) |pair| {
        const ours: u64 = @field(uring, pair[0]);
        const theirs: u64 = @intCast(@field(uapi, pair[1]));
        try std.testing.expectEqual(theirs, ours);
    }
}

test "operation codes are the kernel's" {
    inline for (opcodes) |pair| {
        const theirs: u32 = @intCast(@field(uapi, pair[1]));
        try std.testing.expectEqual(theirs, @intFromEnum(pair[0]));
    }
}

/// What liburing 2.3 knows; newer ones know more.
const least_compared = 58;

test "constants and operation codes are liburing's, as far as it has them" {
    if (!@hasDecl(liburing, "IORING_SETUP_CQSIZE")) {
        return record.skip("liburing's headers are not installed", .{});
    }
    comptime var compared = 0;
    inline for (constants) |pair| {
        if (comptime !@hasDecl(liburing, pair[1])) continue;
        const ours: u64 = @field(uring, pair[0]);
        const theirs: u64 = @intCast(@field(liburing, pair[1]));
        try std.testing.expectEqual(theirs, ours);
        compared += 1;
    }
    inline for (opcodes) |pair| {
        if (comptime !@hasDecl(liburing, pair[1])) continue;
        const theirs: u32 = @intCast(@field(liburing, pair[1]));
        try std.testing.expectEqual(theirs, @intFromEnum(pair[0]));
        compared += 1;
    }
    errdefer std.debug.print("{d} compared\n", .{compared});
    try std.testing.expect(compared >= least_compared);
}

fn expect_same_place(
    comptime Ours: type,
    comptime ours: []const u8,
    comptime Theirs: type,
    comptime theirs: []const u8,
) !void {
    try std.testing.expectEqual(@offsetOf(Theirs, theirs), @offsetOf(Ours, ours));
    const size = @sizeOf(@FieldType(Theirs, theirs));
    try std.testing.expectEqual(size, @sizeOf(@FieldType(Ours, ours)));
}

test "structures are laid out as the kernel's" {
    inline for (.{
        .{ uring.Sqe, uapi.struct_io_uring_sqe },
        .{ uring.Cqe, uapi.struct_io_uring_cqe },
        .{ uring.SqOffsets, uapi.struct_io_sqring_offsets },
        .{ uring.CqOffsets, uapi.struct_io_cqring_offsets },
        .{ uring.Params, uapi.struct_io_uring_params },
        .{ uring.BufferRingEntry, uapi.struct_io_uring_buf },
        .{ uring.BufferRingRegistration, uapi.struct_io_uring_buf_reg },
        .{ uring.TableRegistration, uapi.struct_io_uring_rsrc_register },
        .{ uring.TableUpdate, uapi.struct_io_uring_rsrc_update2 },
        .{ uring.BuffersClone, uapi.struct_io_uring_clone_buffers },
        .{ uring.RingDescriptor, uapi.struct_io_uring_rsrc_update },
        .{ uring.Napi, uapi.struct_io_uring_napi },
        .{ uring.ProbeOperation, uapi.struct_io_uring_probe_op },
        .{ uring.GetEventsArgument, uapi.struct_io_uring_getevents_arg },
    }) |pair| try std.testing.expectEqual(@sizeOf(pair[1]), @sizeOf(pair[0]));

    const Sqe = uapi.struct_io_uring_sqe;
    try expect_same_place(uring.Sqe, "opcode", Sqe, "opcode");
    try expect_same_place(uring.Sqe, "ioprio", Sqe, "ioprio");
    try expect_same_place(uring.Sqe, "descriptor", Sqe, "fd");
    try expect_same_place(uring.Sqe, "length", Sqe, "len");
    try expect_same_place(uring.Sqe, "user_data", Sqe, "user_data");
    const Params = uapi.struct_io_uring_params;
    try expect_same_place(uring.Params, "flags", Params, "flags");
    try expect_same_place(uring.Params, "features", Params, "features");
    try expect_same_place(uring.Params, "sq_offsets", Params, "sq_off");
    try expect_same_place(uring.Params, "cq_offsets", Params, "cq_off");
    const Buffer = uapi.struct_io_uring_buf;
    try expect_same_place(uring.BufferRingEntry, "length", Buffer, "len");
    try expect_same_place(uring.BufferRingEntry, "buffer", Buffer, "bid");
    try expect_same_place(uring.BufferRingEntry, "reserved", Buffer, "resv");
    const Registration = uapi.struct_io_uring_buf_reg;
    const ours = uring.BufferRingRegistration;
    try expect_same_place(ours, "ring_entries", Registration, "ring_entries");
    try expect_same_place(ours, "group", Registration, "bgid");
    const Place = uapi.struct_io_uring_rsrc_update;
    try expect_same_place(uring.RingDescriptor, "place", Place, "offset");
    try expect_same_place(uring.RingDescriptor, "descriptor", Place, "data");
    const Napi = uapi.struct_io_uring_napi;
    try expect_same_place(uring.Napi, "busy_poll_us", Napi, "busy_poll_to");
    try expect_same_place(uring.Napi, "prefer_busy_poll", Napi, "prefer_busy_poll");
    const Known = uapi.struct_io_uring_probe_op;
    try expect_same_place(uring.ProbeOperation, "flags", Known, "flags");
    const head_bytes = @offsetOf(uring.Probe, "operations");
    try std.testing.expectEqual(@sizeOf(uapi.struct_io_uring_probe), head_bytes);
    const Argument = uapi.struct_io_uring_getevents_arg;
    try expect_same_place(uring.GetEventsArgument, "timeout", Argument, "ts");
    try expect_same_place(uring.GetEventsArgument, "min_wait_us", Argument, "min_wait_usec");
}
