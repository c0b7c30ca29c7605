/*
 * A firmware with one loop: read the inverters, put what may be put, pump, sleep until there is something to do.
 *
 *     poll_loop SOCKET SITE READINGS PERIOD_MS
 *
 * Its policy is the one that `edge-sdk init --local .` writes; edge_ids.h comes from `edge-sdk shim header policy.toml`.
 */
#include "edge_shim.h"

#include "edge_ids.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INVERTERS 2
#define SLOTS EDGE_SLOTS_FOR(INVERTERS * 5 * 10, 120) /* 10 readings of 5 points a second, 2 minutes without agent */

static edge_slot_t slots[SLOTS];
static edge_label_t labels[INVERTERS];
static edge_t shim;

/* Stands for the radio or the bus that the inverters are on. */
static double read_power(int inverter, long tick)
{
	return 231.5 + (double)inverter + (double)tick;
}

/* The names of the devices go out once; a wipe forgets them, and a new grant wants them again. */
static void name_devices(void *user, uint32_t mask, uint32_t generation)
{
	(void)user;
	(void)generation;
	if (mask == 0)
		return;
	(void)edge_source(&shim, 0, EDGE_KIND_INVERTER, "408000123456");
	(void)edge_source(&shim, 1, EDGE_KIND_INVERTER, "408000123457");
}

/* Here a real firmware clears what it keeps of the household: histories, names, addresses. Then it says so. */
static void clear_caches(void *user, uint32_t wipe_id, uint32_t scope)
{
	(void)user;
	(void)scope;
	(void)edge_wipe_done(&shim, wipe_id, 0);
}

static void put_reading(uint16_t inverter, long tick)
{
	uint64_t at = edge_now_ms(); /* one time for all points of the reading */

	if (!edge_allowed(&shim, EDGE_FIELD_INVERTER_AC_POWER))
		return; /* nobody may have it: do not even read it */
	(void)edge_put_f64(&shim, EDGE_FIELD_INVERTER_AC_POWER, inverter, at, read_power(inverter, tick));
	(void)edge_put_i64(&shim, EDGE_FIELD_INVERTER_ENERGY, inverter, at, 4211 + tick);
	(void)edge_put_bool(&shim, EDGE_FIELD_INVERTER_ONLINE, inverter, at, 1);
}

/* Say what the pump answers, once: it mends by itself what can be mended, and nobody else tells why nothing arrives. */
static int pump(void)
{
	static int told;
	int stored = edge_pump(&shim);

	if (stored < 0 && stored != told)
		fprintf(stderr, "edge_pump answered %d; edge_shim.h says what it means\n", stored);
	told = stored < 0 ? stored : 0;
	return stored;
}

/* Pump until ${until_ms}, or sooner when the ring is ${empty_is_enough}. Answer whether something was granted. */
static int pump_until(uint64_t until_ms, int empty_is_enough)
{
	int stored = pump();

	while (edge_now_ms() < until_ms && !(empty_is_enough && stored == 0)) {
		int left = (int)(until_ms - edge_now_ms()), next = edge_next_ms(&shim);
		struct pollfd agent;

		agent.fd = edge_fd(&shim);
		agent.events = POLLIN;
		(void)poll(&agent, 1, left < next ? left : next);
		stored = pump();
	}
	return edge_allowed(&shim, EDGE_FOR(EDGE_ALL_PURPOSES));
}

int main(int argc, char **argv)
{
	edge_config_t config;
	edge_stats_t stats;
	long readings = argc > 3 ? atol(argv[3]) : 10, period_ms = argc > 4 ? atol(argv[4]) : 1000, tick;
	int code, tries;

	memset(&config, 0, sizeof config);
	config.abi = EDGE_ABI;
	config.socket_path = argc > 1 ? argv[1] : "/run/edge-sdk/edge.sock";
	config.site = argc > 2 ? argv[2] : "home";
	config.name = "poll_loop";
	config.schema_hash = EDGE_SCHEMA_HASH;
	config.slots = slots;
	config.slot_count = SLOTS;
	config.labels = labels;
	config.label_count = INVERTERS;
	config.linger_ms = 250;
	config.on_grant = name_devices;
	config.on_wipe = clear_caches;
	code = edge_init(&shim, &config);
	if (code != EDGE_OK) {
		fprintf(stderr, "edge_init answered %d; edge_shim.h says what it means\n", code);
		return 1;
	}
	for (tries = 0; tries < 50 && !pump_until(edge_now_ms() + 200, 0); tries++)
		;
	for (tick = 0; tick < readings; tick++) {
		uint16_t inverter;

		for (inverter = 0; inverter < INVERTERS; inverter++)
			put_reading(inverter, tick);
		(void)pump_until(edge_now_ms() + (uint64_t)period_ms, 0);
	}
	(void)pump_until(edge_now_ms() + 5000, 1);
	(void)edge_stats(&shim, &stats);
	printf("stored %u sent %u denied %u full %u\n", (unsigned)stats.stored, (unsigned)stats.sent,
	    (unsigned)stats.dropped[EDGE_DROP_DENIED], (unsigned)stats.dropped[EDGE_DROP_FULL]);
	edge_close(&shim);
	return stats.stored == 0; /* nothing was granted, or no agent was there */
}
