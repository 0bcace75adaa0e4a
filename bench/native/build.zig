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
    if (b.graph.host.result.os.tag != .linux) return;
    install(b, step, peer(b, "echo_epoll"));
    if (header(b, "liburing.h")) {
        const io_uring = peer(b, "echo_io_uring");
        io_uring.root_module.linkSystemLibrary("uring", .{});
        install(b, step, io_uring);
    }
}

/// A peer runs here and nowhere else, so it is built for this machine and its system libraries.
fn peer(b: *std.Build, name: []const u8) *std.Build.Step.Compile {
    const module = b.createModule(.{
        .target = b.graph.host,
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
