/* Written by zig/abi/generate.zig from zig/layout.zig; change the layout, not this. */
#ifndef TWINPOLL_H
#define TWINPOLL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__STDC_VERSION__) && __STDC_VERSION__ >= 201112L
#define TP_ASSERT_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), #type)
#elif defined(__cplusplus) && __cplusplus >= 201103L
#define TP_ASSERT_SIZE(type, bytes) static_assert(sizeof(type) == (bytes), #type)
#else
#define TP_ASSERT_SIZE(type, bytes) struct tp_size_is_checked_from_c11_on
#endif

#define TP_LAYOUT_HASH UINT32_C(0x764f14a6)
#define TP_ABI_VERSION UINT32_C(1)
#define TP_READY_READABLE UINT32_C(1)
#define TP_READY_WRITABLE UINT32_C(2)
#define TP_READY_ERROR UINT32_C(4)
#define TP_READY_HANGUP UINT32_C(8)
#define TP_WATCH_EDGE UINT32_C(16)
#define TP_LISTENER_FLAG_DRAIN UINT32_C(1)
#define TP_DETACH_FLAG_TRAVELS UINT32_C(1)
#define TP_ANSWER_RESERVE UINT32_C(4)
#define TP_SEND_FLAG_MOVE UINT32_C(1)
#define TP_SEND_FLAG_ANSWER UINT32_C(2)
#define TP_SEND_FLAG_DESCRIPTORS UINT32_C(4)
#define TP_MESSAGE_DESCRIPTORS_MAX UINT32_C(8)
#define TP_SEND_FLAG_ADDRESSED UINT32_C(4)
#define TP_SEGMENT_FLAG_INVALID UINT32_C(1)
#define TP_DATAGRAM_TRUNCATED UINT32_C(1)
#define TP_DATAGRAM_ECN_SHIFT UINT32_C(1)
#define TP_DATAGRAM_OFFSET UINT32_C(256)
#define TP_HEADER_BYTES UINT32_C(512)
#define TP_ADDRESS_BYTES_MAX UINT32_C(108)
#define TP_ADDRESS_STRIDE UINT32_C(128)
#define TP_SOURCE_STRIDE UINT32_C(192)
#define TP_BUFFER_UNIT UINT32_C(512)
#define TP_BUFFER_SLAB_SHIFT UINT32_C(21)
#define TP_NAME_BYTES_MAX UINT32_C(256)
#define TP_RESOLVED_MAX UINT32_C(32)
#define TP_PATH_BYTES_MAX UINT32_C(256)
#define TP_SOCKET_OPTION_COUNT UINT32_C(23)
#define TP_OPTION_UNSET UINT32_C(4294967295)
#define TP_SEGMENT_STRIPPED UINT32_C(1)
#define TP_SEGMENT_LITTLE UINT32_C(2)
#define TP_SEGMENT_VARINT UINT32_C(4)
#define TP_SEGMENT_CARRIAGE_RETURN UINT32_C(8)
#define TP_SEGMENT_SCATTERED UINT32_C(16)
#define TP_SEGMENT_FLAGS UINT32_C(31)
#define TP_TURN_FLAG_SPIN UINT32_C(1)
#define TP_WAIT_FOREVER UINT32_C(4294967295)
#define TP_NO_SLOT UINT32_C(4294967295)

enum tp_backend_kind {
    TP_BACKEND_KIND_AUTO = 0,
    TP_BACKEND_KIND_IO_URING = 1,
    TP_BACKEND_KIND_EPOLL = 2,
    TP_BACKEND_KIND_KQUEUE = 3,
    TP_BACKEND_KIND_SELECT = 4,
};

enum tp_trigger {
    TP_TRIGGER_DEFAULT = 0,
    TP_TRIGGER_EDGE = 1,
    TP_TRIGGER_LEVEL = 2,
};

enum tp_mode {
    TP_MODE_ADAPTIVE = 0,
    TP_MODE_EVENT = 1,
    TP_MODE_POLL = 2,
};

enum tp_clock_kind {
    TP_CLOCK_KIND_MONOTONIC = 0,
    TP_CLOCK_KIND_VIRTUAL = 1,
};

