/*
 * What the shim does with grants, points, labels and wipes. Run with the name of a case.
 */
#include "cases.h"

static int put_a(int64_t value)
{
	return edge_put_i64(&shim, FIELD_A, 3, EDGE_NOW, value);
}

CASE(nothing_is_stored_before_the_first_grant)
{
	configure();
	CHECK(edge_init(&shim, &config) == EDGE_OK);
	CHECK(put_a(1) == EDGE_EDENIED);
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	CHECK(put_a(1) == EDGE_EDENIED);
	say_welcome(0);
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	CHECK(put_a(1) == EDGE_EDENIED && edge_allowed(&shim, FIELD_A) == 0);
	say_state(1, 0);
	CHECK(edge_pump(&shim) == 0);
	CHECK(put_a(1) == EDGE_EDENIED && grants == 0);
	say_state(2, 1);
	CHECK(edge_pump(&shim) == 0);
	CHECK(put_a(1) == EDGE_OK && edge_allowed(&shim, FIELD_A) == 1 && grants == 1 && last_grant == 1);
	CHECK(edge_put_i64(&shim, FIELD_B, 3, EDGE_NOW, 1) == EDGE_EDENIED);
	CHECK(edge_put_i64(&shim, FIELD_AB, 3, EDGE_NOW, 1) == EDGE_OK);
	CHECK(dropped(EDGE_DROP_DENIED) == 5);
}

CASE(a_withdrawal_zeroes_what_is_stored_for_it_alone)
{
	static const uint8_t canary[8] = {0xEF, 0xBE, 0xAD, 0xDE, 0x0D, 0xF0, 0xFE, 0xCA};
	int64_t value;

	memcpy(&value, canary, sizeof value);
	begin_granted(3);
	world.full = 1;
	CHECK(put_a(value) == EDGE_OK);
	CHECK(edge_put_i64(&shim, FIELD_B, 3, EDGE_NOW, 2) == EDGE_OK);
	CHECK(edge_put_i64(&shim, FIELD_AB, 3, EDGE_NOW, 3) == EDGE_OK);
	CHECK(put_a(value) == EDGE_OK);
	CHECK(edge_pump(&shim) == 4);
	CHECK(occurs(slots, sizeof slots, canary, 4));
	say_state(2, 2);
	CHECK(edge_pump(&shim) == 3);
	CHECK(!occurs(slots, sizeof slots, canary, 4));
	world.full = 0;
	CHECK(edge_pump(&shim) == 0);
	CHECK(sent_points() == 2 && dropped(EDGE_DROP_EXPIRED) == 2);
}

CASE(a_point_let_in_under_an_ended_grant_stays_out_when_the_purpose_is_granted_again)
{
	uint32_t position, word;
	edge_slot_t *slot;

	begin_granted(1);
	word = shim.grant_;
	CHECK(claim(&shim, &slot, &position)); /* a put that is held up here, in the middle */
	say_state(2, 0);
	CHECK(edge_pump(&shim) == 1);
	say_state(3, 1);
	CHECK(edge_pump(&shim) == 1);
	slot->id_ = FIELD_A;
	slot->meta_ = 3 | (word & ~EDGE_ALL_PURPOSES);
	slot->at_ = (uint32_t)world.now_ms;
	STORE(&slot->turn_, position + 1u);
	CHECK(put_a(7) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0);
	CHECK(sent_points() == 1 && dropped(EDGE_DROP_EXPIRED) == 1);
}

CASE(points_of_before_the_agent_went_wait_for_its_next_word)
{
	begin_granted(1);
	world.full = 1;
	CHECK(put_a(1) == EDGE_OK);
	CHECK(edge_pump(&shim) == 1);
	world.full = 0;
	world.gone = 1;
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	CHECK(put_a(2) == EDGE_OK);
	world.now_ms += 100;
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	say_welcome(0);
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	CHECK(count_of(2) == 0);
	say_state(1, 1);
	CHECK(edge_pump(&shim) == 0);
	CHECK(sent_points() == 2);
}

