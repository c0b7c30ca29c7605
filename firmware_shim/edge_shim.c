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
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LOAD(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)

#define FIELD_BITS 0xFFFu
#define TICK_BITS 8             /* deadlines count 256 ms: 32 bits of them last 34 years without turning over */
#define DAY_MS 86400000u
#define ROUNDS 8u               /* messages each way in one pump */
#define FIRST_PAUSE_MS 25u      /* doubled by each try */
#define LAST_PAUSE_MS 1000u     /* a failed try costs 3 us; a longer pause only loses points */
#define BEAT_MS 1000u           /* between counters that changed and a message without points that tells them */

enum { INTEGER, REAL, TRUTH };                  /* kinds of value in a slot */
enum { FREE, SOURCE, TEXT };                    /* uses of a label */
enum { OFFLINE, GREETED, WELCOMED, LIVE };      /* phases of a connection */
enum { NO_WIPE, WIPE_WAITS, WIPE_CLEARED, WIPE_FAILED }; /* low bits of the answer; above them the wipe's number */
enum { UP_HELLO = 1, UP_BATCH, UP_SOURCE, UP_TEXT, UP_WIPED, UP_BEAT };
enum { DOWN_WELCOME = 16, DOWN_STATE, DOWN_WIPE, DOWN_BYE };

/* Compile-time checks without _Static_assert, which C99 has not. */
typedef char slot_is_24_bytes[sizeof(edge_slot_t) == EDGE_RING_BYTES(1) ? 1 : -1];
typedef char label_is_140_bytes[sizeof(edge_label_t) == EDGE_LABEL_BYTES(1) ? 1 : -1];
typedef char double_is_8_bytes[sizeof(double) == 8 ? 1 : -1];
typedef char path_fits[sizeof(((struct sockaddr_un *)0)->sun_path) == EDGE_PATH_MAX + 1 ? 1 : -1];
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

/* Copy ${from}, ${least} to ${most} printable ASCII characters, and a zero. Answer 1, or 0 where it is not that. */
static int copy_text(char *to, const char *from, uint32_t least, uint32_t most)
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
	return length >= least;
}

/* ------------------------------------------------------------------------------------------------------- grants */

/* Answer whether ${slot}'s point may leave now: put since anything was withdrawn, for a purpose that is granted. */
static int may_leave(const edge_t *e, const edge_slot_t *slot)
{
	return ((slot->meta_ ^ e->epoch_) & ~EDGE_ALL_PURPOSES) == 0 && (slot->id_ >> 12 & e->mask_) != 0;
}

static int code_of(const edge_t *e, uint32_t id, uint32_t grant, uint64_t now)
{
	if ((id >> 12 & grant) == 0) /* the shift leaves 20 bits: the epoch is not in them */
		return EDGE_EDENIED;
	return (uint32_t)(now >> TICK_BITS) < LOAD(&e->deadline_) ? EDGE_OK : EDGE_EEXPIRED;
}

int edge_allowed(const edge_t *e, uint32_t id)
{
	return e != NULL && code_of(e, id, LOAD(&e->grant_), edge_now_ms()) == EDGE_OK;
}

/* --------------------------------------------------------------------------------------------------------- ring */

/*
 * Each slot has a turn: `position` when it is free for the point of that position, `position + 1` when that point is
 * complete. A thread takes a position by moving head; the pump gives the slot back for the next round.
 */
static edge_slot_t *claim(edge_t *e, uint32_t *position)
{
	uint32_t at = LOAD(&e->head_);
	edge_slot_t *slot;
	int32_t ahead;

	for (;;) {
		slot = &e->config_.slots[at & (e->config_.slot_count - 1u)];
		ahead = (int32_t)(LOAD(&slot->turn_) - at);
		if (ahead < 0)
			return NULL;
		if (ahead > 0)
			at = LOAD(&e->head_);
		else if (__atomic_compare_exchange_n(&e->head_, &at, at + 1u, 1, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE))
			break;
	}
	*position = at;
	return slot;
}