enum tp_status {
    TP_STATUS_OK = 0,
    TP_STATUS_STALE_HANDLE = -10001,
    TP_STATUS_WRONG_THREAD = -10002,
    TP_STATUS_BAD_ARGUMENT = -10003,
    TP_STATUS_EXHAUSTED = -10004,
    TP_STATUS_BACKEND_UNAVAILABLE = -10005,
    TP_STATUS_BAD_LAYOUT = -10006,
    TP_STATUS_NO_THREADS = -10008,
    TP_STATUS_ABORTED = -10009,
    TP_STATUS_LOOP_CLOSED = -10010,
    TP_STATUS_CONNECT_TIMEOUT = -10011,
    TP_STATUS_FORKED = -10012,
    TP_STATUS_BUSY = -10013,
    TP_STATUS_NOT_GRANTED = -10014,
    TP_STATUS_DESCRIPTOR_LIMIT = -10015,
    TP_STATUS_UNSUPPORTED = -10016,
    TP_STATUS_IDLE_TIMEOUT = -10017,
    TP_STATUS_MESSAGE_TOO_LARGE = -10018,
    TP_STATUS_INVALID_MESSAGE = -10019,
    TP_STATUS_TRUNCATED_MESSAGE = -10020,
    TP_STATUS_NAME_NOT_FOUND = -10021,
    TP_STATUS_RESOLVE_FAILED = -10022,
    TP_STATUS_RESOLVE_TIMEOUT = -10023,
};

enum tp_reason {
    TP_REASON_NONE = 0,
    TP_REASON_NOT_IMPLEMENTED = 1,
    TP_REASON_DISABLED_BY_SYSCTL = 2,
    TP_REASON_NOT_PERMITTED = 3,
    TP_REASON_KERNEL_TOO_OLD = 4,
    TP_REASON_OUT_OF_RESOURCES = 5,
    TP_REASON_OTHER = 6,
    TP_REASON_OTHER_SYSTEM = 7,
    TP_REASON_NO_LIBRARY = 8,
    TP_REASON_NO_EDGES = 9,
};

enum tp_syscall {
    TP_SYSCALL_NONE = 0,
    TP_SYSCALL_SOCKET = 1,
    TP_SYSCALL_BIND = 2,
    TP_SYSCALL_LISTEN = 3,
    TP_SYSCALL_ACCEPT = 4,
    TP_SYSCALL_CONNECT = 5,
    TP_SYSCALL_SETSOCKOPT = 6,
    TP_SYSCALL_GETSOCKNAME = 7,
    TP_SYSCALL_GETPEERNAME = 8,
    TP_SYSCALL_RECV = 9,
    TP_SYSCALL_SEND = 10,
    TP_SYSCALL_SHUTDOWN = 11,
    TP_SYSCALL_MMAP = 12,
    TP_SYSCALL_IO_URING_SETUP = 13,
    TP_SYSCALL_IO_URING_ENTER = 14,
    TP_SYSCALL_IO_URING_REGISTER = 15,
    TP_SYSCALL_EPOLL_CREATE = 16,
    TP_SYSCALL_EPOLL_CTL = 17,
    TP_SYSCALL_EPOLL_WAIT = 18,
    TP_SYSCALL_SOCKETPAIR = 19,
    TP_SYSCALL_PTHREAD_CREATE = 20,
    TP_SYSCALL_TIMERFD = 21,
    TP_SYSCALL_MLOCK = 22,
    TP_SYSCALL_MADVISE = 23,
    TP_SYSCALL_MBIND = 24,
    TP_SYSCALL_SELECT = 25,
    TP_SYSCALL_KQUEUE = 26,
    TP_SYSCALL_KEVENT = 27,
    TP_SYSCALL_FCNTL = 28,
    TP_SYSCALL_EVENTFD = 29,
    TP_SYSCALL_GETSOCKOPT = 30,
};

enum tp_operation {
    TP_OPERATION_NONE = 0,
    TP_OPERATION_SEND = 1,
    TP_OPERATION_RETAIN = 2,
    TP_OPERATION_RELEASE = 3,
    TP_OPERATION_PAUSE = 4,
    TP_OPERATION_UNPAUSE = 5,
    TP_OPERATION_SHUTDOWN = 6,
    TP_OPERATION_CLOSE = 7,
    TP_OPERATION_ABORT = 8,
    TP_OPERATION_WANT_DRAIN = 9,
    TP_OPERATION_TIMER_START = 10,
    TP_OPERATION_TIMER_STOP = 11,
    TP_OPERATION_LISTENER_CLOSE = 12,
    TP_OPERATION_SEGMENT = 13,
    TP_OPERATION_DETACH = 14,
    TP_OPERATION_UNDELIVER = 15,
    TP_OPERATION_DATAGRAM_SEND = 16,
    TP_OPERATION_SOCKET_PAUSE = 17,
    TP_OPERATION_SOCKET_UNPAUSE = 18,
    TP_OPERATION_SOCKET_CLOSE = 19,
    TP_OPERATION_SOCKET_ABORT = 20,
    TP_OPERATION_SOCKET_WANT_DRAIN = 21,
};