CASE(what_was_withdrawn_while_the_agent_was_away_is_never_sent)
{
	begin_granted(1);
	world.gone = 1;
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	CHECK(put_a(2) == EDGE_OK);
	world.now_ms += 100;
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	say_welcome(0);
	say_state(1, 0);
	CHECK(edge_pump(&shim) == 0);
	CHECK(sent_points() == 0 && dropped(EDGE_DROP_EXPIRED) == 1);
}

CASE(a_grant_nobody_renews_ends_and_zeroes_the_ring)
{
	begin_granted(1);
	world.gone = 1;
	(void)edge_pump(&shim);
	world.absent = 1;
	CHECK(put_a(2) == EDGE_OK);
	world.now_ms += TTL;
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	CHECK(dropped(EDGE_DROP_EXPIRED) == 1 && last_grant == 0);
	world.absent = 0;
	world.now_ms += 2000;
	(void)edge_pump(&shim);
	say_welcome(0);
	say_state(1, 1);
	CHECK(edge_pump(&shim) == 0 && sent_points() == 0);
}

CASE(a_point_that_outlived_its_grant_is_not_saved_by_the_next_one)
{
	begin_granted(1);
	CHECK(put_a(2) == EDGE_OK);
	world.now_ms += TTL;
	say_state(2, 1); /* waits in the socket when the pump comes back after two minutes */
	CHECK(edge_pump(&shim) == 0);
	CHECK(sent_points() == 0 && dropped(EDGE_DROP_EXPIRED) == 1);
	CHECK(put_a(3) == EDGE_OK);
}

CASE(a_time_to_live_has_a_ceiling)
{
	begin_granted(0);
	say(4, 17, 1, 1, 0xFFFFFFFFu, 0);
	CHECK(edge_pump(&shim) == 0);
	world.now_ms += EDGE_TTL_MAX_MS - 600;
	CHECK(edge_allowed(&shim, FIELD_A));
	world.now_ms += 600;
	CHECK(!edge_allowed(&shim, FIELD_A));
}

CASE(an_agent_that_is_stopped_costs_no_point_until_the_ring_is_full)
{
	int i;

	begin_granted(1);
	world.full = 1;
	for (i = 0; i < 20; i++)
		(void)put_a(i);
	CHECK(edge_pump(&shim) == (int)SLOTS);
	CHECK(edge_next_ms(&shim) == 10);
	world.full = 0;
	CHECK(edge_pump(&shim) == 0);
	CHECK(sent_points() == SLOTS && dropped(EDGE_DROP_FULL) == 4);
}

CASE(the_ring_turns_over_and_the_positions_wrap)
{
	uint32_t i, start = 0xFFFFFFF8u;

	begin_granted(1);
	shim.stats_.stored = shim.tail_ = start;
	for (i = 0; i < SLOTS; i++)
		slots[(start + i) & (SLOTS - 1)].turn_ = start + i;
	for (i = 0; i < 5 * SLOTS; i++) {
		CHECK(put_a((int64_t)i) == EDGE_OK);
		if (i % 7 == 0)
			CHECK(edge_pump(&shim) == 0);
	}
	CHECK(edge_pump(&shim) == 0 && sent_points() == 5 * SLOTS);
}

CASE(a_batch_has_at_most_as_many_points_as_the_agent_takes)
{
	int i;

	configure();
	CHECK(edge_init(&shim, &config) == EDGE_OK);
	(void)edge_pump(&shim);
	say(5, 16, 1, 0, 5, 0);
	say_state(1, 1);
	CHECK(edge_pump(&shim) == 0);
	for (i = 0; i < 12; i++)
		CHECK(put_a(i) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0);
	CHECK(count_of(2) == 3);
}

