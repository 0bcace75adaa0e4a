/*
 * UDP echo over epoll with recvmmsg and sendmmsg: the plain C peer that twinpoll is measured
 * against.
 *
 *   datagrams_epoll PORT   0 picks a port; prints "listening PORT"; SIGTERM or SIGINT ends it
 *
 * One socket, one thread. What one call received the next one sends back, each datagram to its
 * sender; what the kernel has no room for waits for it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 256, DATAGRAM_BYTES = 2048, RECEIVE_BUFFER_BYTES = 1 << 20 };

static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];
static struct sockaddr_in senders[BATCH];
static unsigned char buffers[BATCH][DATAGRAM_BYTES];

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int socket_open(unsigned short port)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    int bytes = RECEIVE_BUFFER_BYTES;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(fd, (struct sockaddr *)&address, length) != 0) die("bind");
    if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) die("getsockname");
    printf("listening %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static int signals_open(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) != 0) die("sigprocmask");
    int fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0) die("signalfd");
    return fd;
}

static void watch(int epoll_fd, int fd)
{
    struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static void send_all(int fd, int count)
{
    for (int sent = 0; sent < count;) {
        int taken = sendmmsg(fd, messages + sent, (unsigned)(count - sent), MSG_NOSIGNAL);
        if (taken > 0) {
            sent += taken;
        } else if (errno == EAGAIN) {
            struct pollfd wait = { .fd = fd, .events = POLLOUT };
            poll(&wait, 1, 100);
        } else if (errno != EINTR) {
            sent += 1; /* refused: the next one */
        }
    }
}

/* One batch per event: level triggering reports what is left. */
static void echo(int fd)
{
    for (int index = 0; index < BATCH; index++) {
        messages[index].msg_hdr.msg_namelen = sizeof senders[index];
        vectors[index].iov_len = DATAGRAM_BYTES;
    }
    int count = recvmmsg(fd, messages, BATCH, 0, NULL);
    if (count <= 0) return;
    for (int index = 0; index < count; index++) vectors[index].iov_len = messages[index].msg_len;
    send_all(fd, count);
}

int main(int argument_count, char **arguments)
{
    if (argument_count != 2) {
        fprintf(stderr, "usage: %s PORT\n", arguments[0]);
        return 2;
    }
    for (int index = 0; index < BATCH; index++) {
        vectors[index].iov_base = buffers[index];
        messages[index].msg_hdr.msg_iov = &vectors[index];
        messages[index].msg_hdr.msg_iovlen = 1;
        messages[index].msg_hdr.msg_name = &senders[index];
    }
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) die("epoll_create1");
    int signal_fd = signals_open();
    int socket_fd = socket_open((unsigned short)strtoul(arguments[1], NULL, 10));
    watch(epoll_fd, signal_fd);
    watch(epoll_fd, socket_fd);
    for (;;) {
        struct epoll_event events[2];
        int count = epoll_wait(epoll_fd, events, 2, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int index = 0; index < count; index++) {
            if (events[index].data.fd == signal_fd) return 0;
            echo(socket_fd);
        }
    }
}
