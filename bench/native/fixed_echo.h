/*
 * The echo that is measured, in its variants: which operations receive and send, and what of it is
 * registered with the ring. Everything else, down to the order of the buffers, is the same.
 *
 * Invariants: a connection has at most one receive and one send in the kernel, so bytes keep their
 * order; a buffer is free, in the kernel's hands to be received into, or queued at one connection,
 * and becomes free again only when no send holds it (a zero-copy send does until its notification).
 * Used by the measured thread only.
 */
#ifndef FIXED_ECHO_H
#define FIXED_ECHO_H

#include "fixed_ring.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#define SLAB_BYTES (16u << 20)
#define HUGE_BYTES (2u << 20)
/* Buffers are as far apart as twinpoll's of the default `bufferSize`, whatever a message's size. */
#define STRIDE_LEAST (16u << 10)
/* One that is received into and one that is sent from. */
#define BUFFERS_PER_CONNECTION 2u
#define CONNECTIONS_MAX (SLAB_BYTES / STRIDE_LEAST / BUFFERS_PER_CONNECTION)
#define BUFFERS_MAX (SLAB_BYTES / STRIDE_LEAST)
#define NONE UINT32_MAX

enum operation { OP_RECEIVE, OP_SEND, OP_CANCEL };
enum receive_kind { RECEIVE_MULTISHOT, RECEIVE_ONCE, RECEIVE_FIXED };
enum send_kind { SEND_PLAIN, SEND_WRITE, SEND_WRITE_FIXED, SEND_ZC, SEND_ZC_FIXED };

struct variant {
    const char *name;
    enum receive_kind receive;
    enum send_kind send;
    bool files; /* registered files */
};

struct connection {
    int fd;
    uint32_t head, tail, queued; /* received and not yet sent, linked through buffer.next */
    bool sending;
    bool starved; /* waits for a buffer to receive into */
};

struct buffer {
    uint32_t next;
    uint32_t length, sent;
    uint32_t holds; /* sends that may still read it */
};

static struct echo {
    struct ring ring;
    const struct variant *variant;
    unsigned char *slab;
    uint32_t stride;
    uint32_t connection_count;
    struct connection connections[CONNECTIONS_MAX];
    struct buffer buffers[BUFFERS_MAX];
    uint32_t free[BUFFERS_MAX]; /* used where receives are not multishot */
    uint32_t free_count, starved_count;
    struct io_uring_buf_ring *provided;
    uint32_t provided_entries; /* power of two; 0: not registered */
    uint16_t provided_tail;
    uint32_t pending; /* operations in the kernel */
    bool draining;
    int failure;   /* errno of the first operation that failed */
    uint64_t sent; /* bytes since the variant started */
    uint64_t notifications, notifications_copied;
    int files_errno, buffers_errno; /* why registering was refused, or 0 */
} echo;

static void die(const char *what, int error)
{
    fprintf(stderr, "fixed: %s: %s\n", what, strerror(error));
    exit(1);
}

static bool uses_registered_buffer(const struct variant *variant)
{
    return variant->receive == RECEIVE_FIXED || variant->send == SEND_WRITE_FIXED ||
           variant->send == SEND_ZC_FIXED;
}

static void fail(int error)
{
    if (echo.failure == 0) echo.failure = error;
}

static unsigned char *buffer_address(uint32_t buffer)
{
    return echo.slab + (size_t)buffer * echo.stride;
}

static void buffer_return(uint32_t buffer)
{
    uint32_t place = echo.free_count++;
    if (echo.variant->receive != RECEIVE_MULTISHOT) {
        echo.free[place] = buffer;
        return;
    }
    unsigned mask = echo.provided_entries - 1;
    struct io_uring_buf *entry = &echo.provided->bufs[echo.provided_tail++ & mask];
    entry->addr = (uint64_t)(uintptr_t)buffer_address(buffer);
    entry->len = echo.stride;
    entry->bid = (uint16_t)buffer;
}

static void buffers_publish(void)
{
    __atomic_store_n(&echo.provided->tail, echo.provided_tail, __ATOMIC_RELEASE);
}

static struct io_uring_sqe *entry_for(uint32_t index, enum operation operation, uint32_t buffer)
{
    struct io_uring_sqe *sqe = ring_entry(&echo.ring);
    if (sqe == NULL) die("submission queue stays full", EBUSY);
    bool files = echo.variant->files;
    sqe->fd = files ? (int)index : echo.connections[index].fd;
    sqe->flags = files ? IOSQE_FIXED_FILE : 0;
    sqe->user_data = (uint64_t)buffer << 32 | (uint64_t)index << 8 | operation;
    echo.pending++;
    return sqe;
}

