//! What script and native share: entries, enums, status codes, options, function signatures.
//!
//! This is the only place where they are written. `zig/abi/generate.zig` reflects over this file
//! and writes `src/native/abi.ts` and `include/twinpoll.h`; `layout_hash` covers all of it, so a
//! library and bindings of different layouts refuse each other before any other symbol is used.
//!
//! Invariants: fixed-width fields in native byte order, no implicit padding, no pointer in an
//! entry.

const std = @import("std");

/// Raised by hand when the meaning of something here changes without its shape changing.
pub const abi_version: u32 = 1;

/// What a loop was asked to wait with, and what it waits with.
pub const BackendKind = enum(u32) {
    /// Take the first that works: `io_uring`, `epoll` (or `kqueue` where the system has that),
    /// `select`. Never the kind of an open loop.
    auto = 0,
    io_uring = 1,
    epoll = 2,
    /// macOS and the BSDs. On Linux with a library that offers it, named by `TWINPOLL_KQUEUE`.
    kqueue = 3,
    /// Works everywhere, with descriptors below 1,024.
    select = 4,
};

/// When a readiness backend tells of a descriptor that stays ready.
pub const Trigger = enum(u32) {
    /// `edge` where the backend has it.
    default = 0,
    /// Once, until it was seen not to be ready any more.
    edge = 1,
    /// Each time.
    level = 2,
};

/// What a watched descriptor is ready for, as bits; the first two are also what is asked for.
pub const ready_readable: u32 = 1;
pub const ready_writable: u32 = 2;
/// An error is pending: the next read or write reports it.
pub const ready_error: u32 = 4;
/// The other side is gone.
pub const ready_hangup: u32 = 8;
/// In the interest of a watch: tell of changes only.
pub const watch_edge: u32 = 16;

/// When a loop sleeps and when it polls.
pub const Mode = enum(u32) {
    /// Poll while work keeps coming, sleep once it stays away longer than polling pays.
    adaptive = 0,
    /// Always sleep.
    event = 1,
    /// Never sleep.
    poll = 2,
};

/// Where a loop takes its time from.
pub const ClockKind = enum(u32) {
    monotonic = 0,
    /// Stands still until `tp_clock_advance`; for tests.
    virtual = 1,
};

/// Negative results of functions and of completions. Values above -4096 are negated errno values of
/// the kernel, on every system with the numbers that Linux gives their names; a number whose name
/// Linux does not have is 2,048 above the system's own. The values here are the library's.
pub const Status = enum(i32) {
    ok = 0,
    /// The handle names nothing: closed, released, or never given out.
    stale_handle = -10001,
    /// The loop belongs to another thread.
    wrong_thread = -10002,
    /// A field is out of its range; `LoopOptions.error_detail` or the header says which.
    bad_argument = -10003,
    /// No room now: buffers, slots or queue entries are all in use.
    exhausted = -10004,
    /// The backend cannot run here; the report says why.
    backend_unavailable = -10005,
    /// The struct's `size` field is not what this library expects.
    bad_layout = -10006,
    /// No thread can be started here, so a sleeping host cannot be woken.
    no_threads = -10008,
    /// The connection ended because this side asked for it with `abort`.
    aborted = -10009,
    /// The loop was closed while the handle was open.
    loop_closed = -10010,
    /// The peer did not answer within the connect time limit.
    connect_timeout = -10011,
    /// The process was forked; the loop and its memory stayed with the parent.
    forked = -10012,
    /// Somebody else uses the buffer too.
    busy = -10013,
    /// The machine refused a wish that was not best effort; `LoopOptions.error_detail` says which.
    not_granted = -10014,
    /// The descriptor is not below `select`'s limit.
    descriptor_limit = -10015,
    /// The backend, or the socket, cannot do that.
    unsupported = -10016,
    /// No byte has moved on the connection for its idle time limit.
    idle_timeout = -10017,
    /// A message is longer than its segmenter's limit.
    message_too_large = -10018,
    /// A message's header names no length, or the script's segmenter refuses it.
    invalid_message = -10019,
    /// The peer ended its direction inside of a message.
    truncated_message = -10020,
    /// No such name, or it has no address of the family asked for.
    name_not_found = -10021,
    /// Those who know names could not be asked, or would not tell.
    resolve_failed = -10022,
    /// They did not answer within the time limit.
    resolve_timeout = -10023,
};

/// Why a backend cannot run, beside the errno of the call that failed.
pub const Reason = enum(u32) {
    none = 0,
    /// The kernel does not have the system call (or a filter answers ENOSYS).
    not_implemented = 1,
    /// `kernel.io_uring_disabled` forbids it.
    disabled_by_sysctl = 2,
    /// A seccomp filter or security module refuses it.
    not_permitted = 3,
    /// The kernel has it, but an older one than 6.0, without multishot receive or buffer rings.
    kernel_too_old = 4,
    /// Locked-memory, descriptor or memory limit.
    out_of_resources = 5,
    other = 6,
    /// The operating system has no such thing.
    other_system = 7,
    /// The library that `TWINPOLL_KQUEUE` names is not there, or does not have it.
    no_library = 8,
    /// The backend knows no edges.
    no_edges = 9,
};

/// The system call behind an error, for the error's text.
pub const Syscall = enum(u32) {
    none = 0,
    socket = 1,
    bind = 2,
    listen = 3,
    accept = 4,
    connect = 5,
    setsockopt = 6,
    getsockname = 7,
    getpeername = 8,
    recv = 9,
    send = 10,
    shutdown = 11,
    mmap = 12,
    io_uring_setup = 13,
    io_uring_enter = 14,
    io_uring_register = 15,
    epoll_create = 16,
    epoll_ctl = 17,
    epoll_wait = 18,
    socketpair = 19,
    pthread_create = 20,
    timerfd = 21,
    mlock = 22,
    madvise = 23,
    mbind = 24,
    select = 25,
    kqueue = 26,
    kevent = 27,
    fcntl = 28,
    eventfd = 29,
    getsockopt = 30,
};

/// What a submission asks for.
pub const Operation = enum(u8) {
    none = 0,
    /// `SendEntry`: queue `length` bytes of a buffer at `offset`.
    send = 1,
    /// `BufferEntry`: one more reference on a buffer.
    retain = 2,
    /// `BufferEntry`: one reference less; the last gives the buffer back.
    release = 3,
    /// `HandleEntry` of a connection: deliver no more data.
    pause = 4,
    /// `HandleEntry` of a connection: deliver data again.
    unpause = 5,
    /// `HandleEntry` of a connection: end our direction once everything queued is sent.
    shutdown = 6,
    /// `HandleEntry` of a connection: flush, end, wait for the peer's end within the linger limit.
    close = 7,
    /// `HandleEntry` of a connection: drop what is queued and reset.
    abort = 8,
    /// `HandleEntry` of a connection: a `drain` completion once there is room again.
    want_drain = 9,
    /// `TimerEntry`: start (or start again) a timer.
    timer_start = 10,
    /// `TimerEntry`: stop a timer.
    timer_stop = 11,
    /// `HandleEntry` of a listener, with `listener_flag_drain` once those that wait in its backlog
    /// are accepted.
    listener_close = 12,
    /// `SegmentEntry`: what the script's segmenter says about the bytes of `unsegmented`.
    segment = 13,
    /// `HandleEntry` of a connection: receive and deliver no more, send what is queued, and rest:
    /// `detached` tells. With `detach_flag_travels` towards another loop.
    detach = 14,
    /// `SendEntry`: a part of a buffer that was delivered and that nobody has looked at, of a
    /// connection that is being detached. Parts come in the order of their delivery.
    undeliver = 15,
    /// `DatagramEntry`: queue a datagram.
    datagram_send = 16,
    /// `HandleEntry` of a datagram socket: deliver nothing more.
    socket_pause = 17,
    /// `HandleEntry` of a datagram socket: deliver again.
    socket_unpause = 18,
    /// `HandleEntry` of a datagram socket: send what is queued within the linger limit, then close.
    socket_close = 19,
    /// `HandleEntry` of a datagram socket: drop what is queued and close.
    socket_abort = 20,
    /// `HandleEntry` of a datagram socket: a `socket_drain` completion once there is room again.
    socket_want_drain = 21,
};

