/*
 * What each code is answered to. Run with the name of a case.
 */
#include "cases.h"

static int init_code(void)
{
	return edge_init(&shim, &config);
}

CASE(no_memory_is_einval)
{
	configure();
	CHECK(edge_init(NULL, &config) == EDGE_EINVAL);
	CHECK(edge_init(&shim, NULL) == EDGE_EINVAL);
	config.slots = NULL;
	CHECK(init_code() == EDGE_EINVAL);
}

CASE(a_configuration_that_lacks_something_is_einval)
{
	configure();
	config.on_wipe = NULL;
	CHECK(init_code() == EDGE_EINVAL);
	configure();
	config.schema_hash = NULL;
	CHECK(init_code() == EDGE_EINVAL);
	configure();
	config.socket_path = NULL;
	CHECK(init_code() == EDGE_EINVAL);
	configure();
	config.site = "";
	CHECK(init_code() == EDGE_EINVAL);
	configure();
	config.site = NULL;
	CHECK(init_code() == EDGE_EINVAL);
	configure();
	config.name = NULL;
	CHECK(init_code() == EDGE_EINVAL);
	configure();
	config.labels = NULL;
	CHECK(init_code() == EDGE_EINVAL);
	config.label_count = 0;
	CHECK(init_code() == EDGE_OK);
}

CASE(texts_of_the_configuration_are_bounded_and_printable)
{
	char site[EDGE_SITE_MAX + 2];

	configure();
	memset(site, 's', sizeof site);
	site[EDGE_SITE_MAX] = 0;
	config.site = site;
	CHECK(init_code() == EDGE_OK);
	site[EDGE_SITE_MAX] = 's';
	site[EDGE_SITE_MAX + 1] = 0;
	CHECK(init_code() == EDGE_EINVAL);
	config.site = "tab\t";
	CHECK(init_code() == EDGE_EINVAL);
	config.site = "\xC3\xA4";
	CHECK(init_code() == EDGE_EINVAL);
}

CASE(a_closed_shim_answers_einval)
{
	begin_granted(1);
	edge_close(&shim);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_EINVAL);
	CHECK(edge_pump(&shim) == EDGE_EINVAL);
	CHECK(edge_source(&shim, 1, KIND, "x") == EDGE_EINVAL);
	CHECK(edge_allowed(&shim, FIELD_A) == 0);
	CHECK(edge_fd(&shim) == -1 && edge_next_ms(&shim) == 1000);
	edge_close(&shim);
	CHECK(world.closes == 1);
}

CASE(null_is_einval_everywhere)
{
	edge_stats_t stats;

	CHECK(edge_put_i64(NULL, FIELD_A, 1, EDGE_NOW, 5) == EDGE_EINVAL);
	CHECK(edge_put_f64(NULL, FIELD_A, 1, EDGE_NOW, 5) == EDGE_EINVAL);
	CHECK(edge_put_bool(NULL, FIELD_A, 1, EDGE_NOW, 1) == EDGE_EINVAL);
	CHECK(edge_source(NULL, 1, KIND, "x") == EDGE_EINVAL);
	CHECK(edge_text(NULL, 1, FIELD_A, "x") == EDGE_EINVAL);
	CHECK(edge_pump(NULL) == EDGE_EINVAL);
	CHECK(edge_stats(NULL, &stats) == EDGE_EINVAL);
	CHECK(edge_wipe_done(NULL, 1, 0) == EDGE_EINVAL);
	CHECK(edge_allowed(NULL, FIELD_A) == 0);
	CHECK(edge_fd(NULL) == -1 && edge_next_ms(NULL) == 1000);
	edge_close(NULL);
	begin_granted(1);
	CHECK(edge_stats(&shim, NULL) == EDGE_EINVAL);
	CHECK(edge_source(&shim, 1, KIND, NULL) == EDGE_EINVAL);
}

CASE(a_slot_count_that_is_no_power_of_two_is_eslots)
{
	static const uint32_t bad[] = {0, 1, 3, 12, 1000, EDGE_SLOTS_MAX + 1, EDGE_SLOTS_MAX * 2, 0xFFFFFFFFu};
	size_t i;

	for (i = 0; i < sizeof bad / sizeof *bad; i++) {
		configure();
		config.slot_count = bad[i];
		CHECK(init_code() == EDGE_ESLOTS);
		CHECK(edge_pump(&shim) == EDGE_EINVAL);
	}
	config.slot_count = 2;
	CHECK(init_code() == EDGE_OK);
}

CASE(a_path_too_long_or_empty_is_epath)
{
	char path[EDGE_PATH_MAX + 2];

	configure();
	memset(path, 'p', sizeof path);
	path[EDGE_PATH_MAX] = 0;
	config.socket_path = path;
	CHECK(init_code() == EDGE_OK);
	path[EDGE_PATH_MAX] = 'p';
	path[EDGE_PATH_MAX + 1] = 0;
	CHECK(init_code() == EDGE_EPATH);
	config.socket_path = "";
	CHECK(init_code() == EDGE_EPATH);
}

