/*
 * The calls recorder.c watches: one stand-in each, with glibc's 64-bit names as aliases.
 *
 * Owns which calls count and what is kept of each; counting, order and the log are recorder.c's.
 */
#include "recorder.h"
#include <dlfcn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <time.h>

/* ---- bytes ---- */

static long wrote(struct call *c, int fd, int64_t at, int how, const struct iovec *bytes, int pieces)
{
	int flags = fcntl(fd, F_GETFL);
	struct stat st;

	if (c->result > 0) {			/* an appending write ends at the end, whatever offset was asked */
		if ((flags & O_APPEND) || (how & RWF_APPEND))
			c->r.offset = fstat(fd, &st) == 0 ? st.st_size - c->result : -1;
		else
			c->r.offset = at == HERE ? lseek(fd, 0, SEEK_CUR) - c->result : at;
		c->r.length = c->result;
		c->r.bytes_len = (uint32_t)c->result;
	}
	if ((flags & O_DSYNC) || (how & (RWF_DSYNC | RWF_SYNC)))
		c->r.flags |= DURABLE;
	return leave(c, bytes, pieces);
}

#define BYTES(fd, at, how, iov, n, CALL) do { \
	struct call c; \
	if (!enter_fd(&c, WRITE, fd)) \
		return CALL; \
	TRY(&c, CALL); \
	return wrote(&c, fd, at, how, iov, n); \
} while (0)

ssize_t write(int fd, const void *buf, size_t n)
{
	struct iovec one = { (void *)buf, n };
	BYTES(fd, HERE, 0, &one, 1, syscall(SYS_write, fd, buf, n));
}
ssize_t pwrite(int fd, const void *buf, size_t n, off_t at)
{
	struct iovec one = { (void *)buf, n };
	BYTES(fd, at, 0, &one, 1, syscall(SYS_pwrite64, fd, buf, n, at));
}
ssize_t writev(int fd, const struct iovec *v, int n)
{
	BYTES(fd, HERE, 0, v, n, syscall(SYS_writev, fd, v, n));
}
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t at)
{
	BYTES(fd, at, 0, v, n, syscall(SYS_pwritev, fd, v, n, at, 0L));
}
ssize_t pwritev2(int fd, const struct iovec *v, int n, off_t at, int how)
{
	BYTES(fd, at, how, v, n, syscall(SYS_pwritev2, fd, v, n, at, 0L, how));
}

/* The kernel copied: read back what arrived. Nobody else writes meanwhile, the lock is held. */
static long copied(struct call *c, int fd, int64_t at)
{
	struct iovec one = { NULL, 0 };
	long result;
	char proc[40];
	int back;

	if (c->result > 0) {
		snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
		back = (int)syscall(SYS_openat, AT_FDCWD, proc, O_RDONLY | O_CLOEXEC, 0);
		if (at == HERE)
			at = lseek(fd, 0, SEEK_CUR) - c->result;
		one.iov_len = (size_t)c->result;
		one.iov_base = malloc(one.iov_len);
		if (back < 0 || one.iov_base == NULL || pread(back, one.iov_base, one.iov_len, at) != c->result)
			die("cannot read back what was copied");
		syscall(SYS_close, back);
	}
	result = wrote(c, fd, at, 0, &one, 1);
	free(one.iov_base);
	return result;
}
ssize_t sendfile(int out, int in, off_t *from, size_t n)
{
	struct call c;

	if (!enter_fd(&c, WRITE, out))
		return syscall(SYS_sendfile, out, in, from, n);
	TRY(&c, syscall(SYS_sendfile, out, in, from, n));
	return copied(&c, out, HERE);
}
ssize_t copy_file_range(int in, off_t *from, int out, off_t *to, size_t n, unsigned flags)
{
	int64_t at = to == NULL ? HERE : *to;
	struct call c;

	if (!enter_fd(&c, WRITE, out))
		return syscall(SYS_copy_file_range, in, from, out, to, n, flags);
	TRY(&c, syscall(SYS_copy_file_range, in, from, out, to, n, flags));
	return copied(&c, out, at);
}

