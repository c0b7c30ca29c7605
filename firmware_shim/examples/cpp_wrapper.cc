/*
 * The shim as a C++ class: memory, callbacks and lifetime in one object. C++98, so that old toolchains take it.
 *
 *     cpp_wrapper SOCKET SITE READINGS PERIOD_MS
 */
#include "edge_shim.h"

#include "edge_ids.h"

#include <poll.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

/* Owns one shim. Not copied; used by one thread, but for put() and allowed(). */
class Shim {
public:
	Shim(const std::string &socket, const std::string &site, unsigned slots, unsigned labels)
	    : slots_(EDGE_POW2(slots)), labels_(labels), shim_(), granted(0)
	{
		edge_config_t config = edge_config_t();

		config.abi = EDGE_ABI;
		config.socket_path = socket.c_str();
		config.site = site.c_str();
		config.name = "cpp_wrapper";
		config.schema_hash = EDGE_SCHEMA_HASH;
		config.slots = &slots_[0];
		config.slot_count = static_cast<uint32_t>(slots_.size());
		config.labels = &labels_[0];
		config.label_count = static_cast<uint32_t>(labels_.size());
		config.linger_ms = 250;
		config.on_grant = on_grant;
		config.on_wipe = on_wipe;
		config.user = this;
		if (edge_init(&shim_, &config) != EDGE_OK)
			throw std::runtime_error("edge_init");
	}
	virtual ~Shim() { edge_close(&shim_); }

	bool allowed(uint32_t id) const { return edge_allowed(&shim_, id) != 0; }
	int put(uint32_t id, uint16_t slot, uint64_t at, double value) { return edge_put_f64(&shim_, id, slot, at, value); }
	int put(uint32_t id, uint16_t slot, uint64_t at, int64_t value) { return edge_put_i64(&shim_, id, slot, at, value); }
	int put(uint32_t id, uint16_t slot, uint64_t at, bool value) { return edge_put_bool(&shim_, id, slot, at, value); }
	int source(uint16_t slot, uint32_t kind, const char *device_id) { return edge_source(&shim_, slot, kind, device_id); }

	/* Wait up to ${ms} for the agent, then talk with it. */
	int pump(int ms)
	{
		pollfd agent = pollfd();

		agent.fd = edge_fd(&shim_);
		agent.events = POLLIN;
		(void)poll(&agent, 1, ms < edge_next_ms(&shim_) ? ms : edge_next_ms(&shim_));
		return edge_pump(&shim_);
	}
	edge_stats_t stats() const
	{
		edge_stats_t found = edge_stats_t();

		(void)edge_stats(&shim_, &found);
		return found;
	}

protected:
	virtual void name_devices() = 0;
	virtual bool clear_caches(uint32_t purposes) = 0; /* answers whether they are clear */

private:
	Shim(const Shim &);
	Shim &operator=(const Shim &);

	/* Called through C: no exception may leave them. */
	static void on_grant(void *user, uint32_t mask, uint32_t)
	{
		Shim *self = static_cast<Shim *>(user);

		self->granted = mask;
		if (mask != 0)
			self->name_devices();
	}
	static void on_wipe(void *user, uint32_t wipe_id, uint32_t scope)
	{
		Shim *self = static_cast<Shim *>(user);

		(void)edge_wipe_done(&self->shim_, wipe_id, self->clear_caches(scope) ? 0 : 1);
	}

	std::vector<edge_slot_t> slots_;
	std::vector<edge_label_t> labels_;
	edge_t shim_;

public:
	uint32_t granted; /* purposes, as the agent last said */
};

class Gateway : public Shim {
public:
	Gateway(const std::string &socket, const std::string &site) : Shim(socket, site, 4000, 1) {}

private:
	virtual void name_devices() { (void)source(0, EDGE_KIND_INVERTER, "408000999999"); }
	virtual bool clear_caches(uint32_t) { return true; } /* it keeps nothing */
};

int main(int argc, char **argv)
{
	const long readings = argc > 3 ? std::atol(argv[3]) : 10, period_ms = argc > 4 ? std::atol(argv[4]) : 1000;
	Gateway gateway(argc > 1 ? argv[1] : "/run/edge-sdk/edge.sock", argc > 2 ? argv[2] : "home");

	for (int tries = 0; tries < 100 && gateway.granted == 0; tries++)
		(void)gateway.pump(100);
	for (long tick = 0; tick < readings; tick++) {
		const uint64_t at = edge_now_ms();

		(void)gateway.put(EDGE_FIELD_INVERTER_AC_POWER, 0, at, 50.5 + static_cast<double>(tick));
		(void)gateway.put(EDGE_FIELD_INVERTER_ENERGY, 0, at, static_cast<int64_t>(7000 + tick));
		(void)gateway.put(EDGE_FIELD_INVERTER_ONLINE, 0, at, true);
		for (const uint64_t end = at + static_cast<uint64_t>(period_ms); edge_now_ms() < end;)
			(void)gateway.pump(static_cast<int>(period_ms));
	}
	for (int tries = 0; tries < 50 && gateway.pump(100) != 0; tries++)
		;
	const edge_stats_t stats = gateway.stats();
	std::printf("stored %u sent %u denied %u full %u\n", static_cast<unsigned>(stats.stored),
	    static_cast<unsigned>(stats.sent), static_cast<unsigned>(stats.dropped[EDGE_DROP_DENIED]),
	    static_cast<unsigned>(stats.dropped[EDGE_DROP_FULL]));
	return 0;
}
