/*
 * Puts points through a shim on a real socket, and says what it counted.
 *
 *     feeder feed SOCKET SECONDS POINTS_A_SECOND     two threads put, one pumps; prints one line of JSON
 *     feeder bench SOCKET SECONDS                    one thread puts without a pause; prints ns of a put
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "edge_shim.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FIELD (1u | 1u << 12)
#define SLOTS 4096u
#define SAMPLES 200000

static edge_t shim;
static edge_slot_t slots[SLOTS];
static edge_label_t labels[2];
static uint32_t stop, produced[2];
static long per_second;
static uint32_t samples[SAMPLES];

static void on_wipe(void *user, uint32_t wipe_id, uint32_t scope)
{
	(void)user, (void)scope;
	(void)edge_wipe_done(&shim, wipe_id, 0);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void *producing(void *which)
{
	uint16_t slot = (uint16_t)(uintptr_t)which;
	struct timespec pause = {0, 2000000};
	long each = per_second / 2 / 500, i;

	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
		for (i = 0; i < each; i++)
			(void)edge_put_i64(&shim, FIELD, slot, EDGE_NOW, produced[slot]++);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void pump_once(int most_ms)
{
	struct pollfd agent;
	int wait = edge_next_ms(&shim);

	agent.fd = edge_fd(&shim);
	agent.events = POLLIN;
	(void)poll(&agent, 1, wait < most_ms ? wait : most_ms);
	(void)edge_pump(&shim);
}

static void *pumping(void *unused)
{
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		pump_once(10);
	return unused;
}

static int feed(uint64_t seconds)
{
	uint64_t end = edge_now_ms() + seconds * 1000, told;
	pthread_t threads[2];
	edge_stats_t stats;
	uintptr_t i;
	int stored;

	(void)edge_source(&shim, 0, 1, "SERIAL-0");
	(void)edge_source(&shim, 1, 1, "SERIAL-1");
	for (i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, producing, (void *)i) != 0)
			return 3;
	while (edge_now_ms() < end)
		pump_once(10);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < 2; i++)
		(void)pthread_join(threads[i], NULL);
	for (end += 20000; (stored = edge_pump(&shim)) != 0 && edge_now_ms() < end;)
		pump_once(10);
	for (told = edge_now_ms() + 2500; edge_now_ms() < told;) /* the counters go out within a second */
		pump_once(50);
	(void)edge_stats(&shim, &stats);
	printf("{\"produced\": %lu, \"sent\": %u, \"dropped\": [%u, %u, %u, %u, %u], \"stored\": %d, \"again\": %u, \"connected\": %u}\n",
	    (unsigned long)produced[0] + produced[1], stats.sent, stats.dropped[0], stats.dropped[1], stats.dropped[2],
	    stats.dropped[3], stats.dropped[4], stored, stats.again, stats.connected);
	return 0;
}

static int by_size(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

/* A put is timed with the seven behind it: the clock that times takes as long as one. */
static int bench(uint64_t seconds)
{
	uint64_t end = now_ns() + seconds * 1000000000u, before, after;
	struct timespec pause = {0, 100000};
	uint32_t count = 0, i;
	pthread_t pump;

	if (pthread_create(&pump, NULL, pumping, NULL) != 0)
		return 3;
	while (count < SAMPLES && now_ns() < end) {
		before = now_ns();
		for (i = 0; i < 8; i++)
			(void)edge_put_i64(&shim, FIELD, 0, EDGE_NOW, i);
		after = now_ns();
		samples[count++] = (uint32_t)((after - before) / 8);
		if (count % 64 == 0)
			nanosleep(&pause, NULL);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	(void)pthread_join(pump, NULL);
	qsort(samples, count, sizeof *samples, by_size);
	printf("{\"count\": %u, \"p50\": %u, \"p99\": %u, \"max\": %u}\n", count, samples[count / 2], samples[count / 100 * 99],
	    samples[count - 1]);
	return 0;
}

int main(int argc, char **argv)
{
	edge_config_t config;
	int tries, code;

	if (argc < 4)
		return 2;
	memset(&config, 0, sizeof config);
	config.abi = EDGE_ABI;
	config.slots = slots;
	config.slot_count = SLOTS;
	config.labels = labels;
	config.label_count = 2;
	config.socket_path = argv[2];
	config.site = "house";
	config.name = "feeder";
	config.schema_hash = "\0\1\2\3\4\5\6\7";
	config.linger_ms = 50;
	config.on_wipe = on_wipe;
	code = edge_init(&shim, &config);
	if (code != EDGE_OK)
		return 10 - code;
	for (tries = 0; tries < 500 && !edge_allowed(&shim, FIELD); tries++)
		pump_once(20);
	per_second = argc > 4 ? atol(argv[4]) : 1000;
	code = strcmp(argv[1], "feed") == 0 ? feed((uint64_t)atol(argv[3])) : bench((uint64_t)atol(argv[3]));
	edge_close(&shim);
	return code;
}