pub const listener_flag_drain: u8 = 1;
pub const detach_flag_travels: u8 = 1;

/// One of so many places for sends is for answers, which find none only when they take all of those
/// themselves.
pub const answer_reserve: u32 = 4;

pub const send_flag_move: u8 = 1;
pub const send_flag_answer: u8 = 2;
/// `SendEntry.descriptors` names what was staged with `tp_descriptors_stage`.
pub const send_flag_descriptors: u8 = 4;

/// Most descriptors of one message.
pub const message_descriptors_max: u32 = 8;
/// Of a datagram: it goes to the address at the same place in the array of addresses.
pub const send_flag_addressed: u8 = 4;

/// 32 bytes. Common head of every submission: operation, flags, slot, generation.
pub const HandleEntry = extern struct {
    operation: Operation,
    flags: u8,
    reserved: u16,
    slot: u32,
    generation: u32,
    /// `want_drain`: what the refused message needs: places in send queues, bytes of its own, and
    /// bytes of buffers to copy it to.
    parts: u32,
    length: u32,
    buffer_bytes: u32,
    padding: [2]u32,
};

pub const SendEntry = extern struct {
    operation: Operation,
    /// `send_flag_move`: the script's own reference on the buffer moves into the queue.
    /// `send_flag_answer`: sent by the connection's own data handler; while more than half the
    /// high-water mark of such bytes waits, no more data is delivered.
    flags: u8,
    reserved: u16,
    /// The connection.
    slot: u32,
    generation: u32,
    buffer: u32,
    buffer_generation: u32,
    /// Bytes from the buffer's start.
    offset: u32,
    length: u32,
    descriptors: u32,
};

pub const DatagramEntry = extern struct {
    operation: Operation,
    /// `send_flag_move` as in a `SendEntry`. `send_flag_addressed`; without it the datagram goes to
    /// the peer of a connected socket.
    flags: u8,
    /// 0, or bytes of each of the datagrams that the bytes are cut into, the last one's excepted.
    segment_bytes: u16,
    /// The socket.
    slot: u32,
    generation: u32,
    buffer: u32,
    buffer_generation: u32,
    /// Bytes from the buffer's start.
    offset: u32,
    /// May be 0.
    length: u32,
    padding: u32,
};

pub const BufferEntry = extern struct {
    operation: Operation,
    flags: u8,
    reserved: u16,
    padding: [2]u32,
    buffer: u32,
    buffer_generation: u32,
    tail: [3]u32,
};

pub const TimerEntry = extern struct {
    operation: Operation,
    flags: u8,
    reserved: u16,
    /// The timer's slot, chosen by the script, below `LoopOptions.max_timers`.
    slot: u32,
    /// Chosen by the script; comes back in the completion.
    generation: u32,
    padding: u32,
    /// From now, in microseconds: finite, not negative, at most 2^53.
    delay_us: f64,
    /// 0: one shot. Otherwise at least 1, in microseconds.
    period_us: f64,
};

/// The answer to `unsegmented`.
pub const SegmentEntry = extern struct {
    operation: Operation,
    /// 1: what follows the consumed bytes is no message, and the connection ends.
    flags: u8,
    reserved: u16,
    /// The connection.
    slot: u32,
    generation: u32,
    /// Bytes from the first on that were whole messages.
    consumed: u32,
    /// Bytes of the message that follows them, more than there are; 0 while that is not known.
    needed: u32,
    padding: [3]u32,
};

pub const segment_flag_invalid: u8 = 1;

/// What a completion reports.
pub const Event = enum(u32) {
    none = 0,
    /// A connection is open. `result`: its listener's slot, or -1 for one of our own connects.
    open = 1,
    /// `length` bytes arrived in `buffer` at `offset`; borrowed until the next turn.
    data = 2,
    /// The peer ended its direction; nothing more will arrive.
    end = 3,
    /// Room again after `want_drain`.
    drain = 4,
    /// The connection is gone and its slot may be given out again. `result`: 0 or a negative
    /// status.
    closed = 5,
    /// A timer fired. `slot`, `generation`: as given at its start.
    timer = 6,
    /// Accepting failed for now (`result`: a negative errno); the listener tries again by itself.
    listener_error = 7,
    /// A listener is gone and its slot may be given out again.
    listener_closed = 8,
    /// Nothing here uses the adopted memory `buffer` any more.
    memory_released = 9,
    /// A watched descriptor is ready (`result`: `ready_readable` and its like), or can be watched
    /// no longer (`result`: a negative status) and its slot may be given out again.
    ready = 10,
    /// Somebody rang the doorbell `slot`, once or more often.
    rung = 11,
    /// A message arrived; borrowed until the next turn. `result`: how many `message_part` follow at
    /// once with the rest of it.
    message = 12,
    message_part = 13,
    /// Bytes arrived of which only the script's segmenter can tell where messages end; borrowed
    /// until the next turn. No more of them come before the connection's `segment`.
    unsegmented = 14,
    /// The lookup `slot` ended. `result`: how many addresses there are, which `tp_resolve_report`
    /// tells, or a negative status, after which the lookup is gone.
    resolved = 15,
    /// An attempt of a connection to a name failed with `result`; the connection goes on while
    /// there are others. `buffer`, `buffer_generation`, `offset` and `length` are its IPv6 address,
    /// an IPv4 one as ::ffff:0:0/96 has it.
    attempt_failed = 16,
    /// A connection that was to be detached rests: it may be taken or handed off. `result`: 0, or
    /// the error that it ended with.
    detached = 17,
    /// Descriptors came with the bytes that the connection's next `data` tells of. `result` and
    /// `buffer_generation`: what `tp_descriptors_read` reads them by.
    descriptors = 18,
    /// A datagram of `length` bytes arrived in `buffer` at `offset`; borrowed until the next turn.
    /// `result`: `datagram_truncated`, and its ECN bits above `datagram_ecn_shift`. Who sent it,
    /// and more, is at the same place in the array of sources.
    datagram = 19,
    /// Something failed that concerns single datagrams (`result`: a negative status), at the
    /// `Syscall` `length`. The socket goes on.
    socket_error = 20,
    /// Room again after `socket_want_drain`.
    socket_drain = 21,
    /// A datagram socket is gone and its slot may be given out again. `result`: 0 or a negative
    /// status.
    socket_closed = 22,
};