enum tp_event {
    TP_EVENT_NONE = 0,
    TP_EVENT_OPEN = 1,
    TP_EVENT_DATA = 2,
    TP_EVENT_END = 3,
    TP_EVENT_DRAIN = 4,
    TP_EVENT_CLOSED = 5,
    TP_EVENT_TIMER = 6,
    TP_EVENT_LISTENER_ERROR = 7,
    TP_EVENT_LISTENER_CLOSED = 8,
    TP_EVENT_MEMORY_RELEASED = 9,
    TP_EVENT_READY = 10,
    TP_EVENT_RUNG = 11,
    TP_EVENT_MESSAGE = 12,
    TP_EVENT_MESSAGE_PART = 13,
    TP_EVENT_UNSEGMENTED = 14,
    TP_EVENT_RESOLVED = 15,
    TP_EVENT_ATTEMPT_FAILED = 16,
    TP_EVENT_DETACHED = 17,
    TP_EVENT_DESCRIPTORS = 18,
    TP_EVENT_DATAGRAM = 19,
    TP_EVENT_SOCKET_ERROR = 20,
    TP_EVENT_SOCKET_DRAIN = 21,
    TP_EVENT_SOCKET_CLOSED = 22,
};

enum tp_address_family {
    TP_ADDRESS_FAMILY_UNIX = 1,
    TP_ADDRESS_FAMILY_INPROC = 2,
    TP_ADDRESS_FAMILY_DESCRIPTOR = 3,
    TP_ADDRESS_FAMILY_IPV4 = 4,
    TP_ADDRESS_FAMILY_IPV6 = 6,
};

enum tp_pages {
    TP_PAGES_SMALL = 0,
    TP_PAGES_HUGE_2M = 1,
    TP_PAGES_HUGE_1G = 2,
    TP_PAGES_TRANSPARENT = 3,
};

enum tp_wish {
    TP_WISH_DEFAULT = 0,
    TP_WISH_NO = 1,
    TP_WISH_YES = 2,
};

enum tp_ring_feature {
    TP_RING_FEATURE_REGISTERED_RING = 1,
    TP_RING_FEATURE_REGISTERED_FILES = 2,
    TP_RING_FEATURE_SQPOLL = 4,
    TP_RING_FEATURE_ZERO_COPY = 8,
    TP_RING_FEATURE_BUNDLES = 16,
    TP_RING_FEATURE_INCREMENTAL = 32,
    TP_RING_FEATURE_MIN_WAIT = 64,
    TP_RING_FEATURE_NAPI = 128,
    TP_RING_FEATURE_CLONE_BUFFERS = 256,
    TP_RING_FEATURE_SEND_MESSAGE = 512,
};

enum tp_socket_action {
    TP_SOCKET_ACTION_SET_OPTION = 0,
    TP_SOCKET_ACTION_GET_OPTION = 1,
    TP_SOCKET_ACTION_JOIN = 2,
    TP_SOCKET_ACTION_LEAVE = 3,
};

enum tp_socket_kind {
    TP_SOCKET_KIND_CONNECTION = 0,
    TP_SOCKET_KIND_LISTENER = 1,
};

enum tp_socket_option {
    TP_SOCKET_OPTION_NO_DELAY = 0,
    TP_SOCKET_OPTION_CORK = 1,
    TP_SOCKET_OPTION_QUICK_ACK = 2,
    TP_SOCKET_OPTION_FAST_OPEN = 3,
    TP_SOCKET_OPTION_KEEP_ALIVE = 4,
    TP_SOCKET_OPTION_KEEP_ALIVE_IDLE_S = 5,
    TP_SOCKET_OPTION_KEEP_ALIVE_INTERVAL_S = 6,
    TP_SOCKET_OPTION_KEEP_ALIVE_COUNT = 7,
    TP_SOCKET_OPTION_USER_TIMEOUT_MS = 8,
    TP_SOCKET_OPTION_SEND_BUFFER = 9,
    TP_SOCKET_OPTION_RECEIVE_BUFFER = 10,
    TP_SOCKET_OPTION_BUSY_POLL_US = 11,
    TP_SOCKET_OPTION_TYPE_OF_SERVICE = 12,
    TP_SOCKET_OPTION_MARK = 13,
    TP_SOCKET_OPTION_PRIORITY = 14,
    TP_SOCKET_OPTION_REUSE_ADDRESS = 15,
    TP_SOCKET_OPTION_REUSE_PORT = 16,
    TP_SOCKET_OPTION_IPV6_ONLY = 17,
    TP_SOCKET_OPTION_TTL = 18,
    TP_SOCKET_OPTION_BROADCAST = 19,
    TP_SOCKET_OPTION_MULTICAST_TTL = 20,
    TP_SOCKET_OPTION_MULTICAST_LOOP = 21,
    TP_SOCKET_OPTION_MULTICAST_INTERFACE = 22,
};

