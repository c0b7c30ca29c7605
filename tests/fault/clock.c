/*
 * Stands in for the wall clock of the program it is preloaded into: CLOCK_REALTIME is off by what a file says.
 *
 * EDGE_FAULT_CLOCK names a file of exactly one signed 64-bit number, nanoseconds, mapped shared: a test that writes
 * it steps the clock of the running program. Every other clock is the kernel's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset;

static int64_t off(void)
{
	const char *name = getenv("EDGE_FAULT_CLOCK");

	if (offset == NULL && name != NULL) {
		int fd = open(name, O_RDONLY | O_CLOEXEC);
		void *map = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);

		if (fd >= 0)
			close(fd);
		if (map != MAP_FAILED)
			offset = map;
	}
	return (offset == NULL ? 0 : *offset);
}

int clock_gettime(clockid_t clock, struct timespec *at)
{
	int result = (int)syscall(SYS_clock_gettime, clock, at);

	if (result == 0 && clock == CLOCK_REALTIME) {
		int64_t whole = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + off();

		if (whole < 0)
			whole = 0;
		at->tv_sec = whole / 1000000000;
		at->tv_nsec = whole % 1000000000;
	}
	return (result);
}

int gettimeofday(struct timeval *restrict at, void *restrict zone)
{
	struct timespec precise;
	int result = clock_gettime(CLOCK_REALTIME, &precise);

	(void)zone;
	at->tv_sec = precise.tv_sec;
	at->tv_usec = precise.tv_nsec / 1000;
	return (result);
}

time_t time(time_t *at)
{
	struct timespec precise;

	clock_gettime(CLOCK_REALTIME, &precise);
	if (at != NULL)
		*at = precise.tv_sec;
	return (precise.tv_sec);
}
