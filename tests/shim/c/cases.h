/*
 * What the cases share: a shim on the scripted system, an agent's messages, and a way to say what went wrong.
 */
#ifndef EDGE_TEST_CASES_H
#define EDGE_TEST_CASES_H
#include "system.h"

#define FIELD_A (7u | 1u << 12)   /* field 7, for purpose 0 */
#define FIELD_B (300u | 2u << 12) /* field 300, for purpose 1 */
#define FIELD_AB (9u | 3u << 12)  /* field 9, for both */
#define KIND 1u
#define SLOTS 16u
#define TTL 120000u

#define CHECK(claim) do { \
	if (!(claim)) { \
		fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #claim); \
		exit(1); \
	} \
} while (0)
#define CASE(name) static void name(void)

static edge_t shim;
static edge_slot_t slots[1024];
static edge_label_t labels[8];
static edge_config_t config;
static const char schema[] = "\x01\x02\x03\x04\x05\x06\x07\x08";
static uint32_t wipes, last_wipe, last_scope, last_grant, grants;

static void on_wipe(void *user, uint32_t wipe_id, uint32_t scope)
{
	CHECK(user == &shim);
	wipes++;
	last_wipe = wipe_id;
	last_scope = scope;
}

static void on_grant(void *user, uint32_t mask, uint32_t generation)
{
	(void)generation;
	CHECK(user == &shim);
	grants++;
	last_grant = mask;
}

/* A configuration that works. */
static void configure(void)
{
	world.now_ms = 5000000;
	world.pid = 77;
	memset(&config, 0, sizeof config);
	config.abi = EDGE_ABI;
	config.slot_count = SLOTS;
	config.slots = slots;
	config.label_count = 8;
	config.labels = labels;
	config.socket_path = "/run/edge-sdk/edge.sock";
	config.site = "house";
	config.name = "test";
	config.schema_hash = schema;
	config.on_wipe = on_wipe;
	config.on_grant = on_grant;
	config.user = &shim;
}

static void down(const void *bytes, size_t size)
{
	struct letter *letter = &world.down[world.waiting++ % WORLD_MESSAGES];

	CHECK(size <= WORLD_BYTES);
	memcpy(letter->bytes, bytes, size);
	letter->size = size;
}

/* Send down an array of up to 5 numbers of 32 bits; each head is the shortest. */
static void say(unsigned count, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t last)
{
	uint32_t numbers[5];
	unsigned char bytes[32];
	size_t size = 0;
	unsigned i, shift;

	numbers[0] = a, numbers[1] = b, numbers[2] = c, numbers[3] = d, numbers[4] = last;
	bytes[size++] = (unsigned char)(0x80 + count);
	for (i = 0; i < count; i++) {
		uint32_t n = numbers[i];
		unsigned width = n < 24 ? 0 : n < 256 ? 1 : n < 65536 ? 2 : 4;

		bytes[size++] = (unsigned char)(width == 0 ? n : width == 1 ? 24 : width == 2 ? 25 : 26);
		for (shift = 8 * width; shift != 0; shift -= 8)
			bytes[size++] = (unsigned char)(n >> (shift - 8));
	}
	down(bytes, size);
}

static void say_welcome(uint32_t result)
{
	say(5, 16, 1, result, 64, 0);
}

static void say_state(uint32_t generation, uint32_t mask)
{
	say(4, 17, generation, mask, TTL, 0);
}

static void say_wipe(uint32_t wipe_id, uint32_t scope)
{
	say(3, 18, wipe_id, scope, 0, 0);
}

/* Connect, be accepted, have ${mask} granted. */
static void begin_granted(uint32_t mask)
{
	configure();
	CHECK(edge_init(&shim, &config) == EDGE_OK);
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	say_welcome(0);
	say_state(1, mask);
	CHECK(edge_pump(&shim) == 0);
}

static const struct letter *said(size_t back)
{
	CHECK(world.sent > back);
	return &world.up[(world.sent - 1 - back) % WORLD_MESSAGES];
}

/* Answer the type of the message sent last but ${back}. */
static unsigned type_of(size_t back)
{
	return said(back)->bytes[1];
}

/* Answer how many messages of ${type} were sent. */
static size_t count_of(unsigned type)
{
	size_t i, count = 0;

	CHECK(world.sent <= WORLD_MESSAGES);
	for (i = 0; i < world.sent; i++)
		count += world.up[i].bytes[1] == type;
	return count;
}

static uint32_t dropped(int reason)
{
	edge_stats_t stats;

	CHECK(edge_stats(&shim, &stats) == EDGE_OK);
	return stats.dropped[reason];
}

static uint32_t sent_points(void)
{
	edge_stats_t stats;

	CHECK(edge_stats(&shim, &stats) == EDGE_OK);
	return stats.sent;
}

/* Answer whether ${bytes} occur in ${memory}. */
static int occurs(const void *memory, size_t size, const void *bytes, size_t length)
{
	const unsigned char *at = (const unsigned char *)memory;
	size_t i;

	for (i = 0; i + length <= size; i++)
		if (memcmp(at + i, bytes, length) == 0)
			return 1;
	return 0;
}

#endif
