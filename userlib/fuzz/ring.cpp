// SPDX-License-Identifier: MIT
// The library's reader and writer, against a peer that writes any shared word
// and any payload between any two loads. What an honest peer sends arrives.
#include <array>
#include <cstring>
#include <optional>
#include <vector>

#include "ambush.hpp"
#include "bare_link.hpp"
#include "guarded_ring.hpp"
#include "input.hpp"
#include "pattern.hpp"
#include "require.hpp"
#include "ring_reader.hpp"
#include "ring_writer.hpp"

namespace kvmchan::fuzz {
namespace {

/* Side 0 writes the first one and is who is tried; the sizes differ. */
constexpr std::array<std::size_t, 2> ring_sizes{4096, 8192};
constexpr std::size_t most_bytes = 10'000;
constexpr std::size_t most_records = 6;
/* A call looks at the session and at the ring a few times, beside its work. */
constexpr std::uint64_t loads_of_a_call = 64;
constexpr std::uint64_t loads_of_a_byte = 8;

ambush *now = nullptr;

const guarded_ring &ring_of(unsigned side)
{
	static const std::array<guarded_ring, 2> rings{guarded_ring{ring_sizes[0]}, guarded_ring{ring_sizes[1]}};

	return rings.at(side);
}

struct end {
	end(shared_words &words, unsigned side, bool packet) : link{words, side}
	{
		writer.ring().size = ring_sizes.at(side);
		reader.ring().size = ring_sizes.at(1 - side);
		link.attach(reader.ring(), writer.ring());
		reader.start(link, ring_of(1 - side).once(), packet);
		reader.show(ring_of(1 - side).twice());
		writer.start(link, ring_of(side).once(), packet);
		writer.show(ring_of(side).twice());
		open();
	}

	void open()
	{
		link.open(reader.ring(), writer.ring());
		reader.reset();
		writer.reset();
		closed = false;
	}

	void close()
	{
		link.close();
		closed = true;
	}

	bare_link link;
	detail::ring_reader reader;
	detail::ring_writer writer;
	bool closed = false;
};

/* Both rings begin anew, at indices that soon wrap. */
shared_words fresh_words(input &from)
{
	shared_words words;

	for (unsigned side = 0; side < 2; ++side) {
		const auto index = from.offset() * KVMCHAN_RECORD_ALIGN;

		words.control.side[side].index.tx_prod = index;
		ring_of(side).clear();
	}
	return words;
}

class trial {
public:
	explicit trial(input &from)
		: in_{from}, packet_{(from.byte() & 1) != 0}, words_{fresh_words(from)},
		  ends_{end{words_, 0, packet_}, end{words_, 1, packet_}}
	{
		for (unsigned side = 0; side < ends_.size(); ++side)
			given_back_[side] = ends_[side].writer.ring().cons;
	}

	void run()
	{
		while (!in_.empty())
			step();
	}

private:
	void step();
	void call(end &on, unsigned what);
	std::function<void()> read_write();
	__le64 &word(unsigned which);
	void write(unsigned which, unsigned how, std::uint64_t value);
	void write_payload(unsigned which, std::uint64_t value);
	std::uint64_t expected(unsigned which) noexcept;

	void take(end &on);
	void take_record(end &on);
	void take_records(end &on);
	void peek(end &on);
	void put(end &on);
	void put_record(end &on);
	void put_records(end &on);
	void reserve(end &on);
	void look(end &on);
	void arm(end &on);
	void set_marks(end &on);
	void change_session(end &on);

	std::size_t amount() { return 1 + in_.number(2) % most_bytes; }
	std::vector<std::vector<std::byte>> records(std::uint64_t index);
	void check_ends();
	void check_result(ssize_t result, std::size_t most) const;
	void check_bytes(std::span<const std::byte> bytes, std::uint64_t index) const
	{
		require(matches(bytes, index) || hostile_, "what an honest peer wrote is what is read");
	}

