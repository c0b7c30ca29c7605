/*
 * Recorder of disk-changing calls: loaded with LD_PRELOAD, switched on by EDGE_FAULT_DIR and EDGE_FAULT_LOG.
 *
 * Every call that can change the folder (its files, names, sizes, modes) or make a change durable is counted,
 * carried out and written to the log under one lock, so the order in the log is the order on disk, over all
 * threads and over child processes. A call that cannot change anything (open of a file that is there, unlink of
 * one that is not) passes by uncounted. The kernel is called directly: nothing in here meets its own wrappers.
 *
 *   EDGE_FAULT_DIR        the folder, as realpath gives it        EDGE_FAULT_LOG      the log, outside that folder
 *   EDGE_FAULT_KILL_AT    SIGKILL to itself before the n-th call  EDGE_FAULT_FAIL_AT  first call to fail ...
 *   EDGE_FAULT_FAIL_COUNT ... how many in a row (1)               EDGE_FAULT_ERRNO    ... and with what (a number)
 *   EDGE_FAULT_FAIL_NAMES if 1, only calls that make a name fail  EDGE_FAULT_FSYNC_MS sleep before each fsync and fdatasync
 *
 * Left out on purpose: names that end in "-shm" (SQLite's wal-index is rebuilt, never durable), times, owners,
 * extended attributes, sockets. Writable shared maps and stdio cannot be seen, so they are logged as BLIND, and
 * the model refuses such a log. What else goes past it (splice, io_uring, raw system calls) shows when the log
 * is replayed and compared with the real folder, which recorder.record() always does.
 */
#include "recorder.h"
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>

struct head { char magic[8]; volatile uint64_t count; };	/* first page of the log, shared by processes */

static char folder[PATH_MAX];
static size_t folder_len;			/* 0: switched off, every call passes */
static int log_fd = -1;
static struct head *head;
static uint64_t kill_at, fail_at, fail_count, fail_errno, fail_names;
uint64_t fsync_ms;
static pthread_mutex_t threads = PTHREAD_MUTEX_INITIALIZER;

void die(const char *why)
{
	dprintf(2, "edge fault recorder: %s (%s)\n", why, strerror(errno));
	_exit(99);				/* loud: a log with a hole would be false evidence */
}

/* The mutex orders threads; the record lock orders processes, and the kernel frees it when one is killed. */
static void lock_log(short type)
{
	struct flock whole = { .l_type = type, .l_whence = SEEK_SET };

	while (fcntl(log_fd, F_SETLKW, &whole) != 0)
		if (errno != EINTR)
			die("cannot lock the log");
}
void lock(void) { pthread_mutex_lock(&threads); lock_log(F_WRLCK); }
void unlock(void) { lock_log(F_UNLCK); pthread_mutex_unlock(&threads); }
static void lock_threads(void) { pthread_mutex_lock(&threads); }
static void unlock_threads(void) { pthread_mutex_unlock(&threads); }

static void put(const void *bytes, size_t n)
{
	while (n > 0) {
		long done = syscall(SYS_write, log_fd, bytes, n);
		if (done <= 0)
			die("cannot write the log");
		bytes = (const char *)bytes + done;
		n -= (size_t)done;
	}
}

int watched(const char *path)
{
	static const char gone[] = " (deleted)";	/* the kernel's mark on an unlinked file's name */
	size_t n = strlen(path), g = sizeof gone - 1;

	if (folder_len == 0 || strncmp(path, folder, folder_len) != 0
	    || (path[folder_len] != '/' && path[folder_len] != '\0'))
		return 0;
	if (n > g && strcmp(path + n - g, gone) == 0)
		n -= g;
	return !(n >= 4 && strncmp(path + n - 4, "-shm", 4) == 0);
}