CASE(another_header_is_eversion)
{
	configure();
	config.abi = EDGE_ABI + 8;
	CHECK(init_code() == EDGE_EVERSION);
	config.abi = 0;
	CHECK(init_code() == EDGE_EVERSION);
}

CASE(no_clock_is_esys)
{
	configure();
	world.no_clock = 1;
	CHECK(init_code() == EDGE_ESYS);
	world.no_clock = 0;
	begin_granted(1);
	world.no_clock = 1;
	CHECK(edge_pump(&shim) == EDGE_ESYS);
	CHECK(edge_allowed(&shim, FIELD_A) == 0);
}

CASE(no_socket_is_esys)
{
	configure();
	world.no_sockets = 1;
	CHECK(init_code() == EDGE_OK);
	CHECK(edge_pump(&shim) == EDGE_ESYS);
	world.no_sockets = 0;
	world.now_ms += 1000;
	CHECK(edge_pump(&shim) == EDGE_ESYS); /* what went wrong last, until the agent accepts */
	CHECK(type_of(0) == 1);
}

CASE(an_absent_agent_is_eoffline)
{
	configure();
	world.absent = 1;
	CHECK(init_code() == EDGE_OK);
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	CHECK(edge_fd(&shim) == -1);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_EDENIED);
}

CASE(every_refusal_of_the_agent_has_its_code)
{
	static const int codes[] = {EDGE_EVERSION, EDGE_ESCHEMA, EDGE_ESITE, EDGE_EBUSY, EDGE_ENOTREADY, EDGE_EPROTO};
	uint32_t result;

	for (result = 1; result <= 6; result++) {
		configure();
		CHECK(init_code() == EDGE_OK);
		CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
		say_welcome(result);
		CHECK(edge_pump(&shim) == codes[result - 1]);
		CHECK(edge_fd(&shim) == -1);
		world.now_ms += 2000;
		CHECK(edge_pump(&shim) == codes[result - 1]); /* said until the agent accepts */
	}
}

CASE(a_wire_version_too_new_is_eversion)
{
	configure();
	CHECK(init_code() == EDGE_OK);
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
	say(5, 16, 2, 0, 64, 0);
	CHECK(edge_pump(&shim) == EDGE_EVERSION);
	CHECK(edge_fd(&shim) == -1);
}

CASE(a_bye_because_of_the_protocol_is_eproto)
{
	begin_granted(1);
	say(2, 19, 1, 0, 0, 0);
	CHECK(edge_pump(&shim) == EDGE_EPROTO);
	begin_granted(1);
	say(2, 19, 0, 0, 0, 0);
	CHECK(edge_pump(&shim) == EDGE_EOFFLINE);
}

CASE(a_forked_child_is_efork_and_the_parent_goes_on)
{
	edge_t parent;

	begin_granted(1);
	parent = shim;
	world.pid = 78;
	CHECK(edge_pump(&shim) == EDGE_EFORK);
	CHECK(edge_pump(&shim) == EDGE_EFORK);
	CHECK(world.closes == 1);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_EDENIED);
	world.pid = 77;
	shim = parent;
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_OK);
	CHECK(edge_pump(&shim) == 0 && sent_points() == 1);
}

CASE(a_clock_that_goes_back_ends_all_grants_with_eclock)
{
	begin_granted(1);
	config.linger_ms = 0;
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_OK);
	world.now_ms -= 1;
	CHECK(edge_pump(&shim) == EDGE_ECLOCK);
	CHECK(dropped(EDGE_DROP_EXPIRED) == 1);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_EDENIED);
	world.now_ms += 100;
	(void)edge_pump(&shim);
	say_welcome(0);
	say_state(1, 1);
	CHECK(edge_pump(&shim) == 0);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_OK);
}

CASE(a_time_ahead_or_over_a_day_behind_is_eclock)
{
	begin_granted(1);
	world.now_ms += 86400000;
	say_state(1, 1);
	CHECK(edge_pump(&shim) == 0);
	say_state(1, 1);
	CHECK(edge_pump(&shim) == 0);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, world.now_ms + 1, 5) == EDGE_ECLOCK);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, world.now_ms - 86400001, 5) == EDGE_ECLOCK);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, world.now_ms - 86400000, 5) == EDGE_OK);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, world.now_ms, 5) == EDGE_OK);
	CHECK(dropped(EDGE_DROP_INVALID) == 2);
}

