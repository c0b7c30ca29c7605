/*
 * A system in memory for the shim under test: clock, process, socket and agent do what a case says.
 *
 * Includes edge_shim.c itself, with the names of the calls it makes replaced, so that what runs is the text that ships.
 */
#ifndef EDGE_TEST_SYSTEM_H
#define EDGE_TEST_SYSTEM_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "edge_shim.h"

#define WORLD_MESSAGES 512
#define WORLD_BYTES 4200

struct letter {
	size_t size;
	unsigned char bytes[WORLD_BYTES];
};

static struct world {
	unsigned long long now_ms;
	int no_clock, absent, full, broken, gone, no_sockets, pid, connects, closes, next_fd;
	size_t sent, received, waiting;
	struct letter up[WORLD_MESSAGES];   /* what the shim sent */
	struct letter down[WORLD_MESSAGES]; /* what it has yet to receive, from `received` to `waiting` */
} world;

static int world_clock_gettime(clockid_t which, struct timespec *t)
{
	(void)which;
	if (world.no_clock)
		return -1;
	t->tv_sec = (time_t)(world.now_ms / 1000);
	t->tv_nsec = (long)(world.now_ms % 1000) * 1000000 + 999999;
	return 0;
}

static pid_t world_getpid(void)
{
	return (pid_t)world.pid;
}

static int world_socket(int domain, int type, int protocol)
{
	(void)domain;
	(void)protocol;
	if (world.no_sockets || (type & SOCK_NONBLOCK) == 0 || (type & SOCK_CLOEXEC) == 0) {
		errno = EMFILE;
		return -1;
	}
	return 1000 + world.next_fd++;
}

static int world_connect(int fd, const struct sockaddr *to, socklen_t size)
{
	(void)fd;
	(void)to;
	(void)size;
	world.connects++;
	errno = world.absent ? ENOENT : 0;
	world.broken = world.gone = 0;
	world.received = world.waiting = 0;
	return world.absent ? -1 : 0;
}

static ssize_t world_send(int fd, const void *bytes, size_t size, int flags)
{
	struct letter *letter = &world.up[world.sent % WORLD_MESSAGES];

	(void)fd;
	if (world.full || world.broken || (flags & MSG_DONTWAIT) == 0 || (flags & MSG_NOSIGNAL) == 0 || size == 0) {
		errno = world.full ? EAGAIN : EPIPE;
		return -1;
	}
	if (size > EDGE_MESSAGE_MAX)
		abort();
	memcpy(letter->bytes, bytes, size);
	letter->size = size;
	world.sent++;
	return (ssize_t)size;
}

static ssize_t world_recv(int fd, void *bytes, size_t size, int flags)
{
	struct letter *letter = &world.down[world.received % WORLD_MESSAGES];

	(void)fd;
	if ((flags & MSG_DONTWAIT) == 0 || (flags & MSG_TRUNC) == 0)
		abort();
	if (world.received == world.waiting) {
		errno = EAGAIN;
		return world.gone ? 0 : -1;
	}
	world.received++;
	memcpy(bytes, letter->bytes, letter->size < size ? letter->size : size);
	return (ssize_t)letter->size;
}

static int world_close(int fd)
{
	if (fd >= 1000)
		world.closes++;
	return fd < 1000 ? -1 : 0;
}

#define clock_gettime world_clock_gettime
#define getpid world_getpid
#define socket world_socket
#define connect world_connect
#define send world_send
#define recv world_recv
#define close world_close
#include "edge_shim.c"
#undef clock_gettime
#undef getpid
#undef socket
#undef connect
#undef send
#undef recv
#undef close

#endif