/* ---- sizes and modes ---- */

int ftruncate(int fd, off_t size)
{
	struct call c;

	if (!enter_fd(&c, TRUNCATE, fd))
		return (int)syscall(SYS_ftruncate, fd, size);
	c.r.length = size;
	TRY(&c, syscall(SYS_ftruncate, fd, size));
	return (int)leave(&c, NULL, 0);
}
int truncate(const char *path, off_t size)
{
	struct call c;

	if (!enter_at(&c, TRUNCATE, AT_FDCWD, path, 1, 1))
		return (int)syscall(SYS_truncate, path, size);
	c.r.length = size;
	TRY(&c, syscall(SYS_truncate, path, size));
	return (int)leave(&c, NULL, 0);
}
int fallocate(int fd, int mode, off_t at, off_t n)
{
	struct call c;

	if (!enter_fd(&c, ALLOCATE, fd))
		return (int)syscall(SYS_fallocate, fd, mode, at, n);
	c.r.flags = (uint32_t)mode;
	c.r.offset = at;
	c.r.length = n;
	TRY(&c, syscall(SYS_fallocate, fd, mode, at, n));
	return (int)leave(&c, NULL, 0);
}
int posix_fallocate(int fd, off_t at, off_t n)
{
	int before = errno, error = fallocate(fd, 0, at, n) == 0 ? 0 : errno;	/* without glibc's emulation */

	errno = before;
	return error;
}
int fchmod(int fd, mode_t mode)
{
	struct call c;

	if (!enter_fd(&c, CHMOD, fd))
		return (int)syscall(SYS_fchmod, fd, mode);
	c.r.flags = mode;
	TRY(&c, syscall(SYS_fchmod, fd, mode));
	return (int)leave(&c, NULL, 0);
}
int fchmodat(int dirfd, const char *path, mode_t mode, int flags)
{
	struct call c;

	if (flags != 0) {
		errno = ENOTSUP;
		return -1;
	}
	if (!enter_at(&c, CHMOD, dirfd, path, 1, 1))
		return (int)syscall(SYS_fchmodat, dirfd, path, mode);
	c.r.flags = mode;
	TRY(&c, syscall(SYS_fchmodat, dirfd, path, mode));
	return (int)leave(&c, NULL, 0);
}
int chmod(const char *path, mode_t mode) { return fchmodat(AT_FDCWD, path, mode, 0); }

/* ---- names ---- */

static int opened(int dirfd, const char *path, int flags, mode_t mode)
{
	int unnamed = (flags & O_TMPFILE) == O_TMPFILE, there;
	struct stat st;
	struct call c;

	if ((flags & O_ACCMODE) != O_RDONLY && !unnamed && is_read_only() && at_path(dirfd, path, 1, c.path)
	    && watched(c.path) && lstat(c.path, &st) == 0 && S_ISREG(st.st_mode)) {
		errno = EROFS;
		return -1;
	}
	if ((!(flags & (O_CREAT | O_TRUNC)) && !unnamed) || !enter_at(&c, CREATE, dirfd, path, 1, EITHER))
		return (int)syscall(SYS_openat, dirfd, path, flags, mode);
	there = c.r.file != 0;
	if (!unnamed && (there ? !(flags & O_TRUNC) || !S_ISREG(c.r.mode) || (flags & O_CREAT && flags & O_EXCL)
			       : !(flags & O_CREAT))) {
		/* It changes nothing, but must not race with a call that does. */
		c.result = syscall(SYS_openat, dirfd, path, flags, mode);
		there = errno;
		unlock();
		errno = c.result < 0 ? there : c.before;
		return (int)c.result;
	}
	c.r.kind = there && !unnamed ? TRUNCATE : CREATE;
	c.r.flags = unnamed ? UNNAMED : 0;
	TRY(&c, syscall(SYS_openat, dirfd, path, flags, mode));
	if (c.result >= 0 && fstat((int)c.result, &st) == 0) {
		c.r.file = st.st_ino;
		c.r.mode = st.st_mode;
	}
	return (int)leave(&c, NULL, 0);
}