enum tp_segmenter_kind {
    TP_SEGMENTER_KIND_NONE = 0,
    TP_SEGMENTER_KIND_LENGTH = 1,
    TP_SEGMENTER_KIND_LINE = 2,
    TP_SEGMENTER_KIND_FIXED = 3,
    TP_SEGMENTER_KIND_SCRIPT = 4,
};

struct tp_handle_entry {
    uint8_t operation;
    uint8_t flags;
    uint16_t reserved;
    uint32_t slot;
    uint32_t generation;
    uint32_t parts;
    uint32_t length;
    uint32_t buffer_bytes;
    uint32_t padding[2];
};
TP_ASSERT_SIZE(struct tp_handle_entry, 32);

struct tp_send_entry {
    uint8_t operation;
    uint8_t flags;
    uint16_t reserved;
    uint32_t slot;
    uint32_t generation;
    uint32_t buffer;
    uint32_t buffer_generation;
    uint32_t offset;
    uint32_t length;
    uint32_t descriptors;
};
TP_ASSERT_SIZE(struct tp_send_entry, 32);

struct tp_datagram_entry {
    uint8_t operation;
    uint8_t flags;
    uint16_t segment_bytes;
    uint32_t slot;
    uint32_t generation;
    uint32_t buffer;
    uint32_t buffer_generation;
    uint32_t offset;
    uint32_t length;
    uint32_t padding;
};
TP_ASSERT_SIZE(struct tp_datagram_entry, 32);

struct tp_buffer_entry {
    uint8_t operation;
    uint8_t flags;
    uint16_t reserved;
    uint32_t padding[2];
    uint32_t buffer;
    uint32_t buffer_generation;
    uint32_t tail[3];
};
TP_ASSERT_SIZE(struct tp_buffer_entry, 32);

struct tp_timer_entry {
    uint8_t operation;
    uint8_t flags;
    uint16_t reserved;
    uint32_t slot;
    uint32_t generation;
    uint32_t padding;
    double delay_us;
    double period_us;
};
TP_ASSERT_SIZE(struct tp_timer_entry, 32);

struct tp_segment_entry {
    uint8_t operation;
    uint8_t flags;
    uint16_t reserved;
    uint32_t slot;
    uint32_t generation;
    uint32_t consumed;
    uint32_t needed;
    uint32_t padding[3];
};
TP_ASSERT_SIZE(struct tp_segment_entry, 32);

struct tp_completion {
    uint32_t event;
    uint32_t slot;
    uint32_t generation;
    int32_t result;
    uint32_t buffer;
    uint32_t buffer_generation;
    uint32_t offset;
    uint32_t length;
};
TP_ASSERT_SIZE(struct tp_completion, 32);

struct tp_counters {
    double turns;
    double system_calls;
    double sleeps;
    double spins;
    double transitions;
    double accepted;
    double connected;
    double closed;
    double received_bytes;
    double sent_bytes;
    double rejected;
    double starved;
    double zero_copied;
    double zero_copy_copied;
    double relayed_bytes;
    double datagrams_received;
    double datagrams_sent;
    double datagrams_refused;
    double datagrams_dropped;
};
TP_ASSERT_SIZE(struct tp_counters, 152);

struct tp_address {
    uint32_t family;
    uint32_t port;
    uint32_t scope;
    uint32_t length;
    uint8_t bytes[108];
};
TP_ASSERT_SIZE(struct tp_address, 124);

struct tp_header {
    double now_us;
    double next_timer_us;
    struct tp_counters counters;
    uint32_t result_generation;
    uint32_t result_bytes;
    uint32_t error_syscall;
    uint32_t leases;
    uint32_t buffers_in_use;
    uint32_t free_sends;
    struct tp_address address;
    uint32_t open_connections;
    uint32_t open_listeners;
    uint32_t open_watches;
    uint32_t result_offset;
    uint32_t open_sockets;
    uint32_t free_datagrams;
    uint32_t error_option;
};
TP_ASSERT_SIZE(struct tp_header, 344);

struct tp_source {
    uint32_t segment_bytes;
    uint32_t interface;
    uint32_t local_family;
    struct tp_address address;
    uint8_t local[16];
};
TP_ASSERT_SIZE(struct tp_source, 152);

