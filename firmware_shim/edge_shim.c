/*
 * The firmware side of the shim socket, wire version 1. What callers need to know stands in edge_shim.h.
 *
 * Owns three parts: the ring (any thread puts, the pump takes), the grants (the pump writes one word, any thread
 * reads it), the talk with the agent (the pump alone).
 * The one word: granted purposes in bits 0-19, above them an epoch that moves whenever a purpose ends. A put keeps the
 * epoch it read beside its point, and the pump takes no point of another one: it was let in under a grant since ended,
 * whatever the thread that puts was doing in between, and although the purpose may be granted again.
 * Atomics are 32 bits wide: MIPS and ARMv6 have no wider ones without a library.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* SOCK_NONBLOCK and clock_gettime under -std=c99 */
#endif
#include "edge_shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* LOAD and STORE order what is around them; GLANCE and MARK do not: a number that stands for itself. */
#define LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define GLANCE(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define MARK(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)

#define FIELD_BITS 0xFFFu
#define TICK_BITS 8             /* deadlines count 256 ms: 32 bits of them last 34 years without turning over */
#define DAY_MS 86400000u
#define ROUNDS 8u               /* messages each way in one pump */
#define FIRST_PAUSE_MS 25u      /* doubled by each try, and as much again */
#define LAST_PAUSE_MS 1000u     /* a failed try costs 3 us; a longer pause only loses points */
#define BEAT_MS 1000u           /* between counters that changed and a message without points that tells them */
#define PACE_BITS 20            /* points a second that nobody reaches: no limit */

/* What the results of a WELCOME mean, by 4 bits each from the right: how far the code lies below EDGE_EPROTO. */
#define REFUSALS 0x987310u
enum { INTEGER, REAL, TRUTH };                  /* kinds of value in a slot */
enum { SOURCE = 1 << 16, TEXT = 2 << 16 };      /* uses of a label, above its slot in the key; a free one has key 0 */
enum { OFFLINE, GREETED, WELCOMED, LIVE };      /* phases of a connection */
enum { NO_WIPE, WIPE_WAITS, WIPE_CLEARED, WIPE_FAILED }; /* low bits of the answer; above them the wipe's number */
enum { UP_HELLO = 1, UP_BATCH, UP_SOURCE, UP_TEXT, UP_WIPED, UP_BEAT };
enum { DOWN_WELCOME = 16, DOWN_STATE, DOWN_WIPE, DOWN_BYE };

/* Compile-time checks without _Static_assert, which C99 has not. */
typedef char slot_is_24_bytes[sizeof(edge_slot_t) == EDGE_RING_BYTES(1) ? 1 : -1];
typedef char label_is_140_bytes[sizeof(edge_label_t) == EDGE_LABEL_BYTES(1) ? 1 : -1];
typedef char double_is_8_bytes[sizeof(double) == 8 ? 1 : -1];
typedef char address_is_sockaddr_un[sizeof(struct sockaddr_un) == sizeof(((edge_t *)0)->to_) &&
    offsetof(struct sockaddr_un, sun_path) == 2 && offsetof(edge_t, to_.path_) == offsetof(edge_t, to_) + 2 ? 1 : -1];
/* The largest message up: heads, first, t0, 5 counters, and points of 1 + 3 + 3 + 5 + 9 bytes. No write is checked. */
typedef char batch_fits[9 + 9 + 9 + 26 + EDGE_POINTS_MAX * 21 <= EDGE_MESSAGE_MAX ? 1 : -1];

/* ------------------------------------------------------------------------------------------------- small things */

uint64_t edge_now_ms(void)
{
	struct timespec t;

	if (clock_gettime(CLOCK_MONOTONIC, &t) != 0)
		return 0;
	return (uint64_t)t.tv_sec * 1000u + (uint32_t)t.tv_nsec / 1000000u;
}

/* memset that stays although nothing of this file reads the bytes again. */
static void zero(volatile void *memory, size_t size)
{
	volatile uint8_t *at = (volatile uint8_t *)memory;

	while (size-- != 0)
		*at++ = 0;
}

/* Copy ${from}, up to ${most} printable ASCII characters, and a zero. Answer how many with the zero, or 0. */
static uint32_t copy_text(char *to, const char *from, uint32_t most)
{
	uint32_t length = 0;

	if (from == NULL)
		return 0;
	for (; from[length] != 0; length++) {
		if (length == most || (unsigned char)from[length] - 0x20u > 0x5E)
			return 0;
		to[length] = from[length];
	}
	to[length] = 0;
	return length + 1u;
}

/* ------------------------------------------------------------------------------------------------------- grants */