/// The datagram was longer than a buffer: its end is lost.
pub const datagram_truncated: u32 = 1;
pub const datagram_ecn_shift: u32 = 1;
/// Where in its buffer a datagram starts: bytes that a buffer has less for it.
pub const datagram_offset: u32 = 256;

/// 32 bytes.
pub const Completion = extern struct {
    event: Event,
    slot: u32,
    generation: u32,
    result: i32,
    buffer: u32,
    buffer_generation: u32,
    offset: u32,
    length: u32,
};

/// Counters since the loop was opened. Doubles, so that a script reads them without BigInt.
pub const Counters = extern struct {
    turns: f64,
    /// System calls made by the backend and by sends and receives.
    system_calls: f64,
    /// Turns that slept in the kernel.
    sleeps: f64,
    /// Passes made while polling without finding work.
    spins: f64,
    /// Changes between sleeping and polling.
    transitions: f64,
    accepted: f64,
    connected: f64,
    closed: f64,
    received_bytes: f64,
    sent_bytes: f64,
    /// Submissions that named nothing or were malformed, and were dropped.
    rejected: f64,
    /// Times receiving stopped because no buffer was free.
    starved: f64,
    /// Sends that asked the kernel not to copy, and those of them that it copied after all.
    zero_copied: f64,
    zero_copy_copied: f64,
    /// Bytes that relays have taken from one connection for another.
    relayed_bytes: f64,
    datagrams_received: f64,
    datagrams_sent: f64,
    /// Datagrams that the kernel refused to send.
    datagrams_refused: f64,
    /// Datagrams that the kernel dropped before they could be received, as far as it told.
    datagrams_dropped: f64,
};

pub const header_bytes: u32 = 512;

/// Start of a loop's shared region. After it, at the offsets that `LoopOptions` names: submissions,
/// completions, one u32 per connection slot, then per datagram socket, with the bytes queued to
/// send, an f64 per connection slot with the bytes that its relay has taken from it, an address per
/// submission, and a `Source` per completion.
pub const Header = extern struct {
    /// Written by native code at each turn, in microseconds of the loop's clock.
    now_us: f64,
    /// The earliest timer, in microseconds of the loop's clock; negative when there is none.
    next_timer_us: f64,
    counters: Counters,
    /// Generation that belongs to the slot or buffer that the last call returned.
    result_generation: u32,
    /// Bytes of the buffer that the last call returned.
    result_bytes: u32,
    /// `Syscall` behind the last negative result.
    error_syscall: u32,
    /// Buffers on which the script owns references.
    leases: u32,
    /// Buffers in use: leased, borrowed, held back, or waiting to be sent.
    buffers_in_use: u32,
    /// Sends that can still be queued in this loop.
    free_sends: u32,
    /// Address written by `tp_connection_address` and `tp_listener_address`.
    address: Address,
    /// Open connections, listeners and watches.
    open_connections: u32,
    open_listeners: u32,
    open_watches: u32,
    /// Where in the buffer that the last call returned its bytes begin.
    result_offset: u32,
    open_sockets: u32,
    /// Datagrams that can still be queued in this loop.
    free_datagrams: u32,
    /// `SocketOption` that the last negative result is about, or `option_unset`.
    error_option: u32,
};

/// What an `Address` holds; the values of IP are their versions.
pub const AddressFamily = enum(u32) {
    /// A path in the file system, or a name that begins with a zero byte (Linux).
    unix = 1,
    /// The name of a listener of this process.
    inproc = 2,
    /// A descriptor that listens already, whose number stands in `port`. Only of `ListenOptions`.
    descriptor = 3,
    ipv4 = 4,
    ipv6 = 6,
};

/// Most bytes of a Unix path or of an in-process name.
pub const address_bytes_max: u32 = 108;

/// Where to listen and what to connect to.
pub const Address = extern struct {
    /// `AddressFamily`.
    family: u32,
    /// IP only, in host order.
    port: u32,
    /// IPv6 scope (interface index), 0 for none.
    scope: u32,
    /// Bytes of a path or name; 0 for a Unix socket without one, and for IP.
    length: u32,
    /// IP in network order (IPv4 uses the first four), or a path or name.
    bytes: [address_bytes_max]u8,
};

/// Bytes from one address to the next in the array of addresses, each of which is an `Address`.
pub const address_stride: u32 = 128;
/// Bytes from one `Source` to the next.
pub const source_stride: u32 = 192;

/// Who sent a datagram, and what is known of its way.
pub const Source = extern struct {
    /// Bytes of each but the last of the datagrams that came as one; 0 for a single one.
    segment_bytes: u32,
    /// The index of the interface at which it came, 0 where that was not asked for.
    interface: u32,
    /// `AddressFamily` of the address that it was sent to, 0 where that was not asked for.
    local_family: u32,
    /// Up to here and for IPv4 all that is touched lies within one line of a cache.
    address: Address,
    /// In network order.
    local: [16]u8,
};

/// The size of the pages behind a slab.
pub const Pages = enum(u32) {
    /// What the machine pages with, 4 KiB on most.
    small = 0,
    /// 2 MiB, reserved by the administrator.
    huge_2m = 1,
    /// 1 GiB, reserved by the administrator.
    huge_1g = 2,
    /// Never asked for: small pages that the kernel may join to 2 MiB.
    transparent = 3,
};

/// A wish with a default.
pub const Wish = enum(u32) { default = 0, no = 1, yes = 2 };

/// Bytes that buffers are measured in: the smallest size class.
pub const buffer_unit: u32 = 512;
/// Where a buffer's slab stands in its name; below it is the unit in the slab at which it starts.
pub const buffer_slab_shift: u32 = 21;

/// Bits of `LoopOptions.granted_features` and `BackendReport.granted`: what an io_uring backend
/// works with.
pub const RingFeature = enum(u32) {
    /// The ring is entered by its place among the thread's registered rings (Linux 5.18).
    registered_ring = 1,
    /// Connections are registered files (from 6.14 on).
    registered_files = 2,
    /// A thread of the kernel takes submissions.
    sqpoll = 4,
    /// Long sends are not copied (Linux 6.1).
    zero_copy = 8,
    /// A receive fills several buffers at once (from 6.17 on).
    bundles = 16,
    /// A receive uses no more of a buffer than it needs (from 6.17 on).
    incremental = 32,
    /// A turn may wait for several completions (Linux 6.12).
    min_wait = 64,
    /// Waits poll the network device (Linux 6.9).
    napi = 128,
    /// The kernel can share registered buffers between rings (Linux 6.12).
    clone_buffers = 256,
    /// The kernel takes messages to a ring from a thread without one (Linux 6.13).
    send_message = 512,
};

