// SPDX-License-Identifier: MIT
#include "plan.hpp"

namespace bench {

namespace {

constexpr std::size_t k = 1024;
constexpr std::size_t m = 1024 * k;

} // namespace

const char *name_of(spin spinning)
{
	switch (spinning) {
	case spin::on: return "on";
	case spin::off: return "off";
	case spin::hogged: return "hogged";
	case spin::hogged_off: return "hogged-off";
	case spin::none: break;
	}
	return "-";
}

std::vector<candidate> plan()
{
	using enum measure;
	const std::vector<std::size_t> none;
	const std::vector<std::size_t> all{64, k, 4 * k, 64 * k, m};
	const std::vector<std::size_t> records{64, k, 4 * k, 64 * k};
	const std::vector<std::size_t> few{64, 64 * k};
	return {
		// Limits
		{alone, "null-write", "/dev/bench-null", {64}, {64}},
		{alone, "null-copy", "/dev/bench-copy", {64, 64 * k, m}, all},
		{alone, "memcpy", "copies", {64 * k}, all},
		{stream, "raw-ring", "ring", few, all},
		{stream, "raw-ring-asking", "asking", {64}, {64}},
		// kvmchan
		{stream, "kvmchan", "stream", {64, 64 * k, m}, all, spin::on},
		{stream, "kvmchan", "stream4", none, all, spin::on},
		{stream, "kvmchan", "nospin", none, all, spin::off},
		{stream, "kvmchan-packet", "packet", few, records, spin::on},
		{stream, "kvmchan-writev", "stream", {64}, {64, k, 4 * k}, spin::on},
#ifdef BENCH_MAPPED
		{stream, "kvmchan-mapped", "mapped", few, all, spin::on},
		{stream, "kvmchan-mapped-packet", "mappedpacket", {64}, records, spin::on},
#endif
		{.what = stream, .path = "sendfile", .where = "stream", .quick = {64 * k}, .full = all,
	         .spinning = spin::on, .down = false},
		{stream, "io_uring", "stream", {64 * k}, all, spin::on},
		// Others
		{stream, "virtio-serial", nullptr, few, all},
		{stream, "tcp-user", nullptr, few, all},
		{stream, "tcp-tap", nullptr, few, all},
		{stream, "vsock", nullptr, few, all},
		// Many at once
		{many, "kvmchan-many", "many", {64 * k}, {4 * k, 64 * k}, spin::on, {1, 4, 16, 64}},
		// Round trips
		{turns, "handoff", "turns", {64}, {64}},
		{turns, "raw-ring", "ring", {64}, {64}},
		{turns, "raw-ring-asking", "asking", {64}, {64}},
		{turns, "raw-ring-calls", "calls", {64}, {64}},
#ifdef BENCH_MAPPED
		{turns, "kvmchan-mapped", "mapped", {64}, {64}, spin::on},
#endif
		{turns, "kvmchan", "stream", {64}, {64}, spin::on},
		{turns, "kvmchan", "stream", {64}, {64}, spin::hogged},
		{turns, "kvmchan", "nospin", {64}, {64}, spin::hogged_off},
		{turns, "kvmchan", "nospin", {64}, {64}, spin::off},
		{turns, "doorbell", nullptr, {64}, {64}},
		{turns, "virtio-serial", nullptr, {64}, {64}},
		{turns, "tcp-user", nullptr, {64}, {64}},
		{turns, "tcp-tap", nullptr, {64}, {64}},
		{turns, "vsock", nullptr, {64}, {64}},
	};
}

} // namespace bench
