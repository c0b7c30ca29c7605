/*
 * What recorder.c (counting, killing, the log) gives to recorder_calls.c (the calls that are stood in for).
 *
 * A stand-in begins with enter_fd() or enter_at(); where that says 0 the call is not ours and is passed on. On 1
 * the lock is held: TRY() the call, then leave(). Nothing may return in between.
 */
#ifndef EDGE_FAULT_RECORDER_H
#define EDGE_FAULT_RECORDER_H
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#if __SIZEOF_LONG__ < 8 || !defined(__linux__)
#error "the recorder wants 64-bit Linux: the 64-bit names below are aliases"
#endif

/* The numbers are those of class Kind in calllog.py. */
enum kind { CREATE = 1, WRITE, TRUNCATE, ALLOCATE, RENAME, UNLINK, MKDIR, RMDIR, LINK, SYMLINK, CHMOD,
	FSYNC, FDATASYNC, SYNC_RANGE, SYNC_ALL, BLIND, MARK };
enum { DURABLE = 1 << 30, UNNAMED = 1 << 29 };	/* bits of record.flags beside the call's own */
#define HERE (-1)				/* offset: at the file position */
#define EITHER (-1)				/* exists: no matter */

struct record {					/* 56 bytes, then path, other path, bytes */
	uint32_t kind; int32_t error; uint32_t thread, mode;
	uint64_t file; uint32_t flags, path_len;
	int64_t offset, length;
	uint32_t other_len, bytes_len;
};
struct call { struct record r; long result; int before; char path[PATH_MAX], other[PATH_MAX]; };

#pragma GCC visibility push(hidden)
extern uint64_t fsync_ms;
void die(const char *why);
int fd_path(int fd, char *out);
int at_path(int dirfd, const char *path, int follow, char *out);
int watched(const char *path);
void unlock(void);
void lock(void);
int enter_fd(struct call *c, enum kind kind, int fd);
int enter_at(struct call *c, enum kind kind, int dirfd, const char *path, int follow, int exists);
int gate(struct call *c);
int is_read_only(void);
long leave(struct call *c, const struct iovec *bytes, int pieces);
void note(enum kind kind, const char *path, const char *text, size_t n);
#pragma GCC visibility pop

#define TRY(c, CALL) do { \
	(c)->result = -1; \
	(c)->r.error = gate(c); \
	if ((c)->r.error == 0 && ((c)->result = (CALL)) < 0) \
		(c)->r.error = errno; \
} while (0)

#endif