#define MODE(flags, mode) do { \
	if ((flags) & (O_CREAT | O_TMPFILE)) { \
		va_list rest; \
		va_start(rest, flags); \
		mode = va_arg(rest, mode_t); \
		va_end(rest); \
	} \
} while (0)

int open(const char *path, int flags, ...)
{
	mode_t mode = 0;
	MODE(flags, mode);
	return opened(AT_FDCWD, path, flags, mode);
}
int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;
	MODE(flags, mode);
	return opened(dirfd, path, flags, mode);
}
int creat(const char *path, mode_t mode) { return opened(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int __open_2(const char *path, int flags) { return opened(AT_FDCWD, path, flags, 0); }
int __openat_2(int dirfd, const char *path, int flags) { return opened(dirfd, path, flags, 0); }

int renameat2(int from, const char *path, int to, const char *other, unsigned flags)
{
	char there[PATH_MAX];
	int into = at_path(to, other, 0, there) && watched(there);
	struct stat st;
	struct call c;

	if (!enter_at(&c, RENAME, from, path, 0, 1)) {
		if (!into || !at_path(from, path, 0, c.path) || lstat(c.path, &st) != 0)
			return (int)syscall(SYS_renameat2, from, path, to, other, flags);
		c.r.kind = RENAME;		/* moved in from outside: logged so, and refused by the model */
		c.r.file = st.st_ino;
		c.r.mode = st.st_mode;
		lock();
	}
	c.r.flags = flags;
	if (at_path(to, other, 0, there))
		strcpy(c.other, there);
	TRY(&c, syscall(SYS_renameat2, from, path, to, other, flags));
	return (int)leave(&c, NULL, 0);
}
int renameat(int from, const char *path, int to, const char *other) { return renameat2(from, path, to, other, 0); }
int rename(const char *path, const char *other) { return renameat2(AT_FDCWD, path, AT_FDCWD, other, 0); }

int unlinkat(int dirfd, const char *path, int flags)
{
	struct call c;

	if (!enter_at(&c, flags & AT_REMOVEDIR ? RMDIR : UNLINK, dirfd, path, 0, 1))
		return (int)syscall(SYS_unlinkat, dirfd, path, flags);
	TRY(&c, syscall(SYS_unlinkat, dirfd, path, flags));
	return (int)leave(&c, NULL, 0);
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int remove(const char *path)
{
	struct stat st;
	return unlinkat(AT_FDCWD, path, lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
}

/* Fill in what a call has just made under c->path. */
static long made(struct call *c, const char *name, const char *text)
{
	struct iovec one = { (void *)text, text == NULL ? 0 : strlen(text) };
	struct stat st;

	if (c->result == 0 && lstat(name, &st) == 0) {
		c->r.file = st.st_ino;
		c->r.mode = st.st_mode;
	}
	c->r.bytes_len = (uint32_t)one.iov_len;
	return leave(c, &one, 1);
}
int mkdirat(int dirfd, const char *path, mode_t mode)
{
	struct call c;

	if (!enter_at(&c, MKDIR, dirfd, path, 0, 0))
		return (int)syscall(SYS_mkdirat, dirfd, path, mode);
	TRY(&c, syscall(SYS_mkdirat, dirfd, path, mode));
	return (int)made(&c, c.path, NULL);
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int symlinkat(const char *target, int dirfd, const char *path)
{
	struct call c;

	if (!enter_at(&c, SYMLINK, dirfd, path, 0, 0))
		return (int)syscall(SYS_symlinkat, target, dirfd, path);
	TRY(&c, syscall(SYS_symlinkat, target, dirfd, path));
	return (int)made(&c, c.path, target);
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }
int linkat(int from, const char *path, int to, const char *other, int flags)
{
	struct call c;

	if (!enter_at(&c, LINK, to, other, 0, 0))
		return (int)syscall(SYS_linkat, from, path, to, other, flags);
	if (!at_path(from, path, (flags & AT_SYMLINK_FOLLOW) != 0, c.other))
		c.other[0] = '\0';
	TRY(&c, syscall(SYS_linkat, from, path, to, other, flags));
	return (int)made(&c, c.path, NULL);
}
int link(const char *path, const char *other) { return linkat(AT_FDCWD, path, AT_FDCWD, other, 0); }

/* ---- durability ---- */

static void be_slow(int fd)
{
	struct timespec pause_for = { (time_t)(fsync_ms / 1000), (long)(fsync_ms % 1000) * 1000000L };
	char path[PATH_MAX];

	/* Outside the lock: a slow sync must not hold up other threads' writes. */
	if (fsync_ms > 0 && fd_path(fd, path) && watched(path))
		nanosleep(&pause_for, NULL);
}

#define SYNC(kind, fd, CALL) do { \
	struct call c; \
	if (!enter_fd(&c, kind, fd)) \
		return (int)CALL; \
	TRY(&c, CALL); \
	return (int)leave(&c, NULL, 0); \
} while (0)

int fsync(int fd) { be_slow(fd); SYNC(FSYNC, fd, syscall(SYS_fsync, fd)); }
int fdatasync(int fd) { be_slow(fd); SYNC(FDATASYNC, fd, syscall(SYS_fdatasync, fd)); }
int syncfs(int fd) { SYNC(SYNC_ALL, fd, syscall(SYS_syncfs, fd)); }
int sync_file_range(int fd, off_t at, off_t n, unsigned flags)
{
	SYNC(SYNC_RANGE, fd, syscall(SYS_sync_file_range, fd, at, n, flags));
}

/* ---- what cannot be recorded is said aloud ---- */

void *mmap(void *where, size_t n, int prot, int flags, int fd, off_t at)
{
	char path[PATH_MAX];
	int shared = (flags & MAP_TYPE) == MAP_SHARED || (flags & MAP_TYPE) == MAP_SHARED_VALIDATE;

	if (shared && (prot & PROT_WRITE) && fd >= 0 && fd_path(fd, path) && watched(path))
		note(BLIND, path, "mmap", 4);
	return (void *)syscall(SYS_mmap, where, n, prot, flags, fd, at);
}
FILE *fopen(const char *path, const char *mode)
{
	static FILE *(*next)(const char *, const char *);
	char whole[PATH_MAX];

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "fopen");
	if (strpbrk(mode, "wa+") != NULL && at_path(AT_FDCWD, path, 1, whole) && watched(whole))
		note(BLIND, whole, "fopen", 5);
	return next(path, mode);
}

/* ---- glibc's 64-bit names ---- */

#define SAME(type, name, args, as) type name args __attribute__((alias(as)))
SAME(int, open64, (const char *, int, ...), "open");
SAME(int, openat64, (int, const char *, int, ...), "openat");
SAME(int, creat64, (const char *, mode_t), "creat");
SAME(int, __open64_2, (const char *, int), "__open_2");
SAME(int, __openat64_2, (int, const char *, int), "__openat_2");
SAME(ssize_t, pwrite64, (int, const void *, size_t, off64_t), "pwrite");
SAME(ssize_t, pwritev64, (int, const struct iovec *, int, off64_t), "pwritev");
SAME(ssize_t, pwritev64v2, (int, const struct iovec *, int, off64_t, int), "pwritev2");
SAME(ssize_t, sendfile64, (int, int, off64_t *, size_t), "sendfile");
SAME(int, ftruncate64, (int, off64_t), "ftruncate");
SAME(int, truncate64, (const char *, off64_t), "truncate");
SAME(int, fallocate64, (int, int, off64_t, off64_t), "fallocate");
SAME(int, posix_fallocate64, (int, off64_t, off64_t), "posix_fallocate");
SAME(void *, mmap64, (void *, size_t, int, int, int, off64_t), "mmap");
SAME(FILE *, fopen64, (const char *, const char *), "fopen");