static void receive_arm(uint32_t index)
{
    if (echo.draining) return;
    struct connection *connection = &echo.connections[index];
    if (echo.variant->receive == RECEIVE_MULTISHOT) {
        struct io_uring_sqe *sqe = entry_for(index, OP_RECEIVE, NONE);
        sqe->opcode = IORING_OP_RECV;
        sqe->ioprio = IORING_RECV_MULTISHOT;
        sqe->flags |= IOSQE_BUFFER_SELECT;
        return;
    }
    if (echo.free_count == 0) {
        connection->starved = true;
        echo.starved_count++;
        return;
    }
    uint32_t buffer = echo.free[--echo.free_count];
    struct io_uring_sqe *sqe = entry_for(index, OP_RECEIVE, buffer);
    sqe->opcode = echo.variant->receive == RECEIVE_FIXED ? IORING_OP_READ_FIXED : IORING_OP_RECV;
    sqe->addr = (uint64_t)(uintptr_t)buffer_address(buffer);
    sqe->len = echo.stride;
}

static void send_head(uint32_t index)
{
    struct connection *connection = &echo.connections[index];
    struct buffer *buffer = &echo.buffers[connection->head];
    struct io_uring_sqe *sqe = entry_for(index, OP_SEND, connection->head);
    sqe->addr = (uint64_t)(uintptr_t)(buffer_address(connection->head) + buffer->sent);
    sqe->len = buffer->length - buffer->sent;
    buffer->holds++;
    connection->sending = true;
    /* A write has no flags: it may write less than all, and raises SIGPIPE, which main ignores. */
    if (echo.variant->send == SEND_WRITE) sqe->opcode = IORING_OP_WRITE;
    if (echo.variant->send == SEND_WRITE_FIXED) sqe->opcode = IORING_OP_WRITE_FIXED;
    if (echo.variant->send == SEND_WRITE || echo.variant->send == SEND_WRITE_FIXED) return;
    sqe->msg_flags = MSG_NOSIGNAL | MSG_WAITALL;
    sqe->opcode = IORING_OP_SEND;
    if (echo.variant->send == SEND_PLAIN) return;
    sqe->opcode = IORING_OP_SEND_ZC;
    sqe->ioprio = IORING_SEND_ZC_REPORT_USAGE;
    if (echo.variant->send == SEND_ZC_FIXED) sqe->ioprio |= IORING_RECVSEND_FIXED_BUF;
}

static void queue_push(uint32_t index, uint32_t buffer, uint32_t length)
{
    struct connection *connection = &echo.connections[index];
    echo.buffers[buffer] = (struct buffer){ .next = NONE, .length = length };
    if (connection->queued++ == 0) connection->head = buffer;
    else echo.buffers[connection->tail].next = buffer;
    connection->tail = buffer;
    if (!connection->sending) send_head(index);
}

static void on_receive(uint32_t index, uint32_t buffer, const struct io_uring_cqe *cqe)
{
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        echo.free_count--;
    }
    if (cqe->res > 0) {
        queue_push(index, buffer, (uint32_t)cqe->res);
        if (!(cqe->flags & IORING_CQE_F_MORE)) receive_arm(index);
        return;
    }
    if (buffer != NONE) buffer_return(buffer);
    if (cqe->res == -ENOBUFS) {
        echo.connections[index].starved = true;
        echo.starved_count++;
    } else if (!echo.draining || cqe->res != -ECANCELED) {
        fail(cqe->res == 0 ? ECONNRESET : -cqe->res);
    }
}

static void on_sent(uint32_t index, uint32_t number, int result)
{
    struct connection *connection = &echo.connections[index];
    struct buffer *buffer = &echo.buffers[number];
    connection->sending = false;
    if (result <= 0) {
        fail(result == 0 ? EPIPE : -result);
        return;
    }
    echo.sent += (uint32_t)result;
    buffer->sent += (uint32_t)result;
    if (buffer->sent == buffer->length) {
        connection->head = buffer->next;
        connection->queued--;
    }
    if (connection->queued > 0) send_head(index);
}