	input &in_;
	bool packet_;
	shared_words words_;
	std::array<end, 2> ends_;
	ambush ambush_;
	bool hostile_ = false;
	/* What the readers had given back when a call was over. */
	std::array<std::uint64_t, 2> given_back_{};
	/* Of the call that is under way: the error that the end had before, and its work. */
	int error_before_ = 0;
	std::uint64_t work_ = 0;
};

/* ---- calls, each as a program makes it ---- */

void trial::check_result(ssize_t result, std::size_t most) const
{
	require(!error_before_ || result < 0, "an error is sticky");
	require(hostile_ || result != -EPROTO, "an honest peer is not refused");
	require(result <= static_cast<ssize_t>(most), "no more than was asked for");
}

void trial::take(end &on)
{
	std::vector<std::byte> to(amount());
	const std::uint64_t least = std::min<std::uint64_t>({1 + std::uint64_t{in_.byte()} * 16, to.size(), on.reader.size()});
	const ssize_t result = on.reader.take(to, least);

	work_ += to.size();
	check_result(result, to.size());
	if (result > 0)
		check_bytes(std::span{to}.first(static_cast<std::size_t>(result)),
		            on.reader.ring().cons - static_cast<std::uint64_t>(result));
}

void trial::take_record(end &on)
{
	std::vector<std::byte> to(amount());
	std::size_t length = 0;
	const ssize_t result = on.reader.take_record(to, length);

	check_result(result, 1);
	if (result != 1)
		return;
	require(length && length <= kvmchan_record_max(on.reader.size()), "a record fits into the ring");
	check_bytes(std::span{to}.first(std::min(length, to.size())),
	            on.reader.ring().cons - kvmchan_record_space(length) + sizeof(kvmchan_record));
}

void trial::take_records(end &on)
{
	std::vector<std::vector<std::byte>> to(1 + in_.byte() % most_records);
	std::vector<iovec> list;
	std::uint64_t bytes = 0;

	for (auto &each : to) {
		each.resize(amount());
		list.push_back({each.data(), each.size()});
	}
	const ssize_t result = on.reader.take_records(list);

	work_ += list.size();
	check_result(result, list.size());
	for (ssize_t i = 0; i < result; ++i)
		bytes += kvmchan_record_space(list[static_cast<std::size_t>(i)].iov_len);
	require(bytes <= on.reader.size(), "no more records than a ring holds");
	for (std::size_t i = 0; static_cast<ssize_t>(i) < result; ++i) {
		require(list[i].iov_len <= to[i].size(), "a record that does not fit is left");
		check_bytes(std::span{to[i]}.first(list[i].iov_len), on.reader.ring().cons - bytes + sizeof(kvmchan_record));
		bytes -= kvmchan_record_space(list[i].iov_len);
	}
}

void trial::peek(end &on)
{
	const std::span view = ring_of(&on == ends_.data() ? 1 : 0).twice();
	const bool quick = in_.byte() & 1;
	const std::size_t least = amount(), used = in_.number(2);
	std::span<const std::byte> window;
	int result = 0;

	if (!quick || !on.reader.quick_peek(least, window))
		result = static_cast<int>(on.reader.peek(least, window));
	else
		result = 1;
	check_result(result, 1);
	if (result == 1) {
		require(!window.empty() && window.size() <= on.reader.size(), "a window is of the ring");
		require(window.data() >= view.data() && window.data() + window.size() <= view.data() + view.size(),
		        "a window is inside of the view");
		check_bytes(window, on.reader.ring().cons + (packet_ ? sizeof(kvmchan_record) : 0));
	}
	error_before_ = on.link.error();
	check_result(on.reader.consume(used % (window.size() + 2)), 0);
}

void trial::put(end &on)
{
	std::vector<std::byte> from(amount());

	fill(from, on.writer.ring().prod);
	work_ += from.size();
	check_result(on.writer.put(from), from.size());
}

void trial::put_record(end &on)
{
	std::vector<std::byte> from(amount());

	fill(from, on.writer.ring().prod + sizeof(kvmchan_record));
	check_result(on.writer.put_record(from), from.size());
}

std::vector<std::vector<std::byte>> trial::records(std::uint64_t index)
{
	std::vector<std::vector<std::byte>> made(in_.byte() % (most_records + 1));

	for (auto &each : made) {
		each.resize(in_.number(2) % most_bytes);
		fill(each, index + sizeof(kvmchan_record));
		index += kvmchan_record_space(each.size());
	}
	return made;
}

void trial::put_records(end &on)
{
	auto from = records(on.writer.ring().prod);
	std::vector<iovec> list;

	list.reserve(from.size());
	for (auto &each : from)
		list.push_back({each.data(), each.size()});
	work_ += list.size();
	check_result(on.writer.put_records(list), list.size());
}

void trial::reserve(end &on)
{
	const std::span view = ring_of(&on == ends_.data() ? 0 : 1).twice();
	const bool quick = in_.byte() & 1;
	const std::size_t least = amount(), used = in_.number(2);
	std::span<std::byte> window;
	int result = 0;

	if (!quick || !on.writer.quick_reserve(least, window))
		result = on.writer.reserve(least, window);
	check_result(result, 0);
	if (result == 0) {
		require(window.size() >= least && window.size() <= on.writer.size(), "a window is of the ring");
		require(window.data() >= view.data() && window.data() + window.size() <= view.data() + view.size(),
		        "a window is inside of the view");
		fill(window, on.writer.ring().prod + (packet_ ? sizeof(kvmchan_record) : 0));
	}
	error_before_ = on.link.error();
	check_result(on.writer.commit(used % (window.size() + 2)), 0);
}

/* What any thread may ask. */
void trial::look(end &on)
{
	require(on.reader.ready() <= on.reader.size(), "no more is ready than a ring holds");
	require(on.writer.space() <= on.writer.size(), "no more is free than a ring has");
	on.reader.came(amount());
	on.writer.came(amount());
	require(on.reader.wanted() <= on.reader.size() && on.writer.wanted() <= on.writer.size(),
	        "what is waited for can come");
}

void trial::arm(end &on)
{
	if (in_.byte() & 1) {
		on.reader.probe(on.reader.wanted());
		on.writer.probe(on.writer.wanted());
	}
	require(on.reader.arm(on.reader.wanted()) <= 1 && on.writer.arm(on.writer.wanted()) <= 1, "one answer");
}

void trial::set_marks(end &on)
{
	on.reader.set_lowat(1 + in_.number(2) % (on.reader.size() / 2));
	on.writer.set_lowat(1 + in_.number(2) % (on.writer.size() / 2));
}

void trial::change_session(end &on)
{
	switch (in_.byte() % 4) {
	case 0:
		on.open();
		break;
	case 1:
		on.link.add_flags(KVMCHAN_LINK_NO_WRITER);
		break;
	case 2:
		on.link.add_flags(KVMCHAN_LINK_NO_READER);
		break;
	default:
		on.close();
		break;
	}
}

/* ---- the peer ---- */

/* The words that there are: those of the peer first, then ours, then the manager's. */
__le64 &trial::word(unsigned which)
{
	auto &pages = words_.control.side[which < 7 ? 1 : 0];

	switch (which % 7) {
	case 0:
		return pages.index.tx_prod;
	case 1:
		return pages.index.rx_cons;
	case 2:
		return pages.index.tx_event;
	case 3:
		return pages.index.rx_event;
	case 4:
		return pages.session.link;
	case 5:
		return pages.session.tx_start;
	default:
		return pages.session.bell;
	}
}

/* About what a peer may say there, so that what is near it is tried. */
std::uint64_t trial::expected(unsigned which) noexcept
{
	const kvmchan_rx &rx = ends_[0].reader.ring();
	const kvmchan_tx &tx = ends_[0].writer.ring();

	switch (which % 7) {
	case 0:
	case 5:
		return rx.cons + rx.size;
	case 1:
		return tx.prod;
	case 4:
		return kvmchan_link_make(kvmchan_link_epoch(words_.control.side[1].session.link),
		                         kvmchan_link_epoch(words_.control.side[0].session.link),
		                         KVMCHAN_LINK_OPEN | KVMCHAN_LINK_PAIRED);
	default:
		return rx.prod;
	}
}

void trial::write(unsigned which, unsigned how, std::uint64_t value)
{
	constexpr unsigned words = 14;
	/* Limits are missed by little. */
	const std::uint64_t small = value & 0x100 ? (value >> 9) - 64 : value % 33 - 16;

	hostile_ = true;
	if (which < words) {
		__le64 &at = word(which);

		at = how == 0 ? at + small : how == 1 ? expected(which) + small : how == 2 ? value : at ^ (1ULL << value % 64);
	} else if (which < words + 2) {
		words_.reaped.at(which - words) = value;
	} else if (which == words + 2) {
		words_.generation += value;
	} else {
		write_payload(which, value);
	}
}

/* Mostly the head of the record that is next. */
void trial::write_payload(unsigned which, std::uint64_t value)
{
	const kvmchan_rx &rx = ends_[0].reader.ring();
	const std::span ring = ring_of(which % 4 ? 1 : 0).once();

	for (std::size_t i = 0; i < sizeof(value); ++i)
		ring[(rx.cons + value % 3 * 8 + i) % ring.size()] = static_cast<std::byte>(value >> (8 * i + 2));
}

std::function<void()> trial::read_write()
{
	const unsigned which = in_.byte() % 22, how = in_.byte();
	const std::uint64_t value = in_.number(how & 4 ? 8 : 2);

	return [this, which, how, value] { write(which, how % 4, value); };
}

/* ---- steps ---- */

void trial::check_ends()
{
	for (unsigned side = 0; side < ends_.size(); ++side) {
		end &each = ends_[side];
		const std::uint64_t given_back = each.writer.ring().cons;

		require(static_cast<std::int64_t>(given_back - given_back_[side]) >= 0, "what was given back is not taken again");
		given_back_[side] = given_back;
		require(kvmchan_rx_used(&each.reader.ring()) <= each.reader.size(), "a ring is full at most");
		require(kvmchan_tx_free(&each.writer.ring()) <= each.writer.size(), "a ring is empty at most");
		require(hostile_ || !each.link.error(), "an honest peer breaks no session");
	}
}

void trial::call(end &on, unsigned what)
{
	switch (what) {
	case 0:
		return packet_ ? take_record(on) : take(on);
	case 1:
		return packet_ ? put_record(on) : put(on);
	case 2:
		return packet_ ? take_records(on) : take(on);
	case 3:
		return packet_ ? put_records(on) : put(on);
	case 4:
		return peek(on);
	case 5:
		return reserve(on);
	case 6:
		return look(on);
	case 7:
		return arm(on);
	case 8:
		return set_marks(on);
	default:
		return change_session(on);
	}
}

/* Nobody strikes while the peer is in the library: it is one program. */
void trial::step()
{
	const std::uint8_t what = in_.byte();
	end &on = ends_.at(what >> 7);
	const std::uint64_t loads = ambush_.loads();

	if (what % 16 >= 14) {
		const unsigned after = what % 16 == 14 ? 0 : 1 + in_.byte() % 16;
		auto strike = read_write();

		return after ? ambush_.wait(after - 1, std::move(strike)) : strike();
	}
	/* As a program does that closed it. */
	if (on.closed)
		on.open();
	error_before_ = on.link.error();
	work_ = 0;
	now = what >> 7 ? nullptr : &ambush_;
	call(on, what % 16);
	now = nullptr;
	require(ambush_.loads() - loads <= loads_of_a_call + work_ * loads_of_a_byte, "a call's work is bounded");
	check_ends();
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

	kvmchan::fuzz::trial{in}.run();
	return 0;
}
