/*
 * How long an edge_put takes while another thread pumps: put SOCKET SITE PUTS
 *
 * Prints "granted" when something is, waits for a line on standard input, measures, prints one line of JSON: medians and
 * percentiles of single puts, less what the clock that times them takes by itself, and of eight at a time, in 1/8.
 * The ring holds all points of a run, so that no put is a short one for want of room.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "edge_shim.h"

#include "edge_ids.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS EDGE_POW2(1000000)
#define PER_BURST 64
#define MANY 8

static edge_t shim;
static edge_slot_t slots[SLOTS];
static edge_label_t labels[1];
static uint32_t stop;

static void on_wipe(void *user, uint32_t wipe_id, uint32_t scope)
{
	(void)user, (void)scope;
	(void)edge_wipe_done(&shim, wipe_id, 0);
}

static void on_grant(void *user, uint32_t mask, uint32_t generation)
{
	(void)user, (void)generation;
	if (mask != 0)
		(void)edge_source(&shim, 0, EDGE_KIND_INVERTER, "408000123456");
}

static void pump_once(void)
{
	struct pollfd agent;

	agent.fd = edge_fd(&shim);
	agent.events = POLLIN;
	(void)poll(&agent, 1, edge_next_ms(&shim));
	(void)edge_pump(&shim);
}

static void *pumping(void *unused)
{
	while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE))
		pump_once();
	return unused;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

/* Time ${each} puts together, ${count} times; sort the times of one. Answer how many puts were not stored. */
static long measure(uint32_t *times, long count, long each)
{
	struct timespec pause = {0, 200000};
	uint64_t before, after;
	long i, k, refused = 0;

	for (i = 0; i < count; i++) {
		before = now_ns();
		for (k = 0; k < each; k++)
			refused += edge_put_f64(&shim, EDGE_FIELD_INVERTER_AC_POWER, 0, EDGE_NOW, (double)i) != EDGE_OK;
		after = now_ns();
		times[i] = (uint32_t)((after - before) / (each != 0 ? (uint64_t)each : 1));
		if (i * (each != 0 ? each : 1) % PER_BURST == 0)
			nanosleep(&pause, NULL);
	}
	qsort(times, (size_t)count, sizeof *times, by_size);
	return refused;
}

static uint32_t less(uint32_t time, uint32_t clock)
{
	return time > clock ? time - clock : 0;
}

int main(int argc, char **argv)
{
	edge_config_t config;
	long count, refused;
	uint32_t *times, clock;
	pthread_t pump;

	if (argc != 4 || (count = atol(argv[3])) < 1000 || 2 * count > (long)SLOTS)
		return 2;
	memset(&config, 0, sizeof config);
	config.abi = EDGE_ABI;
	config.slots = slots;
	config.slot_count = SLOTS;
	config.labels = labels;
	config.label_count = 1;
	config.linger_ms = 250;
	config.socket_path = argv[1];
	config.site = argv[2];
	config.name = "put";
	config.schema_hash = EDGE_SCHEMA_HASH;
	config.on_wipe = on_wipe;
	config.on_grant = on_grant;
	times = calloc((size_t)count, sizeof *times);
	if (times == NULL || edge_init(&shim, &config) != EDGE_OK)
		return 3;
	while (!edge_allowed(&shim, EDGE_FIELD_INVERTER_AC_POWER))
		pump_once();
	printf("granted\n");
	fflush(stdout);
	if (pthread_create(&pump, NULL, pumping, NULL) != 0 || getchar() == EOF)
		return 3;
	(void)measure(times, count, 0);
	clock = times[count / 2];
	refused = measure(times, count, 1);
	printf("{\"p50\": %u, \"p99\": %u, \"p99.9\": %u, ", less(times[count / 2], clock), less(times[count / 100 * 99], clock),
	    less(times[count / 1000 * 999], clock));
	refused += measure(times, count / MANY, MANY);
	printf("\"of eight\": %u, \"p99 of eight\": %u, \"refused\": %ld, \"clock\": %u}\n", times[count / MANY / 2],
	    times[count / MANY / 100 * 99], refused, clock);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
	(void)pthread_join(pump, NULL);
	edge_close(&shim);
	free(times);
	return 0;
}
