/*
 * What registration buys on the network path: an echo over one ring, with and without registered
 * files and buffers, with plain and zero-copy sends, side by side.
 *
 *   fixed [options]
 *     --seconds S    length of a visit (0.3)
 *     --rounds N     visits per variant (7)
 *     --size BYTES   of a message (64, 4096, 16384 and 65536, one after the other)
 *     --conns N      connections, one message in flight on each (64)
 *     --kind KIND    tcp over loopback, or unix (tcp)
 *     --pages KIND   of the slab: huge or small (huge)
 *     --pace KIND    lockstep or free (lockstep)
 *     --json         one line of JSON per variant and size instead of tables
 *
 * The figure is the processor time of the thread that echoes. A peer thread on another core sends a
 * message on every connection, reads all answers and compares each byte. In lockstep only one of
 * the two runs at a time: every variant then gets the same batches and no wake-ups, so that what
 * differs is the operations. With pace `free` both run, as a server and its clients do; a fast
 * variant then sees smaller batches. Variants take turns in rounds; medians count. Where others use
 * the machine, many short visits are compared best: --seconds 0.05 --rounds 100.
 *
 * Ends with 1 when the kernel refused a variant, which is said and left out, or a byte was wrong.
 */
#define _GNU_SOURCE
#include "fixed_echo.h"
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>

static const struct variant variants[] = {
    /* Nothing is registered but the ring of provided buffers; ratios are to this one. */
    { "recv_multishot+send", RECEIVE_MULTISHOT, SEND_PLAIN, false },
    { "recv_multishot+send, files", RECEIVE_MULTISHOT, SEND_PLAIN, true },
    /* Tells what of WRITE_FIXED is due to the buffer and what to being a write. */
    { "recv_multishot+write, files", RECEIVE_MULTISHOT, SEND_WRITE, true },
    { "recv_multishot+write_fixed, files", RECEIVE_MULTISHOT, SEND_WRITE_FIXED, true },
    { "read_fixed+write_fixed, files", RECEIVE_FIXED, SEND_WRITE_FIXED, true },
    { "recv+send, files", RECEIVE_ONCE, SEND_PLAIN, true },
    { "recv+send", RECEIVE_ONCE, SEND_PLAIN, false },
    { "recv_multishot+send_zc, files", RECEIVE_MULTISHOT, SEND_ZC, true },
    { "recv_multishot+send_zc_fixed, files", RECEIVE_MULTISHOT, SEND_ZC_FIXED, true },
};
enum { VARIANTS = sizeof variants / sizeof variants[0], ROUNDS_MAX = 1000 };

static struct {
    double seconds;
    uint32_t rounds, size, connections;
    bool unix_sockets, small_pages, free_pace, json;
} options = { .seconds = 0.3, .rounds = 7, .connections = 64 };

struct sample {
    double cpu_ns, rate, system_calls; /* per message; messages per second */
};

static struct results {
    int refused[VARIANTS]; /* errno, or 0 */
    struct sample samples[VARIANTS][ROUNDS_MAX];
    uint64_t notifications, copied; /* of all zero-copy sends */
} results;

/* The peer's side. Its thread runs between `start` and `finished`. */
static struct {
    pthread_t thread;
    sem_t start, finished;
    sem_t written, echoed; /* hand the turn over in lockstep */
    int descriptors[CONNECTIONS_MAX];
    unsigned char *pattern, *received;
    uint64_t turn_limit;
    int core;
} peer;

/* The messages of a connection differ from turn to turn, and from those of its neighbours. */
static const unsigned char *message(uint64_t turn, uint32_t index)
{
    return peer.pattern + (turn * 31 + index * 7) % 251;
}

static void pin(int core)
{
    if (core < 0) return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set);
}

static void peer_write(uint32_t index, const unsigned char *bytes, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t sent = send(peer.descriptors[index], bytes + done, length - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR) die("peer's send", errno);
        if (sent > 0) done += (size_t)sent;
    }
}

static void peer_read(uint32_t index, const unsigned char *expected, size_t length)
{
    for (size_t done = 0; done < length;) {
        ssize_t got = recv(peer.descriptors[index], peer.received + done, length - done, 0);
        if (got == 0) die("peer's receive", ECONNRESET);
        if (got < 0 && errno != EINTR) die("peer's receive", errno);
        if (got > 0) done += (size_t)got;
    }
    if (memcmp(peer.received, expected, length) == 0) return;
    fprintf(stderr, "fixed: %s: wrong bytes on connection %u\n", echo.variant->name, index);
    exit(1);
}

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) {}
}