/// In: what is asked for, zero meaning the default. Out: what was granted, and after a failure why.
pub const LoopOptions = extern struct {
    /// `@sizeOf(LoopOptions)`.
    size: u32,
    backend: u32,
    mode: u32,
    clock: u32,
    /// 1 to 1,048,576. Default 65,536.
    max_connections: u32,
    /// 1 to 4,096. Default 64.
    max_listeners: u32,
    /// 1 to 65,536. Default 1,024.
    max_watches: u32,
    /// Datagram sockets, 1 to 65,536. Default 1,024.
    max_sockets: u32,
    /// `Trigger`, for `epoll` and `kqueue`.
    trigger: u32,
    /// 1 to 1,048,576. Default 65,536.
    max_timers: u32,
    /// Entries of the submission and of the completion array, a power of two, 64 to 65,536.
    /// Default 4,096.
    entries: u32,
    /// Bytes of a receive buffer, a power of two, 512 to 1,048,576. Default 16,384.
    buffer_size: u32,
    /// Buffers that the backend holds for receiving, a power of two, 8 to 32,768, at most half of
    /// the pool. Default 1,024, or fewer in a small pool.
    receive_buffers: u32,
    /// Most memory for this loop's buffers, in KiB, at least one slab. Default 262,144.
    max_kib: u32,
    /// Bytes mapped at a time, in KiB, a power of two, 64 to 1,048,576. Default: a 32nd of
    /// `max_kib`, at least 8,192 where that is not more than `max_kib`.
    slab_kib: u32,
    /// `Pages`, not `transparent`.
    pages: u32,
    /// `Wish`: lock slabs in memory, page by page as they are touched. Default yes.
    lock: u32,
    /// `Wish`: touch every page when a slab is mapped. Default no.
    prefault: u32,
    /// 0: any; else 1 + the NUMA node, at most 1,024, that slabs are bound to.
    numa_node: u32,
    /// `Wish`: register slabs with the backend. Default no.
    fixed_buffers: u32,
    /// `Wish`: fail when a slab does not get what was asked for. Default no.
    strict: u32,
    /// `Wish`: overwrite buffers when they become free. Default no.
    poison: u32,
    /// Buffers that must be released after one before it is given out again, at most 65,536.
    quarantine_count: u32,
    /// How long a released buffer is not given out again, in milliseconds, at most 3,600,000.
    quarantine_ms: u32,
    /// Longest time to poll before sleeping in adaptive mode, in microseconds, 1 to 1,000,000; for
    /// other loops of the process four times as long. Default 50.
    spin_ceiling_us: u32,
    /// io_uring. `Wish`: a thread of the kernel takes submissions. Default no.
    sqpoll: u32,
    /// How long that thread looks for work before it sleeps, in milliseconds, at most 60,000.
    /// Default 1,000.
    sqpoll_idle_ms: u32,
    /// 0: any; else 1 + the CPU, at most 4,096, that it runs on.
    sqpoll_cpu: u32,
    /// io_uring. Sends of at least so many bytes are not copied, at most 1,073,741,824. Default 0:
    /// none.
    zero_copy_bytes: u32,
    /// io_uring. How long a turn that sleeps waits for `min_wait_count` completions before fewer
    /// end it, in microseconds, at most 1,000,000. Default 0: the first completion ends it.
    min_wait_us: u32,
    /// 1 to 4,096. Default 32.
    min_wait_count: u32,
    /// io_uring. How long a wait polls the network device, in microseconds, at most 1,000,000.
    /// Default 0: not at all.
    napi_us: u32,
    /// io_uring. `Wish`: a receive fills several buffers at once. Default no.
    bundles: u32,
    /// io_uring. `Wish`: a receive uses no more of a buffer than it needs. Default no.
    incremental_buffers: u32,
    /// `Wish`: do without what the kernel refuses of the io_uring options. Default no.
    best_effort: u32,
    /// Out.
    shared_bytes: u32,
    submissions_offset: u32,
    completions_offset: u32,
    queued_offset: u32,
    /// Out: of the first datagram socket's queued bytes, of addresses, and of sources.
    socket_queued_offset: u32,
    addresses_offset: u32,
    sources_offset: u32,
    /// Out: `Reason`, errno and `Syscall` of a failure.
    error_reason: u32,
    error_errno: u32,
    error_syscall: u32,
    /// Out: index of the field of this struct (0 is `size`) that is out of range.
    error_detail: u32,
    /// Out: set-up flags that the kernel granted (io_uring), for `capabilities`.
    granted_flags: u32,
    /// Out: rung of the set-up ladder, 0 is the best.
    rung: u32,
    /// Out: bits of `RingFeature`.
    granted_features: u32,
    /// Out: which pool of the process transferred buffers belong to.
    pool_key: u32,
    /// Out.
    relayed_offset: u32,
};

/// How much of a wish for memory was granted.
pub const MemoryGrant = extern struct {
    /// What was asked for: `Pages`, 0 or 1, or 1 + the NUMA node.
    asked: u32,
    /// What the slab that got least has.
    granted: u32,
    /// Slabs that have what was asked for.
    slabs: u32,
    /// Of the first refusal; 0 for none.
    error_errno: u32,
};

/// The memory of a loop and of the slabs behind it. Bytes are doubles: they may exceed 32 bits.
pub const PoolReport = extern struct {
    size: u32,
    /// Slabs of this kind in the process, shared by its loops.
    slabs: u32,
    slab_bytes: f64,
    /// Most that this loop's buffers may take.
    max_bytes: f64,
    /// What they take: the sum of the following five.
    held_bytes: f64,
    /// Leased, borrowed, held back, or waiting to be sent.
    in_use_bytes: f64,
    /// Given to the backend for receiving.
    receive_bytes: f64,
    /// Free, in the loop's own cache.
    cached_bytes: f64,
    /// Released, and not to be given out yet.
    quarantined_bytes: f64,
    /// Transferred, and not received anywhere yet.
    in_transit_bytes: f64,
    /// Slabs' bytes that no loop holds.
    free_bytes: f64,
    /// Slabs' bytes that the kernel may still write to for loops that are closed.
    lost_bytes: f64,
    /// Memory of the application that is adopted.
    adopted_bytes: f64,
    /// Times that no buffer was to be had.
    refused: f64,
    /// Times that a buffer left its quarantine early because there was no other.
    released_early: f64,
    buffers_in_use: u32,
    leases: u32,
    pages: MemoryGrant,
    lock: MemoryGrant,
    prefault: MemoryGrant,
    numa: MemoryGrant,
    /// Slabs registered with this loop's backend.
    fixed: MemoryGrant,
};

/// Memory of the application.
pub const AdoptOptions = extern struct {
    size: u32,
    /// The address, in two halves.
    address_low: u32,
    address_high: u32,
    /// 1 to 1,073,741,824.
    bytes: u32,
};

pub const ListenOptions = extern struct {
    size: u32,
    address: Address,
    /// 1 to 65,535. Default 4,096 (the kernel caps it at net.core.somaxconn).
    backlog: u32,
    /// Unix paths. 1: a socket at the path on which nobody listens any more is removed.
    unlink_stale: u32 = 0,
    /// Unix paths. Permissions of the file, 0 to 0o777, or `option_unset`: what the umask leaves.
    mode: u32 = option_unset,
    stream: StreamOptions,
};