CASE(points_wait_for_company_no_longer_than_linger)
{
	configure();
	config.linger_ms = 250;
	CHECK(edge_init(&shim, &config) == EDGE_OK);
	(void)edge_pump(&shim);
	say_welcome(0);
	say_state(1, 1);
	world.now_ms += 250;
	CHECK(edge_pump(&shim) == 0);
	CHECK(put_a(1) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0);
	CHECK(put_a(1) == EDGE_OK);
	CHECK(edge_pump(&shim) == 1 && edge_next_ms(&shim) == 250);
	world.now_ms += 249;
	CHECK(edge_pump(&shim) == 1);
	world.now_ms += 1;
	CHECK(edge_pump(&shim) == 0);
}

CASE(the_agents_pace_is_kept)
{
	uint32_t i;

	configure();
	config.slot_count = 1024;
	CHECK(edge_init(&shim, &config) == EDGE_OK);
	(void)edge_pump(&shim);
	say(5, 16, 1, 0, 64, 100);
	say_state(1, 1);
	CHECK(edge_pump(&shim) == 0);
	for (i = 0; i < 1000; i++)
		CHECK(put_a(1) == EDGE_OK);
	for (i = 0; i < 500; i++) {
		(void)edge_pump(&shim);
		world.now_ms += 10;
	}
	CHECK(sent_points() <= 100 + 500 && sent_points() >= 100 + 485 - 64);
}

CASE(one_pump_sends_eight_messages_at_most)
{
	uint32_t i;

	configure();
	config.slot_count = 1024;
	CHECK(edge_init(&shim, &config) == EDGE_OK);
	(void)edge_pump(&shim);
	say_welcome(0);
	say_state(1, 1);
	(void)edge_pump(&shim);
	for (i = 0; i < 1000; i++)
		CHECK(put_a(1) == EDGE_OK);
	CHECK(edge_pump(&shim) == 1000 - 8 * 64);
	CHECK(edge_next_ms(&shim) == 0);
}

CASE(counters_reach_the_agent_without_points)
{
	begin_granted(1);
	CHECK(edge_put_i64(&shim, FIELD_B, 3, EDGE_NOW, 1) == EDGE_EDENIED);
	CHECK(edge_pump(&shim) == 0 && count_of(6) == 0);
	world.now_ms += 1000;
	CHECK(edge_pump(&shim) == 0 && count_of(6) == 1);
	world.now_ms += 1000;
	CHECK(edge_pump(&shim) == 0 && count_of(6) == 1);
	world.now_ms += TTL / 3;
	say_state(1, 1);
	CHECK(edge_pump(&shim) == 0 && count_of(6) == 2);
}

CASE(a_new_agent_is_told_the_counters)
{
	begin_granted(1);
	CHECK(edge_put_i64(&shim, FIELD_B, 3, EDGE_NOW, 1) == EDGE_EDENIED);
	world.now_ms += 1000;
	CHECK(edge_pump(&shim) == 0 && count_of(6) == 1);
	world.gone = 1;
	(void)edge_pump(&shim);
	world.now_ms += 1000;
	(void)edge_pump(&shim);
	say_welcome(0);
	say_state(1, 1);
	CHECK(edge_pump(&shim) == 0);
	world.now_ms += 1000;
	CHECK(edge_pump(&shim) == 0 && count_of(6) == 2);
}

CASE(labels_go_out_once_a_connection_and_only_while_granted)
{
	begin_granted(2);
	CHECK(edge_text(&shim, 3, FIELD_A, "10.0.0.7") == EDGE_OK);
	CHECK(edge_source(&shim, 3, KIND | 1u << 12, "SN1") == EDGE_OK);
	CHECK(edge_pump(&shim) == 0);
	CHECK(count_of(3) + count_of(4) == 0);
	say_state(2, 1);
	CHECK(edge_pump(&shim) == 0);
	CHECK(type_of(1) == 3 && type_of(0) == 4);
	say_state(2, 1);
	CHECK(edge_pump(&shim) == 0);
	CHECK(count_of(3) == 1 && count_of(4) == 1);
	CHECK(edge_text(&shim, 3, FIELD_A, "10.0.0.7") == EDGE_OK);
	CHECK(edge_pump(&shim) == 0 && count_of(4) == 1);
	CHECK(edge_text(&shim, 3, FIELD_A, "10.0.0.8") == EDGE_OK);
	CHECK(edge_pump(&shim) == 0 && count_of(4) == 2);
	world.gone = 1;
	(void)edge_pump(&shim);
	world.now_ms += 1000;
	(void)edge_pump(&shim);
	say_welcome(0);
	say_state(2, 1);
	CHECK(edge_pump(&shim) == 0);
	CHECK(count_of(3) == 2 && count_of(4) == 3);
}

