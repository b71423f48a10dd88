// SPDX-License-Identifier: MIT
// A host's ends of channels and memory blocks, from attaching a region on: all
// calls, while somebody writes into superblock, table, control pages and rings.
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ambush.hpp"
#include "block_end.hpp"
#include "channel_end.hpp"
#include "input.hpp"
#include "open_descriptors.hpp"
#include "region.hpp"
#include "region_image.hpp"
#include "require.hpp"

namespace kvmchan::fuzz {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_bytes = 10'000;
constexpr std::size_t most_records = 4;

ambush *now = nullptr;

/* The memory as whoever else has it open. */
class shared_memory {
public:
	void fill(const std::vector<std::byte> &image)
	{
		size_ = image.size();
		require(::ftruncate(fd_.get(), 0) == 0 && ::ftruncate(fd_.get(), static_cast<off_t>(size_)) == 0, "memory is made");
		write(0, image);
	}

	void write(std::size_t offset, std::span<const std::byte> bytes) const
	{
		constexpr off_t generation = offsetof(kvmchan_superblock, generation);
		std::uint8_t low = 0;

		if (offset >= size_)
			return;
		bytes = bytes.first(std::min(bytes.size(), size_ - offset));
		require(::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset)) >= 0, "memory is written");
		/* A change that never ends is waited for, for a second. */
		if (offset < sizeof(kvmchan_superblock) && ::pread(fd_.get(), &low, 1, generation) == 1 && (low & 1)) {
			low &= 0xfe;
			require(::pwrite(fd_.get(), &low, 1, generation) == 1, "a change ends");
		}
	}

	unique_fd descriptor() const { return fd_.duplicate(); }

private:
	unique_fd fd_{::memfd_create("kvmchan-fuzz", MFD_CLOEXEC)};
	std::size_t size_ = 0;
};

shared_memory &memory_of_all()
{
	static shared_memory made;

	return made;
}

class trial {
public:
	explicit trial(input &from) : in_{from} {}

	void run();

private:
	void use(const kvmchan_slot &slot, const std::shared_ptr<detail::region> &where);
	void use_channel(detail::channel_end &end, const kvmchan_slot &slot);
	void use_block(detail::block_end &end);
	void call(detail::channel_end &end, unsigned what);
	void move(detail::channel_end &end, unsigned what);
	void move_records(detail::channel_end &end, bool out);
	void window_out(detail::channel_end &end);
	void window_in(detail::channel_end &end);
	void ask(detail::channel_end &end);
	void change(detail::channel_end &end);
	void scribble(const kvmchan_slot &slot);

	std::size_t amount() { return 1 + in_.number(2) % most_bytes; }

	input &in_;
	ambush ambush_;
};

void check_result(ssize_t result, std::size_t most)
{
	require(result <= static_cast<ssize_t>(most), "no more than was asked for");
}

void trial::move(detail::channel_end &end, unsigned what)
{
	std::vector<std::byte> bytes(amount());
	std::size_t length = 0;

	switch (what) {
	case 0:
		return check_result(end.read(bytes), bytes.size());
	case 1:
		return check_result(end.write(bytes), bytes.size());
	case 2:
		return check_result(end.recv(bytes, length), 1);
	default:
		return check_result(end.send(bytes), 0);
	}
}

void trial::move_records(detail::channel_end &end, bool out)
{
	std::vector<std::byte> bytes(amount());
	std::vector<iovec> records(1 + in_.byte() % most_records, {bytes.data(), bytes.size()});

	check_result(out ? end.send_many(records) : end.recv_many(records), records.size());
}

void trial::window_out(detail::channel_end &end)
{
	const std::size_t least = amount(), used = in_.number(2);
	std::span<std::byte> window;

	if (end.reserve(least, window) == 0) {
		require(window.size() >= least, "room is what was asked for");
		std::memset(window.data(), 1, window.size());
	}
	check_result(end.commit(used % (window.size() + 2)), 0);
}

void trial::window_in(detail::channel_end &end)
{
	const std::size_t least = amount(), used = in_.number(2);
	std::span<const std::byte> window;

	/* All of it can be read. */
	if (end.peek(least, window) == 1)
		require(!window.empty() && std::vector<std::byte>{window.begin(), window.end()}.size() == window.size(),
		        "a window shows something");
	check_result(end.consume(used % (window.size() + 2)), 0);
}

