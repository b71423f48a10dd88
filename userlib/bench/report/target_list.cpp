// SPDX-License-Identifier: MIT
// The targets. All are ratios of what one run measured side by side, with
// default settings where nothing else is said.
#include "targets.hpp"

namespace kvmchan::bench {
namespace {

constexpr auto at_most = limit::at_most;
constexpr auto at_least = limit::at_least;

constexpr std::uint64_t small = 64, large = 65536, largest = 1 << 20;

const std::vector<std::string> tcp{"tcp-user", "tcp-tap"};
const std::vector<std::string> common{"virtio-serial", "tcp-user", "tcp-tap"};

/* With a spin that is not said: what a channel does by itself. */
selection rate(std::vector<std::string> paths, const std::string &dir, std::uint64_t size)
{
	selection made{"throughput", std::move(paths), dir, size, 1};

	made.spin = made.paths.front().starts_with("kvmchan") ? "on" : "";
	made.unit = "MB/s";
	return made;
}

selection trip(const std::string &path, const std::string &dir, const std::string &spin = "")
{
	selection made{"round_trip", {path}, dir, small, 1};

	made.spin = spin;
	return made;
}

/* A doorbell has no size. */
selection bell(const std::string &dir)
{
	return {"round_trip", {"doorbell"}, dir};
}

selection pinned(selection of)
{
	of.pinned = true;
	return of;
}

selection calls(const std::string &path)
{
	selection made{"call_rate", {path}, "g2h", small};

	made.unit = "1/s";
	return made;
}

/* A path that only copies has no other end, so maybe no direction either. */
std::vector<measure> of_the_null_copy(const std::string &dir)
{
	const selection ours = rate({"kvmchan"}, dir, large);

	return {{ours, rate({"null-copy"}, dir, large)}, {ours, rate({"null-copy"}, "-", large)}};
}

selection copying(const std::string &dir)
{
	return rate({"null-copy"}, dir, large);
}

/* One doorbell for each write is what there would be without suppression. */
measure doorbells(const std::string &dir, std::uint64_t size)
{
	selection made{"doorbells", {"kvmchan"}, dir, size};

	made.spin = "on";
	made.unit = "1/MB";
	return {made, {}, static_cast<double>(size) / 1e6};
}

measure channels(const std::string &path, const std::string &dir)
{
	selection many = rate({path}, dir, large), one = many;

	many.channels = 64;
	return {many, one};
}

selection idle(const std::string &dir, const std::string &what, unsigned channels = 64)
{
	selection made{"idle", {"kvmchan"}, dir, {}, channels};

	made.what = what;
	return made;
}

/* A virtual machine is never quite at rest: what channels add is what counts. */
measure idle_guest(const std::string &what)
{
	measure made{idle("guest", what)};

	made.minus = idle("guest", what, 0);
	return made;
}

selection opening(const std::string &dir)
{
	return {"open", {"kvmchan"}, dir};
}

selection guest_memory()
{
	selection made{"memory", {"kvmchan"}, "guest"};

	made.what = "kernel";
	return made;
}

selection ninety_ninth(selection of)
{
	of.figure = "p99";
	return of;
}

const char *const stand_in = "the raw ring, which polls without a rest, stands for libkvmchan of 2019, which does as well";
const char *const asking = "its limit is the raw ring with ends that ask after each step whether the other one sleeps";
const char *const ticks = "nothing, but for what cannot be told from it";
const char *const each_write = "doorbells for a write; without suppression each write has one";

std::vector<target> latency_targets()
{
	const selection sleeping = trip("kvmchan", "guest", "off"), polling = trip("kvmchan", "guest", "on");
	const selection serial = trip("virtio-serial", "guest"), raw = trip("raw-ring", "guest");

	return {
		{"T1a", "sleeping round trip against a bare doorbell's", at_most, 1.10, {{sleeping, bell("guest")}}},
		{"T1b", "sleeping round trip against virtio-serial's", at_most, 0.70, {{sleeping, serial}}},
		{"T2a", "round trip with busy polling against the raw ring's", at_most, 7, {{polling, raw}}},
		{"T2b", "how much faster than virtio-serial that is", at_least, 40, {{serial, polling}},
		 "its limit is the raw ring with a system call that does nothing for each message read and written",
		 measure{serial, trip("raw-ring-calls", "guest")}},
		{"T2c", "its 99th percentile against its median", at_most, 2, {{ninety_ninth(polling), polling}}, "",
		 measure{ninety_ninth(raw), raw}},
		{"T2d", "round trip of the mapped path against the raw ring's", at_most, 2,
		 {{trip("kvmchan-mapped", "guest", "on"), raw}}, asking, measure{trip("raw-ring-asking", "guest"), raw}},
		{"T2e", "busy polling with a core hogged, against no busy polling", at_most, 1.5,
		 {{trip("kvmchan", "guest", "hogged"), trip("kvmchan", "guest", "hogged-off")},
		  {trip("kvmchan", "guest", "hogged"), sleeping}}},
	};
}

std::vector<target> streaming_targets()
{
	const auto ours = [](const std::string &dir, std::uint64_t size = large) { return rate({"kvmchan"}, dir, size); };

	return {
		{"T3a", "64 KiB, host to guest, against copying alone", at_least, 0.80, of_the_null_copy("h2g"), "",
		 measure{rate({"raw-ring"}, "h2g", large), copying("h2g")}},
		{"T3b", "64 KiB, guest to host, against copying alone", at_least, 0.80, of_the_null_copy("g2h"), "",
		 measure{rate({"raw-ring"}, "g2h", large), copying("g2h")}},
		{"T3c", "64 KiB, host to guest, against the best of virtio-serial and TCP", at_least, 6,
		 {{ours("h2g"), rate(common, "h2g", large)}}, "", measure{copying("h2g"), rate(common, "h2g", large)}},
		{"T3d", "64 KiB, guest to host, against the best of virtio-serial and TCP", at_least, 4,
		 {{ours("g2h"), rate(common, "g2h", large)}}, "", measure{copying("g2h"), rate(common, "g2h", large)}},
		{"T3e", "64 KiB, host to guest, against a ring that is polled all the time", at_least, 1.0,
		 {{ours("h2g"), rate({"raw-ring"}, "h2g", large)}}, stand_in,
		 measure{copying("h2g"), rate({"raw-ring"}, "h2g", large)}},
		{"T3f", "64 KiB, guest to host, against a ring that is polled all the time", at_least, 1.0,
		 {{ours("g2h"), rate({"raw-ring"}, "g2h", large)}}, stand_in,
		 measure{copying("g2h"), rate({"raw-ring"}, "g2h", large)}},
		{"T4a", "1 MiB against 64 KiB, host to guest", at_least, 0.85, {{ours("h2g", largest), ours("h2g")}}},
		{"T4b", "1 MiB against 64 KiB, guest to host", at_least, 0.85, {{ours("g2h", largest), ours("g2h")}}},
	};
}

std::vector<target> small_message_targets()
{
	const selection written = rate({"kvmchan"}, "g2h", small), serial = rate({"virtio-serial"}, "g2h", small);
	const selection mapped = rate({"kvmchan-mapped"}, "g2h", small), batched = rate({"kvmchan-writev"}, "g2h", small);
	const selection records = rate({"kvmchan-packet"}, "g2h", small);

	return {
		{"T5a", "64 bytes, guest to host, by write() against virtio-serial", at_least, 3.5, {{written, serial}}},
		{"T5b", "64 bytes, host to guest, against virtio-serial", at_least, 30,
		 {{rate({"kvmchan"}, "h2g", small), rate({"virtio-serial"}, "h2g", small)}}, "",
		 measure{rate({"raw-ring"}, "h2g", small), rate({"virtio-serial"}, "h2g", small)}},
		{"T5c", "how many null writes the guest makes in the time of one of 64 bytes", at_most, 1.3,
		 {{calls("null-write"), calls("kvmchan")},
		  {rate({"null-write"}, "g2h", small), written},
		  {calls("null-write"), written, static_cast<double>(small) / 1e6}},
		 "", measure{calls("null-write"), calls("null-copy")}},
		{"T5d", "64 bytes, guest to host, mapped, against the raw ring", at_least, 0.9,
		 {{mapped, rate({"raw-ring"}, "g2h", small)}}, asking,
		 measure{rate({"raw-ring-asking"}, "g2h", small), rate({"raw-ring"}, "g2h", small)}},
		{"T5e", "64 bytes, guest to host, mapped, against virtio-serial", at_least, 25, {{mapped, serial}}},
		{"T5f", "64 bytes, guest to host, many by one writev() against one write() each", at_least, 1,
		 {{batched, written}}},
		{"T5g", "64 bytes, guest to host, mapped against writev()", at_least, 1, {{mapped, batched}}},
		{"T5h", "64-byte records, guest to host, mapped against one write() each", at_least, 1,
		 {{rate({"kvmchan-mapped-packet"}, "g2h", small), records}}},
		{"T6a", "doorbells when streaming 64 KiB, host to guest", at_most, 0.02, {doorbells("h2g", large)}, each_write},
		{"T6b", "doorbells when streaming 64 KiB, guest to host", at_most, 0.02, {doorbells("g2h", large)}, each_write},
		{"T6c", "doorbells when streaming 64 bytes, host to guest", at_most, 0.02, {doorbells("h2g", small)}, each_write},
		{"T6d", "doorbells when streaming 64 bytes, guest to host", at_most, 0.02, {doorbells("g2h", small)}, each_write},
	};
}

std::vector<target> other_targets()
{
	const selection ours = pinned(rate({"kvmchan"}, "h2h", large));

	return {
		{"T7a", "sleeping round trip between guests against two doorbells", at_most, 1.15,
		 {{trip("kvmchan", "g2g", "off"), bell("g2g")}, {trip("kvmchan", "g2g", "off"), bell("guest"), 0.5}},
		 "a doorbell there and one back between guests, or two round trips of doorbells with the host"},
		{"T7b", "64 KiB between guests against the best TCP", at_least, 5,
		 {{rate({"kvmchan"}, "g2g", large), rate(tcp, "g2g", large)}}, "",
		 measure{rate({"raw-ring"}, "g2g", large), rate(tcp, "g2g", large)}},
		{"T8a", "64 KiB on the host against the raw ring", at_least, 0.85,
		 {{ours, pinned(rate({"raw-ring"}, "h2h", large))}}},
		{"T8b", "64 KiB on the host against AF_UNIX", at_least, 3, {{ours, pinned(rate({"unix"}, "h2h", large))}}},
		{"T8c", "64-byte records on the host, mapped, against a queue between two threads", at_least, 1,
		 {{pinned(rate({"kvmchan-mapped-packet"}, "h2h", small)), pinned(rate({"spsc-queue"}, "h2h", small))}}},
		{"T9a", "64 channels together, host to guest, against one", at_least, 0.9, {channels("kvmchan-many", "h2g")}},
		{"T9b", "64 channels together, guest to host, against one", at_least, 0.9, {channels("kvmchan-many", "g2h")}},
		{"T9c", "64 channels together, on the host, against one", at_least, 0.9, {channels("kvmchan-many", "h2h")}, "",
		 channels("memcpy-many", "h2h")},
		{"T9d", "CPU time in a second that 64 idle channels add to a guest", at_most, 0.01, {idle_guest("qemu")}, ticks},
		{"T9e", "doorbells in a second of 64 idle channels with a guest", at_most, 0, {{idle("guest", "doorbells")}}},
		{"T9f", "CPU time in a second that 64 idle channels on the host take", at_most, 0.01, {{idle("h2h", "cpu")}}, ticks},
		{"T9g", "doorbells in a second of 64 idle channels on the host", at_most, 0, {{idle("h2h", "doorbells")}}},
		{"T10a", "open() on both sides to the first byte, against a sleeping round trip", at_most, 2,
		 {{opening("guest"), trip("kvmchan", "guest", "off")}}},
		{"T10b", "the same between two threads of the host", at_most, 2,
		 {{opening("h2h"), pinned(trip("kvmchan", "h2h", "off"))}}},
		{"T10c", "bytes of the guest's kernel that an open channel takes beside its rings", at_most, 16384,
		 {{guest_memory()}}},
	};
}

} // namespace

const std::vector<target> &all_targets()
{
	static const std::vector<target> all = [] {
		std::vector<target> list;

		for (const auto &part : {latency_targets(), streaming_targets(), small_message_targets(), other_targets()})
			list.insert(list.end(), part.begin(), part.end());
		return list;
	}();

	return all;
}

} // namespace kvmchan::bench
