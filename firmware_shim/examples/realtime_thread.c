/*
 * A firmware whose readings come from a thread that must never wait: that thread puts, another one pumps.
 *
 *     realtime_thread SOCKET SITE READINGS PERIOD_MS
 *
 * edge_put_* and edge_allowed take a few dozen instructions and the clock; they never enter the kernel where the clock
 * does not, so the thread may have a real-time priority. It gets one here where the system permits it.
 */
#define _GNU_SOURCE
#include "edge_shim.h"

#include "edge_ids.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLOTS EDGE_SLOTS_FOR(1000, 8)

static edge_slot_t slots[SLOTS];
static edge_label_t labels[1];
static edge_t shim;
static long readings, period_ms;
static int finished;

/* ------------------------------------------------------------------------------- the thread with the deadline */

static void *control_loop(void *unused)
{
	struct sched_param priority;
	struct timespec next;
	long tick = 0;

	memset(&priority, 0, sizeof priority);
	priority.sched_priority = 10;
	(void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &priority); /* refused without the right to it */
	clock_gettime(CLOCK_MONOTONIC, &next);
	while (tick < readings) {
		uint64_t at = edge_now_ms();

		if (edge_allowed(&shim, EDGE_FIELD_INVERTER_AC_POWER)) {
			(void)edge_put_f64(&shim, EDGE_FIELD_INVERTER_AC_POWER, 0, at, 100.5 + (double)tick);
			(void)edge_put_i64(&shim, EDGE_FIELD_INVERTER_ENERGY, 0, at, 9000 + tick);
			tick++;
		}
		next.tv_nsec += period_ms % 1000 * 1000000;
		next.tv_sec += period_ms / 1000 + next.tv_nsec / 1000000000;
		next.tv_nsec %= 1000000000;
		(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	__atomic_store_n(&finished, 1, __ATOMIC_RELEASE);
	return unused;
}

/* -------------------------------------------------------------------------------------- the thread that may wait */

static void name_devices(void *user, uint32_t mask, uint32_t generation)
{
	(void)user;
	(void)generation;
	if (mask != 0)
		(void)edge_source(&shim, 0, EDGE_KIND_INVERTER, "408000777777");
}

/* Clearing may take its time: another thread answers edge_wipe_done when it has. Here nothing is kept. */
static void clear_caches(void *user, uint32_t wipe_id, uint32_t scope)
{
	(void)user;
	(void)scope;
	(void)edge_wipe_done(&shim, wipe_id, 0);
}

static void pump_loop(void)
{
	uint64_t end = 0;
	int stored = 1;

	while (end == 0 || (stored != 0 && edge_now_ms() < end)) {
		struct pollfd agent;
		int wait = edge_next_ms(&shim);

		agent.fd = edge_fd(&shim);
		agent.events = POLLIN;
		(void)poll(&agent, 1, wait < 100 ? wait : 100); /* the ring fills meanwhile: size it for this, too */
		stored = edge_pump(&shim);
		if (end == 0 && __atomic_load_n(&finished, __ATOMIC_ACQUIRE))
			end = edge_now_ms() + 5000;
	}
}

int main(int argc, char **argv)
{
	edge_config_t config;
	edge_stats_t stats;
	pthread_t control;

	readings = argc > 3 ? atol(argv[3]) : 1000;
	period_ms = argc > 4 ? atol(argv[4]) : 10;
	memset(&config, 0, sizeof config);
	config.abi = EDGE_ABI;
	config.socket_path = argc > 1 ? argv[1] : "/run/edge-sdk/edge.sock";
	config.site = argc > 2 ? argv[2] : "home";
	config.name = "realtime_thread";
	config.schema_hash = EDGE_SCHEMA_HASH;
	config.slots = slots;
	config.slot_count = SLOTS;
	config.labels = labels;
	config.label_count = 1;
	config.linger_ms = 250;
	config.on_grant = name_devices;
	config.on_wipe = clear_caches;
	if (edge_init(&shim, &config) != EDGE_OK || pthread_create(&control, NULL, control_loop, NULL) != 0)
		return 1;
	pump_loop();
	(void)pthread_join(control, NULL);
	(void)edge_stats(&shim, &stats);
	printf("stored %u sent %u denied %u full %u\n", (unsigned)stats.stored, (unsigned)stats.sent,
	    (unsigned)stats.dropped[EDGE_DROP_DENIED], (unsigned)stats.dropped[EDGE_DROP_FULL]);
	edge_close(&shim);
	return 0;
}
