/*
 * TCP echo over io_uring with liburing: the fast C peer that twinpoll is measured against.
 *
 *   echo_io_uring PORT     0 picks a port; prints "listening PORT", or "unavailable REASON" and
 *                          ends where there is no io_uring; SIGTERM or SIGINT ends it
 *
 * One thread, one kernel entry per batch. Multishot accept into direct descriptors, multishot
 * receive from a ring of provided buffers, sends straight from the buffer that was received into.
 *
 * Invariants: a connection has at most one send in the kernel, so bytes keep their order; a buffer
 * is in the ring, or queued at exactly one connection; a connection's slot is closed only when none
 * of its receives or sends is in the kernel.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#ifndef BUFFER_BYTES
#define BUFFER_BYTES (64 * 1024)
#endif
#ifndef BUFFERS
#define BUFFERS 1024
#endif
#define SLOTS_MAX (1u << 16)
#define SQ_ENTRIES 4096
#define CQ_ENTRIES (1u << 16)
/* A connection whose peer does not read stops receiving when it holds this many buffers. */
#define QUEUE_HIGH 16
#define NONE UINT32_MAX

enum operation { OP_ACCEPT, OP_RECEIVE, OP_SEND, OP_CLOSE, OP_CANCEL, OP_SIGNAL };

struct connection {
    uint32_t head, tail; /* queued buffers, linked through buffer_next */
    uint32_t queued;
    uint32_t next_starved;
    bool open;
    bool receiving; /* a multishot receive is in the kernel */
    bool sending;
    bool ended;     /* nothing more will be received */
    bool paused;    /* too much is queued */
    bool starved;   /* waits for a buffer to receive into */
};

static struct io_uring ring;
static struct connection *connections;
static unsigned slots;

static struct io_uring_buf_ring *buffer_ring;
static unsigned char *buffer_memory;
static uint32_t buffer_next[BUFFERS];
static uint32_t buffer_length[BUFFERS];
static unsigned buffers_returned; /* added to the ring, not yet published */
static unsigned buffers_free;

static uint32_t starved_head = NONE;
static int listen_fd;
static bool accepting;

static void die(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, strerror(error));
    exit(1);
}