static void peer_turn(uint64_t turn)
{
    for (uint32_t index = 0; index < options.connections; index++) {
        peer_write(index, message(turn, index), options.size);
    }
    if (!options.free_pace) {
        sem_post(&peer.written);
        wait_for(&peer.echoed);
    }
    for (uint32_t index = 0; index < options.connections; index++) {
        peer_read(index, message(turn, index), options.size);
    }
}

static void *peer_run(void *nothing)
{
    pin(peer.core);
    for (;;) {
        wait_for(&peer.start);
        uint64_t turn = 0;
        while (turn < __atomic_load_n(&peer.turn_limit, __ATOMIC_ACQUIRE)) peer_turn(turn++);
        sem_post(&peer.finished);
    }
    return nothing;
}

static void peer_open(int core)
{
    peer.core = core;
    sem_init(&peer.start, 0, 0);
    sem_init(&peer.finished, 0, 0);
    sem_init(&peer.written, 0, 0);
    sem_init(&peer.echoed, 0, 0);
    peer.received = map(SLAB_BYTES);
    peer.pattern = map(SLAB_BYTES);
    for (uint32_t index = 0; index < SLAB_BYTES; index++) {
        peer.pattern[index] = (unsigned char)(index % 251);
    }
    int error = pthread_create(&peer.thread, NULL, peer_run, NULL);
    if (error != 0) die("pthread_create", error);
}

static int listen_on_loopback(struct sockaddr_in *address)
{
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){ .sin_family = AF_INET };
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket", errno);
    if (bind(fd, (struct sockaddr *)address, length) != 0) die("bind", errno);
    if (listen(fd, 1) != 0) die("listen", errno);
    if (getsockname(fd, (struct sockaddr *)address, &length) != 0) die("getsockname", errno);
    return fd;
}

