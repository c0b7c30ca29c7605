/*
 * edge_shim: hands readings of firmware to the edge-sdk agent on the same machine, if it may.
 *
 * Owns: a ring of points in the caller's memory, one socket, the state of consent as the agent last said it.
 * Rules: nothing here allocates, blocks, starts a thread, prints, catches a signal or runs before main. Nothing is
 * stored before the agent grants it; a grant ends by itself when the agent is not heard. What is dropped is counted
 * by reason, and the agent is told.
 * Does not: minimise, encrypt or keep anything on disk. That is the agent's; so is the last word on consent.
 *
 * Threads: edge_put_*, edge_allowed and edge_wipe_done from any thread. All else from one thread, "the pump's".
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef EDGE_SHIM_H
#define EDGE_SHIM_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define EDGE_VERSION 0x000100u /* major << 16 | minor << 8 | patch */
#define EDGE_WIRE_MIN 1u
#define EDGE_WIRE_MAX 1u

/*
 * What every function answers: 0 or more for success, else one of these. A code never changes its meaning and is
 * never taken out; new ones are added at the end.
 */
enum {
	EDGE_OK = 0,
	EDGE_EINVAL = -1,   /* a pointer is NULL, or an argument is out of its range */
	EDGE_EDENIED = -2,  /* put: no purpose that uses this field is granted; dropped and counted */
	EDGE_EFULL = -3,    /* put: the ring is full; dropped and counted */
	EDGE_EOFFLINE = -4, /* pump: no agent; what is stored stays stored while its grant lasts */
	EDGE_EEXPIRED = -5, /* put: the grant ran out, the agent has not been heard for its time to live; counted */
	EDGE_ESYS = -6,     /* the system refused a clock or a socket; pump tries again */
	EDGE_EPROTO = -7,   /* pump: the agent broke the protocol, or says that this shim did */
	EDGE_EVERSION = -8, /* init: compiled against another edge_shim.h; pump: no wire version in common */
	EDGE_EFORK = -9,    /* pump: this process was forked after edge_init; only the parent may go on */
	EDGE_ESCHEMA = -10, /* pump: edge_ids.h was generated from another policy than the agent's */
	EDGE_ECLOCK = -11,  /* put: the time lies ahead of the clock or over a day behind; pump: the clock went back */
	EDGE_EPATH = -12,   /* init: the socket path is empty or longer than EDGE_PATH_MAX */
	EDGE_ESLOTS = -13,  /* init: slot_count is no power of two from 2 to EDGE_SLOTS_MAX */
	EDGE_ESITE = -14,   /* pump: the agent does not know this site */
	EDGE_EBUSY = -15,   /* pump: the agent has no place; source: points of the slot's old device are still stored */
	EDGE_ENOTREADY = -16, /* pump: the agent's site is not enrolled, or is wiped */
	EDGE_ETABLE = -17   /* source, text: the table of labels is full */
};

#define EDGE_PATH_MAX 107u    /* bytes, without the zero */
#define EDGE_SITE_MAX 64u
#define EDGE_NAME_MAX 32u
#define EDGE_ID_MAX 64u       /* bytes of a device identifier */
#define EDGE_TEXT_MAX 128u    /* bytes of a text */
#define EDGE_SLOTS_MAX 1048576u
#define EDGE_MESSAGE_MAX 4096u
#define EDGE_POINTS_MAX 64u   /* in one message */
#define EDGE_TTL_MAX_MS 3600000u
#define EDGE_STACK_MAX 2048u  /* bytes of stack that a call takes at most, callbacks and the C library aside */
#define EDGE_PURPOSES 20u
#define EDGE_ALL_PURPOSES 0xFFFFFu
#define EDGE_NOW ((uint64_t)0)
#define EDGE_FOR(purposes) ((uint32_t)(purposes) << 12) /* what edge_allowed takes for EDGE_PURPOSE_ bits */

/* The smallest power of two that is not below n (1 to 2^31); a constant expression, fit for the size of an array. */
#define EDGE_BITS1_(n) ((n) | ((n) >> 1))
#define EDGE_BITS2_(n) (EDGE_BITS1_(n) | (EDGE_BITS1_(n) >> 2))
#define EDGE_BITS3_(n) (EDGE_BITS2_(n) | (EDGE_BITS2_(n) >> 4))
#define EDGE_BITS4_(n) (EDGE_BITS3_(n) | (EDGE_BITS3_(n) >> 8))
#define EDGE_POW2(n) ((EDGE_BITS4_((uint32_t)(n) - 1u) | (EDGE_BITS4_((uint32_t)(n) - 1u) >> 16)) + 1u)
/* Slots for so many points a second over so many seconds without an agent. More than the grant's 120 s is no use. */
#define EDGE_SLOTS_FOR(points_per_s, outage_s) EDGE_POW2((uint32_t)(points_per_s) * (uint32_t)(outage_s))
#define EDGE_RING_BYTES(slots) ((uint32_t)(slots) * 24u)
#define EDGE_LABEL_BYTES(labels) ((uint32_t)(labels) * 140u)