pub const ConnectOptions = extern struct {
    size: u32,
    address: Address,
    /// 0: the kernel's own limit (about two minutes).
    timeout_ms: u32,
    stream: StreamOptions,
    /// Bytes of `name`; 0 connects to `address`. Else the name's addresses are tried at
    /// `address.port`: those of `address.family`, where 0 stands for both.
    name_length: u32 = 0,
    /// How long to wait for the name's addresses: 1 to 3,600,000, or 0 for no limit of its own.
    resolve_timeout_ms: u32 = 0,
    /// How long one attempt is given before the next begins beside it: 10 to 2,000.
    attempt_delay_ms: u32 = 0,
    name: [name_bytes_max]u8 = @splat(0),
};

/// Room for a host name, with a dot at its end.
pub const name_bytes_max: u32 = 256;
/// Most addresses of one name.
pub const resolved_max: u32 = 32;
/// Most bytes of a path in `ResolverFiles`.
pub const path_bytes_max: u32 = 256;

/// A name to look up.
pub const ResolveOptions = extern struct {
    size: u32,
    /// `AddressFamily` of IP, or 0 for both.
    family: u32,
    /// 0: no limit of its own. At most 3,600,000.
    timeout_ms: u32,
    name_length: u32,
    name: [name_bytes_max]u8,
};

/// What a lookup found, in the order in which to try it.
pub const ResolveReport = extern struct {
    size: u32,
    /// In: the lookup.
    slot: u32,
    generation: u32,
    /// Out, as everything below: how many addresses there are.
    count: u32,
    /// `AddressFamily` of each.
    families: [resolved_max]u32,
    /// IPv6 scope of each, 0 for none.
    scopes: [resolved_max]u32,
    /// 16 bytes for each, as in `Address`.
    bytes: [16 * resolved_max]u8,
};

/// Files that say how this process resolves names, instead of the system's own.
pub const ResolverFiles = extern struct {
    size: u32,
    /// Bytes of the paths; 0 changes nothing.
    hosts_length: u32,
    config_length: u32,
    /// As hosts(5).
    hosts: [path_bytes_max]u8,
    /// As resolv.conf(5).
    config: [path_bytes_max]u8,
};

/// Two connections that are to be joined.
pub const RelayOptions = extern struct {
    size: u32,
    first_slot: u32,
    first_generation: u32,
    second_slot: u32,
    second_generation: u32,
    /// Bytes that may wait at one side before the other is not read any more. At least two buffers.
    high_water_mark: u32,
    /// 0: none. Else both end with `idle_timeout` when no byte has moved in either direction for so
    /// long, in milliseconds, at most 1,073,741,824.
    idle_timeout_ms: u32,
    /// The same once one direction has ended; 0: as before.
    half_open_timeout_ms: u32,
};

/// A connection that comes from elsewhere.
pub const ConnectionOptions = extern struct {
    size: u32,
    /// `tp_connection_adopt`: the descriptor.
    descriptor: u32,
    /// `tp_connection_receive`: what is in transit, and the process in which it is.
    slot: u32,
    generation: u32,
    pool_key: u32,
    /// `tp_connection_receive`: 1 for `stream`, 0 for what the connection had.
    has_stream: u32,
    stream: StreamOptions,
};

/// What a datagram socket is opened with.
pub const BindOptions = extern struct {
    size: u32,
    /// Family 0: a Unix socket without a name.
    address: Address,
    /// Family 0: none. Else the only one that datagrams come from and go to.
    remote: Address,
    /// Bytes that may wait to be sent before `send` answers `full`. At least two buffers.
    high_water_mark: u32,
    /// How long a closed socket goes on sending what is queued.
    linger_timeout_ms: u32,
    /// Receive buffers that the socket may hold: delivered and not released, held back, or waiting
    /// to be sent on. 1 to 65,536.
    receive_credits: u32,
    /// 0 or 1 each: what is received may be several datagrams as one (UDP_GRO), which needs buffers
    /// of 131,072 bytes;
    receive_segments: u32,
    /// sources tell the local address and the interface;
    tell_local: u32,
    /// sources tell ECN bits;
    tell_ecn: u32,
    /// what the kernel drops is counted, which costs a little for each datagram;
    tell_drops: u32,
    /// runs of datagrams of one size to one address are given to the kernel as one (UDP_SEGMENT).
    send_segments: u32,
    socket: SocketOptions,
};

/// What a `SocketRequest` asks for.
pub const SocketAction = enum(u32) {
    /// Set `option` to `value`.
    set_option = 0,
    /// Read `option` to `value`.
    get_option = 1,
    /// Receive what is sent to `group`, by anybody or by `source`.
    join = 2,
    leave = 3,
};

/// Something asked of an open datagram socket.
pub const SocketRequest = extern struct {
    size: u32,
    slot: u32,
    generation: u32,
    /// `SocketAction`.
    action: u32,
    /// `SocketOption`.
    option: u32,
    /// In or out.
    value: u32,
    /// Index of the interface of a group; 0 for the one that the routing table gives.
    interface: u32,
    group: Address,
    /// Family 0: anybody.
    source: Address,
};

/// What a connection is opened with; a listener gives it to each connection it accepts.
pub const StreamOptions = extern struct {
    /// Bytes that may wait to be sent before `send` answers `full`. At least two buffers.
    high_water_mark: u32,
    /// How long a closed connection waits for a peer that does nothing.
    linger_timeout_ms: u32,
    /// 1: the script handles the peer's end itself; 0: the connection then closes by itself.
    allow_half_open: u32,
    /// Receive buffers that the connection may hold: delivered and not released, held back, or
    /// waiting to be sent on. 1 to 65,536.
    receive_credits: u32,
    /// 0: none. Else the connection ends with `idle_timeout` when no byte has moved in either
    /// direction for so long, in milliseconds, at most 1,073,741,824.
    idle_timeout_ms: u32,
    /// 1: descriptors may come with the bytes, and may be sent. Unix sockets only.
    descriptors: u32 = 0,
    /// 1: do without the socket options that this system or such a socket does not have, or that
    /// the kernel refuses. 0: each of these is an error.
    best_effort: u32 = 0,
    socket: SocketOptions,
    segmenter: Segmenter,
};

/// What a `SocketControl` is about.
pub const SocketKind = enum(u32) { connection = 0, listener = 1 };

/// Options of what is open already, to be changed or read.
pub const SocketControl = extern struct {
    size: u32,
    /// `SocketKind`.
    kind: u32,
    slot: u32,
    generation: u32,
    /// As in `StreamOptions`, or `option_unset`: it stays. Read: the value.
    idle_timeout_ms: u32,
    /// As in `StreamOptions`.
    best_effort: u32,
    /// Changed: what is set. Read: each that is set becomes its value, or `option_unset` where such
    /// a socket has none.
    socket: SocketOptions,
};

/// Who is at the other end of a Unix connection, as it was when it connected or listened.
pub const PeerCredentials = extern struct {
    size: u32,
    /// The connection.
    slot: u32,
    generation: u32,
    /// Out: the process, 0 where the system does not tell or it is not of this PID namespace.
    pid: u32,
    uid: u32,
    gid: u32,
};