static void on_send(uint32_t index, uint32_t number, const struct io_uring_cqe *cqe)
{
    struct buffer *buffer = &echo.buffers[number];
    if (cqe->flags & IORING_CQE_F_NOTIF) {
        echo.notifications++;
        if ((uint32_t)cqe->res & IORING_NOTIF_USAGE_ZC_COPIED) echo.notifications_copied++;
    } else {
        on_sent(index, number, cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) buffer->holds--;
    if (buffer->holds == 0 && buffer->sent == buffer->length) buffer_return(number);
}

static void starved_rearm(void)
{
    uint32_t budget = echo.free_count;
    for (uint32_t index = 0; index < echo.connection_count && budget > 0; index++) {
        if (!echo.connections[index].starved) continue;
        echo.connections[index].starved = false;
        echo.starved_count--;
        receive_arm(index);
        budget--;
    }
}

/* Enters the kernel once, and handles what it yields. */
static void echo_turn(void)
{
    int result = ring_enter(&echo.ring, 1);
    if (result < 0) die("io_uring_enter", -result);
    struct io_uring_cqe cqe;
    while (ring_take(&echo.ring, &cqe)) {
        uint32_t index = (uint32_t)cqe.user_data >> 8, buffer = (uint32_t)(cqe.user_data >> 32);
        if (!(cqe.flags & IORING_CQE_F_MORE)) echo.pending--;
        switch ((enum operation)(cqe.user_data & 0xff)) {
        case OP_RECEIVE: on_receive(index, buffer, &cqe); break;
        case OP_SEND: on_send(index, buffer, &cqe); break;
        case OP_CANCEL: break;
        }
    }
    buffers_publish();
    if (echo.starved_count > 0) starved_rearm();
}

/* Returns when so many bytes were echoed since the variant started, or an operation failed. */
static void echo_until(uint64_t bytes)
{
    while (echo.sent < bytes && echo.failure == 0) echo_turn();
}

/* All buffers are free again. What is left in the ring of provided buffers cannot be taken out, so
 * each variant gets that ring anew. */
static void buffers_reset(void)
{
    uint32_t count = echo.connection_count * BUFFERS_PER_CONNECTION, entries = 1;
    while (entries < count) entries *= 2;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)echo.provided, .ring_entries = entries, .bgid = 0,
    };
    if (echo.provided_entries > 0) {
        ring_register(&echo.ring, IORING_UNREGISTER_PBUF_RING, &registration, 1);
    }
    echo.provided_entries = entries;
    echo.provided_tail = 0;
    buffers_publish();
    int result = ring_register(&echo.ring, IORING_REGISTER_PBUF_RING, &registration, 1);
    if (result < 0) die("provided buffers", -result);
    echo.free_count = 0;
    for (uint32_t buffer = 0; buffer < count; buffer++) buffer_return(buffer);
    buffers_publish();
}

/* Starts to receive on the first connections. */
static void echo_start(const struct variant *variant, uint32_t connections)
{
    echo.variant = variant;
    echo.draining = false;
    echo.failure = 0;
    echo.sent = 0;
    echo.starved_count = 0;
    buffers_reset();
    for (uint32_t index = 0; index < connections; index++) {
        echo.connections[index] = (struct connection){ .fd = echo.connections[index].fd };
        receive_arm(index);
    }
}

/* Returns when nothing is left in the kernel: no byte is lost to a receive of the last variant. */
static void echo_stop(void)
{
    echo.draining = true;
    struct io_uring_sqe *sqe = entry_for(0, OP_CANCEL, NONE);
    sqe->opcode = IORING_OP_ASYNC_CANCEL;
    sqe->flags = 0;
    sqe->cancel_flags = IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY;
    while (echo.pending > 0) echo_turn();
}

static void *map(size_t length)
{
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) die("mmap", errno);
    return memory;
}

/* Once per process, by the thread that will be measured. */
static void echo_open(bool huge_pages)
{
    int result = ring_open(&echo.ring);
    if (result < 0) die("io_uring with the flags of rung 0 (Linux 6.6)", -result);
    uintptr_t memory = (uintptr_t)map(SLAB_BYTES + HUGE_BYTES);
    echo.slab = (unsigned char *)((memory + HUGE_BYTES - 1) & ~(uintptr_t)(HUGE_BYTES - 1));
    madvise(echo.slab, SLAB_BYTES, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memset(echo.slab, 1, SLAB_BYTES);
    echo.provided = map(BUFFERS_MAX * sizeof(struct io_uring_buf));
    struct { void *base; size_t length; } vector = { echo.slab, SLAB_BYTES };
    echo.buffers_errno = -ring_register(&echo.ring, IORING_REGISTER_BUFFERS, &vector, 1);
}

/* The connections' own ends; registers them as files. `stride` for messages of a new size. */
static void echo_connections(const int *descriptors, uint32_t count, uint32_t message_bytes)
{
    if (echo.connection_count > 0) ring_register(&echo.ring, IORING_UNREGISTER_FILES, NULL, 0);
    for (uint32_t index = 0; index < count; index++) {
        echo.connections[index].fd = descriptors[index];
    }
    echo.connection_count = count;
    echo.stride = message_bytes > STRIDE_LEAST ? message_bytes : STRIDE_LEAST;
    echo.files_errno = -ring_register(&echo.ring, IORING_REGISTER_FILES, descriptors, count);
}

#endif