/* Count a drop for ${reason}, answer ${code}. */
static int drop(edge_t *e, int reason, int code)
{
	(void)__atomic_fetch_add(&e->stats_.dropped[reason], 1u, __ATOMIC_RELAXED);
	return code;
}

/* ${meta}: the source slot, above it the kind of value. */
static int put(edge_t *e, uint32_t id, uint32_t meta, uint64_t at_ms, uint64_t bits)
{
	uint64_t now = edge_now_ms();
	uint32_t position, grant;
	edge_slot_t *slot;
	int code;

	if (e == NULL || e->ready_ == 0)
		return EDGE_EINVAL;
	if ((id & FIELD_BITS) == 0)
		return drop(e, EDGE_DROP_INVALID, EDGE_EINVAL);
	if (at_ms == EDGE_NOW)
		at_ms = now;
	if (now - at_ms > DAY_MS) /* of a time ahead the difference wraps: that is over a day too */
		return drop(e, EDGE_DROP_INVALID, EDGE_ECLOCK);
	grant = LOAD(&e->grant_);
	code = code_of(e, id, grant, now);
	if (code != EDGE_OK)
		return drop(e, EDGE_DROP_DENIED, code);
	slot = claim(e, &position);
	if (slot == NULL)
		return drop(e, EDGE_DROP_FULL, EDGE_EFULL);
	slot->id_ = id;
	slot->meta_ = meta | (grant & ~EDGE_ALL_PURPOSES);
	slot->at_ = (uint32_t)at_ms;
	slot->bits_[0] = (uint32_t)bits;
	slot->bits_[1] = (uint32_t)(bits >> 32);
	STORE(&slot->turn_, position + 1u);
	return EDGE_OK;
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

static uint32_t stored(const edge_t *e)
{
	return LOAD(&e->head_) - e->tail_;
}

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
	edge_slot_t *slot;

	while ((slot = complete(e, e->tail_)) != NULL && (e->tail_ != position || slot->id_ == 0)) {
		position += e->tail_ == position;
		empty(slot);
		STORE(&slot->turn_, e->tail_ + e->config_.slot_count);
		e->tail_++;
	}
}

/*
 * Zero all points that may not leave, counted as ${reason}; a put under way stays for the next sweep. What may, and is
 * of ${epoch}, goes on into the present one: it was complete when the purposes of others ended.
 */
static void sweep(edge_t *e, uint32_t epoch, int reason)
{
	uint32_t newest = LOAD(&e->head_), position;
	edge_slot_t *slot;

	e->unpublished_ = 0;
	for (position = e->tail_; position != newest; position++) {
		slot = complete(e, position);
		if (slot == NULL) {
			e->unpublished_ = 1;
			continue;
		}
		if ((slot->meta_ & ~EDGE_ALL_PURPOSES) == epoch)
			slot->meta_ ^= epoch ^ e->epoch_;
		if (slot->id_ != 0 && !may_leave(e, slot)) {
			empty(slot);
			(void)drop(e, reason, 0);
		}
	}
	give_back(e, e->tail_);
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
		e->epoch_ += EDGE_ALL_PURPOSES + 1u;
	STORE(&e->grant_, mask | e->epoch_);
	if (e->epoch_ != epoch)
		sweep(e, epoch, reason);
	if (e->config_.on_grant != NULL)
		e->config_.on_grant(e->config_.user, mask, e->generation_);
}

/* ------------------------------------------------------------------------------------------------------- labels */