/* Ask the kernel for the name behind fd: right after dup, rename, fork and exec, with nothing to keep up. */
int fd_path(int fd, char *out)
{
	char proc[40];
	ssize_t n;

	snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
	n = readlink(proc, out, PATH_MAX - 1);
	out[n < 0 ? 0 : n] = '\0';
	return n > 0;
}

/* Absolute name without symbolic links; the last part is followed only if asked, and need not exist. */
int at_path(int dirfd, const char *path, int follow, char *out)
{
	char whole[2 * PATH_MAX], *slash;
	size_t n = 0;

	if (folder_len == 0 || path == NULL || *path == '\0' || strlen(path) >= PATH_MAX)
		return 0;
	if (*path != '/') {
		if (dirfd == AT_FDCWD ? getcwd(whole, PATH_MAX) == NULL : !fd_path(dirfd, whole))
			return 0;
		n = strlen(whole);
		whole[n++] = '/';
	}
	strcpy(whole + n, path);
	if (follow && realpath(whole, out) != NULL)
		return 1;
	for (n = strlen(whole); n > 1 && whole[n - 1] == '/'; n--)
		whole[n - 1] = '\0';
	slash = strrchr(whole, '/');
	*slash = '\0';
	if (realpath(slash == whole ? "/" : whole, out) == NULL || strlen(out) + strlen(slash + 1) + 2 > PATH_MAX)
		return 0;
	return strcat(strcat(out, "/"), slash + 1) != NULL;
}

/* Begin a call on an open file; 0: not ours, the caller passes it on. On 1 the lock is held until leave(). */
int enter_fd(struct call *c, enum kind kind, int fd)
{
	struct stat st;

	memset(&c->r, 0, sizeof c->r);
	c->before = errno;
	c->other[0] = '\0';
	if (folder_len == 0 || !fd_path(fd, c->path) || !watched(c->path) || fstat(fd, &st) != 0
	    || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
		errno = c->before;
		return 0;
	}
	c->r.kind = kind;
	c->r.file = st.st_ino;
	c->r.mode = st.st_mode;
	lock();
	return 1;
}

/* The same for a name. exists: 1 must be there, 0 must not, or the call cannot change anything and passes;
 * EITHER leaves that to the caller, who finds file 0 where there is none. */
int enter_at(struct call *c, enum kind kind, int dirfd, const char *path, int follow, int exists)
{
	struct stat st;

	memset(&c->r, 0, sizeof c->r);
	c->before = errno;
	c->other[0] = '\0';
	if (!at_path(dirfd, path, follow, c->path) || !watched(c->path)) {
		errno = c->before;
		return 0;
	}
	c->r.kind = kind;
	lock();
	if (lstat(c->path, &st) == 0) {
		c->r.file = st.st_ino;
		c->r.mode = st.st_mode;
	}
	if (exists == EITHER || exists == (c->r.file != 0))
		return 1;
	unlock();
	errno = c->before;
	return 0;
}

static int makes_name(enum kind kind)
{
	return kind == CREATE || kind == MKDIR || kind == LINK || kind == SYMLINK;
}

int faccessat(int dirfd, const char *path, int mode, int flags)
{
	char whole[PATH_MAX];

	if ((mode & W_OK) && is_read_only() && at_path(dirfd, path, 1, whole) && watched(whole)) {
		errno = EROFS;
		return -1;
	}
	if (flags == 0)
		return (int)syscall(SYS_faccessat, dirfd, path, mode);
	return (int)syscall(439, dirfd, path, mode, flags);	/* faccessat2, which older headers do not name */
}
int access(const char *path, int mode) { return faccessat(AT_FDCWD, path, mode, 0); }

static int takes_space(enum kind kind)
{
	return kind == WRITE || kind == ALLOCATE || makes_name(kind);
}

/* A medium that was remounted read-only opens nothing for writing, what is there neither; such a call is not counted. */
int is_read_only(void)
{
	uint64_t next;

	if (head == NULL || fail_errno != EROFS || fail_count < 2 || fail_at == 0)
		return 0;
	next = head->count + 1;
	return next >= fail_at && next - fail_at < fail_count;
}