struct tp_loop_options {
    uint32_t size;
    uint32_t backend;
    uint32_t mode;
    uint32_t clock;
    uint32_t max_connections;
    uint32_t max_listeners;
    uint32_t max_watches;
    uint32_t max_sockets;
    uint32_t trigger;
    uint32_t max_timers;
    uint32_t entries;
    uint32_t buffer_size;
    uint32_t receive_buffers;
    uint32_t max_kib;
    uint32_t slab_kib;
    uint32_t pages;
    uint32_t lock;
    uint32_t prefault;
    uint32_t numa_node;
    uint32_t fixed_buffers;
    uint32_t strict;
    uint32_t poison;
    uint32_t quarantine_count;
    uint32_t quarantine_ms;
    uint32_t spin_ceiling_us;
    uint32_t sqpoll;
    uint32_t sqpoll_idle_ms;
    uint32_t sqpoll_cpu;
    uint32_t zero_copy_bytes;
    uint32_t min_wait_us;
    uint32_t min_wait_count;
    uint32_t napi_us;
    uint32_t bundles;
    uint32_t incremental_buffers;
    uint32_t best_effort;
    uint32_t shared_bytes;
    uint32_t submissions_offset;
    uint32_t completions_offset;
    uint32_t queued_offset;
    uint32_t socket_queued_offset;
    uint32_t addresses_offset;
    uint32_t sources_offset;
    uint32_t error_reason;
    uint32_t error_errno;
    uint32_t error_syscall;
    uint32_t error_detail;
    uint32_t granted_flags;
    uint32_t rung;
    uint32_t granted_features;
    uint32_t pool_key;
    uint32_t relayed_offset;
};
TP_ASSERT_SIZE(struct tp_loop_options, 204);

struct tp_memory_grant {
    uint32_t asked;
    uint32_t granted;
    uint32_t slabs;
    uint32_t error_errno;
};
TP_ASSERT_SIZE(struct tp_memory_grant, 16);

struct tp_pool_report {
    uint32_t size;
    uint32_t slabs;
    double slab_bytes;
    double max_bytes;
    double held_bytes;
    double in_use_bytes;
    double receive_bytes;
    double cached_bytes;
    double quarantined_bytes;
    double in_transit_bytes;
    double free_bytes;
    double lost_bytes;
    double adopted_bytes;
    double refused;
    double released_early;
    uint32_t buffers_in_use;
    uint32_t leases;
    struct tp_memory_grant pages;
    struct tp_memory_grant lock;
    struct tp_memory_grant prefault;
    struct tp_memory_grant numa;
    struct tp_memory_grant fixed;
};
TP_ASSERT_SIZE(struct tp_pool_report, 200);

struct tp_adopt_options {
    uint32_t size;
    uint32_t address_low;
    uint32_t address_high;
    uint32_t bytes;
};
TP_ASSERT_SIZE(struct tp_adopt_options, 16);

struct tp_socket_options {
    uint32_t values[23];
};
TP_ASSERT_SIZE(struct tp_socket_options, 92);

struct tp_segmenter {
    uint32_t kind;
    uint32_t flags;
    uint32_t max_length;
    uint32_t field_offset;
    uint32_t field_width;
    uint32_t header_bytes;
    int32_t adjustment;
    uint32_t fixed_bytes;
    uint32_t delimiter_bytes;
    uint8_t delimiter[16];
};
TP_ASSERT_SIZE(struct tp_segmenter, 52);

struct tp_stream_options {
    uint32_t high_water_mark;
    uint32_t linger_timeout_ms;
    uint32_t allow_half_open;
    uint32_t receive_credits;
    uint32_t idle_timeout_ms;
    uint32_t descriptors;
    uint32_t best_effort;
    struct tp_socket_options socket;
    struct tp_segmenter segmenter;
};
TP_ASSERT_SIZE(struct tp_stream_options, 172);

struct tp_listen_options {
    uint32_t size;
    struct tp_address address;
    uint32_t backlog;
    uint32_t unlink_stale;
    uint32_t mode;
    struct tp_stream_options stream;
};
TP_ASSERT_SIZE(struct tp_listen_options, 312);

struct tp_connect_options {
    uint32_t size;
    struct tp_address address;
    uint32_t timeout_ms;
    struct tp_stream_options stream;
    uint32_t name_length;
    uint32_t resolve_timeout_ms;
    uint32_t attempt_delay_ms;
    uint8_t name[256];
};
TP_ASSERT_SIZE(struct tp_connect_options, 572);

struct tp_resolve_options {
    uint32_t size;
    uint32_t family;
    uint32_t timeout_ms;
    uint32_t name_length;
    uint8_t name[256];
};
TP_ASSERT_SIZE(struct tp_resolve_options, 272);

struct tp_resolve_report {
    uint32_t size;
    uint32_t slot;
    uint32_t generation;
    uint32_t count;
    uint32_t families[32];
    uint32_t scopes[32];
    uint8_t bytes[512];
};
TP_ASSERT_SIZE(struct tp_resolve_report, 784);