CASE(no_point_passes_a_label_that_waits)
{
	begin_granted(1);
	CHECK(edge_source(&shim, 3, KIND, "SN1") == EDGE_OK);
	CHECK(put_a(1) == EDGE_OK);
	world.full = 1;
	CHECK(edge_pump(&shim) == 1);
	world.full = 0;
	CHECK(edge_pump(&shim) == 0);
	CHECK(type_of(1) == 3 && type_of(0) == 2);
}

CASE(a_wipe_denies_zeroes_calls_and_is_answered_when_the_firmware_has)
{
	static const char serial[] = "CANARY-4080001";

	begin_granted(3);
	world.full = 1;
	CHECK(edge_source(&shim, 3, KIND, serial) == EDGE_OK);
	CHECK(edge_text(&shim, 3, FIELD_A, serial) == EDGE_OK);
	CHECK(put_a(0x4243444546474849) == EDGE_OK);
	(void)edge_pump(&shim);
	world.full = 0;
	say_wipe(9, EDGE_ALL_PURPOSES);
	CHECK(edge_pump(&shim) == 0);
	CHECK(wipes == 1 && last_wipe == 9 && last_scope == EDGE_ALL_PURPOSES && last_grant == 0);
	CHECK(dropped(EDGE_DROP_WIPED) == 1);
	CHECK(!occurs(labels, sizeof labels, serial, sizeof serial - 1));
	CHECK(!occurs(slots, sizeof slots, "IHGFEDCB", 4) && !occurs(slots, sizeof slots, "BCDEFGHI", 4));
	CHECK(put_a(1) == EDGE_EDENIED);
	CHECK(count_of(5) == 0);
	CHECK(edge_wipe_done(&shim, 9, 0) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0);
	CHECK(type_of(0) == 5 && said(0)->bytes[2] == 9 && said(0)->bytes[3] == 0);
}

CASE(a_firmware_that_could_not_clear_says_so)
{
	begin_granted(1);
	say_wipe(1000000, 1);
	CHECK(edge_pump(&shim) == 0);
	CHECK(edge_wipe_done(&shim, 1000000, 1) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0);
	CHECK(type_of(0) == 5 && said(0)->bytes[said(0)->size - 1] == 1);
}

CASE(a_wipe_asked_again_is_answered_again_and_called_once)
{
	begin_granted(1);
	say_wipe(9, EDGE_ALL_PURPOSES);
	say_wipe(9, EDGE_ALL_PURPOSES);
	CHECK(edge_pump(&shim) == 0);
	CHECK(edge_wipe_done(&shim, 9, 0) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0 && count_of(5) == 1);
	CHECK(edge_pump(&shim) == 0 && count_of(5) == 1);
	say_wipe(9, EDGE_ALL_PURPOSES);
	CHECK(edge_pump(&shim) == 0 && count_of(5) == 2 && wipes == 1);
}

CASE(a_wipe_of_a_later_household_is_done_although_its_number_is_the_same)
{
	begin_granted(1);
	say_wipe(1, EDGE_ALL_PURPOSES);
	CHECK(edge_pump(&shim) == 0);
	CHECK(edge_wipe_done(&shim, 1, 0) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0);
	say_state(2, 1);
	CHECK(edge_pump(&shim) == 0 && put_a(1) == EDGE_OK);
	say_wipe(1, EDGE_ALL_PURPOSES);
	CHECK(edge_pump(&shim) == 0 && wipes == 2 && count_of(5) == 1);
}

