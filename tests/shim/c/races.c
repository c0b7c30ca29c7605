/*
 * Threads put while the purpose is granted, withdrawn, wiped and run out, as fast as it goes: races PUTS SEED
 *
 * The agent is played inside recv() and send(), so by the pump's own thread: `phase` is odd while something is granted,
 * and is moved before a grant can take effect and after a withdrawal has. A thread notes the phase before and after each
 * put; the point's number is looked up when it is sent. A point sent in a phase later than the one its put ended in
 * was let in under a grant since withdrawn. Ends with 0, or says what was wrong.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int play_socket(int domain, int type, int protocol);
static int play_connect(int fd, const struct sockaddr *to, socklen_t size);
static ssize_t play_send(int fd, const void *bytes, size_t size, int flags);
static ssize_t play_recv(int fd, void *bytes, size_t size, int flags);
static int play_close(int fd);
#define socket play_socket
#define connect play_connect
#define send play_send
#define recv play_recv
#define close play_close
#include "edge_shim.c"
#undef close

#define THREADS 4
#define PHASES 24
#define FIELD (5u | 1u << 12)

struct note {
	uint32_t before, after, sent; /* phases; `sent` 0: not sent */
	int32_t code;
};

static edge_t shim;
static edge_slot_t slots[256];
static struct note *notes[THREADS];
static uint32_t per_thread, phase, generation = 1, seed, running;
static int greeted, told, waits_wiped;
static uint64_t last_sent[THREADS], counted;
static int wrong;

static void fail(const char *what)
{
	if (!wrong)
		fprintf(stderr, "%s\n", what);
	wrong = 1;
}

static uint32_t chance(uint32_t of)
{
	seed = seed * 1664525u + 1013904223u;
	return (seed >> 8) % of;
}

static int play_socket(int domain, int type, int protocol)
{
	(void)domain, (void)type, (void)protocol;
	return 900;
}

static int play_connect(int fd, const struct sockaddr *to, socklen_t size)
{
	(void)fd, (void)to, (void)size;
	greeted = told = 0;
	return 0;
}

static int play_close(int fd)
{
	(void)fd;
	return 0;
}

static uint64_t number_at(const uint8_t **at)
{
	unsigned low = *(*at)++ & 31u, bytes = low < 24 ? 0 : 1u << (low - 24);
	uint64_t value = low < 24 ? low : 0;

	while (bytes-- != 0)
		value = value << 8 | *(*at)++;
	return value;
}

static void look_at_batch(const uint8_t *at)
{
	uint32_t now = LOAD(&phase);
	uint64_t count, value, i;

	if (number_at(&at) != counted) /* `first` */
		fail("first is not the number of points sent");
	(void)number_at(&at);
	for (at++, i = 0; i < 5; i++)
		(void)number_at(&at);
	for (count = number_at(&at), counted += count; count != 0; count--) {
		at++;
		(void)number_at(&at), (void)number_at(&at), (void)number_at(&at);
		value = number_at(&at);
		i = value >> 32;
		value &= 0xFFFFFFFFu;
		if (i >= THREADS || value >= per_thread || value < last_sent[i])
			fail("a point came out of order, twice, or was never put");
		last_sent[i] = value + 1;
		STORE(&notes[i][value].sent, now);
		if ((now & 1u) == 0)
			fail("a point was sent while nothing was granted");
	}
}

static ssize_t play_send(int fd, const void *bytes, size_t size, int flags)
{
	const uint8_t *at = (const uint8_t *)bytes;

	(void)fd, (void)flags;
	if (chance(8) == 0 && at[1] != 1) {
		errno = EAGAIN;
		return -1;
	}
	if (at[1] == 1)
		greeted = 1;
	if (at[1] == 2)
		look_at_batch(at + 2);
	if (at[1] == 5)
		waits_wiped = 0;
	return (ssize_t)size;
}

/* What the agent says next; a grant moves the phase before it can take effect. */
static ssize_t play_recv(int fd, void *bytes, size_t size, int flags)
{
	static const uint8_t welcome[] = {0x85, 16, 1, 0, 0x18, 64, 0};
	uint8_t state[] = {0x84, 17, 0x1A, 0, 0, 0, 0, 0, 0x19, 0x02, 0x58}, wipe[] = {0x83, 18, 0x18, 99, 1};
	uint32_t dice = chance(100);

	(void)fd, (void)size, (void)flags;
	errno = EAGAIN;
	if (!greeted)
		return -1;
	if (!told) {
		told = 1;
		memcpy(bytes, welcome, sizeof welcome);
		return sizeof welcome;
	}
	if (dice > 20)
		return -1;
	if (dice == 0 && chance(50) == 0)
		return 0;
	if (dice == 1 && !waits_wiped && LOAD(&running) != 0) {
		waits_wiped = 1;
		memcpy(bytes, wipe, sizeof wipe);
		return sizeof wipe;
	}
	if (dice < 12 || LOAD(&running) == 0) { /* once the threads are through, what is granted stays so */
		if (waits_wiped)
			return -1;
		if ((LOAD(&phase) & 1u) == 0) {
			generation++;
			(void)__atomic_fetch_add(&phase, 1u, __ATOMIC_ACQ_REL);
		}
		state[7] = 1;
	} else {
		generation++;
	}
	state[3] = (uint8_t)(generation >> 24 | 1); /* four bytes, in their shortest form */
	state[4] = (uint8_t)(generation >> 16);
	state[5] = (uint8_t)(generation >> 8);
	state[6] = (uint8_t)generation;
	memcpy(bytes, state, sizeof state);
	return sizeof state;
}