/* A place for one point, and for one label. Yours to hold, not to look into. */
typedef struct edge_slot {
	uint32_t turn_, id_, meta_, at_, bits_[2];
} edge_slot_t;

typedef struct edge_label {
	uint32_t id_, key_;
	char text_[EDGE_TEXT_MAX + 3u];
	uint8_t unsent_;
} edge_label_t;

/*
 * What edge_init needs. Set all to zero first; texts are copied, memory and callbacks are used until edge_close.
 */
typedef struct edge_config {
	uint32_t abi;                 /* EDGE_ABI: the sizes of this header, checked against the library's */
	uint32_t slot_count;          /* of `slots`: a power of two, see EDGE_SLOTS_FOR */
	uint32_t label_count;         /* of `labels`: one for each edge_source and one for each edge_text */
	uint32_t linger_ms;           /* how long points wait for company in a message; 0: not at all */
	const char *socket_path;      /* the agent's socket */
	const char *site;             /* which household, as the agent's configuration names it */
	const char *name;             /* of this program, for the agent's log; may be "" */
	const char *schema_hash;      /* EDGE_SCHEMA_HASH of the generated edge_ids.h: 8 bytes */
	edge_slot_t *slots;
	edge_label_t *labels;         /* may be NULL where label_count is 0 */
	/*
	 * The household is erased: forget all you hold of it, then call edge_wipe_done(wipe_id, ...), at once or later.
	 * Called by edge_pump when ring and labels are zero already. Required: the shim cannot answer in your name.
	 */
	void (*on_wipe)(void *user, uint32_t wipe_id, uint32_t scope);
	/* The granted purposes are others now. Called by edge_pump after it took effect; may be NULL. */
	void (*on_grant)(void *user, uint32_t mask, uint32_t generation);
	void *user;
} edge_config_t;

/* Why points were dropped: the places of edge_stats_t.dropped, and of the counters that the agent is told. */
enum {
	EDGE_DROP_FULL = 0,           /* at put: no slot free */
	EDGE_DROP_DENIED = 1,         /* at put: not granted, or the grant ran out */
	EDGE_DROP_EXPIRED = 2,        /* stored, zeroed before sending: withdrawn, or the grant ran out */
	EDGE_DROP_WIPED = 3,          /* stored, zeroed by a wipe */
	EDGE_DROP_INVALID = 4         /* at put: no number, no such field, a time that cannot be */
};

/* Counters since edge_init, modulo 2^32. Every put of a shim that is open is in one of `stored` and three drops. */
typedef struct {
	uint32_t dropped[5];          /* by EDGE_DROP_*; expired and wiped were stored first */
	uint32_t stored;              /* points that edge_put_* took */
	uint32_t sent;                /* points handed to the socket */
	uint32_t again;               /* times the socket was full */
	uint32_t connected;           /* times the agent accepted this shim */
	uint32_t bad_messages;        /* from the agent, not understood */
} edge_stats_t;

/* The shim itself. Only its size is public. */
typedef struct edge {
	edge_stats_t stats_; /* `stored` is the head of the ring; it and `dropped` are what all threads touch, with: */
	uint32_t grant_, deadline_, wipe_answer_;
	uint32_t ready_, tail_, mask_, epoch_, generation_, held_mask_, wipe_id_, wipe_told_;
	uint32_t max_points_, points_per_s_, allowance_, ttl_ms_, told_drops_, blocked_, unpublished_, unsent_, rounds_;
	uint32_t pause_ms_, tried_ms_, spoke_ms_, batch_ms_, paced_ms_;
	int32_t fd_, pid_, phase_, why_;
	uint64_t now_ms_, sent_;
	edge_config_t config_;
	uint32_t boot_nonce_[2];
	struct {
		uint16_t family_;
		char path_[EDGE_PATH_MAX + 1];
	} to_;
	uint8_t schema_hash_[8];
	char site_[EDGE_SITE_MAX + 1], name_[EDGE_NAME_MAX + 1];
	uint8_t buffer_[EDGE_MESSAGE_MAX];
} edge_t;

#define EDGE_ABI ((uint32_t)(sizeof(edge_t) << 16 | sizeof(edge_config_t)))

