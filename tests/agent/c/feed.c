/*
 * Feeds READINGS readings of one inverter by way of the shim, then stays until it is wiped or its time is over:
 * feed SOCKET SITE READINGS SECONDS
 */
#include "edge_shim.h"

#include "edge_ids.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 8192

static edge_slot_t slots[SLOTS];
static edge_label_t labels[4];
static edge_t shim;
static int wiped;

static void clear_caches(void *user, uint32_t wipe_id, uint32_t scope)
{
	(void)user;
	(void)scope;
	wiped = 1;
	(void)edge_wipe_done(&shim, wipe_id, 0);
}

static void wait_ms(int ms)
{
	uint64_t until = edge_now_ms() + (uint64_t)ms;

	while (edge_now_ms() < until) {
		(void)edge_pump(&shim);
		(void)poll(NULL, 0, 5);
	}
}

int main(int argc, char **argv)
{
	edge_config_t config;
	uint64_t began;
	long number, readings, seconds;

	if (argc < 5)
		return 2;
	readings = atol(argv[3]);
	seconds = atol(argv[4]);
	memset(&config, 0, sizeof config);
	config.abi = EDGE_ABI;
	config.socket_path = argv[1];
	config.site = argv[2];
	config.name = "feed";
	config.schema_hash = EDGE_SCHEMA_HASH;
	config.slots = slots;
	config.slot_count = SLOTS;
	config.labels = labels;
	config.label_count = 4;
	config.linger_ms = 100;
	config.on_wipe = clear_caches;
	if (edge_init(&shim, &config) != EDGE_OK)
		return 1;
	for (number = 0; number < 300 && edge_allowed(&shim, EDGE_FIELD_INVERTER_POWER) <= 0; number++)
		wait_ms(100);
	(void)edge_source(&shim, 0, EDGE_KIND_INVERTER, "CANARY-4080001");
	began = edge_now_ms() - 60000;
	for (number = 0; number < readings; number++) {
		uint64_t at = began + (uint64_t)number * 10;

		if (edge_put_f64(&shim, EDGE_FIELD_INVERTER_POWER, 0, at, 100.0 + (double)number / 10) != EDGE_OK)
			return 3;
		if (edge_put_i64(&shim, EDGE_FIELD_INVERTER_ENERGY, 0, at, number) != EDGE_OK)
			return 4;
		if (edge_put_i64(&shim, EDGE_FIELD_INVERTER_STATE, 0, at, EDGE_VALUE_INVERTER_STATE_1_ON) != EDGE_OK)
			return 5;
	}
	for (number = 0; number < seconds * 10 && !wiped; number++)
		wait_ms(100);
	wait_ms(500);
	edge_close(&shim);
	printf("%s\n", wiped ? "wiped" : "fed");
	return 0;
}