CASE(a_grant_of_before_the_wipe_does_not_outlive_it)
{
	begin_granted(1);
	say_wipe(9, EDGE_ALL_PURPOSES);
	say_state(1, 1); /* was on its way */
	CHECK(edge_pump(&shim) == 0 && put_a(1) == EDGE_EDENIED);
	say_state(2, 1); /* newer, but the firmware has not answered */
	CHECK(edge_pump(&shim) == 0 && put_a(1) == EDGE_EDENIED);
	CHECK(edge_wipe_done(&shim, 9, 0) == EDGE_OK);
	say_state(2, 1);
	CHECK(edge_pump(&shim) == 0 && put_a(1) == EDGE_OK);
}

CASE(a_wipe_of_one_purpose_leaves_the_points_of_another)
{
	begin_granted(3);
	world.full = 1;
	CHECK(put_a(1) == EDGE_OK);
	CHECK(edge_put_i64(&shim, FIELD_B, 3, EDGE_NOW, 2) == EDGE_OK);
	CHECK(edge_text(&shim, 3, FIELD_A, "gone") == EDGE_OK);
	CHECK(edge_text(&shim, 3, FIELD_B, "stays") == EDGE_OK);
	(void)edge_pump(&shim);
	say_wipe(9, 1);
	(void)edge_pump(&shim);
	world.full = 0;
	CHECK(edge_pump(&shim) == 0);
	CHECK(sent_points() == 1 && dropped(EDGE_DROP_WIPED) == 1);
	CHECK(!occurs(labels, sizeof labels, "gone", 4) && occurs(labels, sizeof labels, "stays", 5));
}

CASE(a_wipe_waits_for_a_put_that_is_still_writing)
{
	uint32_t position;
	edge_slot_t *slot;

	begin_granted(1);
	CHECK(claim(&shim, &slot, &position));
	slot->id_ = FIELD_A;
	slot->bits_[0] = 0x42424242;
	say_wipe(9, EDGE_ALL_PURPOSES);
	(void)edge_pump(&shim);
	CHECK(edge_wipe_done(&shim, 9, 0) == EDGE_OK);
	(void)edge_pump(&shim);
	CHECK(count_of(5) == 0 && edge_next_ms(&shim) == 10);
	STORE(&slot->turn_, position + 1u);
	CHECK(edge_pump(&shim) == 0);
	CHECK(count_of(5) == 1 && dropped(EDGE_DROP_WIPED) == 1);
	CHECK(!occurs(slots, sizeof slots, "BBBB", 4));
}

CASE(closing_zeroes_the_ring_the_labels_and_the_shim)
{
	begin_granted(1);
	world.full = 1;
	CHECK(edge_source(&shim, 3, KIND, "CANARY") == EDGE_OK);
	CHECK(put_a(0x4242424242424242) == EDGE_OK);
	(void)edge_pump(&shim);
	edge_close(&shim);
	CHECK(!occurs(slots, sizeof slots, "BBBB", 4) && !occurs(labels, sizeof labels, "CANARY", 6));
	CHECK(!occurs(&shim, sizeof shim, "CANARY", 6) && !occurs(&shim, sizeof shim, "BBBB", 4));
	CHECK(world.closes == 1);
}

CASE(a_point_that_was_sent_leaves_no_trace_in_the_ring)
{
	begin_granted(1);
	CHECK(put_a(0x4242424242424242) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0);
	CHECK(!occurs(slots, sizeof slots, "BBBB", 4));
}

CASE(the_pause_between_tries_ends_at_a_second)
{
	unsigned long long start, last;
	int tries;

	configure();
	world.absent = 1;
	CHECK(edge_init(&shim, &config) == EDGE_OK);
	start = last = world.now_ms;
	for (tries = 0; tries < 40;) {
		int before = world.connects;

		(void)edge_pump(&shim);
		CHECK(edge_next_ms(&shim) <= 1000);
		if (world.connects != before) {
			CHECK(world.now_ms - last <= 1010);
			last = world.now_ms;
			tries++;
		}
		world.now_ms += 10;
	}
	CHECK(world.now_ms - start >= 34000); /* no storm either: 5 short pauses, then a second each */
}