struct tp_resolver_files {
    uint32_t size;
    uint32_t hosts_length;
    uint32_t config_length;
    uint8_t hosts[256];
    uint8_t config[256];
};
TP_ASSERT_SIZE(struct tp_resolver_files, 524);

struct tp_relay_options {
    uint32_t size;
    uint32_t first_slot;
    uint32_t first_generation;
    uint32_t second_slot;
    uint32_t second_generation;
    uint32_t high_water_mark;
    uint32_t idle_timeout_ms;
    uint32_t half_open_timeout_ms;
};
TP_ASSERT_SIZE(struct tp_relay_options, 32);

struct tp_connection_options {
    uint32_t size;
    uint32_t descriptor;
    uint32_t slot;
    uint32_t generation;
    uint32_t pool_key;
    uint32_t has_stream;
    struct tp_stream_options stream;
};
TP_ASSERT_SIZE(struct tp_connection_options, 196);

struct tp_bind_options {
    uint32_t size;
    struct tp_address address;
    struct tp_address remote;
    uint32_t high_water_mark;
    uint32_t linger_timeout_ms;
    uint32_t receive_credits;
    uint32_t receive_segments;
    uint32_t tell_local;
    uint32_t tell_ecn;
    uint32_t tell_drops;
    uint32_t send_segments;
    struct tp_socket_options socket;
};
TP_ASSERT_SIZE(struct tp_bind_options, 376);

struct tp_socket_request {
    uint32_t size;
    uint32_t slot;
    uint32_t generation;
    uint32_t action;
    uint32_t option;
    uint32_t value;
    uint32_t interface;
    struct tp_address group;
    struct tp_address source;
};
TP_ASSERT_SIZE(struct tp_socket_request, 276);

struct tp_socket_control {
    uint32_t size;
    uint32_t kind;
    uint32_t slot;
    uint32_t generation;
    uint32_t idle_timeout_ms;
    uint32_t best_effort;
    struct tp_socket_options socket;
};
TP_ASSERT_SIZE(struct tp_socket_control, 116);

struct tp_peer_credentials {
    uint32_t size;
    uint32_t slot;
    uint32_t generation;
    uint32_t pid;
    uint32_t uid;
    uint32_t gid;
};
TP_ASSERT_SIZE(struct tp_peer_credentials, 24);

struct tp_segmenter_options {
    uint32_t size;
    uint32_t slot;
    uint32_t generation;
    uint32_t dispatched;
    uint32_t consumed;
    struct tp_segmenter segmenter;
};
TP_ASSERT_SIZE(struct tp_segmenter_options, 72);

struct tp_backend_report {
    uint32_t available;
    uint32_t reason;
    uint32_t error_errno;
    uint32_t syscall;
    uint32_t flags;
    uint32_t features;
    uint32_t rung;
    uint32_t granted;
};
TP_ASSERT_SIZE(struct tp_backend_report, 32);

struct tp_machine_report {
    uint32_t size;
    uint32_t page_bytes;
    uint32_t cpus_online;
    uint32_t cpus_allowed;
    double memory_lock_limit;
    double descriptor_limit;
    uint32_t kernel_major;
    uint32_t kernel_minor;
    uint32_t kernel_patch;
    uint32_t io_uring_disabled;
    uint32_t threads;
    uint32_t huge_2m_total;
    uint32_t huge_2m_free;
    uint32_t huge_1g_total;
    uint32_t huge_1g_free;
    uint32_t transparent;
    uint32_t numa_nodes;
    uint32_t padding;
    struct tp_backend_report io_uring;
    struct tp_backend_report epoll;
    struct tp_backend_report kqueue;
    struct tp_backend_report select;
};
TP_ASSERT_SIZE(struct tp_machine_report, 208);

/*
 * The library's `abi_version`.
 */
uint32_t tp_abi_version(void);

/*
 * The library's `layout_hash`.
 */
uint32_t tp_layout_hash(void);

/*
 * Fills a `MachineReport` whose `size` is set.
 */
int32_t tp_probe(uint8_t *report, uint32_t length);

/*
 * Opens a loop for the calling thread. A handle, or a negative status.
 */
int32_t tp_loop_open(uint8_t *options, uint32_t length);

/*
 * Resets every connection, closes every listener, gives the loop back.
 */
int32_t tp_loop_close(uint32_t loop);

/*
 * Start of the shared region, which stays mapped for the life of the process.
 */
uint8_t *tp_loop_region(uint32_t loop);

/*
 * Start of a slab, which stays mapped for the life of the process.
 */
uint8_t *tp_slab(uint32_t loop, uint32_t slab);

/*
 * Bytes of a slab, or a negative status.
 */
int32_t tp_slab_bytes(uint32_t loop, uint32_t slab);