static struct io_uring_sqe *submission(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    while (sqe == NULL) {
        int result = io_uring_submit(&ring);
        if (result < 0 && result != -EBUSY && result != -EINTR) die("io_uring_submit", -result);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

/* The liburing helpers clear the entry, so the user data is written after them. */
static void label(struct io_uring_sqe *sqe, enum operation operation, uint32_t slot)
{
    sqe->user_data = (uint64_t)slot << 8 | operation;
}

static unsigned char *buffer_address(uint32_t buffer)
{
    return buffer_memory + (size_t)buffer * BUFFER_BYTES;
}

static void buffer_return(uint32_t buffer)
{
    io_uring_buf_ring_add(buffer_ring, buffer_address(buffer), BUFFER_BYTES, (unsigned short)buffer,
                          io_uring_buf_ring_mask(BUFFERS), (int)buffers_returned++);
    buffers_free++;
}

static void buffers_publish(void)
{
    if (buffers_returned == 0) return;
    io_uring_buf_ring_advance(buffer_ring, (int)buffers_returned);
    buffers_returned = 0;
}

static void accept_arm(void)
{
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_multishot_accept_direct(sqe, listen_fd, NULL, NULL, 0);
    label(sqe, OP_ACCEPT, 0);
    accepting = true;
}

static void receive_arm(uint32_t slot)
{
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_recv_multishot(sqe, (int)slot, NULL, 0, 0);
    sqe->flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    label(sqe, OP_RECEIVE, slot);
    connections[slot].receiving = true;
}

static void receive_cancel(uint32_t slot)
{
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_cancel64(sqe, (uint64_t)slot << 8 | OP_RECEIVE, 0);
    label(sqe, OP_CANCEL, slot);
}

static void send_head(uint32_t slot)
{
    struct connection *connection = &connections[slot];
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_send(sqe, (int)slot, buffer_address(connection->head),
                       buffer_length[connection->head], MSG_NOSIGNAL | MSG_WAITALL);
    sqe->flags = IOSQE_FIXED_FILE;
    label(sqe, OP_SEND, slot);
    connection->sending = true;
}

static void queue_push(struct connection *connection, uint32_t buffer, uint32_t length)
{
    buffer_length[buffer] = length;
    buffer_next[buffer] = NONE;
    if (connection->queued++ == 0) connection->head = buffer;
    else buffer_next[connection->tail] = buffer;
    connection->tail = buffer;
}

static void queue_pop(struct connection *connection)
{
    uint32_t buffer = connection->head;
    connection->head = buffer_next[buffer];
    connection->queued--;
    buffer_return(buffer);
}

static void close_when_idle(uint32_t slot)
{
    struct connection *connection = &connections[slot];
    if (!connection->ended || connection->receiving || connection->sending) return;
    while (connection->queued > 0) queue_pop(connection);
    if (connection->starved) return; /* the list still names this slot; it comes back here */
    connection->open = false;
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_close_direct(sqe, slot);
    label(sqe, OP_CLOSE, slot);
    if (!accepting) accept_arm();
}

static void on_accept(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        uint32_t slot = (uint32_t)cqe->res;
        connections[slot] = (struct connection){ .head = NONE, .tail = NONE, .open = true };
        receive_arm(slot);
    }
    if (cqe->flags & IORING_CQE_F_MORE) return;
    accepting = false;
    /* Out of slots: the next connection that closes makes room and accepts again. */
    if (cqe->res != -ENFILE && cqe->res != -EMFILE) accept_arm();
}

static void on_receive_end(uint32_t slot, int result)
{
    struct connection *connection = &connections[slot];
    connection->receiving = false;
    if (result == -ENOBUFS) {
        connection->starved = true;
        connection->next_starved = starved_head;
        starved_head = slot;
    } else if (connection->paused) {
        /* send completion takes it up again */
    } else if (result > 0 || result == -ECANCELED) {
        if (!connection->ended) receive_arm(slot);
    } else {
        connection->ended = true;
    }
}

static void on_receive(uint32_t slot, const struct io_uring_cqe *cqe)
{
    struct connection *connection = &connections[slot];
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        buffers_free--;
        if (cqe->res > 0 && !connection->ended) {
            queue_push(connection, buffer, (uint32_t)cqe->res);
            if (!connection->sending) send_head(slot);
            if (connection->queued >= QUEUE_HIGH && !connection->paused) {
                connection->paused = true;
                receive_cancel(slot);
            }
        } else {
            buffer_return(buffer);
        }
    }
    if (cqe->res == 0) connection->ended = true;
    if (!(cqe->flags & IORING_CQE_F_MORE)) on_receive_end(slot, cqe->res);
    if (connection->ended && connection->queued == 0) close_when_idle(slot);
}

static void on_send(uint32_t slot, int result)
{
    struct connection *connection = &connections[slot];
    connection->sending = false;
    if (result != (int)buffer_length[connection->head]) {
        /* WAITALL: less than all means that the connection is gone. */
        connection->ended = true;
        while (connection->queued > 0) queue_pop(connection);
        if (connection->receiving) receive_cancel(slot);
        close_when_idle(slot);
        return;
    }
    queue_pop(connection);
    if (connection->queued > 0) {
        send_head(slot);
        return;
    }
    if (connection->paused) {
        connection->paused = false;
        if (!connection->receiving && !connection->starved && !connection->ended) receive_arm(slot);
    }
    close_when_idle(slot);
}

/* A receive that found no buffer is over; it starts again once there is one to be had. */
static void starved_rearm(void)
{
    unsigned budget = buffers_free;
    while (starved_head != NONE && budget > 0) {
        uint32_t slot = starved_head;
        struct connection *connection = &connections[slot];
        starved_head = connection->next_starved;
        connection->starved = false;
        if (connection->ended) close_when_idle(slot);
        else if (!connection->paused) receive_arm(slot);
        budget--;
    }
}

