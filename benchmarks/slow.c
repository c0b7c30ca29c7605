/* Preloaded: every fsync and fdatasync takes EDGE_SLOW_FSYNC_MS longer, as on a card that is busy with itself. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>

static int
late(const char *name, int fd)
{
	const char *told = getenv("EDGE_SLOW_FSYNC_MS");
	long ms = told != NULL ? strtol(told, NULL, 10) : 0;
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000 };
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);

	nanosleep(&pause, NULL);
	return (real(fd));
}

int
fsync(int fd)
{
	return (late("fsync", fd));
}

int
fdatasync(int fd)
{
	return (late("fdatasync", fd));
}