static int declare(edge_t *e, uint32_t slot, uint32_t use, uint32_t id, const char *text)
{
	edge_label_t *label, *place = NULL;
	char *checked;

	if (e == NULL || e->ready_ == 0 || (id & FIELD_BITS) == 0)
		return EDGE_EINVAL;
	checked = (char *)e->buffer_; /* no message is in it between two calls */
	if (!copy_text(checked, text, use == SOURCE, use == SOURCE ? EDGE_ID_MAX : EDGE_TEXT_MAX))
		return EDGE_EINVAL;
	for (label = e->config_.labels; label != e->config_.labels + e->config_.label_count; label++) {
		if (label->use_ == use && label->slot_ == slot && (use == SOURCE || label->id_ == id)) {
			place = label;
			break;
		}
		if (label->use_ == FREE && place == NULL)
			place = label;
	}
	if (place == NULL)
		return EDGE_ETABLE;
	if (place->use_ == use && place->id_ == id && strcmp(place->text_, checked) == 0)
		return EDGE_OK;
	if (place->use_ == SOURCE && stored(e) != 0)
		return EDGE_EBUSY; /* points of the old device would be told as the new one's */
	memcpy(place->text_, checked, sizeof place->text_);
	place->id_ = id;
	place->slot_ = (uint16_t)slot;
	place->use_ = (uint8_t)use;
	place->unsent_ = 1;
	e->unsent_ = 1;
	return EDGE_OK;
}

int edge_source(edge_t *e, uint16_t slot, uint32_t kind, const char *device_id)
{
	return declare(e, slot, SOURCE, kind >> 12 != 0 ? kind : kind | EDGE_FOR(EDGE_ALL_PURPOSES), device_id);
}

int edge_text(edge_t *e, uint16_t slot, uint32_t id, const char *text)
{
	return declare(e, slot, TEXT, id, text);
}

/* -------------------------------------------------------------------------------------------------- what goes up */

static void byte(edge_t *e, uint32_t value)
{
	e->buffer_[e->fill_++] = (uint8_t)value;
}

static void big_endian(edge_t *e, uint32_t value, uint32_t bits)
{
	while (bits != 0) {
		bits -= 8;
		byte(e, value >> bits);
	}
}

/* Write the shortest head of ${major} (0 to 7) with ${argument}. */
static void head(edge_t *e, uint32_t major, uint32_t argument)
{
	uint32_t bits = argument <= 0xFF ? 8 : argument <= 0xFFFF ? 16 : 32;

	byte(e, major << 5 | (argument < 24 ? argument : 24 + (bits >> 4)));
	if (argument >= 24)
		big_endian(e, argument, bits);
}

static void head64(edge_t *e, uint32_t major, uint64_t argument)
{
	if (argument >> 32 == 0) {
		head(e, major, (uint32_t)argument);
	} else {
		byte(e, major << 5 | 27);
		big_endian(e, (uint32_t)(argument >> 32), 32);
		big_endian(e, (uint32_t)argument, 32);
	}
}

/* A number in two's complement; ~value is -1 - value without leaving the range. */
static void integer(edge_t *e, uint64_t value)
{
	if (value >> 63 != 0)
		head64(e, 1, ~value);
	else
		head64(e, 0, value);
}

static void string(edge_t *e, uint32_t major, const void *bytes, uint32_t size)
{
	head(e, major, size);
	memcpy(&e->buffer_[e->fill_], bytes, size);
	e->fill_ += size;
}

static void text(edge_t *e, const char *characters)
{
	string(e, 3, characters, (uint32_t)strlen(characters));
}

static void begin(edge_t *e, uint32_t elements, uint32_t type)
{
	e->fill_ = 0;
	head(e, 4, elements);
	head(e, 0, type);
}

static uint32_t all_drops(const edge_t *e)
{
	uint32_t sum = 0, i;

	for (i = 0; i < 5; i++)
		sum += LOAD(&e->stats_.dropped[i]);
	return sum;
}

static void write_drops(edge_t *e)
{
	uint32_t i, counter;

	e->told_drops_ = 0;
	head(e, 4, 5);
	for (i = 0; i < 5; i++) {
		counter = LOAD(&e->stats_.dropped[i]);
		e->told_drops_ += counter;
		head(e, 0, counter);
	}
}