static void on_grant(void *user, uint32_t mask, uint32_t unused)
{
	(void)user, (void)unused;
	if (mask == 0)
		(void)__atomic_fetch_add(&phase, 1u, __ATOMIC_ACQ_REL);
}

static void on_wipe(void *user, uint32_t wipe_id, uint32_t scope)
{
	(void)user, (void)scope;
	if (edge_wipe_done(&shim, wipe_id, 0) != EDGE_OK)
		fail("the wipe was not open");
}

static void *putting(void *which)
{
	uint64_t thread = (uint64_t)(uintptr_t)which;
	uint32_t i;

	for (i = 0; i < per_thread; i++) {
		struct note *note = &notes[thread][i];

		while (LOAD(&phase) < (uint64_t)PHASES * i / per_thread) /* the pump may get few turns of a busy machine */
			sched_yield();
		note->before = LOAD(&phase);
		note->code = edge_put_i64(&shim, FIELD, (uint16_t)thread, EDGE_NOW, (int64_t)(thread << 32 | i));
		note->after = LOAD(&phase);
		if (i % 64 == 0)
			sched_yield();
	}
	(void)__atomic_fetch_sub(&running, 1u, __ATOMIC_ACQ_REL);
	return NULL;
}

static void look_at_notes(void)
{
	uint64_t codes[32] = {0};
	edge_stats_t stats;
	uint32_t i, thread;

	for (thread = 0; thread < THREADS; thread++) {
		for (i = 0; i < per_thread; i++) {
			const struct note *note = &notes[thread][i];

			codes[-note->code]++;
			if (note->sent != 0 && note->code != EDGE_OK)
				fail("a point was sent whose put was refused");
			if (note->sent != 0 && (note->sent < note->before || note->sent > note->after))
				fail("a point was sent under another grant than it was put");
			if (note->code == EDGE_OK && note->before == note->after && note->before % 2 == 0)
				fail("a point was let in while nothing was granted");
		}
	}
	(void)edge_stats(&shim, &stats);
	if (codes[0] != stats.stored || codes[-EDGE_EFULL] != stats.dropped[EDGE_DROP_FULL] ||
	    codes[-EDGE_EDENIED] + codes[-EDGE_EEXPIRED] != stats.dropped[EDGE_DROP_DENIED])
		fail("puts and counters differ");
	if (stats.stored != stats.sent + stats.dropped[EDGE_DROP_EXPIRED] + stats.dropped[EDGE_DROP_WIPED])
		fail("stored is not sent and dropped");
	printf("%llu puts: %u sent, %u expired, %u wiped, %u denied, %u full, %u changes of phase\n",
	    (unsigned long long)per_thread * THREADS, stats.sent, stats.dropped[EDGE_DROP_EXPIRED],
	    stats.dropped[EDGE_DROP_WIPED], stats.dropped[EDGE_DROP_DENIED], stats.dropped[EDGE_DROP_FULL], phase);
	if (phase < PHASES - 1 || stats.sent == 0 || stats.dropped[EDGE_DROP_DENIED] == 0)
		fail("too little happened to say anything");
}

int main(int argc, char **argv)
{
	edge_config_t config;
	pthread_t threads[THREADS];
	uintptr_t i;

	per_thread = (uint32_t)(argc > 1 ? atol(argv[1]) : 100000) / THREADS;
	seed = (uint32_t)(argc > 2 ? atol(argv[2]) : 1);
	memset(&config, 0, sizeof config);
	config.abi = EDGE_ABI;
	config.slots = slots;
	config.slot_count = 256;
	config.socket_path = "played";
	config.site = "house";
	config.name = "races";
	config.schema_hash = "12345678";
	config.on_wipe = on_wipe;
	config.on_grant = on_grant;
	if (edge_init(&shim, &config) != EDGE_OK)
		return 3;
	running = THREADS;
	for (i = 0; i < THREADS; i++) {
		notes[i] = calloc(per_thread, sizeof **notes);
		if (notes[i] == NULL || pthread_create(&threads[i], NULL, putting, (void *)i) != 0)
			return 3;
	}
	while (LOAD(&running) != 0)
		(void)edge_pump(&shim);
	for (i = 0; i < THREADS; i++)
		(void)pthread_join(threads[i], NULL);
	while (edge_pump(&shim) != 0)
		;
	look_at_notes();
	for (i = 0; i < THREADS; i++)
		free(notes[i]);
	return wrong;
}