/* Returns false when a signal asked for the end. */
static bool dispatch(const struct io_uring_cqe *cqe)
{
    uint32_t slot = (uint32_t)(cqe->user_data >> 8);
    switch ((enum operation)(cqe->user_data & 0xff)) {
    case OP_ACCEPT: on_accept(cqe); break;
    case OP_RECEIVE: on_receive(slot, cqe); break;
    case OP_SEND: on_send(slot, cqe->res); break;
    case OP_CLOSE:
    case OP_CANCEL: break;
    case OP_SIGNAL: return false;
    }
    return true;
}

static void ring_open(void)
{
    struct io_uring_params parameters = { .cq_entries = CQ_ENTRIES };
    parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                       IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
    int result = io_uring_queue_init_params(SQ_ENTRIES, &ring, &parameters);
    if (result < 0) {
        /* Too old a kernel, or forbidden: not a failure of a comparison, but no part of it. */
        printf("unavailable io_uring: %s\n", strerror(-result));
        exit(0);
    }
    result = io_uring_register_ring_fd(&ring);
    if (result < 0) die("io_uring_register_ring_fd", -result);

    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) die("getrlimit", errno);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    slots = limit.rlim_cur < SLOTS_MAX ? (unsigned)limit.rlim_cur : SLOTS_MAX;
    result = io_uring_register_files_sparse(&ring, slots);
    if (result < 0) die("io_uring_register_files_sparse", -result);
    connections = calloc(slots, sizeof *connections);
    if (connections == NULL) die("calloc", ENOMEM);
}

static void *map(size_t length)
{
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) die("mmap", errno);
    return memory;
}

static void buffers_open(void)
{
    buffer_memory = map((size_t)BUFFERS * BUFFER_BYTES);
    /* Small messages touch the start of every buffer: without huge pages each is a TLB miss. */
    madvise(buffer_memory, (size_t)BUFFERS * BUFFER_BYTES, MADV_HUGEPAGE);
    buffer_ring = map(BUFFERS * sizeof(struct io_uring_buf));
    io_uring_buf_ring_init(buffer_ring);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)buffer_ring, .ring_entries = BUFFERS, .bgid = 0,
    };
    int result = io_uring_register_buf_ring(&ring, &registration, 0);
    if (result < 0) die("io_uring_register_buf_ring", -result);
    for (uint32_t buffer = 0; buffer < BUFFERS; buffer++) buffer_return(buffer);
    buffers_publish();
}

static void listener_open(unsigned short port)
{
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listen_fd < 0) die("socket", errno);
    int on = 1;
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* Accepted sockets inherit this; direct descriptors have no setsockopt of their own. */
    setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(listen_fd, (struct sockaddr *)&address, length) != 0) die("bind", errno);
    if (listen(listen_fd, 4096) != 0) die("listen", errno);
    if (getsockname(listen_fd, (struct sockaddr *)&address, &length) != 0) {
        die("getsockname", errno);
    }
    printf("listening %u\n", ntohs(address.sin_port));
    fflush(stdout);
}

static void signals_open(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0) die("sigprocmask", errno);
    int fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (fd < 0) die("signalfd", errno);
    struct io_uring_sqe *sqe = submission();
    io_uring_prep_poll_add(sqe, fd, POLLIN);
    label(sqe, OP_SIGNAL, 0);
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 2) {
        fprintf(stderr, "usage: %s PORT\n", arguments[0]);
        return 2;
    }
    ring_open();
    buffers_open();
    signals_open();
    listener_open((unsigned short)strtoul(arguments[1], NULL, 10));
    accept_arm();

    for (;;) {
        int result = io_uring_submit_and_wait(&ring, 1);
        if (result < 0 && result != -EINTR && result != -EBUSY) die("io_uring_enter", -result);
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        io_uring_for_each_cqe(&ring, head, cqe) {
            if (!dispatch(cqe)) return 0;
            count++;
        }
        io_uring_cq_advance(&ring, count);
        buffers_publish();
        if (starved_head != NONE) starved_rearm();
    }
}