/// Options of the kernel's sockets. Values are numbers; for switches 0 or 1.
pub const SocketOption = enum(u32) {
    /// TCP_NODELAY: small messages leave at once.
    no_delay = 0,
    /// TCP_CORK, elsewhere TCP_NOPUSH: partial segments wait for more.
    cork = 1,
    /// TCP_QUICKACK: the kernel takes it back by itself.
    quick_ack = 2,
    /// TCP_FASTOPEN: of a listener how many may wait; TCP_FASTOPEN_CONNECT otherwise.
    fast_open = 3,
    /// SO_KEEPALIVE.
    keep_alive = 4,
    /// TCP_KEEPIDLE, in seconds.
    keep_alive_idle_s = 5,
    /// TCP_KEEPINTVL, in seconds.
    keep_alive_interval_s = 6,
    /// TCP_KEEPCNT.
    keep_alive_count = 7,
    /// TCP_USER_TIMEOUT, in milliseconds.
    user_timeout_ms = 8,
    /// SO_SNDBUF and SO_RCVBUF, in bytes. Linux reads back twice what was asked for.
    send_buffer = 9,
    receive_buffer = 10,
    /// SO_BUSY_POLL, in microseconds.
    busy_poll_us = 11,
    /// IP_TOS, IPV6_TCLASS.
    type_of_service = 12,
    /// SO_MARK.
    mark = 13,
    /// SO_PRIORITY.
    priority = 14,
    /// SO_REUSEADDR.
    reuse_address = 15,
    /// SO_REUSEPORT, on FreeBSD SO_REUSEPORT_LB.
    reuse_port = 16,
    /// IPV6_V6ONLY.
    ipv6_only = 17,
    /// IP_TTL, IPV6_UNICAST_HOPS.
    ttl = 18,
    /// SO_BROADCAST.
    broadcast = 19,
    /// IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS.
    multicast_ttl = 20,
    /// IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP.
    multicast_loop = 21,
    /// IP_MULTICAST_IF, IPV6_MULTICAST_IF: an interface's index.
    multicast_interface = 22,
};

pub const socket_option_count: u32 = @typeInfo(SocketOption).@"enum".fields.len;

/// A value that leaves the option as the kernel has it.
pub const option_unset: u32 = 0xffff_ffff;

/// One value per `SocketOption`, or `option_unset`.
pub const SocketOptions = extern struct {
    values: [socket_option_count]u32,
};

pub const SegmenterKind = enum(u32) {
    /// Bytes are `data`, as they come.
    none = 0,
    /// A header with a field that names the length.
    length = 1,
    /// A delimiter ends each message.
    line = 2,
    /// All are of one length.
    fixed = 3,
    /// The script tells, see `unsegmented`.
    script = 4,
};

/// Bits of `Segmenter.flags`. The header or the delimiter is not shown.
pub const segment_stripped: u32 = 1;
/// The length field is little-endian.
pub const segment_little: u32 = 2;
/// The length field is an unsigned LEB128 number.
pub const segment_varint: u32 = 4;
/// A carriage return before the delimiter, a newline, is part of it.
pub const segment_carriage_return: u32 = 8;
/// A message across buffers is shown in its parts.
pub const segment_scattered: u32 = 16;
pub const segment_flags: u32 = 31;

/// How a connection's bytes become messages. What its kind does not name is ignored.
pub const Segmenter = extern struct {
    /// `SegmenterKind`.
    kind: u32,
    flags: u32,
    /// Most bytes of a message with its header or delimiter: 1 to half of what the pool has for
    /// messages, and at most a slab.
    max_length: u32,
    /// `length`: bytes before the length field, 0 to 255.
    field_offset: u32,
    /// `length`: its bytes, 1 to 8; of a LEB128 number the most that it may have, 1 to 10.
    field_width: u32,
    /// `length`: all bytes of the header, up to 512, at least those up to the field's end; 0 with
    /// `segment_varint`, whose field ends the header.
    header_bytes: u32,
    /// `length`: added to the field's value, which makes the bytes after the header; -2^30 to 2^30.
    adjustment: i32,
    /// `fixed`: 1 to `max_length`.
    fixed_bytes: u32,
    /// `line`: 1 to 16.
    delimiter_bytes: u32,
    delimiter: [16]u8,
};

/// What to do with a connection's bytes from now on.
pub const SegmenterOptions = extern struct {
    size: u32,
    /// The connection.
    slot: u32,
    generation: u32,
    /// Completions of the last turn that the script has dealt with. Bytes of later ones are
    /// segmented again.
    dispatched: u32,
    /// Where the last of them is `unsegmented`: bytes of it that were whole messages.
    consumed: u32,
    segmenter: Segmenter,
};

/// What this machine offers, per backend.
pub const BackendReport = extern struct {
    available: u32,
    reason: u32,
    error_errno: u32,
    syscall: u32,
    /// io_uring: granted set-up flags, kernel feature bits, rung of the ladder.
    flags: u32,
    features: u32,
    rung: u32,
    /// Bits of `RingFeature`: what a loop may be granted.
    granted: u32,
};

pub const MachineReport = extern struct {
    size: u32,
    page_bytes: u32,
    cpus_online: u32,
    /// CPUs that this thread may run on.
    cpus_allowed: u32,
    /// RLIMIT_MEMLOCK and RLIMIT_NOFILE, in bytes and descriptors; -1 for unlimited.
    memory_lock_limit: f64,
    descriptor_limit: f64,
    kernel_major: u32,
    kernel_minor: u32,
    kernel_patch: u32,
    /// kernel.io_uring_disabled: 0, 1 or 2; 3 when it cannot be read.
    io_uring_disabled: u32,
    threads: u32,
    /// Huge pages that the administrator has reserved, and those of them that are free.
    huge_2m_total: u32,
    huge_2m_free: u32,
    huge_1g_total: u32,
    huge_1g_free: u32,
    /// /sys/kernel/mm/transparent_hugepage/enabled: 0 unknown, 1 always, 2 madvise, 3 never.
    transparent: u32,
    numa_nodes: u32,
    padding: u32,
    io_uring: BackendReport,
    epoll: BackendReport,
    kqueue: BackendReport,
    select: BackendReport,
};

/// `tp_loop_turn`: polling before sleeping is allowed.
pub const turn_flag_spin: u32 = 1;
/// `wait_us` that means "until something happens".
pub const wait_forever: u32 = 0xffff_ffff;
/// No slot: the value of an absent slot or buffer.
pub const no_slot: u32 = 0xffff_ffff;

pub const Type = enum {
    u32,
    i32,
    /// Bytes of the script, valid during the call.
    buffer,
    /// Address of native memory; null when there is none.
    pointer,

    pub fn Zig(comptime self: Type) type {
        return switch (self) {
            .u32 => u32,
            .i32 => i32,
            .buffer => [*]u8,
            .pointer => ?[*]u8,
        };
    }
};

pub const Parameter = struct { []const u8, Type };

pub const Function = struct {
    name: []const u8,
    parameters: []const Parameter,
    result: Type,
    about: []const u8,
};