/* End the connection because of ${why}; the next try comes after a pause. */
static void hang_up(edge_t *e, int why)
{
	(void)close(e->fd_); /* of -1 it does nothing */
	e->fd_ = -1;
	e->phase_ = OFFLINE;
	e->why_ = why;
	e->hung_ms_ = (uint32_t)e->now_ms_;
}

/* Send the message in the buffer. Answer 1, or 0 where the socket is full (try later) or gone. */
static int transmit(edge_t *e)
{
	if (send(e->fd_, e->buffer_, e->fill_, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) { /* a record goes whole or not */
		e->spoke_ms_ = (uint32_t)e->now_ms_;
		return 1;
	}
	if (errno == EAGAIN) {
		e->stats_.again++;
		e->blocked_ = 1;
	} else {
		hang_up(e, EDGE_EOFFLINE);
	}
	return 0;
}

static int send_hello(edge_t *e)
{
	begin(e, 8, UP_HELLO);
	head(e, 0, EDGE_WIRE_MIN);
	head(e, 0, EDGE_WIRE_MAX);
	head(e, 0, EDGE_VERSION);
	string(e, 2, e->schema_hash_, 8);
	string(e, 2, e->boot_nonce_, 8);
	text(e, e->site_);
	text(e, e->name_);
	return transmit(e);
}

/* Send what is new and granted, devices before their texts. Answer 1 when nothing of it is left. */
static int send_labels(edge_t *e, uint32_t *rounds)
{
	uint32_t use, i;

	for (use = SOURCE; e->unsent_ != 0 && use <= TEXT; use++) {
		for (i = 0; i < e->config_.label_count; i++) {
			edge_label_t *label = &e->config_.labels[i];

			if (label->use_ != use || label->unsent_ == 0 || (label->id_ >> 12 & e->mask_) == 0)
				continue;
			begin(e, 4, use == SOURCE ? UP_SOURCE : UP_TEXT);
			head(e, 0, label->slot_);
			head(e, 0, label->id_ & FIELD_BITS);
			text(e, label->text_);
			if (!transmit(e))
				return 0;
			label->unsent_ = 0;
			if (--*rounds == 0)
				e->blocked_ = 1; /* the rest at the next call, soon */
			if (e->blocked_ != 0)
				return 0;
		}
	}
	e->unsent_ = 0;
	return 1;
}

/*
 * Drop what may not leave at the front of the ring, up to ${limit} points that may. Answer their number; ${end} gets
 * the position behind them, ${first} the slot of the first.
 */
static uint32_t gather(edge_t *e, uint32_t limit, const edge_slot_t **first, uint32_t *end)
{
	uint32_t count = 0, position;
	edge_slot_t *slot;

	for (position = e->tail_; count < limit && (slot = complete(e, position)) != NULL; position++) {
		if (slot->id_ == 0)
			continue;
		if (!may_leave(e, slot)) {
			empty(slot);
			(void)drop(e, EDGE_DROP_EXPIRED, 0);
		} else if (count++ == 0) {
			*first = slot;
		}
	}
	*end = position;
	return count;
}

/* ${t0}: the low half of the first point's time. All times in the ring lie within little over a day of the clock. */
static void write_point(edge_t *e, const edge_slot_t *slot, uint32_t t0)
{
	uint32_t kind = slot->meta_ >> 16 & 0xFu;

	head(e, 4, 4);
	head(e, 0, slot->id_ & FIELD_BITS);
	head(e, 0, slot->meta_ & 0xFFFFu);
	integer(e, (uint64_t)(int64_t)(int32_t)(slot->at_ - t0));
	if (kind == INTEGER) {
		integer(e, slot->bits_[0] | (uint64_t)slot->bits_[1] << 32);
	} else if (kind == TRUTH) {
		byte(e, 0xF4u + slot->bits_[0]);
	} else {
		byte(e, 0xFB);
		big_endian(e, slot->bits_[1], 32);
		big_endian(e, slot->bits_[0], 32);
	}
}

/* Send one message of at most ${limit} points. Answer 1 when it went, or there was nothing to send. */
static int send_batch(edge_t *e, uint32_t limit)
{
	const edge_slot_t *first = NULL, *slot;
	uint32_t end, position, count = gather(e, limit, &first, &end);

	if (count != 0) {
		begin(e, 5, UP_BATCH);
		head64(e, 0, e->sent_);
		head64(e, 0, e->now_ms_ + (uint64_t)(int64_t)(int32_t)(first->at_ - (uint32_t)e->now_ms_));
		write_drops(e);
		head(e, 4, count);
		for (position = e->tail_; position != end; position++) {
			slot = complete(e, position);
			if (slot->id_ != 0)
				write_point(e, slot, first->at_);
		}
		if (!transmit(e))
			return 0;
		e->sent_ += count;
		e->allowance_ -= count << 10;
		e->batch_ms_ = (uint32_t)e->now_ms_;
	}
	give_back(e, end);
	return 1;
}

/*
 * Add to the allowance what the agent's rate gave since the last look, up to a second's worth; 0 is no limit. It counts
 * 1024th of points, and 1024 ms for a second: slower by a little than allowed, and no division.
 */
static void pace(edge_t *e)
{
	uint32_t waited = (uint32_t)e->now_ms_ - e->paced_ms_, most = e->points_per_s_ << 10;

	e->paced_ms_ = (uint32_t)e->now_ms_;
	e->allowance_ += (waited < 1024u ? waited : 1024u) * e->points_per_s_;
	if (most == 0)
		e->allowance_ = EDGE_POINTS_MAX * ROUNDS << 10;
	else if (e->allowance_ > most)
		e->allowance_ = most;
}

static void send_points(edge_t *e, uint32_t rounds)
{
	uint32_t limit;

	pace(e);
	for (; rounds != 0 && stored(e) != 0; rounds--) {
		limit = stored(e) < e->max_points_ ? stored(e) : e->max_points_;
		if (limit < e->max_points_ && (uint32_t)e->now_ms_ - e->batch_ms_ < e->config_.linger_ms)
			return;
		if (e->points_per_s_ != 0 && limit > e->points_per_s_)
			limit = e->points_per_s_;
		if (e->allowance_ >> 10 < limit)
			e->blocked_ = 1;
		if (e->blocked_ != 0 || !send_batch(e, limit))
			return;
	}
}

/* Send the counters without points: when they changed, or when nothing was said for a good part of the time to live. */
static void send_beat(edge_t *e)
{
	uint32_t quiet = (uint32_t)e->now_ms_ - e->spoke_ms_;

	if (quiet < BEAT_MS || (all_drops(e) == e->told_drops_ && quiet < e->ttl_ms_ / 4))
		return;
	begin(e, 3, UP_BEAT);
	head64(e, 0, e->sent_);
	write_drops(e);
	if (!transmit(e))
		e->told_drops_--; /* nobody was told */
}

/* Send the firmware's answer to a wipe, once no put of before it is still writing. Answer 1 when none is owed. */
static int send_wiped(edge_t *e)
{
	uint32_t answer = LOAD(&e->wipe_answer_) & 3u;

	if (answer < WIPE_CLEARED || e->wipe_told_ != 0 || e->unpublished_ != 0)
		return 1;
	begin(e, 3, UP_WIPED);
	head(e, 0, e->wipe_id_);
	head(e, 0, answer == WIPE_FAILED);
	e->wipe_told_ = (uint32_t)transmit(e);
	return e->wipe_told_ != 0;
}

/* ------------------------------------------------------------------------------------------------ what comes down */

/*
 * Take one message apart: numbers[0] gets the count of its elements, numbers[1] its type, then come 1 to 4 numbers.
 * Answer 1, or 0 where it is not of a type known here, in the shortest form, of 32 bits, and whole.
 */
static int parse(const uint8_t *at, uint32_t left, uint32_t numbers[6])
{
	uint32_t want = 2, i, low, bytes, least;

	for (i = 0; i < want; i++) {
		if (left == 0 || at[0] >> 5 != (i == 0 ? 4 : 0))
			return 0;
		low = *at++ & 31u;
		left--;
		if (low >= 24) {
			if (low > 26)
				return 0;
			bytes = 1u << (low & 3u);
			least = bytes == 1 ? 24 : 1u << (4 * bytes);
			if (left < bytes)
				return 0;
			for (low = 0, left -= bytes; bytes != 0; bytes--)
				low = low << 8 | *at++;
			if (low < least)
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
	return numbers[0] >= want || left == 0; /* elements of a later version are not looked at */
}

static int take_welcome(edge_t *e, const uint32_t numbers[4])
{
	static const int8_t codes[6] = {EDGE_EPROTO, EDGE_EVERSION, EDGE_ESCHEMA, EDGE_ESITE, EDGE_EBUSY, EDGE_ENOTREADY};

	if (e->phase_ != GREETED)
		return 0;
	if (numbers[1] != 0) {
		hang_up(e, codes[numbers[1] < 6 ? numbers[1] : 0]);
	} else if (numbers[0] - EDGE_WIRE_MIN > EDGE_WIRE_MAX - EDGE_WIRE_MIN) {
		hang_up(e, EDGE_EVERSION);
	} else {
		e->phase_ = WELCOMED;
		e->max_points_ = numbers[2] - 1u < EDGE_POINTS_MAX ? numbers[2] : EDGE_POINTS_MAX;
		e->points_per_s_ = numbers[3] < 1000000u ? numbers[3] : 0; /* a pace nobody reaches is none */
		e->allowance_ = e->points_per_s_ << 10;
		e->told_drops_ = all_drops(e) - 1u; /* so that this agent is told */
		e->stats_.connected++;
	}
	return 1;
}

static int take_state(edge_t *e, const uint32_t numbers[4])
{
	uint32_t mask = numbers[1];

	if (e->phase_ < WELCOMED || mask > EDGE_ALL_PURPOSES)
		return 0;
	e->phase_ = LIVE;
	e->pause_ms_ = FIRST_PAUSE_MS;
	if (numbers[0] > e->generation_ && (LOAD(&e->wipe_answer_) & 3u) != WIPE_WAITS) {
		e->held_mask_ = 0;
		e->generation_ = numbers[0];
	}
	mask &= ~e->held_mask_; /* a grant of before the wipe does not outlive it, nor does one begin during it */
	e->ttl_ms_ = numbers[2] < EDGE_TTL_MAX_MS ? numbers[2] : EDGE_TTL_MAX_MS;
	STORE(&e->deadline_, (uint32_t)((e->now_ms_ + e->ttl_ms_) >> TICK_BITS));
	set_grant(e, mask, EDGE_DROP_EXPIRED);
	return 1;
}

static int take_wipe(edge_t *e, uint32_t wipe_id, uint32_t scope)
{
	uint32_t i;

	if (e->phase_ < WELCOMED || scope - 1u >= EDGE_ALL_PURPOSES)
		return 0;
	e->wipe_told_ = 0;
	if (LOAD(&e->wipe_answer_) != NO_WIPE && e->wipe_id_ == wipe_id && (scope & ~e->held_mask_) == 0)
		return 1; /* asked again, and nothing was granted since: the answer has not arrived */
	e->held_mask_ |= scope;
	e->wipe_id_ = wipe_id;
	STORE(&e->wipe_answer_, wipe_id << 2 | WIPE_WAITS);
	set_grant(e, e->mask_ & ~scope, EDGE_DROP_WIPED);
	for (i = 0; i < e->config_.label_count; i++)
		if ((e->config_.labels[i].id_ >> 12 & ~scope) == 0)
			zero(&e->config_.labels[i], sizeof e->config_.labels[i]);
	e->config_.on_wipe(e->config_.user, wipe_id, scope);
	return 1;
}

/* Do what a message of the agent says. Answer 1, or 0 where it says nothing that this version knows now. */
static int take(edge_t *e, const uint8_t *bytes, uint32_t size)
{
	uint32_t numbers[6];

	if (!parse(bytes, size, numbers))
		return 0;
	switch (numbers[1]) {
	case DOWN_WELCOME:
		return take_welcome(e, numbers + 2);
	case DOWN_STATE:
		return take_state(e, numbers + 2);
	case DOWN_WIPE:
		return take_wipe(e, numbers[2], numbers[3]);
	default:
		hang_up(e, numbers[2] == 1 ? EDGE_EPROTO : EDGE_EOFFLINE); /* other reasons: the next WELCOME has them */
		return 1;
	}
}

static void listen_down(edge_t *e)
{
	uint32_t rounds;
	ssize_t size;

	for (rounds = ROUNDS; rounds != 0 && e->fd_ >= 0; rounds--) {
		size = recv(e->fd_, e->buffer_, sizeof e->buffer_, MSG_DONTWAIT | MSG_TRUNC);
		if (size < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (size <= 0)
			hang_up(e, EDGE_EOFFLINE);
		else if ((size_t)size > sizeof e->buffer_ || !take(e, e->buffer_, (uint32_t)size))
			e->stats_.bad_messages++;
	}
}

/* --------------------------------------------------------------------------------------------------------- pump */

static void dial(edge_t *e)
{
	struct sockaddr_un to;
	uint32_t i;

	e->pause_ms_ = e->pause_ms_ < LAST_PAUSE_MS / 2 ? e->pause_ms_ * 2 : LAST_PAUSE_MS;
	/* Non-blocking before connect: a full backlog would hold a blocking one for ever. */
	e->fd_ = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (e->fd_ < 0) {
		hang_up(e, EDGE_ESYS);
		return;
	}
	to.sun_family = AF_UNIX;
	memcpy(to.sun_path, e->path_, sizeof e->path_);
	for (i = 0; i < e->config_.label_count; i++)
		e->config_.labels[i].unsent_ = 1;
	e->unsent_ = 1;
	e->phase_ = GREETED;
	if (connect(e->fd_, (const struct sockaddr *)(const void *)&to, (socklen_t)sizeof to) != 0 || !send_hello(e))
		hang_up(e, EDGE_EOFFLINE);
}

static int pump(edge_t *e)
{
	uint64_t now = edge_now_ms();
	uint32_t rounds = ROUNDS;

	if (now < e->now_ms_) { /* no grant's age can be told; the agent tells anew what is granted to whom connects */
		e->now_ms_ = now;
		STORE(&e->deadline_, 0u);
		set_grant(e, 0, EDGE_DROP_EXPIRED);
		hang_up(e, now == 0 ? EDGE_ESYS : EDGE_ECLOCK);
		return e->why_;
	}
	e->now_ms_ = now;
	if (e->mask_ != 0 && (uint32_t)(now >> TICK_BITS) >= e->deadline_)
		set_grant(e, 0, EDGE_DROP_EXPIRED);
	if (e->unpublished_ != 0)
		sweep(e, e->epoch_, e->held_mask_ != 0 ? EDGE_DROP_WIPED : EDGE_DROP_EXPIRED);
	if (e->fd_ < 0 && (uint32_t)now - e->hung_ms_ >= e->pause_ms_)
		dial(e);
	listen_down(e);
	e->blocked_ = 0;
	if (e->phase_ >= WELCOMED && send_wiped(e) && e->phase_ == LIVE && send_labels(e, &rounds))
		send_points(e, rounds);
	if (e->phase_ == LIVE && e->blocked_ == 0)
		send_beat(e);
	return e->phase_ == LIVE ? (int)stored(e) : e->why_;
}

int edge_pump(edge_t *e)
{
	int before = errno, code;

	if (e == NULL || e->ready_ == 0)
		return EDGE_EINVAL;
	if (e->pid_ == (int32_t)getpid()) {
		code = pump(e);
	} else {
		STORE(&e->grant_, 0u);
		(void)close(e->fd_); /* the child's copy; the parent keeps its own */
		e->fd_ = -1;
		code = EDGE_EFORK;
	}
	errno = before;
	return code;
}

int edge_fd(const edge_t *e)
{
	return e == NULL || e->ready_ == 0 ? -1 : e->fd_;
}

int edge_next_ms(const edge_t *e)
{
	if (e == NULL || e->ready_ == 0)
		return 1000;
	if (e->phase_ != LIVE)
		return (int)e->pause_ms_;
	if ((e->blocked_ | e->unpublished_) != 0)
		return 10;
	if (stored(e) >= e->max_points_)
		return 0;
	return stored(e) != 0 && e->config_.linger_ms < 1000u ? (int)e->config_.linger_ms : 1000;
}

/* -------------------------------------------------------------------------------------------------- the other calls */

/* Chance from the system where it has some, time and process where not. To be told from other boots; no secret. */
static void make_nonce(edge_t *e)
{
	uint64_t chance = 0;
	int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);

	if (read(fd, &chance, sizeof chance) <= 0)
		chance = (uint32_t)e->pid_;
	(void)close(fd);
	chance ^= e->now_ms_;
	memcpy(e->boot_nonce_, &chance, sizeof chance);
}

/* Take over the configuration. Answer a code; only after EDGE_OK does ${e} answer calls. */
static int take_over(edge_t *e, const edge_config_t *config)
{
	uint32_t slots = config->slot_count, i;

	e->now_ms_ = edge_now_ms();
	if (e->now_ms_ == 0)
		return EDGE_ESYS;
	if (config->schema_hash == NULL || config->on_wipe == NULL || config->slots == NULL || config->socket_path == NULL ||
	    !copy_text(e->site_, config->site, 1, EDGE_SITE_MAX) || !copy_text(e->name_, config->name, 0, EDGE_NAME_MAX) ||
	    (config->label_count != 0 && config->labels == NULL))
		return EDGE_EINVAL;
	if (!copy_text(e->path_, config->socket_path, 1, EDGE_PATH_MAX))
		return EDGE_EPATH;
	if (slots - 2u > EDGE_SLOTS_MAX - 2u || (slots & (slots - 1u)) != 0)
		return EDGE_ESLOTS;
	memcpy(&e->config_, config, sizeof e->config_);
	zero(config->labels, EDGE_LABEL_BYTES(config->label_count));
	zero(config->slots, EDGE_RING_BYTES(slots));
	for (i = 0; i < slots; i++)
		config->slots[i].turn_ = i;
	memcpy(e->schema_hash_, config->schema_hash, sizeof e->schema_hash_);
	e->fd_ = -1;
	e->pid_ = (int32_t)getpid();
	e->why_ = EDGE_EOFFLINE;
	e->pause_ms_ = FIRST_PAUSE_MS;
	e->hung_ms_ = (uint32_t)e->now_ms_ - FIRST_PAUSE_MS;
	make_nonce(e);
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
	return take_over(e, config);
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
	uint32_t i;

	if (e == NULL || e->ready_ == 0 || stats == NULL)
		return EDGE_EINVAL;
	stats->again = e->stats_.again;
	stats->connected = e->stats_.connected;
	stats->bad_messages = e->stats_.bad_messages;
	for (i = 0; i < 5; i++)
		stats->dropped[i] = LOAD(&e->stats_.dropped[i]);
	stats->stored = LOAD(&e->head_);
	stats->sent = (uint32_t)e->sent_;
	return EDGE_OK;
}

void edge_close(edge_t *e)
{
	if (e == NULL || e->ready_ == 0)
		return;
	zero(e->config_.slots, EDGE_RING_BYTES(e->config_.slot_count));
	zero(e->config_.labels, EDGE_LABEL_BYTES(e->config_.label_count));
	(void)close(e->fd_);
	zero(e, sizeof *e);
}