/* Count the call; die before it, or return the error it is to fail with, or 0. */
int gate(struct call *c)
{
	uint64_t n = ++head->count;

	if (n == kill_at) {
		syscall(SYS_kill, getpid(), SIGKILL);
		for (;;)
			pause();
	}
	if (fail_at == 0 || n < fail_at || n - fail_at >= fail_count)
		return 0;
	if (fail_names && !makes_name(c->r.kind))
		return 0;
	/* A disk that stays full still syncs, deletes and renames. */
	if (fail_count > 1 && (fail_errno == ENOSPC || fail_errno == EDQUOT) && !takes_space(c->r.kind))
		return 0;
	return (int)fail_errno;
}

/* Log what happened, let the next thread in, give the caller its result and errno. */
long leave(struct call *c, const struct iovec *bytes, int pieces)
{
	size_t left = c->r.bytes_len, n;
	int i;

	c->r.thread = (uint32_t)syscall(SYS_gettid);
	c->r.path_len = (uint32_t)strlen(c->path);
	c->r.other_len = (uint32_t)strlen(c->other);
	put(&c->r, sizeof c->r);
	put(c->path, c->r.path_len);
	put(c->other, c->r.other_len);
	for (i = 0; i < pieces && left > 0; i++, left -= n) {
		n = bytes[i].iov_len < left ? bytes[i].iov_len : left;
		put(bytes[i].iov_base, n);
	}
	unlock();
	errno = c->r.error != 0 ? c->r.error : c->before;
	return c->result;
}

void note(enum kind kind, const char *path, const char *text, size_t n)
{
	struct iovec bytes = { (void *)text, n };
	struct call c;

	memset(&c.r, 0, sizeof c.r);
	c.before = errno;
	c.r.kind = kind;
	c.r.bytes_len = (uint32_t)n;
	snprintf(c.path, sizeof c.path, "%s", path);
	c.other[0] = '\0';
	lock();
	leave(&c, &bytes, 1);
}

/* For the program under test: say in the log what it has just promised. Not counted. */
void edge_fault_mark(const char *text, size_t n)
{
	if (folder_len > 0)
		note(MARK, folder, text, n);
}

static uint64_t number(const char *name, uint64_t otherwise)
{
	const char *text = getenv(name);
	return text == NULL || *text == '\0' ? otherwise : strtoull(text, NULL, 10);
}

__attribute__((constructor)) static void start(void)
{
	const char *dir = getenv("EDGE_FAULT_DIR"), *path = getenv("EDGE_FAULT_LOG");
	long fd;

	if (dir == NULL || path == NULL)
		return;
	kill_at = number("EDGE_FAULT_KILL_AT", 0);
	fail_at = number("EDGE_FAULT_FAIL_AT", 0);
	fail_count = number("EDGE_FAULT_FAIL_COUNT", 1);
	fail_errno = number("EDGE_FAULT_ERRNO", ENOSPC);
	fail_names = number("EDGE_FAULT_FAIL_NAMES", 0);
	fsync_ms = number("EDGE_FAULT_FSYNC_MS", 0);
	fd = syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_APPEND | O_CLOEXEC, 0);
	if (fd < 0 || strlen(dir) >= sizeof folder)
		die("cannot open the log");
	log_fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 900);	/* out of the way of the program's own numbers */
	syscall(SYS_close, fd);
	head = (struct head *)syscall(SYS_mmap, NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	if (log_fd < 0 || head == MAP_FAILED || memcmp(head->magic, "EDGEFLT1", 8) != 0)
		die("the log is not one of ours");
	pthread_atfork(lock_threads, unlock_threads, unlock_threads);
	strcpy(folder, dir);
	folder_len = strlen(folder);
}

/* For a program that was preloaded switched off and forks: begin, by the environment as it is now. */
void edge_fault_start(void)
{
	start();
}