/*
 * Make ${e} ready; everything is denied until edge_pump has heard the agent. Reads 8 bytes of chance from the system,
 * opens nothing that stays open, cannot block, needs no agent.
 * Answers EDGE_OK, EDGE_EINVAL, EDGE_EVERSION, EDGE_EPATH, EDGE_ESLOTS or EDGE_ESYS (no monotonic clock).
 */
int edge_init(edge_t *e, const edge_config_t *config);

/*
 * Say whether a point of ${id} may be put now: 1 or 0. Ask before reading a register. ${id} is an EDGE_FIELD_ of
 * edge_ids.h, or EDGE_FOR(purposes).
 * Any thread; wait-free. NULL and a grant that ran out are 0.
 */
int edge_allowed(const edge_t *e, uint32_t id);

/*
 * Store one value of field ${id} of the device in ${slot}, measured at ${at_ms} of edge_now_ms() or EDGE_NOW. Points of
 * one slot and one time make one reading: give all of them the same ${at_ms}.
 * Any thread; lock-free, no system call where the clock needs none. Never waits: what does not fit is dropped.
 * Answers EDGE_OK, EDGE_EINVAL, EDGE_EDENIED, EDGE_EEXPIRED, EDGE_EFULL or EDGE_ECLOCK.
 */
int edge_put_i64(edge_t *e, uint32_t id, uint16_t slot, uint64_t at_ms, int64_t value);
int edge_put_f64(edge_t *e, uint32_t id, uint16_t slot, uint64_t at_ms, double value);
int edge_put_bool(edge_t *e, uint32_t id, uint16_t slot, uint64_t at_ms, int value);

/*
 * Declare which device ${slot} is: ${kind} of edge_ids.h and its ${device_id}, 1 to EDGE_ID_MAX printable ASCII
 * characters. Kept in the table of labels, told to the agent when something is granted and after each
 * reconnection; forgotten by a wipe, so declare again when on_grant says that something is granted. The pump's thread.
 * Answers EDGE_OK, EDGE_EINVAL, EDGE_ETABLE, or EDGE_EBUSY: another device, and points of the old one are stored.
 */
int edge_source(edge_t *e, uint16_t slot, uint32_t kind, const char *device_id);

/*
 * Declare ${text} (0 to EDGE_TEXT_MAX bytes, as above; "" takes it back) as field ${id} of every later reading of
 * ${slot}: what changes seldom, such as an address or a version. Sent while the field is granted. The pump's thread.
 * Answers EDGE_OK, EDGE_EINVAL or EDGE_ETABLE.
 */
int edge_text(edge_t *e, uint16_t slot, uint32_t id, const char *text);

/*
 * Talk with the agent: connect, hear grants and wipes, send. Call it every edge_next_ms(), or when edge_fd() is
 * readable. Never waits; at most 8 messages each way. The pump's thread; it calls on_grant and on_wipe.
 * Answers how many points are still stored, else EDGE_EINVAL, EDGE_EOFFLINE, EDGE_ESYS, EDGE_EPROTO, EDGE_EVERSION,
 * EDGE_EFORK, EDGE_ESCHEMA, EDGE_ECLOCK, EDGE_ESITE, EDGE_EBUSY or EDGE_ENOTREADY. None of them wants an answer:
 * call again, it mends itself where it can.
 */
int edge_pump(edge_t *e);

/* Answer the descriptor to poll() for input, or -1. It changes with each connection. The pump's thread. */
int edge_fd(const edge_t *e);

/* Answer in how many milliseconds to call edge_pump again at the latest, 0 to 1000. The pump's thread. */
int edge_next_ms(const edge_t *e);

/*
 * Say that the caches of the firmware are cleared (${result} 0) or could not be (1), as on_wipe asked. Any thread.
 * Answers EDGE_OK, or EDGE_EINVAL where no such wipe is waiting.
 */
int edge_wipe_done(edge_t *e, uint32_t wipe_id, int result);

/* Copy the counters into ${stats}. The pump's thread. Answers EDGE_OK or EDGE_EINVAL. */
int edge_stats(const edge_t *e, edge_stats_t *stats);

/*
 * Zero ring, labels and the shim itself; close the socket. What is stored is gone and the agent is not told: pump until
 * it answers 0 first. No other thread may be in a call; calls after it answer EDGE_EINVAL.
 */
void edge_close(edge_t *e);

/* Answer the monotonic clock of this machine in milliseconds; 0 where there is none. Any thread. */
uint64_t edge_now_ms(void);

#ifdef __cplusplus
}
#endif

#endif
