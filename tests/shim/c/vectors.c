/*
 * The shim's side of the vectors: reads one command a line, answers one line.
 *
 *     down HEX                          what the shim understood: type and numbers, or "refused"
 *     hello HASH NONCE SITE NAME        texts in hex, "-" for none; all others answer the message up in hex
 *     batch FIRST T0 D0 D1 D2 D3 D4 { FIELD SLOT DT KIND BITS }    KIND 0 integer, 1 float, 2 truth; BITS in hex
 *     source SLOT KIND ID      text SLOT FIELD TEXT      wiped ID RESULT      beat FIRST D0 D1 D2 D3 D4
 */
#include "system.h"

#include <stddef.h>

#define LIVE_RING 64u

static edge_t shim;
static edge_slot_t slots[LIVE_RING];
static edge_label_t labels[1];
static char line[65536], *at;

static uint64_t decimal(void)
{
	return strtoull(at, &at, 10);
}

static size_t bytes_of(void *to, size_t most)
{
	unsigned char *out = (unsigned char *)to;
	size_t size = 0;
	unsigned value;

	while (*at == ' ')
		at++;
	if (*at == '-')
		at++;
	while (size < most && sscanf(at, "%2x", &value) == 1 && at[0] > ' ' && at[1] > ' ') {
		out[size++] = (unsigned char)value;
		at += 2;
	}
	return size;
}

static void set_drops(void)
{
	int i;

	for (i = 0; i < 5; i++)
		shim.stats_.dropped[i] = (uint32_t)decimal();
}

static void answer(void)
{
	size_t i;

	if (world.sent != 1)
		abort();
	for (i = 0; i < world.up[0].size; i++)
		printf("%02x", world.up[0].bytes[i]);
	printf("\n");
}

static void begin_line(void)
{
	memset(&shim, 0, sizeof shim);
	memset(&world, 0, offsetof(struct world, up));
	memset(slots, 0, sizeof slots);
	memset(labels, 0, sizeof labels);
	shim.fd_ = 1000;
	shim.phase_ = LIVE;
	shim.mask_ = EDGE_ALL_PURPOSES;
	shim.config_.slots = slots;
	shim.config_.slot_count = LIVE_RING;
	shim.config_.labels = labels;
	shim.config_.label_count = 1;
	shim.max_points_ = EDGE_POINTS_MAX;
	shim.allowance_ = 1u << 30;
	shim.rounds_ = ROUNDS;
	shim.ready_ = 1;
}

static void down(void)
{
	uint8_t bytes[EDGE_MESSAGE_MAX];
	uint32_t numbers[6] = {0}, i;
	size_t size = bytes_of(bytes, sizeof bytes);

	shim.config_.on_wipe = NULL;
	shim.phase_ = GREETED;
	if (!parse(bytes, (uint32_t)size, numbers)) {
		printf("refused\n");
		return;
	}
	if (numbers[1] == DOWN_STATE) { /* the width of the mask is looked at where it is used */
		shim.phase_ = WELCOMED;
		if (!take(&shim, bytes, (uint32_t)size)) {
			printf("refused\n");
			return;
		}
	}
	printf("%u", numbers[1]);
	for (i = 2; i < DOWN_BYE + 3u - numbers[1]; i++)
		printf(" %u", numbers[i]);
	printf("\n");
}

static void batch(void)
{
	uint32_t count = 0, t0;
	edge_slot_t *slot;

	shim.sent_ = decimal();
	shim.now_ms_ = decimal();
	t0 = (uint32_t)shim.now_ms_;
	set_drops();
	while (*at == ' ' && at[1] > ' ' && count < LIVE_RING) {
		uint64_t bits;

		slot = &slots[count];
		slot->id_ = (uint32_t)decimal() | 1u << 12;
		slot->meta_ = (uint32_t)decimal();
		slot->at_ = t0 + (uint32_t)strtoll(at, &at, 10);
		slot->meta_ |= (uint32_t)decimal() << 16;
		bits = strtoull(at, &at, 16);
		slot->bits_[0] = (uint32_t)bits;
		slot->bits_[1] = (uint32_t)(bits >> 32);
		slot->turn_ = ++count;
	}
	shim.stats_.stored = count;
	if (!send_batch(&shim, EDGE_POINTS_MAX))
		abort();
	answer();
}

static void label(uint32_t use)
{
	labels[0].unsent_ = (uint8_t)(use >> 16);
	labels[0].key_ = use | (uint32_t)decimal();
	labels[0].id_ = (uint32_t)decimal() | 1u << 12;
	(void)bytes_of(labels[0].text_, EDGE_TEXT_MAX);
	shim.unsent_ = 1;
	(void)send_labels(&shim);
	answer();
}

static void hello(void)
{
	(void)bytes_of(shim.schema_hash_, 8);
	(void)bytes_of(shim.boot_nonce_, 8);
	(void)bytes_of(shim.site_, EDGE_SITE_MAX);
	(void)bytes_of(shim.name_, EDGE_NAME_MAX);
	(void)send_hello(&shim);
	answer();
}

static void wiped(void)
{
	shim.wipe_id_ = (uint32_t)decimal();
	shim.wipe_answer_ = decimal() != 0 ? WIPE_FAILED : WIPE_CLEARED;
	(void)send_wiped(&shim);
	answer();
}

static void beat(void)
{
	shim.sent_ = decimal();
	set_drops();
	shim.now_ms_ = 100000;
	(void)send_batch(&shim, 0);
	answer();
}

int main(void)
{
	while (fgets(line, sizeof line, stdin) != NULL) {
		begin_line();
		at = strchr(line, ' ');
		if (at == NULL)
			return 2;
		if (strncmp(line, "down", 4) == 0)
			down();
		else if (strncmp(line, "hello", 5) == 0)
			hello();
		else if (strncmp(line, "batch", 5) == 0)
			batch();
		else if (strncmp(line, "source", 6) == 0)
			label(SOURCE);
		else if (strncmp(line, "text", 4) == 0)
			label(TEXT);
		else if (strncmp(line, "wiped", 5) == 0)
			wiped();
		else if (strncmp(line, "beat", 4) == 0)
			beat();
		else
			return 2;
	}
	return 0;
}
