/*
 * Anything at all in place of the agent's messages: a libFuzzer target, and without it a driver of its own.
 *
 *     clang -fsanitize=fuzzer,address,undefined -DEDGE_LIBFUZZER ...      then: program -runs=10000000
 *     cc -fsanitize=address,undefined ...                                 then: program RUNS SEED
 *
 * The input is a byte for the phase, then messages, each behind a byte for its length. After each message what the shim
 * promises must hold: nothing is granted that no STATE granted, and a point is never sent while nothing is.
 */
#include "system.h"

#include <stddef.h>

#define FIELD (1u | EDGE_ALL_PURPOSES << 12)

static edge_t shim, fresh;
static edge_slot_t slots[8], fresh_slots[8];
static edge_label_t labels[2], fresh_labels[2];

static void on_wipe(void *user, uint32_t wipe_id, uint32_t scope)
{
	(void)user;
	if (scope == 0 || scope > EDGE_ALL_PURPOSES)
		abort();
	if (wipe_id & 1)
		(void)edge_wipe_done(&shim, wipe_id, (int)(wipe_id >> 1 & 1));
}

static void begin_shim(void)
{
	edge_config_t config;

	if (fresh.ready_ != 0) { /* setting up takes longer than the rest */
		memcpy(&shim, &fresh, offsetof(edge_t, buffer_));
		memcpy(slots, fresh_slots, sizeof slots);
		memcpy(labels, fresh_labels, sizeof labels);
		return;
	}
	memset(&config, 0, sizeof config);
	world.now_ms = 1000000;
	world.pid = 1;
	config.abi = EDGE_ABI;
	config.slots = slots;
	config.slot_count = 8;
	config.labels = labels;
	config.label_count = 2;
	config.socket_path = "fuzz";
	config.site = "house";
	config.name = "";
	config.schema_hash = "12345678";
	config.on_wipe = on_wipe;
	if (edge_init(&shim, &config) != EDGE_OK)
		abort();
	shim.fd_ = 1000;
	shim.pause_ms_ = 25;
	(void)edge_source(&shim, 1, 1, "x");
	fresh = shim;
	memcpy(fresh_slots, slots, sizeof slots);
	memcpy(fresh_labels, labels, sizeof labels);
}

static void hold(void)
{
	if (shim.mask_ > EDGE_ALL_PURPOSES || (shim.grant_ & EDGE_ALL_PURPOSES) != shim.mask_)
		abort();
	if ((shim.mask_ & shim.held_mask_) != 0 || shim.max_points_ > EDGE_POINTS_MAX)
		abort();
	if (shim.mask_ == 0 && edge_allowed(&shim, FIELD))
		abort();
	if (edge_put_i64(&shim, FIELD, 1, EDGE_NOW, 1) == EDGE_OK && shim.mask_ == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	uint8_t *exact;
	size_t length;

	if (size == 0)
		return 0;
	begin_shim();
	shim.phase_ = GREETED + bytes[0] % 3;
	for (bytes++, size--; size != 0 && shim.phase_ != OFFLINE; bytes += length, size -= length) {
		length = *bytes < size ? *bytes : size - 1;
		bytes++, size--;
		exact = malloc(length == 0 ? 1 : length); /* of its own size, so that the sanitizer sees a byte too far */
		if (exact == NULL)
			return 0;
		if (length != 0)
			memcpy(exact, bytes, length);
		(void)take(&shim, exact, (uint32_t)length);
		free(exact);
		hold();
	}
	if (shim.phase_ != OFFLINE) {
		world.received = world.waiting = 0;
		(void)edge_pump(&shim);
	}
	return 0;
}

#ifndef EDGE_LIBFUZZER
static uint64_t state;

static uint32_t chance(uint32_t of)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(state >> 33) % of;
}

/* Change ${input} a little, as a fuzzer would; answer its new size. */
static size_t change(uint8_t *input, size_t size, size_t most)
{
	static const uint8_t telling[] = {0, 1, 15, 16, 17, 18, 19, 20, 0x18, 0x19, 0x1A, 0x1B, 0x1F, 0x82, 0x83, 0x84, 0x85, 0x9F, 0xFF};
	uint32_t times = 1 + chance(6);
	size_t at;

	while (times-- != 0) {
		at = chance((uint32_t)size);
		switch (chance(5)) {
		case 0:
			input[at] ^= (uint8_t)(1u << chance(8));
			break;
		case 1:
			input[at] = telling[chance(sizeof telling)];
			break;
		case 2:
			input[at] = (uint8_t)chance(256);
			break;
		case 3:
			size = 1 + chance((uint32_t)size);
			break;
		default:
			if (size + 4 < most) {
				memmove(input + at + 4, input + at, size - at);
				size += 4;
			}
		}
	}
	return size;
}

int main(int argc, char **argv)
{
	static const uint8_t seed[] = {0, 7, 0x85, 16, 1, 0, 0x18, 64, 0, 8, 0x84, 17, 1, 0x19, 0xFF, 0xFF, 0x18, 120, 7, 0x83, 18, 9,
	    0x1A, 0, 0x0F, 0xFF, 0xFF, 6, 0x84, 17, 2, 3, 0x18, 99, 3, 0x82, 19, 0};
	long runs = argc > 1 ? atol(argv[1]) : 100000, run;
	uint8_t input[512];
	size_t size;

	state = (uint64_t)(argc > 2 ? atol(argv[2]) : 1);
	for (run = 0; run < runs; run++) {
		memcpy(input, seed, sizeof seed);
		size = change(input, sizeof seed, sizeof input);
		if (chance(3) == 0)
			size = change(input, size, sizeof input);
		(void)LLVMFuzzerTestOneInput(input, size);
	}
	printf("%ld runs\n", run);
	return 0;
}
#endif