/// Every exported function. At most four arguments, none of 64 bits: those would be a BigInt.
pub const functions = [_]Function{
    .{
        .name = "tp_abi_version",
        .parameters = &.{},
        .result = .u32,
        .about = "The library's `abi_version`.",
    },
    .{
        .name = "tp_layout_hash",
        .parameters = &.{},
        .result = .u32,
        .about = "The library's `layout_hash`.",
    },
    .{
        .name = "tp_probe",
        .parameters = &.{ .{ "report", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Fills a `MachineReport` whose `size` is set.",
    },
    .{
        .name = "tp_loop_open",
        .parameters = &.{ .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Opens a loop for the calling thread. A handle, or a negative status.",
    },
    .{
        .name = "tp_loop_close",
        .parameters = &.{.{ "loop", .u32 }},
        .result = .i32,
        .about = "Resets every connection, closes every listener, gives the loop back.",
    },
    .{
        .name = "tp_loop_region",
        .parameters = &.{.{ "loop", .u32 }},
        .result = .pointer,
        .about = "Start of the shared region, which stays mapped for the life of the process.",
    },
    .{
        .name = "tp_slab",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slab", .u32 } },
        .result = .pointer,
        .about = "Start of a slab, which stays mapped for the life of the process.",
    },
    .{
        .name = "tp_slab_bytes",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slab", .u32 } },
        .result = .i32,
        .about = "Bytes of a slab, or a negative status.",
    },
    .{
        .name = "tp_loop_turn",
        .parameters = &.{
            .{ "loop", .u32 },
            .{ "submissions", .u32 },
            .{ "wait_us", .u32 },
            .{ "flags", .u32 },
        },
        .result = .i32,
        .about = "One turn: takes the submissions, enters the kernel, leaves completions. " ++
            "Sleeps at most `wait_us`. The number of completions, or a negative status.",
    },
    .{
        .name = "tp_loop_submit",
        .parameters = &.{ .{ "loop", .u32 }, .{ "submissions", .u32 } },
        .result = .i32,
        .about = "Takes the submissions without completing a turn, when the array is full.",
    },
    .{
        .name = "tp_loop_arm",
        .parameters = &.{.{ "loop", .u32 }},
        .result = .i32,
        .about = "Before the host sleeps: 1 when the wake descriptor will be readable at the " ++
            "next event, 0 when there is work already.",
    },
    .{
        .name = "tp_loop_wake_descriptor",
        .parameters = &.{.{ "loop", .u32 }},
        .result = .i32,
        .about = "A new stream descriptor, owned by the caller, that gets a byte per wake-up.",
    },
    .{
        .name = "tp_clock_advance",
        .parameters = &.{ .{ "loop", .u32 }, .{ "us_low", .u32 }, .{ "us_high", .u32 } },
        .result = .i32,
        .about = "Moves a virtual clock forward, to 2^63 ns at most.",
    },
    .{
        .name = "tp_listen",
        .parameters = &.{ .{ "loop", .u32 }, .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Listens (`ListenOptions`). The listener's slot, or a negative status.",
    },
    .{
        .name = "tp_listener_address",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slot", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "Writes the bound address to `Header.address`.",
    },
    .{
        .name = "tp_connect",
        .parameters = &.{ .{ "loop", .u32 }, .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Starts to connect (`ConnectOptions`). The connection's slot or a status.",
    },
    .{
        .name = "tp_connection_address",
        .parameters = &.{
            .{ "loop", .u32 },
            .{ "slot", .u32 },
            .{ "generation", .u32 },
            .{ "remote", .u32 },
        },
        .result = .i32,
        .about = "Writes the local (0) or remote (1) address to `Header.address`.",
    },
    .{
        .name = "tp_connection_adopt",
        .parameters = &.{ .{ "loop", .u32 }, .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Takes over a connected stream socket (`ConnectionOptions`). The connection's " ++
            "slot, after which `open` follows, or a negative status: EBADF, ENOTSOCK, " ++
            "EPROTOTYPE, EAFNOSUPPORT, ENOTCONN, EINVAL where it listens, EEXIST where it is " ++
            "the loop's already.",
    },
    .{
        .name = "tp_connection_read",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slot", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "Of a detached connection that rests, the next buffer that was received and " ++
            "not delivered, with one reference of the script; ENOENT after the last. " ++
            "`Header.result_offset` and `result_bytes` tell what of it.",
    },
    .{
        .name = "tp_connection_take",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slot", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "The descriptor of a detached connection that rests: the caller's from now on, " ++
            "and the connection is gone.",
    },
    .{
        .name = "tp_connection_hand_off",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slot", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "Puts a detached connection that rests and travels in transit: its slot there.",
    },
    .{
        .name = "tp_connection_receive",
        .parameters = &.{ .{ "loop", .u32 }, .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Takes a connection in transit over (`ConnectionOptions`). Its slot, after " ++
            "which `open` follows and then what was received before; `Header.result_bytes` has " ++
            "its high-water mark, `result_offset` 1 where its direction was ended.",
    },
    .{
        .name = "tp_listener_share",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slot", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "Another descriptor of a listener, the caller's. From then on closing the " ++
            "listener leaves the others of its descriptors listening.",
    },
    .{
        .name = "tp_descriptors_stage",
        .parameters = &.{
            .{ "loop", .u32 },
            .{ "descriptors", .buffer },
            .{ "length", .u32 },
        },
        .result = .i32,
        .about = "Duplicates at most `message_descriptors_max` descriptors (i32) for a send: " ++
            "what its entry names, or EBADF, `exhausted`. `Header.result_generation` belongs " ++
            "to it.",
    },
    .{
        .name = "tp_descriptors_read",
        .parameters = &.{
            .{ "loop", .u32 },
            .{ "staged", .u32 },
            .{ "descriptors", .buffer },
            .{ "length", .u32 },
        },
        .result = .i32,
        .about = "Gives out descriptors that `descriptors` told of, as far as there is room for " ++
            "them behind their generation, and closes the others. How many.",
    },
    .{
        .name = "tp_descriptors_forgo",
        .parameters = &.{ .{ "loop", .u32 }, .{ "staged", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "Closes what was staged and will not be sent.",
    },
    .{
        .name = "tp_descriptor_close",
        .parameters = &.{.{ "descriptor", .i32 }},
        .result = .i32,
        .about = "Closes a descriptor that this library has given out. EBADF for any other.",
    },
    .{
        .name = "tp_descriptor_inherit",
        .parameters = &.{.{ "descriptor", .i32 }},
        .result = .i32,
        .about = "Takes a descriptor that the process was started with as given out, and keeps " ++
            "it from programs that are executed.",
    },
    .{
        .name = "tp_connection_segmenter",
        .parameters = &.{ .{ "loop", .u32 }, .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Makes messages of what a connection receives from now on " ++
            "(`SegmenterOptions`). 1 when completions of this turn are void, because their " ++
            "bytes come again; else 0.",
    },
    .{
        .name = "tp_relay",
        .parameters = &.{ .{ "loop", .u32 }, .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Joins two connections (`RelayOptions`): what arrives on one is sent on the " ++
            "other, from the next turn on. `busy` where one is relayed already, EPIPE where its " ++
            "direction was ended.",
    },
    .{
        .name = "tp_bind",
        .parameters = &.{ .{ "loop", .u32 }, .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Opens a datagram socket (`BindOptions`). Its slot, or a negative status.",
    },
    .{
        .name = "tp_socket_address",
        .parameters = &.{
            .{ "loop", .u32 },
            .{ "slot", .u32 },
            .{ "generation", .u32 },
            .{ "remote", .u32 },
        },
        .result = .i32,
        .about = "Writes a datagram socket's local (0) or remote (1) address to `Header.address`.",
    },
    .{
        .name = "tp_socket_request",
        .parameters = &.{ .{ "loop", .u32 }, .{ "request", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Reads or sets an option, joins or leaves a group (`SocketRequest`).",
    },
    .{
        .name = "tp_socket_configure",
        .parameters = &.{ .{ "loop", .u32 }, .{ "control", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Changes options of an open connection or listener (`SocketControl`). What a " ++
            "refusal is about is in `Header.error_option`; options before it are changed.",
    },
    .{
        .name = "tp_socket_read",
        .parameters = &.{ .{ "loop", .u32 }, .{ "control", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Reads options of an open connection or listener into its `SocketControl`.",
    },
    .{
        .name = "tp_peer_credentials",
        .parameters = &.{ .{ "loop", .u32 }, .{ "credentials", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Fills the `PeerCredentials` of a Unix connection. `unsupported` for others.",
    },
    .{
        .name = "tp_watch",
        .parameters = &.{ .{ "loop", .u32 }, .{ "descriptor", .i32 }, .{ "interest", .u32 } },
        .result = .i32,
        .about = "Watches a descriptor of the caller for `ready_readable`, `ready_writable`, or " ++
            "both, with `watch_edge` for changes only. The watch's slot, or a negative status: " ++
            "EBADF, EEXIST where the loop watches it already, EPERM where it is always ready.",
    },
    .{
        .name = "tp_watch_modify",
        .parameters = &.{
            .{ "loop", .u32 },
            .{ "slot", .u32 },
            .{ "generation", .u32 },
            .{ "interest", .u32 },
        },
        .result = .i32,
        .about = "Watches for something else. ENOENT where there is no such watch.",
    },
    .{
        .name = "tp_watch_remove",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slot", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "Ends a watch; its descriptor may be closed then. ENOENT where there is none.",
    },
    .{
        .name = "tp_doorbell",
        .parameters = &.{.{ "loop", .u32 }},
        .result = .i32,
        .about = "A new doorbell, which any thread of the process may ring: its slot.",
    },
    .{
        .name = "tp_doorbell_remove",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slot", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "Ends a doorbell.",
    },
    .{
        .name = "tp_doorbell_ring",
        .parameters = &.{ .{ "slot", .u32 }, .{ "generation", .u32 }, .{ "pool_key", .u32 } },
        .result = .i32,
        .about = "From any thread: `rung` follows on the doorbell's loop. `stale_handle` where " ++
            "it is gone, or is another process's.",
    },
    .{
        .name = "tp_buffer_take",
        .parameters = &.{ .{ "loop", .u32 }, .{ "bytes", .u32 } },
        .result = .i32,
        .about = "Takes a buffer of at least so many bytes for the script's own: its name, or " ++
            "`exhausted`. `Header.result_generation` and `result_bytes` tell the rest.",
    },
    .{
        .name = "tp_buffer_release",
        .parameters = &.{ .{ "loop", .u32 }, .{ "buffer", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "Gives one reference of the script back at once, for when no submission waits.",
    },
    .{
        .name = "tp_buffer_transfer",
        .parameters = &.{
            .{ "loop", .u32 },
            .{ "buffer", .u32 },
            .{ "generation", .u32 },
            .{ "references", .u32 },
        },
        .result = .i32,
        .about = "Puts a buffer in transit to another loop: `references` of the script and a " ++
            "borrow, if any, end. `busy` when there are others.",
    },
    .{
        .name = "tp_buffer_receive",
        .parameters = &.{
            .{ "loop", .u32 },
            .{ "buffer", .u32 },
            .{ "generation", .u32 },
            .{ "pool_key", .u32 },
        },
        .result = .i32,
        .about = "Takes a buffer in transit over, with one reference of the script. " ++
            "`Header.result_bytes` tells its size.",
    },
    .{
        .name = "tp_memory_adopt",
        .parameters = &.{ .{ "loop", .u32 }, .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Makes memory of the application (`AdoptOptions`) a buffer with one reference " ++
            "of the script: its name. `memory_released` follows the last reference.",
    },
    .{
        .name = "tp_pool_report",
        .parameters = &.{ .{ "loop", .u32 }, .{ "report", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Fills a `PoolReport` whose `size` is set.",
    },
    .{
        .name = "tp_resolve",
        .parameters = &.{ .{ "loop", .u32 }, .{ "options", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Looks a name up (`ResolveOptions`); `resolved` follows. The lookup's slot or " ++
            "a status.",
    },
    .{
        .name = "tp_resolve_report",
        .parameters = &.{ .{ "loop", .u32 }, .{ "report", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Fills a `ResolveReport` for a lookup that `resolved` told of; it is gone then.",
    },
    .{
        .name = "tp_resolve_cancel",
        .parameters = &.{ .{ "loop", .u32 }, .{ "slot", .u32 }, .{ "generation", .u32 } },
        .result = .i32,
        .about = "Ends a lookup, of which nothing is told any more.",
    },
    .{
        .name = "tp_resolver_files",
        .parameters = &.{ .{ "files", .buffer }, .{ "length", .u32 } },
        .result = .i32,
        .about = "Has this process resolve names by other files (`ResolverFiles`) from now on.",
    },
};

comptime {
    for (.{
        HandleEntry,
        SendEntry,
        DatagramEntry,
        BufferEntry,
        TimerEntry,
        SegmentEntry,
        Completion,
    }) |Entry| {
        std.debug.assert(@sizeOf(Entry) == 32);
    }
    std.debug.assert(@sizeOf(Header) <= header_bytes);
    std.debug.assert(@sizeOf(Address) <= address_stride);
    std.debug.assert(@sizeOf(Source) <= source_stride);
    for (.{
        HandleEntry,
        SendEntry,
        DatagramEntry,
        Source,
        BindOptions,
        SocketRequest,
        BufferEntry,
        TimerEntry,
        SegmentEntry,
        Completion,
        Counters,
        Header,
        Address,
        LoopOptions,
        MemoryGrant,
        PoolReport,
        AdoptOptions,
        ListenOptions,
        ConnectOptions,
        ResolveOptions,
        ResolveReport,
        ResolverFiles,
        RelayOptions,
        ConnectionOptions,
        StreamOptions,
        SocketOptions,
        SocketControl,
        PeerCredentials,
        Segmenter,
        SegmenterOptions,
        BackendReport,
        MachineReport,
    }) |Struct| {
        var end: usize = 0;
        for (@typeInfo(Struct).@"struct".fields) |field| {
            std.debug.assert(@offsetOf(Struct, field.name) == end);
            end += @sizeOf(field.type);
        }
        std.debug.assert(end == @sizeOf(Struct));
    }
}
