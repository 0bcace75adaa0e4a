//! The native half of the benchmarks: step `bench` installs the load generator and the C peers into
//! `bench/` of the install prefix. Linux only; the io_uring peer only where liburing is installed.

const std = @import("std");

const directory = "bench/native/";

pub fn add(b: *std.Build, target: std.Build.ResolvedTarget) void {
    const step = b.step("bench", "Build the load generator and the C peers");
    if (target.result.os.tag != .linux) {
        step.dependOn(&b.addFail("the benchmarks need Linux").step);
        return;
    }
    install(b, step, b.addExecutable(.{
        .name = "twinpoll-load",
        .root_module = b.createModule(.{
            .root_source_file = b.path(directory ++ "load.zig"),
            .target = target,
            .optimize = .ReleaseFast,
            .single_threaded = true,
            .strip = true,
        }),
    }));
    install(b, step, memory(b, target));
    if (b.graph.host.result.os.tag != .linux) return;
    install(b, step, peer(b, "echo_epoll", b.graph.host));
    install(b, step, fixed(b));
    if (header(b, "liburing.h")) {
        const io_uring = peer(b, "echo_io_uring", b.graph.host);
        io_uring.root_module.linkSystemLibrary("uring", .{});
        install(b, step, io_uring);
    }
}

/// The pool as it is shipped, beside the system's `malloc`.
fn memory(b: *std.Build, target: std.Build.ResolvedTarget) *std.Build.Step.Compile {
    const root = b.createModule(.{
        .root_source_file = b.path(directory ++ "memory.zig"),
        .target = target,
        .optimize = .ReleaseSafe,
        .link_libc = true,
    });
    root.addImport("twinpoll", b.createModule(.{
        .root_source_file = b.path("zig/twinpoll.zig"),
        .target = target,
        .optimize = .ReleaseSafe,
        .stack_protector = false,
    }));
    return b.addExecutable(.{ .name = "twinpoll-memory", .root_module = root });
}

/// Needs no liburing, but the kernel's headers of Linux 6.2. Zig's own are new enough, and come
/// with its own C library; the system's may be older.
fn fixed(b: *std.Build) *std.Build.Step.Compile {
    return peer(b, "fixed", b.resolveTargetQuery(.{
        .cpu_arch = b.graph.host.result.cpu.arch,
        .os_tag = .linux,
        .abi = .musl,
    }));
}

/// A peer runs here and nowhere else, so it is built for this machine and its system libraries.
fn peer(
    b: *std.Build,
    name: []const u8,
    target: std.Build.ResolvedTarget,
) *std.Build.Step.Compile {
    const module = b.createModule(.{
        .target = target,
        .optimize = .ReleaseFast,
        .link_libc = true,
    });
    module.addCSourceFile(.{
        .file = b.path(b.fmt("{s}{s}.c", .{ directory, name })),
        .flags = &.{ "-std=gnu11", "-O3", "-Wall", "-Wextra" },
    });
    return b.addExecutable(.{ .name = name, .root_module = module });
}

fn install(b: *std.Build, step: *std.Build.Step, artifact: *std.Build.Step.Compile) void {
    const options: std.Build.Step.InstallArtifact.Options = .{
        .dest_dir = .{ .override = .{ .custom = "bench" } },
    };
    step.dependOn(&b.addInstallArtifact(artifact, options).step);
}

fn header(b: *std.Build, name: []const u8) bool {
    for ([_][]const u8{ "/usr/include", "/usr/local/include" }) |prefix| {
        const path = b.pathJoin(&.{ prefix, name });
        std.Io.Dir.accessAbsolute(b.graph.io, path, .{}) catch continue;
        return true;
    }
    return false;
}