/* Both ends block: io_uring waits by itself, and would answer EAGAIN on others. */
static void connections_open(void)
{
    int own[CONNECTIONS_MAX];
    struct sockaddr_in address;
    int listener = listen_on_loopback(&address);
    for (uint32_t index = 0; index < options.connections; index++) {
        int pair[2];
        if (options.unix_sockets) {
            if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
                die("socketpair", errno);
            }
        } else {
            pair[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (pair[0] < 0) die("socket", errno);
            if (connect(pair[0], (struct sockaddr *)&address, sizeof address) != 0) {
                die("connect", errno);
            }
            pair[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            if (pair[1] < 0) die("accept4", errno);
            int on = 1;
            for (int end = 0; end < 2; end++) {
                setsockopt(pair[end], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
            }
        }
        peer.descriptors[index] = pair[0];
        own[index] = pair[1];
    }
    close(listener);
    echo_connections(own, options.connections, options.size);
}

static void connections_close(void)
{
    for (uint32_t index = 0; index < options.connections; index++) {
        close(echo.connections[index].fd);
        close(peer.descriptors[index]);
    }
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/* Echoes one short message on one connection, without the peer's thread. Returns an errno or 0. */
static int probe(const struct variant *variant)
{
    if (variant->files && echo.files_errno != 0) return echo.files_errno;
    if (uses_registered_buffer(variant) && echo.buffers_errno != 0) return echo.buffers_errno;
    size_t length = options.size < 64 ? options.size : 64;
    peer_write(0, message(0, 0), length);
    echo_start(variant, 1);
    echo_until(length);
    int error = echo.failure;
    echo_stop();
    if (error == 0) {
        peer_read(0, message(0, 0), length);
        return 0;
    }
    /* A refused receive has left the message where the next probe would find it. */
    recv(echo.connections[0].fd, peer.received, length, MSG_DONTWAIT);
    return error;
}

static struct sample visit(const struct variant *variant)
{
    const uint64_t turn_bytes = (uint64_t)options.size * options.connections;
    const uint64_t window_ns = (uint64_t)(options.seconds * 1e9);
    echo_start(variant, options.connections);
    __atomic_store_n(&peer.turn_limit, UINT64_MAX, __ATOMIC_RELEASE);
    sem_post(&peer.start);
    uint64_t began = clock_ns(CLOCK_MONOTONIC), end = UINT64_MAX;
    uint64_t cpu_ns = 0, wall_ns = 0, calls = 0, messages = 0;
    for (uint64_t turn = 0; turn < end; turn++) {
        if (!options.free_pace) wait_for(&peer.written);
        uint64_t wall_start = clock_ns(CLOCK_MONOTONIC), calls_start = echo.ring.system_calls;
        uint64_t cpu_start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        echo_until((turn + 1) * turn_bytes);
        uint64_t cpu_end = clock_ns(CLOCK_THREAD_CPUTIME_ID), now = clock_ns(CLOCK_MONOTONIC);
        if (echo.failure != 0) die(variant->name, echo.failure);
        /* Sockets and caches have to get used to the variant. */
        bool warm = now - began > window_ns / 10;
        if (warm && end == UINT64_MAX) {
            cpu_ns += cpu_end - cpu_start;
            wall_ns += now - wall_start;
            calls += echo.ring.system_calls - calls_start;
            messages += options.connections;
        }
        if (end == UINT64_MAX && now - began > window_ns && messages > 0) {
            /* At free pace the peer may be in the next turn already, but never beyond it. */
            end = turn + 1 + (options.free_pace ? 2 : 0);
            __atomic_store_n(&peer.turn_limit, end, __ATOMIC_RELEASE);
        }
        if (!options.free_pace) sem_post(&peer.echoed);
    }
    wait_for(&peer.finished);
    echo_stop();
    double count = (double)messages;
    return (struct sample){ .cpu_ns = (double)cpu_ns / count,
                            .rate = count * 1e9 / (double)wall_ns,
                            .system_calls = (double)calls / count };
}

static int ascending(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return (difference > 0) - (difference < 0);
}

/* Of a field of a variant's samples; of its ratios to the first variant's with `paired`. */
static double quantile(unsigned variant, size_t field, bool paired, double share)
{
    double values[ROUNDS_MAX];
    for (uint32_t round = 0; round < options.rounds; round++) {
        const struct sample *sample = &results.samples[variant][round];
        const struct sample *plain = &results.samples[0][round];
        values[round] = *(const double *)((const char *)sample + field);
        if (paired) values[round] /= *(const double *)((const char *)plain + field);
    }
    qsort(values, options.rounds, sizeof values[0], ascending);
    double place = share * (options.rounds - 1);
    uint32_t low = (uint32_t)place;
    uint32_t high = low + 1 < options.rounds ? low + 1 : low;
    return values[low] + (values[high] - values[low]) * (place - low);
}

static void print_json(unsigned variant)
{
    printf("{\"variant\":\"%s\",\"size\":%u,", variants[variant].name, options.size);
    int error = results.refused[variant];
    if (error != 0) {
        printf("\"notAvailable\":\"%s\",\"errno\":%d}\n", strerror(error), error);
        return;
    }
    const size_t cpu = offsetof(struct sample, cpu_ns);
    printf("\"cpuNsPerOperation\":%.1f,\"ratioToPlain\":", quantile(variant, cpu, false, 0.5));
    if (results.refused[0] != 0) printf("null");
    else printf("%.4f", quantile(variant, cpu, true, 0.5));
    printf(",\"operationsPerSecond\":%.0f,\"systemCallsPerOperation\":%.4f}\n",
           quantile(variant, offsetof(struct sample, rate), false, 0.5),
           quantile(variant, offsetof(struct sample, system_calls), false, 0.5));
}

static void print_row(unsigned variant)
{
    int error = results.refused[variant];
    if (error != 0) {
        printf("%-36s not available: %s\n", variants[variant].name, strerror(error));
        return;
    }
    const size_t cpu = offsetof(struct sample, cpu_ns);
    printf("%-36s %9.0f", variants[variant].name, quantile(variant, cpu, false, 0.5));
    if (results.refused[0] != 0) {
        printf(" %7s %15s", "-", "-");
    } else {
        printf(" %7.3f   %.3f to %.3f", quantile(variant, cpu, true, 0.5),
               quantile(variant, cpu, true, 0.25), quantile(variant, cpu, true, 0.75));
    }
    printf(" %11.0f %9.3f\n", quantile(variant, offsetof(struct sample, rate), false, 0.5),
           quantile(variant, offsetof(struct sample, system_calls), false, 0.5));
}

static void print_table(void)
{
    printf("%u-byte messages over %s, %u connections, %s, slab of %s pages; %u rounds of %g s\n",
           options.size, options.unix_sockets ? "AF_UNIX" : "TCP loopback", options.connections,
           options.free_pace ? "free pace" : "lockstep", options.small_pages ? "small" : "huge",
           options.rounds, options.seconds);
    printf("%-36s %9s %7s   %-14s %11s %9s\n", "", "CPU ns/op", "ratio", "its quartiles",
           "ops/s", "calls/op");
    for (unsigned variant = 0; variant < VARIANTS; variant++) print_row(variant);
    if (results.notifications > 0) {
        printf("zero-copy sends that the kernel copied after all: %.1f %% of %llu\n",
               100.0 * (double)results.copied / (double)results.notifications,
               (unsigned long long)results.notifications);
    }
    printf("\n");
}

/* Returns false when the kernel refused a variant. */
static bool compare(void)
{
    bool complete = true;
    connections_open();
    for (unsigned variant = 0; variant < VARIANTS; variant++) {
        int error = probe(&variants[variant]);
        results.refused[variant] = error;
        if (error == 0) continue;
        complete = false;
        fprintf(stderr, "fixed: %s, %u bytes: not available: %s\n", variants[variant].name,
                options.size, strerror(error));
    }
    echo.notifications = echo.notifications_copied = 0;
    for (uint32_t round = 0; round < options.rounds; round++) {
        for (unsigned step = 0; step < VARIANTS; step++) {
            unsigned variant = (round + step) % VARIANTS;
            if (results.refused[variant] != 0) continue;
            results.samples[variant][round] = visit(&variants[variant]);
        }
    }
    results.notifications = echo.notifications;
    results.copied = echo.notifications_copied;
    connections_close();
    if (!options.json) print_table();
    for (unsigned variant = 0; options.json && variant < VARIANTS; variant++) print_json(variant);
    fflush(stdout);
    return complete;
}

static void refuse(const char *option, const char *value)
{
    fprintf(stderr, "fixed: --%s cannot be %s\n", option, value);
    exit(2);
}

static uint32_t whole(const char *option, const char *text, uint32_t maximum)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '1' || *text > '9' || *end != '\0' || value > maximum) refuse(option, text);
    return (uint32_t)value;
}

/* Whether an option with two values has the second. */
static bool second(const char *option, const char *text, const char *first, const char *other)
{
    if (strcmp(text, first) != 0 && strcmp(text, other) != 0) refuse(option, text);
    return strcmp(text, other) == 0;
}

static void parse(int count, char **arguments)
{
    static const struct option known[] = {
        { "seconds", required_argument, NULL, 's' }, { "rounds", required_argument, NULL, 'r' },
        { "size", required_argument, NULL, 'b' },    { "conns", required_argument, NULL, 'c' },
        { "kind", required_argument, NULL, 'k' },    { "pages", required_argument, NULL, 'g' },
        { "pace", required_argument, NULL, 'p' },    { "json", no_argument, NULL, 'j' }, { 0 },
    };
    for (int option; (option = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        switch (option) {
        case 's':
            options.seconds = strtod(optarg, NULL);
            if (!(options.seconds > 0 && options.seconds <= 60)) refuse("seconds", optarg);
            break;
        case 'r': options.rounds = whole("rounds", optarg, ROUNDS_MAX); break;
        /* More than this does not fit into a socket, and in lockstep nobody would read it. */
        case 'b': options.size = whole("size", optarg, 65536); break;
        case 'c': options.connections = whole("conns", optarg, CONNECTIONS_MAX); break;
        case 'k': options.unix_sockets = second("kind", optarg, "tcp", "unix"); break;
        case 'g': options.small_pages = second("pages", optarg, "huge", "small"); break;
        case 'p': options.free_pace = second("pace", optarg, "lockstep", "free"); break;
        case 'j': options.json = true; break;
        default: exit(2);
        }
    }
    if (optind == count) return;
    fprintf(stderr, "fixed: there is nothing that %s could mean\n", arguments[optind]);
    exit(2);
}

/* The last two cores: the first takes most interrupts. Nothing is pinned if there is only one. */
static void place(int *own, int *others)
{
    cpu_set_t allowed;
    *own = *others = -1;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) return;
    for (int core = 0; core < CPU_SETSIZE; core++) {
        if (!CPU_ISSET(core, &allowed)) continue;
        *own = *others;
        *others = core;
    }
}

int main(int count, char **arguments)
{
    static const uint32_t sizes[] = { 64, 4096, 16384, 65536 };
    int own, others;
    parse(count, arguments);
    const uint32_t only = options.size, largest = only > 0 ? only : 65536;
    const uint32_t stride = largest > STRIDE_LEAST ? largest : STRIDE_LEAST;
    if (options.connections * BUFFERS_PER_CONNECTION * (uint64_t)stride > SLAB_BYTES) {
        fprintf(stderr, "fixed: %u connections need more buffers of %u bytes than a slab has\n",
                options.connections, stride);
        return 2;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    signal(SIGPIPE, SIG_IGN);
    place(&own, &others);
    peer_open(others);
    pin(own);
    echo_open(!options.small_pages);
    bool complete = true;
    for (size_t index = 0; index < (only > 0 ? 1 : sizeof sizes / sizeof sizes[0]); index++) {
        options.size = only > 0 ? only : sizes[index];
        complete &= compare();
    }
    ring_close(&echo.ring);
    return complete ? 0 : 1;
}
