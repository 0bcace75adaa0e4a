/*
 * One io_uring through its system calls: set-up, submission and completion queue, registration.
 *
 * Raw, because liburing of Debian 12 (2.3) is older than NO_SQARRAY, and what is measured must be
 * the ring that twinpoll uses: rung 0 of zig/backend/ring.zig. Only the thread that opened a ring
 * may use it (SINGLE_ISSUER).
 */
#ifndef FIXED_RING_H
#define FIXED_RING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef IORING_SETUP_NO_SQARRAY
#define IORING_SETUP_NO_SQARRAY (1U << 16) /* Linux 6.6 */
#endif

enum { RING_ENTRIES = 1024, COMPLETIONS_PER_SUBMISSION = 16 };

struct ring {
    int fd;
    unsigned *sq_head, *sq_tail, sq_mask, sq_entries;
    unsigned sq_local_tail; /* includes entries that are not yet shown to the kernel */
    struct io_uring_sqe *sqes;
    unsigned *cq_head, *cq_tail, cq_mask;
    struct io_uring_cqe *cqes;
    uint64_t system_calls;
    void *queues;
    size_t queues_bytes, sqes_bytes;
};

static int ring_register(const struct ring *ring, unsigned operation, const void *argument,
                         unsigned count)
{
    long result = syscall(SYS_io_uring_register, ring->fd, operation, argument, count);
    return result < 0 ? -errno : (int)result;
}

/* Returns 0, or a negated errno. */
static int ring_map(struct ring *ring, const struct io_uring_params *parameters)
{
    const int access = PROT_READ | PROT_WRITE, kind = MAP_SHARED | MAP_POPULATE;
    ring->queues_bytes =
        parameters->cq_off.cqes + parameters->cq_entries * sizeof(struct io_uring_cqe);
    ring->sqes_bytes = parameters->sq_entries * sizeof(struct io_uring_sqe);
    /* Both queues are one mapping since Linux 5.4. */
    void *queues = mmap(NULL, ring->queues_bytes, access, kind, ring->fd, IORING_OFF_SQ_RING);
    if (queues == MAP_FAILED) return -errno;
    void *sqes = mmap(NULL, ring->sqes_bytes, access, kind, ring->fd, IORING_OFF_SQES);
    if (sqes == MAP_FAILED) return -errno;
    unsigned char *base = queues;
    ring->queues = queues;
    ring->sqes = sqes;
    ring->sq_head = (unsigned *)(base + parameters->sq_off.head);
    ring->sq_tail = (unsigned *)(base + parameters->sq_off.tail);
    ring->sq_mask = *(unsigned *)(base + parameters->sq_off.ring_mask);
    ring->sq_entries = parameters->sq_entries;
    ring->sq_local_tail = *ring->sq_tail;
    ring->cq_head = (unsigned *)(base + parameters->cq_off.head);
    ring->cq_tail = (unsigned *)(base + parameters->cq_off.tail);
    ring->cq_mask = *(unsigned *)(base + parameters->cq_off.ring_mask);
    ring->cqes = (struct io_uring_cqe *)(base + parameters->cq_off.cqes);
    return 0;
}

/* Returns 0, or a negated errno: EINVAL before Linux 6.6. */
static int ring_open(struct ring *ring)
{
    struct io_uring_params parameters = { .cq_entries = RING_ENTRIES * COMPLETIONS_PER_SUBMISSION };
    parameters.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL |
                       IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_SINGLE_ISSUER |
                       IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_NO_SQARRAY;
    *ring = (struct ring){ .fd = (int)syscall(SYS_io_uring_setup, RING_ENTRIES, &parameters) };
    if (ring->fd < 0) return -errno;
    return ring_map(ring, &parameters);
}

static void ring_close(struct ring *ring)
{
    munmap(ring->sqes, ring->sqes_bytes);
    munmap(ring->queues, ring->queues_bytes);
    close(ring->fd);
}

/* Submits everything and runs the kernel's pending work; waits until there are `wait` completions.
 * Returns 0, or a negated errno; what only means "reap first" is no error. */
static int ring_enter(struct ring *ring, unsigned wait)
{
    __atomic_store_n(ring->sq_tail, ring->sq_local_tail, __ATOMIC_RELEASE);
    unsigned count = ring->sq_local_tail - __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
    ring->system_calls++;
    long result =
        syscall(SYS_io_uring_enter, ring->fd, count, wait, IORING_ENTER_GETEVENTS, NULL, 0);
    if (result >= 0 || errno == EINTR || errno == EBUSY || errno == EAGAIN) return 0;
    return -errno;
}

/* The next free submission entry, cleared; NULL where the queue stays full. */
static struct io_uring_sqe *ring_entry(struct ring *ring)
{
    unsigned head = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
    if (ring->sq_local_tail - head == ring->sq_entries) {
        if (ring_enter(ring, 0) < 0) return NULL;
        head = __atomic_load_n(ring->sq_head, __ATOMIC_ACQUIRE);
        if (ring->sq_local_tail - head == ring->sq_entries) return NULL;
    }
    struct io_uring_sqe *sqe = &ring->sqes[ring->sq_local_tail++ & ring->sq_mask];
    memset(sqe, 0, sizeof *sqe);
    return sqe;
}

/* Takes one completion; false when there is none. */
static bool ring_take(struct ring *ring, struct io_uring_cqe *cqe)
{
    unsigned head = *ring->cq_head;
    if (__atomic_load_n(ring->cq_tail, __ATOMIC_ACQUIRE) == head) return false;
    *cqe = ring->cqes[head & ring->cq_mask];
    __atomic_store_n(ring->cq_head, head + 1, __ATOMIC_RELEASE);
    return true;
}

#endif