void trial::ask(detail::channel_end &end)
{
	detail::channel_counters counters;
	kvmchan_info info{};
	kvmchan_lowat marks{};

	require(end.wait(in_.byte() % 8, 0ns) <= 7, "events are those that there are");
	end.info(info);
	require(info.rx_ready <= info.rx_size && info.tx_space <= info.tx_size, "what is there fits into the rings");
	end.counters(counters);
	end.lowat(marks);
	require(end.native_handle() >= 0, "an end has a handle");
}

void trial::change(detail::channel_end &end)
{
	switch (in_.byte() % 4) {
	case 0:
		end.reconnect();
		break;
	case 1:
		end.set_lowat({in_.number(2), in_.number(2)});
		break;
	case 2:
		end.shutdown(in_.byte() % 4);
		break;
	default:
		break;
	}
}

/* Words of the control pages, heads of records, and anything else. */
void trial::scribble(const kvmchan_slot &slot)
{
	static constexpr std::array<std::size_t, 7> words{0, 8, 16, 128, 256, 384, 4096 - 8};
	const std::uint8_t how = in_.byte();
	region_write made = read_write(in_);

	if (how & 1)
		made.offset = static_cast<std::size_t>(slot.control) + (how >> 1 & 3) * KVMCHAN_PAGE_SIZE +
		              words.at((how >> 3 & 7) % words.size());
	else if (how & 2)
		made.offset = static_cast<std::size_t>(slot.data[how >> 2 & 1]) + (how >> 3 & 7) * KVMCHAN_RECORD_ALIGN;

	auto strike = [made] { memory_of_all().write(made.offset, std::as_bytes(std::span{made.bytes}).first(made.size)); };

	if (how & 0x80)
		ambush_.wait(in_.byte() % 32, std::move(strike));
	else
		strike();
}

void trial::call(detail::channel_end &end, unsigned what)
{
	switch (what) {
	case 0:
	case 1:
	case 2:
	case 3:
		return move(end, what);
	case 4:
	case 5:
		return move_records(end, what == 4);
	case 6:
		return window_out(end);
	case 7:
		return window_in(end);
	case 8:
		return ask(end);
	default:
		return change(end);
	}
}

void trial::use_channel(detail::channel_end &end, const kvmchan_slot &slot)
{
	for (std::uint8_t left = in_.byte(); left && !in_.empty(); --left) {
		const unsigned what = in_.byte() % 16;

		if (what > 9)
			scribble(slot);
		else
			call(end, what);
	}
}

void trial::use_block(detail::block_end &end)
{
	std::uint64_t count = in_.byte();

	require(!end.bytes().empty(), "a block has bytes");
	std::memset(end.bytes().data(), 1, end.bytes().size());
	end.signal();
	end.count(count);
	end.wait(count, 0ns);
}

void trial::use(const kvmchan_slot &slot, const std::shared_ptr<detail::region> &where)
try {
	const std::string name{detail::slot_name(slot)};
	detail::channel_options options;

	options.nonblocking = true;
	options.side = static_cast<int>(in_.byte() % 3) - 1;
	if (slot.kind == KVMCHAN_KIND_MEMORY)
		use_block(*detail::block_end::open_host(where, name));
	else
		use_channel(*detail::channel_end::open_host(where, name, options), slot);
} catch (const std::system_error &error) {
	require(error.code().value() != 0, "a refusal says why");
}

void trial::run()
try {
	memory_of_all().fill(read_region(in_));
	now = &ambush_;
	const auto where = detail::region::adopt(memory_of_all().descriptor());
	const auto table = where->snapshot();

	for (std::uint32_t i = 0; i < table->slots().size(); ++i)
		if (table->slots()[i].kind != KVMCHAN_KIND_FREE && !table->why_bad(i))
			use(table->slots()[i], where);
	now = nullptr;
} catch (const std::system_error &error) {
	now = nullptr;
	require(error.code().value() != 0, "a refusal says why");
}

} // namespace
} // namespace kvmchan::fuzz

void kvmchan_before_load(const __le64 *)
{
	if (kvmchan::fuzz::now)
		kvmchan::fuzz::now->before_load();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size)
{
	kvmchan::fuzz::input in{data, size};

	kvmchan::fuzz::memory_of_all();
	const kvmchan::fuzz::open_descriptors none_left;

	kvmchan::fuzz::trial{in}.run();
	return 0;
}