CASE(what_the_agent_says_wrongly_is_counted_and_changes_nothing)
{
	static const unsigned char empty_array[] = {0x80}, not_an_array[] = {0x11}, indefinite[] = {0x9F, 0x11, 0xFF},
	    long_head[] = {0x98, 0x04, 0x11, 0x01, 0x01, 0x01}, long_number[] = {0x84, 0x11, 0x18, 0x01, 0x01, 0x01},
	    cut[] = {0x84, 0x11, 0x01, 0x01, 0x1A, 0, 1}, few[] = {0x83, 0x11, 0x01, 0x01}, many[] = {0x84, 0x11, 1, 1, 1, 1},
	    negative[] = {0x84, 0x11, 0x01, 0x20, 0x19, 0x10, 0}, text_number[] = {0x84, 0x11, 0x01, 0x61, 0x41, 0x01},
	    wide[] = {0x84, 0x11, 0x1B, 0, 0, 0, 1, 0, 0, 0, 0, 0x01, 0x01}, unknown[] = {0x82, 0x18, 0x63, 0x01};
	static const unsigned char big[WORLD_BYTES] = {0x84, 0x11, 0x01, 0x00, 0x01};
	edge_stats_t stats;

	begin_granted(1);
	down(empty_array, sizeof empty_array);
	down(not_an_array, sizeof not_an_array);
	down(indefinite, sizeof indefinite);
	down(long_head, sizeof long_head);
	down(long_number, sizeof long_number);
	down(cut, sizeof cut);
	down(few, sizeof few);
	CHECK(edge_pump(&shim) == 0);
	down(many, sizeof many);
	down(negative, sizeof negative);
	down(text_number, sizeof text_number);
	down(wide, sizeof wide);
	down(unknown, sizeof unknown);
	down(big, sizeof big);
	say_welcome(0); /* a second time */
	CHECK(edge_pump(&shim) == 0);
	CHECK(edge_stats(&shim, &stats) == EDGE_OK && stats.bad_messages == 14);
	CHECK(put_a(1) == EDGE_OK);
}

CASE(elements_of_a_later_version_are_ignored)
{
	static const unsigned char later[] = {0x87, 0x11, 0x02, 0x03, 0x19, 0xFF, 0xFF, 0xA1, 0x61, 0x78, 0xF6, 0x9F, 0xFF, 0x40};

	begin_granted(1);
	down(later, sizeof later);
	CHECK(edge_pump(&shim) == 0);
	CHECK(edge_allowed(&shim, FIELD_B));
}

CASE(a_state_before_the_welcome_grants_nothing)
{
	configure();
	CHECK(edge_init(&shim, &config) == EDGE_OK);
	(void)edge_pump(&shim);
	say_state(1, 1);
	(void)edge_pump(&shim);
	CHECK(!edge_allowed(&shim, FIELD_A));
}

CASE(the_largest_batch_fits_a_message)
{
	int i;

	configure();
	config.slot_count = 64;
	CHECK(edge_init(&shim, &config) == EDGE_OK);
	world.now_ms = 1ull << 35;
	(void)edge_pump(&shim);
	say_welcome(0);
	say_state(1, 1);
	(void)edge_pump(&shim);
	for (i = 0; i < 5; i++)
		shim.stats_.dropped[i] = 0xFFFFFFF0u;
	shim.sent_ = 1ull << 52;
	CHECK(edge_put_i64(&shim, 4095u | 1u << 12, 65535, EDGE_NOW, INT64_MAX) == EDGE_OK);
	for (i = 1; i < 64; i++)
		CHECK(edge_put_i64(&shim, 4095u | 1u << 12, 65535, world.now_ms - 86400000, INT64_MIN) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0);
	CHECK(said(0)->size == 2 + 9 + 9 + 26 + 2 + 64 * (1 + 3 + 3 + 5 + 9) - 4);
}