CASE(what_is_no_number_is_einval_and_counted)
{
	double zero_ = 0;

	begin_granted(1);
	CHECK(edge_put_f64(&shim, FIELD_A, 1, EDGE_NOW, 1 / zero_) == EDGE_EINVAL);
	CHECK(edge_put_f64(&shim, FIELD_A, 1, EDGE_NOW, -1 / zero_) == EDGE_EINVAL);
	CHECK(edge_put_f64(&shim, FIELD_A, 1, EDGE_NOW, zero_ / zero_) == EDGE_EINVAL);
	CHECK(edge_put_f64(&shim, FIELD_A, 1, EDGE_NOW, 1.7976931348623157e308) == EDGE_OK);
	CHECK(edge_put_i64(&shim, 1u << 12, 1, EDGE_NOW, 5) == EDGE_EINVAL);
	CHECK(dropped(EDGE_DROP_INVALID) == 4);
}

CASE(a_grant_that_ran_out_is_eexpired_without_a_pump)
{
	begin_granted(1);
	world.now_ms += TTL - 600;
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_OK);
	world.now_ms += 600;
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_EEXPIRED);
	CHECK(edge_allowed(&shim, FIELD_A) == 0);
	CHECK(dropped(EDGE_DROP_DENIED) == 1);
}

CASE(a_full_ring_is_efull_and_keeps_the_older_points)
{
	uint32_t i;

	begin_granted(1);
	for (i = 0; i < SLOTS; i++)
		CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, (int64_t)i) == EDGE_OK);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 99) == EDGE_EFULL);
	CHECK(edge_pump(&shim) == 0);
	CHECK(sent_points() == SLOTS && dropped(EDGE_DROP_FULL) == 1);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 99) == EDGE_OK);
}

CASE(a_full_table_of_labels_is_etable)
{
	uint16_t i;

	begin_granted(1);
	for (i = 0; i < 8; i++)
		CHECK(edge_source(&shim, i, KIND, "one") == EDGE_OK);
	CHECK(edge_source(&shim, 8, KIND, "one") == EDGE_ETABLE);
	CHECK(edge_text(&shim, 0, FIELD_A, "one") == EDGE_ETABLE);
	CHECK(edge_source(&shim, 0, KIND, "two") == EDGE_OK);
}

CASE(labels_are_bounded_and_printable)
{
	char text[EDGE_TEXT_MAX + 2];

	begin_granted(1);
	memset(text, 't', sizeof text);
	text[EDGE_TEXT_MAX] = 0;
	CHECK(edge_text(&shim, 1, FIELD_A, text) == EDGE_OK);
	CHECK(edge_source(&shim, 1, KIND, text) == EDGE_EINVAL);
	text[EDGE_TEXT_MAX] = 't';
	text[EDGE_TEXT_MAX + 1] = 0;
	CHECK(edge_text(&shim, 1, FIELD_A, text) == EDGE_EINVAL);
	CHECK(edge_text(&shim, 1, FIELD_A, "\x7f") == EDGE_EINVAL);
	CHECK(edge_text(&shim, 1, FIELD_A, "") == EDGE_OK);
	CHECK(edge_source(&shim, 1, KIND, "") == EDGE_EINVAL);
	CHECK(edge_source(&shim, 1, 0, "x") == EDGE_EINVAL);
}

CASE(a_slot_whose_points_wait_keeps_its_device_with_ebusy)
{
	begin_granted(1);
	CHECK(edge_source(&shim, 1, KIND, "old") == EDGE_OK);
	CHECK(edge_put_i64(&shim, FIELD_A, 1, EDGE_NOW, 5) == EDGE_OK);
	CHECK(edge_source(&shim, 1, KIND, "old") == EDGE_OK);
	CHECK(edge_source(&shim, 1, KIND, "new") == EDGE_EBUSY);
	CHECK(edge_pump(&shim) == 0);
	CHECK(edge_source(&shim, 1, KIND, "new") == EDGE_OK);
}

CASE(a_wipe_nobody_asked_for_cannot_be_done)
{
	begin_granted(1);
	CHECK(edge_wipe_done(&shim, 5, 0) == EDGE_EINVAL);
	say_wipe(5, EDGE_ALL_PURPOSES);
	CHECK(edge_pump(&shim) == 0);
	CHECK(edge_wipe_done(&shim, 6, 0) == EDGE_EINVAL);
	CHECK(edge_wipe_done(&shim, 5, 0) == EDGE_OK);
	CHECK(edge_wipe_done(&shim, 5, 0) == EDGE_EINVAL);
}

CASE(errno_is_left_alone)
{
	configure();
	world.absent = 1;
	CHECK(init_code() == EDGE_OK);
	errno = 4711;
	(void)edge_pump(&shim);
	CHECK(errno == 4711);
	world.absent = 0;
	world.now_ms += 1000;
	(void)edge_pump(&shim);
	CHECK(errno == 4711);
}