/*
 * One turn: takes the submissions, enters the kernel, leaves completions. Sleeps at most
 * `wait_us`. The number of completions, or a negative status.
 */
int32_t tp_loop_turn(uint32_t loop, uint32_t submissions, uint32_t wait_us, uint32_t flags);

/*
 * Takes the submissions without completing a turn, when the array is full.
 */
int32_t tp_loop_submit(uint32_t loop, uint32_t submissions);

/*
 * Before the host sleeps: 1 when the wake descriptor will be readable at the next event, 0 when
 * there is work already.
 */
int32_t tp_loop_arm(uint32_t loop);

/*
 * A new stream descriptor, owned by the caller, that gets a byte per wake-up.
 */
int32_t tp_loop_wake_descriptor(uint32_t loop);

/*
 * Moves a virtual clock forward, to 2^63 ns at most.
 */
int32_t tp_clock_advance(uint32_t loop, uint32_t us_low, uint32_t us_high);

/*
 * Listens (`ListenOptions`). The listener's slot, or a negative status.
 */
int32_t tp_listen(uint32_t loop, uint8_t *options, uint32_t length);

/*
 * Writes the bound address to `Header.address`.
 */
int32_t tp_listener_address(uint32_t loop, uint32_t slot, uint32_t generation);

/*
 * Starts to connect (`ConnectOptions`). The connection's slot or a status.
 */
int32_t tp_connect(uint32_t loop, uint8_t *options, uint32_t length);

/*
 * Writes the local (0) or remote (1) address to `Header.address`.
 */
int32_t tp_connection_address(uint32_t loop, uint32_t slot, uint32_t generation, uint32_t remote);

/*
 * Takes over a connected stream socket (`ConnectionOptions`). The connection's slot, after which
 * `open` follows, or a negative status: EBADF, ENOTSOCK, EPROTOTYPE, EAFNOSUPPORT, ENOTCONN,
 * EINVAL where it listens, EEXIST where it is the loop's already.
 */
int32_t tp_connection_adopt(uint32_t loop, uint8_t *options, uint32_t length);

/*
 * Of a detached connection that rests, the next buffer that was received and not delivered, with
 * one reference of the script; ENOENT after the last. `Header.result_offset` and `result_bytes`
 * tell what of it.
 */
int32_t tp_connection_read(uint32_t loop, uint32_t slot, uint32_t generation);

/*
 * The descriptor of a detached connection that rests: the caller's from now on, and the connection
 * is gone.
 */
int32_t tp_connection_take(uint32_t loop, uint32_t slot, uint32_t generation);

/*
 * Puts a detached connection that rests and travels in transit: its slot there.
 */
int32_t tp_connection_hand_off(uint32_t loop, uint32_t slot, uint32_t generation);

/*
 * Takes a connection in transit over (`ConnectionOptions`). Its slot, after which `open` follows
 * and then what was received before; `Header.result_bytes` has its high-water mark,
 * `result_offset` 1 where its direction was ended.
 */
int32_t tp_connection_receive(uint32_t loop, uint8_t *options, uint32_t length);

/*
 * Another descriptor of a listener, the caller's. From then on closing the listener leaves the
 * others of its descriptors listening.
 */
int32_t tp_listener_share(uint32_t loop, uint32_t slot, uint32_t generation);

/*
 * Duplicates at most `message_descriptors_max` descriptors (i32) for a send: what its entry names,
 * or EBADF, `exhausted`. `Header.result_generation` belongs to it.
 */
int32_t tp_descriptors_stage(uint32_t loop, uint8_t *descriptors, uint32_t length);

/*
 * Gives out descriptors that `descriptors` told of, as far as there is room for them behind their
 * generation, and closes the others. How many.
 */
int32_t tp_descriptors_read(uint32_t loop, uint32_t staged, uint8_t *descriptors, uint32_t length);

/*
 * Closes what was staged and will not be sent.
 */
int32_t tp_descriptors_forgo(uint32_t loop, uint32_t staged, uint32_t generation);

/*
 * Closes a descriptor that this library has given out. EBADF for any other.
 */
int32_t tp_descriptor_close(int32_t descriptor);

/*
 * Takes a descriptor that the process was started with as given out, and keeps it from programs
 * that are executed.
 */
int32_t tp_descriptor_inherit(int32_t descriptor);

/*
 * Makes messages of what a connection receives from now on (`SegmenterOptions`). 1 when
 * completions of this turn are void, because their bytes come again; else 0.
 */
int32_t tp_connection_segmenter(uint32_t loop, uint8_t *options, uint32_t length);

/*
 * Joins two connections (`RelayOptions`): what arrives on one is sent on the other, from the next
 * turn on. `busy` where one is relayed already, EPIPE where its direction was ended.
 */