/* Answer whether ${slot}'s point may leave now: put since anything was withdrawn, for a purpose that is granted. */
static int may_leave(const edge_t *e, const edge_slot_t *slot)
{
	return (slot->meta_ ^ e->epoch_) >> EDGE_PURPOSES == 0 && (slot->id_ >> 12 & e->mask_) != 0;
}

static int code_of(const edge_t *e, uint32_t id, uint32_t grant, uint64_t now)
{
	if ((id >> 12 & grant) == 0) /* the shift leaves 20 bits: the epoch is not in them */
		return EDGE_EDENIED;
	return (uint32_t)(now >> TICK_BITS) < GLANCE(&e->deadline_) ? EDGE_OK : EDGE_EEXPIRED;
}

int edge_allowed(const edge_t *e, uint32_t id)
{
	uint64_t now = edge_now_ms();

	return e != NULL && code_of(e, id, LOAD(&e->grant_), now) == EDGE_OK;
}

/* --------------------------------------------------------------------------------------------------------- ring */

/*
 * Each slot has a turn: `position` when it is free for the point of that position, `position + 1` when that point is
 * complete. A thread takes a position by moving head, which is the count of points stored; the pump gives the slot back for the next round.
 */
static int claim(edge_t *e, edge_slot_t **slot, uint32_t *position)
{
	int32_t ahead;
	uint32_t at;

	do {
		at = GLANCE(&e->stats_.stored);
		*slot = &e->config_.slots[at & (e->config_.slot_count - 1u)];
		*position = at;
		ahead = (int32_t)(LOAD(&(*slot)->turn_) - at);
		if (ahead < 0)
			return 0; /* the point of a round ago is still there */
	} while (ahead > 0 ||
	    !__atomic_compare_exchange_n(&e->stats_.stored, &at, at + 1u, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return 1;
}

/* ${meta}: the source slot, above it the kind of value. What is asked first is what a refusal is counted as. */
static int put(edge_t *e, uint32_t id, uint32_t meta, uint64_t at_ms, uint64_t bits)
{
	uint64_t now = edge_now_ms();
	uint32_t position, grant, at = (uint32_t)at_ms;
	edge_slot_t *slot;
	int code = EDGE_EINVAL, reason = EDGE_DROP_INVALID;

	if (e == NULL || e->ready_ == 0)
		return code;
	if ((id & FIELD_BITS) == 0)
		goto dropped;
	code = EDGE_ECLOCK;
	if (at_ms == EDGE_NOW)
		at = (uint32_t)now;
	else if (now - at_ms > DAY_MS) /* of a time ahead the difference wraps: that is over a day too */
		goto dropped;
	reason = EDGE_DROP_DENIED;
	grant = LOAD(&e->grant_);
	code = code_of(e, id, grant, now);
	if (code != EDGE_OK)
		goto dropped;
	reason = EDGE_DROP_FULL;
	code = EDGE_EFULL;
	if (!claim(e, &slot, &position))
		goto dropped;
	slot->id_ = id;
	slot->meta_ = meta | (grant & ~EDGE_ALL_PURPOSES);
	slot->at_ = at;
	slot->bits_[0] = (uint32_t)bits;
	slot->bits_[1] = (uint32_t)(bits >> 32);
	STORE(&slot->turn_, position + 1u);
	return EDGE_OK;
dropped:
	(void)__atomic_fetch_add(&e->stats_.dropped[reason], 1u, __ATOMIC_RELAXED);
	return code;
}

int edge_put_i64(edge_t *e, uint32_t id, uint16_t slot, uint64_t at_ms, int64_t value)
{
	return put(e, id, slot | (uint32_t)INTEGER << 16, at_ms, (uint64_t)value);
}

int edge_put_bool(edge_t *e, uint32_t id, uint16_t slot, uint64_t at_ms, int value)
{
	return put(e, id, slot | (uint32_t)TRUTH << 16, at_ms, value != 0);
}

int edge_put_f64(edge_t *e, uint32_t id, uint16_t slot, uint64_t at_ms, double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof bits);
	if (((uint32_t)(bits >> 52) & 0x7FFu) == 0x7FFu) /* infinite or no number; isnan() may go under -ffast-math */
		id = 0;
	return put(e, id, slot | (uint32_t)REAL << 16, at_ms, bits);
}

/* How many points wait. */
#define STORED(e) (GLANCE(&(e)->stats_.stored) - (e)->tail_)

/* Answer the slot at ${position}, or NULL where nobody has taken it, or its put is still writing. */
static edge_slot_t *complete(const edge_t *e, uint32_t position)
{
	edge_slot_t *slot = &e->config_.slots[position & (e->config_.slot_count - 1u)];

	return LOAD(&slot->turn_) == position + 1u ? slot : NULL;
}

/* Zero what a slot holds. An id of 0 marks a point that is gone while those before it still wait. */
static void empty(edge_slot_t *slot)
{
	zero(&slot->id_, sizeof *slot - sizeof slot->turn_);
}

/* Give back the slots before ${position}, and the emptied ones behind it. */
static void give_back(edge_t *e, uint32_t position)
{
	uint32_t at = e->tail_;
	edge_slot_t *slot;

	while ((slot = complete(e, at)) != NULL && ((int32_t)(at - position) < 0 || slot->id_ == 0)) {
		empty(slot);
		STORE(&slot->turn_, at + e->config_.slot_count);
		at++;
	}
	e->tail_ = at;
}

/*
 * Zero the points before position ${end} that may not leave, counted as ${reason}; a put under way stays for the next
 * sweep. What may, and is of ${epoch}, goes on into the present one: it was complete when the purposes of others ended.
 * Answer how many stand ready to be sent, up to the first that a put still writes.
 */
static uint32_t sift(edge_t *e, uint32_t epoch, int reason, uint32_t end)
{
	uint32_t position, count = 0, whole = 1, meta;
	edge_slot_t *slot;

	for (position = e->tail_; position != end; position++) {
		slot = complete(e, position);
		if (slot == NULL) {
			whole = 0;
			e->unpublished_ = 1;
			continue;
		}
		meta = slot->meta_ ^ epoch;
		if (meta >> EDGE_PURPOSES == 0)
			slot->meta_ = meta ^ e->epoch_;
		if (slot->id_ == 0)
			continue;
		if (may_leave(e, slot)) {
			count += whole;
		} else {
			empty(slot);
			MARK(&e->stats_.dropped[reason], GLANCE(&e->stats_.dropped[reason]) + 1u); /* no put counts these two */
		}
	}
	give_back(e, e->tail_); /* what was dropped at the front */
	return count;
}

/* The same for the whole ring; what was zeroed at its front is given back. */
static void sweep(edge_t *e, uint32_t epoch, int reason)
{
	e->unpublished_ = 0;
	(void)sift(e, epoch, reason, GLANCE(&e->stats_.stored));
}

/* Make ${mask} the granted purposes; what may not leave any more is dropped for ${reason}. */
static void set_grant(edge_t *e, uint32_t mask, int reason)
{
	uint32_t before = e->mask_, epoch = e->epoch_;

	if (mask == before)
		return;
	e->unsent_ = 1;
	e->mask_ = mask;
	if ((before & ~mask) != 0)
		e->epoch_ = epoch + EDGE_ALL_PURPOSES + 1u;
	STORE(&e->grant_, mask | e->epoch_);
	sweep(e, epoch, reason); /* where nothing ended it finds nothing to drop */
	zero(e->buffer_, sizeof e->buffer_); /* the points sent last */
	if (e->config_.on_grant != NULL)
		e->config_.on_grant(e->config_.user, mask, e->generation_);
}

/* ------------------------------------------------------------------------------------------------------- labels */

/* ${key}: the use of the label, and its slot. */
static int declare(edge_t *e, uint32_t key, uint32_t id, const char *text)
{
	edge_label_t *label, *place = NULL;
	char *checked;
	uint32_t left, texts = key >> 17; /* 1 where a slot has any number of them, told apart by the id */

	if (e == NULL || e->ready_ == 0 || (id & FIELD_BITS) == 0)
		return EDGE_EINVAL;
	checked = (char *)e->buffer_; /* no message is in it between two calls */
	zero(checked, sizeof label->text_);
	if (copy_text(checked, text, texts != 0 ? EDGE_TEXT_MAX : EDGE_ID_MAX) + texts < 2)
		return EDGE_EINVAL;
	for (label = e->config_.labels, left = e->config_.label_count; left != 0; label++, left--) {
		if (((label->key_ ^ key) | ((label->id_ ^ id) & (0u - texts))) == 0)
			break;
		if (label->key_ == 0)
			place = label;
	}
	if (left == 0) {
		label = place;
		if (label == NULL)
			return EDGE_ETABLE;
	} else {
		if (label->id_ == id && strcmp(label->text_, checked) == 0)
			return EDGE_OK;
		if (texts == 0 && STORED(e) != 0)
			return EDGE_EBUSY; /* points of the old device would be told as the new one's */
	}
	memcpy(label->text_, checked, sizeof label->text_);
	label->id_ = id;
	label->key_ = key;
	label->unsent_ = (uint8_t)(key >> 16);
	e->unsent_ = 1;
	return EDGE_OK;
}

int edge_source(edge_t *e, uint16_t slot, uint32_t kind, const char *device_id)
{
	return declare(e, SOURCE | slot, kind >> 12 != 0 ? kind : kind | EDGE_FOR(EDGE_ALL_PURPOSES), device_id);
}

int edge_text(edge_t *e, uint16_t slot, uint32_t id, const char *text)
{
	return declare(e, TEXT | slot, id, text);
}

/* -------------------------------------------------------------------------------------------------- what goes up */

/*
 * Each of these writes at ${at} and answers where what comes next belongs. Nothing is checked: see batch_fits.
 *
 * The shortest head with ${argument}, of ${major} (0 to 7).
 */
static uint8_t *head(uint8_t *at, uint32_t argument, uint32_t major)
{
	uint32_t bits = 0, low = argument;

	if (argument >= 24) {
		bits = argument >> 8 == 0 ? 8 : argument >> 16 == 0 ? 16 : 32;
		low = 24 + (bits >> 4);
	}
	*at++ = (uint8_t)(major << 5 | low);
	while (bits != 0) {
		bits -= 8;
		*at++ = (uint8_t)(argument >> bits);
	}
	return at;
}

static uint8_t *number(uint8_t *at, uint32_t value)
{
	return head(at, value, 0);
}

/* The byte ${initial} and eight more. Not inlined: twice is longer than a call. */
__attribute__((noinline)) static uint8_t *eight(uint8_t *at, uint32_t initial, uint64_t bits)
{
	uint32_t high = (uint32_t)(bits >> 32), low = (uint32_t)bits, i;

	at[0] = (uint8_t)initial;
	for (i = 4; i != 0; i--, high >>= 8, low >>= 8) {
		at[i] = (uint8_t)high;
		at[i + 4] = (uint8_t)low;
	}
	return at + 9;
}

/* A number in two's complement; ~value is -1 - value without leaving the range. */
static uint8_t *integer(uint8_t *at, uint64_t value)
{
	uint32_t major = (uint32_t)(value >> 63);

	if (major != 0)
		value = ~value;
	if (value >> 32 != 0)
		return eight(at, major << 5 | 27, value);
	return head(at, (uint32_t)value, major);
}

static uint8_t *text(uint8_t *at, const char *characters)
{
	uint32_t size = 0;

	while (characters[size] != 0)
		size++;
	at = head(at, size, 3);
	while (*characters != 0)
		*at++ = (uint8_t)*characters++;
	return at;
}

static uint8_t *begin(edge_t *e, uint32_t elements, uint32_t type)
{
	e->buffer_[0] = (uint8_t)(4 << 5 | elements);
	e->buffer_[1] = (uint8_t)type;
	return &e->buffer_[2];
}

/* The connection is of no use any more because of ${why}. */
static void leave(edge_t *e, int why)
{
	e->phase_ = OFFLINE;
	e->why_ = why;
}

/* Send the message that ends at ${at}. Answer 1, or 0 where the socket is full (try later) or gone. */
static int transmit(edge_t *e, const uint8_t *at)
{
	e->rounds_--;
	if (send(e->fd_, e->buffer_, (size_t)(at - e->buffer_), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) { /* whole or not */
		e->spoke_ms_ = (uint32_t)e->now_ms_;
		return 1;
	}
	e->blocked_ = 1;
	if (errno == EAGAIN)
		e->stats_.again++;
	else
		leave(e, EDGE_EOFFLINE);
	return 0;
}

static int send_hello(edge_t *e)
{
	uint8_t *at = begin(e, 8, UP_HELLO);

	at = number(at, EDGE_WIRE_MIN);
	at = number(at, EDGE_WIRE_MAX);
	at = number(at, EDGE_VERSION);
	*at++ = 2 << 5 | 8;
	memcpy(at, e->schema_hash_, 8);
	at += 8;
	*at++ = 2 << 5 | 8;
	memcpy(at, e->boot_nonce_, 8);
	at = text(at + 8, e->site_);
	return transmit(e, text(at, e->name_));
}

/* Send what is new and granted, devices before their texts. Answer 1 when nothing of it is left. */
static int send_labels(edge_t *e)
{
	uint32_t left;
	edge_label_t *label;
	uint8_t *at;

	for (; e->unsent_ != 0; e->unsent_ = e->unsent_ << 1 & 3u) { /* the use that is next: SOURCE, TEXT, none */
		for (label = e->config_.labels, left = e->config_.label_count; left != 0; label++, left--) {
			if (label->unsent_ != e->unsent_ || (label->id_ >> 12 & e->mask_) == 0)
				continue;
			if (e->rounds_ == 0)
				return 0;
			at = begin(e, 4, UP_SOURCE - 1 + e->unsent_);
			at = number(at, label->key_ & 0xFFFFu);
			at = number(at, label->id_ & FIELD_BITS);
			if (!transmit(e, text(at, label->text_)))
				return 0;
			label->unsent_ = 0;
		}
	}
	return 1;
}

/* ${t0}: the low half of the first point's time. All times in the ring lie within little over a day of the clock. */
static uint8_t *point(uint8_t *at, const edge_slot_t *slot, uint32_t t0)
{
	uint32_t kind = slot->meta_ >> 16 & 0xFu;
	uint64_t bits = slot->bits_[0] | (uint64_t)slot->bits_[1] << 32;

	*at++ = 4 << 5 | 4;
	at = number(at, slot->id_ & FIELD_BITS);
	at = number(at, slot->meta_ & 0xFFFFu);
	at = integer(at, (uint64_t)(int64_t)(int32_t)(slot->at_ - t0));
	if (kind == INTEGER)
		return integer(at, bits);
	if (kind == REAL)
		return eight(at, 0xFB, bits);
	*at = (uint8_t)(0xF4u + (uint32_t)bits);
	return at + 1;
}

/*
 * Send one message of at most ${limit} points. Where there are none it has the counters alone, and goes when they
 * changed, or when nothing was said for a good part of the time to live. Answer how many points went.
 */
static uint32_t send_batch(edge_t *e, uint32_t limit)
{
	uint32_t quiet = (uint32_t)e->now_ms_ - e->spoke_ms_, drops = 0, count, counter, i, position, t0 = 0;
	const edge_slot_t *slot;
	uint8_t *at;

	count = sift(e, e->epoch_, EDGE_DROP_EXPIRED, e->tail_ + limit);
	position = e->tail_;
	at = begin(e, count != 0 ? 5 : 3, count != 0 ? UP_BATCH : UP_BEAT);
	at = integer(at, e->sent_);
	if (count != 0) {
		t0 = complete(e, position)->at_;
		at = integer(at, e->now_ms_ + (uint64_t)(int64_t)(int32_t)(t0 - (uint32_t)e->now_ms_));
	}
	*at++ = 4 << 5 | 5;
	for (i = 0; i < 5; i++) {
		counter = GLANCE(&e->stats_.dropped[i]);
		drops += counter;
		at = number(at, counter);
	}
	if (count != 0)
		at = head(at, count, 4);
	else if (quiet < BEAT_MS || (drops == e->told_drops_ && quiet < e->ttl_ms_ / 4))
		return 0;
	for (i = count; i != 0; position++) {
		slot = complete(e, position);
		if (slot->id_ != 0) {
			at = point(at, slot, t0);
			i--;
		}
	}
	if (!transmit(e, at))
		return 0;
	e->told_drops_ = drops;
	if (count != 0) {
		e->sent_ += count;
		e->allowance_ -= count << 10;
		e->batch_ms_ = (uint32_t)e->now_ms_;
		give_back(e, position);
	}
	return count;
}

/*
 * Send messages of points, as many as the allowance is good for. Each millisecond adds what the agent's rate gives, up
 * to a second's worth. It counts 1024th of points, and 1024 ms for a second: slower by a little than allowed, and no
 * division.
 */
static void send_points(edge_t *e)
{
	uint32_t waited = (uint32_t)e->now_ms_ - e->paced_ms_, most = e->points_per_s_ << 10, limit;

	e->paced_ms_ = (uint32_t)e->now_ms_;
	e->allowance_ += (waited < 1024u ? waited : 1024u) * e->points_per_s_;
	if (e->allowance_ > most)
		e->allowance_ = most;
	do {
		if (e->rounds_ == 0)
			return; /* the agent was just told something: no beat is due */
		limit = STORED(e);
		if (limit >= e->max_points_)
			limit = e->max_points_;
		else if ((uint32_t)e->now_ms_ - e->batch_ms_ < e->config_.linger_ms)
			limit = 0;
		if (e->allowance_ >> 10 < limit) {
			e->blocked_ = 1;
			return;
		}
	} while (send_batch(e, limit) != 0);
}

/* Send the firmware's answer to a wipe, once no put of before it is still writing. Answer 1 when none is owed. */
static int send_wiped(edge_t *e)
{
	uint32_t answer = LOAD(&e->wipe_answer_) & 3u;
	uint8_t *at;

	if (answer < WIPE_CLEARED || (e->wipe_told_ | e->unpublished_) != 0)
		return 1;
	at = number(begin(e, 3, UP_WIPED), e->wipe_id_);
	*at++ = (uint8_t)(answer - WIPE_CLEARED);
	e->wipe_told_ = (uint32_t)transmit(e, at);
	return e->wipe_told_ != 0;
}

/* ------------------------------------------------------------------------------------------------ what comes down */

/*
 * Take one message apart: numbers[0] gets the count of its elements, numbers[1] its type, then come 1 to 4 numbers.
 * Answer 1, or 0 where it is not of a type known here, in the shortest form, of 32 bits, and whole.
 */
static int parse(const uint8_t *at, uint32_t left, uint32_t numbers[6])
{
	const uint8_t *end = at + left;
	uint32_t expected = 4 << 5, want = 2, i, low, size;

	for (i = 0; i < want; i++) {
		if (at == end)
			return 0;
		low = *at++ ^ expected; /* of another major type this is 32 or more */
		expected = 0;
		if (low >= 24) {
			size = low - 24u; /* the head is of 1, 2 or 4 bytes more */
			if (size > 2 || (uint32_t)(end - at) < 1u << size)
				return 0;
			for (low = 0, left = 1u << size; left != 0; left--)
				low = low << 8 | *at++;
			if (low < 24 || low >> size * 8 == 0)
				return 0;
		}
		numbers[i] = low;
		if (i == 1) {
			if (low - DOWN_WELCOME > DOWN_BYE - DOWN_WELCOME)
				return 0;
			want = DOWN_BYE + 3u - low; /* 6, 5, 4, 3 with both heads */
		}
	}
	if (numbers[0] < want - 1u)
		return 0;
	return numbers[0] >= want || at == end; /* elements of a later version are not looked at */
}

static int take_welcome(edge_t *e, const uint32_t numbers[4])
{
	uint32_t most, pace, result = numbers[1];

	if (e->phase_ != GREETED)
		return 0;
	if (result != 0) {
		leave(e, EDGE_EPROTO - (result < 6 ? (int)(REFUSALS >> result * 4 & 15u) : 0));
	} else if (numbers[0] - EDGE_WIRE_MIN > EDGE_WIRE_MAX - EDGE_WIRE_MIN) {
		leave(e, EDGE_EVERSION);
	} else {
		e->phase_ = WELCOMED;
		most = numbers[2] - 1u < EDGE_POINTS_MAX ? numbers[2] : EDGE_POINTS_MAX;
		pace = (numbers[3] - 1u) >> PACE_BITS == 0 ? numbers[3] : 1u << PACE_BITS;
		e->points_per_s_ = pace;
		e->max_points_ = most < pace ? most : pace;
		e->allowance_ = pace << 10;
		e->told_drops_--; /* so that this agent is told */
		e->stats_.connected++;
	}
	return 1;
}

static int take_state(edge_t *e, const uint32_t numbers[4])
{
	uint32_t mask = numbers[1];

	e->phase_ = LIVE;
	e->pause_ms_ = FIRST_PAUSE_MS;
	if (numbers[0] > e->generation_ && (GLANCE(&e->wipe_answer_) & 3u) != WIPE_WAITS) {
		e->held_mask_ = 0;
		e->generation_ = numbers[0];
	}
	mask &= ~e->held_mask_; /* a grant of before the wipe does not outlive it, nor does one begin during it */
	e->ttl_ms_ = numbers[2] < EDGE_TTL_MAX_MS ? numbers[2] : EDGE_TTL_MAX_MS;
	MARK(&e->deadline_, (uint32_t)((e->now_ms_ + e->ttl_ms_) >> TICK_BITS));
	set_grant(e, mask, EDGE_DROP_EXPIRED);
	return 1;
}

static int take_wipe(edge_t *e, uint32_t wipe_id, uint32_t scope)
{
	edge_label_t *label;
	uint32_t left;

	if (scope == 0)
		return 0;
	e->wipe_told_ = 0;
	if (GLANCE(&e->wipe_answer_) != NO_WIPE && e->wipe_id_ == wipe_id && (scope & ~e->held_mask_) == 0)
		return 1; /* asked again, and nothing was granted since: the answer has not arrived */
	e->held_mask_ |= scope;
	e->wipe_id_ = wipe_id;
	STORE(&e->wipe_answer_, wipe_id << 2 | WIPE_WAITS);
	set_grant(e, e->mask_ & ~scope, EDGE_DROP_WIPED);
	for (label = e->config_.labels, left = e->config_.label_count; left != 0; label++, left--)
		if ((label->id_ >> 12 & ~scope) == 0)
			zero(label, sizeof *label);
	zero(e->buffer_, sizeof e->buffer_); /* a label that was never sent may be in it */
	e->config_.on_wipe(e->config_.user, wipe_id, scope);
	return 1;
}

/* Do what a message of the agent says. Answer 1, or 0 where it says nothing that this version knows now. */
static int take(edge_t *e, const uint8_t *bytes, uint32_t size)
{
	uint32_t numbers[6];

	if (!parse(bytes, size, numbers))
		return 0;
	if (numbers[1] == DOWN_BYE) {
		leave(e, numbers[2] == 1 ? EDGE_EPROTO : EDGE_EOFFLINE); /* other reasons: the next WELCOME has them */
		return 1;
	}
	if (numbers[1] == DOWN_WELCOME)
		return take_welcome(e, numbers + 2);
	if (e->phase_ < WELCOMED || numbers[3] >> EDGE_PURPOSES != 0)
		return 0;
	return numbers[1] == DOWN_STATE ? take_state(e, numbers + 2) : take_wipe(e, numbers[2], numbers[3]);
}

static void listen_down(edge_t *e)
{
	uint32_t rounds;
	ssize_t size;

	for (rounds = ROUNDS; rounds != 0 && e->phase_ != OFFLINE; rounds--) {
		size = recv(e->fd_, e->buffer_, sizeof e->buffer_, MSG_DONTWAIT | MSG_TRUNC);
		if (size <= 0) {
			if (size == 0 || errno != EAGAIN)
				leave(e, EDGE_EOFFLINE);
			return;
		}
		if ((size_t)size > sizeof e->buffer_ || !take(e, e->buffer_, (uint32_t)size))
			e->stats_.bad_messages++;
	}
}

/* --------------------------------------------------------------------------------------------------------- pump */

static void dial(edge_t *e)
{
	edge_label_t *label;
	uint32_t left;

	e->tried_ms_ = (uint32_t)e->now_ms_;
	e->pause_ms_ = e->pause_ms_ * 2 + FIRST_PAUSE_MS;
	if (e->pause_ms_ > LAST_PAUSE_MS)
		e->pause_ms_ = LAST_PAUSE_MS;
	/* Non-blocking before connect: a full backlog would hold a blocking one for ever. */
	e->fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (e->fd_ < 0) {
		e->why_ = EDGE_ESYS;
		return;
	}
	for (label = e->config_.labels, left = e->config_.label_count; left != 0; label++, left--)
		label->unsent_ = (uint8_t)(label->key_ >> 16);
	e->unsent_ = 1;
	e->phase_ = GREETED;
	if (connect(e->fd_, (const struct sockaddr *)(const void *)&e->to_, (socklen_t)sizeof e->to_) != 0 || !send_hello(e))
		leave(e, EDGE_EOFFLINE);
}

static void talk(edge_t *e)
{
	uint64_t now = edge_now_ms();
	int back = now < e->now_ms_;

	e->now_ms_ = now;
	if (back) { /* no grant's age can be told; the agent tells anew what is granted to whom connects */
		MARK(&e->deadline_, 0u);
		leave(e, now == 0 ? EDGE_ESYS : EDGE_ECLOCK);
	}
	if ((uint32_t)(now >> TICK_BITS) >= e->deadline_)
		set_grant(e, 0, EDGE_DROP_EXPIRED);
	if (e->unpublished_ != 0)
		sweep(e, e->epoch_, e->held_mask_ != 0 ? EDGE_DROP_WIPED : EDGE_DROP_EXPIRED);
	e->rounds_ = ROUNDS;
	if (e->fd_ < 0 && (uint32_t)now - e->tried_ms_ >= e->pause_ms_)
		dial(e);
	listen_down(e);
	e->blocked_ = 0;
	if (e->phase_ >= WELCOMED && send_wiped(e) && e->phase_ == LIVE && send_labels(e))
		send_points(e);
}

int edge_pump(edge_t *e)
{
	int before = errno, code;

	if (e == NULL || e->ready_ == 0)
		return EDGE_EINVAL;
	if (e->pid_ == (int32_t)getpid()) {
		talk(e);
	} else {
		MARK(&e->grant_, 0u);
		leave(e, EDGE_EFORK);
	}
	if (e->phase_ == OFFLINE) {
		(void)close(e->fd_); /* of -1 it does nothing; in a child the parent keeps its own */
		e->fd_ = -1;
	}
	code = e->phase_ == LIVE ? (int)STORED(e) : e->why_;
	errno = before;
	return code;
}

int edge_fd(const edge_t *e)
{
	return e == NULL || e->ready_ == 0 ? -1 : e->fd_;
}

int edge_next_ms(const edge_t *e)
{
	uint32_t waiting, ms = 1000;

	if (e == NULL || e->ready_ == 0)
		return (int)ms;
	if (e->phase_ != LIVE)
		return (int)e->pause_ms_;
	if ((e->blocked_ | e->unpublished_ | e->unsent_) != 0)
		return 10;
	waiting = STORED(e);
	if (waiting >= e->max_points_)
		return 0;
	if (waiting != 0 && e->config_.linger_ms < ms)
		ms = e->config_.linger_ms;
	return (int)ms;
}

/* -------------------------------------------------------------------------------------------------- the other calls */

/* Zero ring and labels. */
static void forget(edge_t *e)
{
	zero(e->config_.slots, EDGE_RING_BYTES(e->config_.slot_count));
	zero(e->config_.labels, EDGE_LABEL_BYTES(e->config_.label_count));
}

/* Draw 8 bytes from the system, mixed with the time; the process where it has none. To tell boots apart; no secret. */
static void draw_nonce(edge_t *e)
{
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
	ssize_t drawn;

	e->boot_nonce_[1] = (uint32_t)e->pid_;
	drawn = read(fd, e->boot_nonce_, sizeof e->boot_nonce_);
	(void)close(fd);
	e->boot_nonce_[0] ^= (uint32_t)e->now_ms_ + (uint32_t)drawn;
}

/* Take over the configuration. Answer a code; only after EDGE_OK does ${e} answer calls. */
static int take_over(edge_t *e)
{
	const edge_config_t *config = &e->config_;
	uint32_t slots = config->slot_count;

	e->now_ms_ = edge_now_ms();
	if (e->now_ms_ == 0)
		return EDGE_ESYS;
	if (config->schema_hash == NULL || config->on_wipe == NULL || config->slots == NULL || config->socket_path == NULL ||
	    copy_text(e->site_, config->site, EDGE_SITE_MAX) < 2 || copy_text(e->name_, config->name, EDGE_NAME_MAX) == 0 ||
	    (config->label_count != 0 && config->labels == NULL))
		return EDGE_EINVAL;
	if (copy_text(e->to_.path_, config->socket_path, EDGE_PATH_MAX) < 2)
		return EDGE_EPATH;
	if (slots - 2u > EDGE_SLOTS_MAX - 2u || (slots & (slots - 1u)) != 0)
		return EDGE_ESLOTS;
	forget(e);
	while (slots-- != 0)
		config->slots[slots].turn_ = slots;
	memcpy(e->schema_hash_, config->schema_hash, sizeof e->schema_hash_);
	e->to_.family_ = AF_UNIX;
	e->fd_ = -1;
	e->pid_ = (int32_t)getpid();
	e->why_ = EDGE_EOFFLINE;
	draw_nonce(e);
	e->ready_ = 1;
	return EDGE_OK;
}

int edge_init(edge_t *e, const edge_config_t *config)
{
	if (e == NULL || config == NULL)
		return EDGE_EINVAL;
	if (config->abi != EDGE_ABI)
		return EDGE_EVERSION;
	zero(e, sizeof *e);
	memcpy(&e->config_, config, sizeof e->config_);
	return take_over(e);
}

int edge_wipe_done(edge_t *e, uint32_t wipe_id, int result)
{
	uint32_t asked = wipe_id << 2 | WIPE_WAITS, answer = wipe_id << 2 | (result == 0 ? WIPE_CLEARED : WIPE_FAILED);

	if (e == NULL || !__atomic_compare_exchange_n(&e->wipe_answer_, &asked, answer, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return EDGE_EINVAL;
	return EDGE_OK;
}

int edge_stats(const edge_t *e, edge_stats_t *stats)
{
	const uint32_t *from;
	uint32_t *to, left;

	if (e == NULL || e->ready_ == 0 || stats == NULL)
		return EDGE_EINVAL;
	from = (const uint32_t *)(const void *)&e->stats_; /* both are words and nothing else */
	to = (uint32_t *)(void *)stats;
	for (left = sizeof *stats / sizeof *to; left != 0; left--)
		*to++ = GLANCE(from++);
	stats->sent = (uint32_t)e->sent_;
	return EDGE_OK;
}

void edge_close(edge_t *e)
{
	if (e == NULL || e->ready_ == 0)
		return;
	forget(e);
	(void)close(e->fd_);
	zero(e, sizeof *e);
}
