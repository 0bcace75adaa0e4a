//! `deny-io-uring EPERM|ENOSYS COMMAND [ARGUMENT ...]`: runs a command on a machine that refuses
//! io_uring, as a container's seccomp profile (EPERM) or an old kernel (ENOSYS) does.

const std = @import("std");
const linux = std.os.linux;

const Instruction = extern struct { code: u16, jump_true: u8 = 0, jump_false: u8 = 0, value: u32 };
const Program = extern struct { length: u16, filter: [*]const Instruction };

const load_word = 0x20;
const jump_equal = 0x15;
const answer = 0x06;

pub fn main(init: std.process.Init.Minimal) u8 {
    const arguments = init.args.vector;
    if (arguments.len < 3) return 2;
    const code: linux.E = if (std.mem.eql(u8, std.mem.span(arguments[1]), "ENOSYS"))
        .NOSYS
    else
        .PERM;
    if (!deny(@intFromEnum(code))) return 3;
    var command: [256:null]?[*:0]const u8 = @splat(null);
    const given = arguments[2..];
    if (given.len > command.len) return 2;
    for (given, command[0..given.len]) |argument, *entry| entry.* = argument;
    _ = linux.execve(given[0], &command, init.environ.block.slice.ptr);
    return 127;
}

fn deny(code: u16) bool {
    const filter = [_]Instruction{
        // The number of the system call is the first word.
        .{ .code = load_word, .value = 0 },
        .{
            .code = jump_equal,
            .value = @intFromEnum(linux.SYS.io_uring_setup),
            .jump_false = 1,
        },
        .{ .code = answer, .value = linux.SECCOMP.RET.ERRNO | @as(u32, code) },
        .{ .code = answer, .value = linux.SECCOMP.RET.ALLOW },
    };
    const program: Program = .{ .length = filter.len, .filter = &filter };
    if (linux.prctl(@intFromEnum(linux.PR.SET_NO_NEW_PRIVS), 1, 0, 0, 0) != 0) return false;
    return linux.seccomp(linux.SECCOMP.SET_MODE_FILTER, 0, &program) == 0;
}