int32_t tp_relay(uint32_t loop, uint8_t *options, uint32_t length);

/*
 * Opens a datagram socket (`BindOptions`). Its slot, or a negative status.
 */
int32_t tp_bind(uint32_t loop, uint8_t *options, uint32_t length);

/*
 * Writes a datagram socket's local (0) or remote (1) address to `Header.address`.
 */
int32_t tp_socket_address(uint32_t loop, uint32_t slot, uint32_t generation, uint32_t remote);

/*
 * Reads or sets an option, joins or leaves a group (`SocketRequest`).
 */
int32_t tp_socket_request(uint32_t loop, uint8_t *request, uint32_t length);

/*
 * Changes options of an open connection or listener (`SocketControl`). What a refusal is about is
 * in `Header.error_option`; options before it are changed.
 */
int32_t tp_socket_configure(uint32_t loop, uint8_t *control, uint32_t length);

/*
 * Reads options of an open connection or listener into its `SocketControl`.
 */
int32_t tp_socket_read(uint32_t loop, uint8_t *control, uint32_t length);

/*
 * Fills the `PeerCredentials` of a Unix connection. `unsupported` for others.
 */
int32_t tp_peer_credentials(uint32_t loop, uint8_t *credentials, uint32_t length);

/*
 * Watches a descriptor of the caller for `ready_readable`, `ready_writable`, or both, with
 * `watch_edge` for changes only. The watch's slot, or a negative status: EBADF, EEXIST where the
 * loop watches it already, EPERM where it is always ready.
 */
int32_t tp_watch(uint32_t loop, int32_t descriptor, uint32_t interest);

/*
 * Watches for something else. ENOENT where there is no such watch.
 */
int32_t tp_watch_modify(uint32_t loop, uint32_t slot, uint32_t generation, uint32_t interest);

/*
 * Ends a watch; its descriptor may be closed then. ENOENT where there is none.
 */
int32_t tp_watch_remove(uint32_t loop, uint32_t slot, uint32_t generation);

/*
 * A new doorbell, which any thread of the process may ring: its slot.
 */
int32_t tp_doorbell(uint32_t loop);

/*
 * Ends a doorbell.
 */
int32_t tp_doorbell_remove(uint32_t loop, uint32_t slot, uint32_t generation);

/*
 * From any thread: `rung` follows on the doorbell's loop. `stale_handle` where it is gone, or is
 * another process's.
 */
int32_t tp_doorbell_ring(uint32_t slot, uint32_t generation, uint32_t pool_key);

/*
 * Takes a buffer of at least so many bytes for the script's own: its name, or `exhausted`.
 * `Header.result_generation` and `result_bytes` tell the rest.
 */
int32_t tp_buffer_take(uint32_t loop, uint32_t bytes);

/*
 * Gives one reference of the script back at once, for when no submission waits.
 */
int32_t tp_buffer_release(uint32_t loop, uint32_t buffer, uint32_t generation);

/*
 * Puts a buffer in transit to another loop: `references` of the script and a borrow, if any, end.
 * `busy` when there are others.
 */
int32_t tp_buffer_transfer(uint32_t loop, uint32_t buffer, uint32_t generation, uint32_t references);

/*
 * Takes a buffer in transit over, with one reference of the script. `Header.result_bytes` tells
 * its size.
 */
int32_t tp_buffer_receive(uint32_t loop, uint32_t buffer, uint32_t generation, uint32_t pool_key);

/*
 * Makes memory of the application (`AdoptOptions`) a buffer with one reference of the script: its
 * name. `memory_released` follows the last reference.
 */
int32_t tp_memory_adopt(uint32_t loop, uint8_t *options, uint32_t length);

/*
 * Fills a `PoolReport` whose `size` is set.
 */
int32_t tp_pool_report(uint32_t loop, uint8_t *report, uint32_t length);

/*
 * Looks a name up (`ResolveOptions`); `resolved` follows. The lookup's slot or a status.
 */
int32_t tp_resolve(uint32_t loop, uint8_t *options, uint32_t length);

/*
 * Fills a `ResolveReport` for a lookup that `resolved` told of; it is gone then.
 */
int32_t tp_resolve_report(uint32_t loop, uint8_t *report, uint32_t length);

/*
 * Ends a lookup, of which nothing is told any more.
 */
int32_t tp_resolve_cancel(uint32_t loop, uint32_t slot, uint32_t generation);

/*
 * Has this process resolve names by other files (`ResolverFiles`) from now on.
 */
int32_t tp_resolver_files(uint8_t *files, uint32_t length);

#ifdef __cplusplus
}
#endif

#endif
