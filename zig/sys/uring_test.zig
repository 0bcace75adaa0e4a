//! Our declarations of io_uring's interface against the kernel's own header.

const std = @import("std");
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
};

test "constants are the kernel's" {
    inline for (constants) |pair| {
        const ours: u64 = @field(uring, pair[0]);
        const theirs: u64 = @intCast(@field(uapi, pair[1]));
        try std.testing.expectEqual(theirs, ours);
    }
}

test "operation codes are the kernel's" {
    inline for (.{
        .{ uring.Opcode.nop, "IORING_OP_NOP" },
        .{ uring.Opcode.sendmsg, "IORING_OP_SENDMSG" },
        .{ uring.Opcode.recvmsg, "IORING_OP_RECVMSG" },
        .{ uring.Opcode.poll_add, "IORING_OP_POLL_ADD" },
        .{ uring.Opcode.msg_ring, "IORING_OP_MSG_RING" },
        .{ uring.Opcode.accept, "IORING_OP_ACCEPT" },
        .{ uring.Opcode.async_cancel, "IORING_OP_ASYNC_CANCEL" },
        .{ uring.Opcode.connect, "IORING_OP_CONNECT" },
        .{ uring.Opcode.files_update, "IORING_OP_FILES_UPDATE" },
        .{ uring.Opcode.send, "IORING_OP_SEND" },
        .{ uring.Opcode.recv, "IORING_OP_RECV" },
    }) |pair| {
        const theirs: u32 = @intCast(@field(uapi, pair[1]));
        try std.testing.expectEqual(theirs, @intFromEnum(pair[0]));
    }
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
    const Argument = uapi.struct_io_uring_getevents_arg;
    try expect_same_place(uring.GetEventsArgument, "timeout", Argument, "ts");
    try expect_same_place(uring.GetEventsArgument, "min_wait_us", Argument, "min_wait_usec");
}
