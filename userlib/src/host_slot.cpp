// SPDX-License-Identifier: MIT
#include "host_slot.hpp"

#include <algorithm>
#include <cerrno>
#include <string>

#include "failure.hpp"

namespace kvmchan::detail {
namespace {

const char *kind_name(std::uint32_t kind) noexcept
{
	return kind == KVMCHAN_KIND_MEMORY ? "memory block" : "channel";
}

bool host_may_take(std::uint32_t who) noexcept
{
	return who == KVMCHAN_PEER_HOST || who == KVMCHAN_PEER_ANY;
}

} // namespace

std::string host_slot::title() const
{
	return std::string{kind_name(slot_.kind)} + " \"" + std::string{slot_name(slot_)} + "\"";
}

host_slot host_slot::resolve(std::shared_ptr<region> where, std::string_view name, kvmchan_kind kind)
{
	host_slot made;

	made.where_ = std::move(where);
	made.snapshot_ = made.where_->refresh();
	made.seen_generation_ = made.snapshot_->generation();

	const std::string wanted{name};
	const auto index = made.snapshot_->find(name);

	if (!index) {
		const auto slots = made.snapshot_->slots();

		for (std::uint32_t i = 0; i < slots.size(); ++i)
			if (made.snapshot_->why_bad(i) && slot_name(slots[i]) == name)
				fail(EBADMSG, "slot \"" + wanted + "\" is damaged: " + made.snapshot_->why_bad(i));
		fail(ENOENT, "the region has no " + std::string{kind_name(kind)} + " \"" + wanted +
		                     R"(" ("kvmchan ls" shows what it has))");
	}
	made.index_ = *index;
	made.slot_ = made.snapshot_->slots()[*index];
	if (made.slot_.kind != static_cast<std::uint32_t>(kind))
		fail(EINVAL, "\"" + wanted + "\" is a " + kind_name(made.slot_.kind) + ", not a " + kind_name(kind));
	return made;
}

host_slot host_slot::look(std::shared_ptr<region> where, std::string_view name, kvmchan_kind kind)
{
	host_slot made = resolve(std::move(where), name, kind);
	const int side = kvmchan_slot_side(&made.slot_, KVMCHAN_PEER_HOST, 0);

	made.side_ = side < 0 ? 0 : static_cast<unsigned>(side);
	return made;
}

host_slot host_slot::claim(std::shared_ptr<region> where, std::string_view name, kvmchan_kind kind, int side)
{
	host_slot made = resolve(std::move(where), name, kind);

	if (side > 1)
		fail(EINVAL, made.title() + ": side " + std::to_string(side) + " (there are 0 and 1)");
	made.take_side(side);
	return made;
}

void host_slot::take_side(int side)
{
	int mine = side >= 0 ? side : kvmchan_slot_side(&slot_, KVMCHAN_PEER_HOST, 0);
	std::error_code ec;

	/* Two processes on the host: who comes second takes what the first one left. */
	if (side < 0 && slot_.side[0] == slot_.side[1] && left_behind(0) && !left_behind(1))
		mine = 1;

	if (mine < 0 || !host_may_take(slot_.side[mine]))
		fail(EACCES, title() + ": " + (side < 0 ? "no side" : "side " + std::to_string(side) + " not") +
		                     " open to processes on the host");
	if (try_lock(static_cast<unsigned>(mine), ec))
		return;
	if (ec.value() != EBUSY)
		throw std::system_error{ec, title() + ": side lock"};

	const auto other = static_cast<unsigned>(1 - mine);

	if (side < 0 && host_may_take(slot_.side[other]) && !may_be_guests(other) && try_lock(other, ec))
		return;
	fail(EBUSY, title() + ": another process has it open");
}

/*
 * A side that anyone may take is perhaps a guest's, which takes no lock: where
 * its session is open, only a caller who names the side gets it.
 */
bool host_slot::may_be_guests(unsigned side) const noexcept
{
	return slot_.side[side] == KVMCHAN_PEER_ANY &&
	       (kvmchan_load(&control()->side[side].session.link) & KVMCHAN_LINK_OPEN);
}

/* Did a side close and leave bytes that nobody has taken? */
bool host_slot::left_behind(unsigned side) const noexcept
{
	const auto &pages = control()->side[side];
	const std::uint64_t link = kvmchan_load_acquire(&pages.session.link);
	const std::uint64_t other = kvmchan_load(&control()->side[1 - side].session.link);

	return !(link & KVMCHAN_LINK_OPEN) && kvmchan_link_epoch(link) != kvmchan_link_acked(other) &&
	       kvmchan_load(&pages.index.tx_prod) != kvmchan_load(&pages.session.tx_start);
}

bool host_slot::try_lock(unsigned side, std::error_code &ec)
{
	lock_ = side_lock::acquire(where_->fd(), index_, side, ec);
	side_ = side;
	return static_cast<bool>(lock_);
}

kvmchan_control *host_slot::control() const noexcept
{
	return reinterpret_cast<kvmchan_control *>(where_->bytes().data() + slot_.control);
}

const __le64 *host_slot::reaped(unsigned side) const noexcept
{
	const std::uint64_t offset = snapshot_->superblock().table_offset + index_ * sizeof(kvmchan_slot) +
	                             offsetof(kvmchan_slot, reaped) + side * sizeof(__le64);

	return reinterpret_cast<const __le64 *>(where_->bytes().data() + offset);
}

std::span<std::byte> host_slot::data(unsigned side) const noexcept
{
	return where_->bytes().subspan(slot_.data[side], slot_.data_size[side]);
}

std::uint16_t host_slot::vector() const noexcept
{
	/* A guest's doorbell register has room for 8 bits of vector. */
	const std::size_t vectors = std::min<std::size_t>(where_->bells() ? where_->bells()->vectors() : 0, 256);

	return static_cast<std::uint16_t>(vectors < 2 ? 0 : 1 + index_ % (vectors - 1));
}

std::uint64_t host_slot::bell() const noexcept
{
	const region_bells *const bells = where_->bells();

	/* Not 0: who is here and cannot be rung is told from who has not come. */
	return bells ? kvmchan_bell_make(bells->id(), vector(), KVMCHAN_BELL_RINGABLE | KVMCHAN_BELL_RINGS)
	             : kvmchan_bell_make(KVMCHAN_PEER_MAX, 0, 0);
}

void host_slot::watch(wait_set &set) const
{
	region_bells *const bells = where_->bells();

	if (!bells)
		return;
	set.add_doorbell(bells->vector_fd(vector()));
	/* The manager rings vector 0 when the table changes. */
	if (vector() != 0)
		set.add_doorbell(bells->vector_fd(0));
}

bool host_slot::ring_peer() const noexcept
{
	region_bells *const bells = where_->bells();
	const std::uint64_t word = kvmchan_load(&peer_session()->bell);

	if (!bells || !(word & KVMCHAN_BELL_RINGABLE))
		return false;
	bells->ring(static_cast<std::uint16_t>(kvmchan_bell_peer(word)),
	            static_cast<std::uint16_t>(kvmchan_bell_vector(word)));
	return true;
}

const __le64 *host_slot::generation() const noexcept
{
	return &reinterpret_cast<const kvmchan_superblock *>(where_->bytes().data())->generation;
}

bool host_slot::still_there() noexcept
{
	const std::uint64_t generation = table_generation(where_->bytes());

	/* An odd one is looked at when it has become even. */
	if (generation == seen_generation_ || (generation & 1))
		return true;
	if (slot_unchanged(where_->bytes(), *snapshot_, index_)) {
		seen_generation_ = generation;
		return true;
	}
	/* Changed while we looked: that was no snapshot, so look again later. */
	kvmchan_mb();
	return table_generation(where_->bytes()) != generation;
}

} // namespace kvmchan::detail
