// SPDX-License-Identifier: MIT
#include "handover.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "exec_fds.hpp"
#include "named_memory.hpp"

namespace kvmchan {
namespace {

constexpr std::array<const char *, 2> state_names{"S0", "S1"};
constexpr int state_seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
constexpr off_t state_size_max = off_t{256} << 20;
/* All names have to fit into one variable of the next server's environment. */
constexpr std::size_t names_size_max = 120'000;
constexpr std::uint64_t store_patience_us = 1'000'000;

bool is_state(const std::string &name)
{
	return std::find(state_names.begin(), state_names.end(), name) != state_names.end();
}

bool has_tag(const std::string &name, unsigned tag)
{
	const std::string begin = std::to_string(tag);

	return name.starts_with(begin) && name.size() > begin.size() && (name[begin.size()] < '0' || name[begin.size()] > '9');
}

std::size_t store_limit()
{
	const char *const text = std::getenv("FDSTORE");

	return text && std::getenv("NOTIFY_SOCKET") ? std::strtoul(text, nullptr, 10) : 0;
}

unique_fd write_state(const std::string &text)
{
	unique_fd file{::memfd_create("kvmchan-state", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	std::size_t done = 0;

	while (file && done < text.size()) {
		const ssize_t n = ::write(file.get(), text.data() + done, text.size() - done);

		if (n > 0)
			done += static_cast<std::size_t>(n);
		else if (errno != EINTR)
			file.reset();
	}
	if (!file || ::fcntl(file.get(), F_ADD_SEALS, state_seals) < 0)
		throw std::system_error{errno, std::system_category(), "state for the next server"};
	return file;
}

server_state read_state(const unique_fd &file)
{
	struct stat st {};
	std::string text;

	/* It was sealed before it was handed over, or it is none of ours. */
	if (::fcntl(file.get(), F_GET_SEALS) != state_seals || ::fstat(file.get(), &st) < 0 || st.st_size > state_size_max)
		throw std::system_error{std::make_error_code(std::errc::bad_message), "it is no sealed file of ours"};
	text.resize(static_cast<std::size_t>(st.st_size));
	if (::pread(file.get(), text.data(), text.size(), 0) != st.st_size)
		throw std::system_error{std::make_error_code(std::errc::bad_message), "it cannot be read"};
	return decode_state(text);
}

/* Of the same file system path, so that an upgraded program is the one that runs. */
std::string own_program()
{
	std::error_code ec;

	return std::filesystem::read_symlink("/proc/self/exe", ec).string();
}

fd_bag listen_fds()
{
	char **names = nullptr;
	const int count = ::sd_listen_fds_with_names(1, &names);
	fd_bag received;

	for (int i = 0; i < count; ++i) {
		unique_fd fd{SD_LISTEN_FDS_START + i};

		received.insert_or_assign(names[i], std::move(fd));
		std::free(names[i]);	// NOLINT(cppcoreguidelines-no-malloc): it is sd_listen_fds_with_names()'s
	}
	std::free(static_cast<void *>(names));	// NOLINT(cppcoreguidelines-no-malloc)
	return received;
}

} // namespace

handover::handover(std::vector<std::string> arguments)
	: limit_{store_limit()}, program_{own_program()}, arguments_{std::move(arguments)}
{
}

handover handover::receive(std::vector<std::string> arguments)
{
	handover made{std::move(arguments)};

	made.receive_all();
	return made;
}

void handover::receive_all()
{
	fd_bag received = listen_fds();

	if (has_store())
		for (const auto &[name, fd] : received)
			stored_.insert(name);
	try {
		choose_state(received);
	} catch (const std::exception &error) {
		spdlog::error("what a former server left cannot be used, and this one starts afresh: {}", error.what());
		regions_.clear();
		received.clear();
		remove_all([](const std::string &) { return true; });
	}
}

/* The newer one that is whole. */
void handover::choose_state(fd_bag &received)
{
	std::optional<server_state> newest;
	std::string trouble;

	for (const char *name : state_names) {
		const auto file = received.extract(name);

		if (file.empty())
			continue;
		try {
			server_state state = read_state(file.mapped());

			if (!newest || state.sequence > newest->sequence)
				newest = std::move(state);
		} catch (const std::system_error &error) {
			trouble = fmt::format("state \"{}\": {}", name, error.what());
		}
	}
	if (newest)
		sort_into_regions(std::move(*newest), received);
	else if (!trouble.empty())
		throw std::runtime_error{trouble};
}

void handover::sort_into_regions(server_state state, fd_bag &received)
{
	sequence_ = state.sequence;
	same_process_ = state.pid == ::getpid();
	/* Handed over by ourselves: whether the store has them, too, is not known. */
	if (same_process_)
		stored_.clear();
	for (region_state &region : state.regions) {
		inherited_region made;

		next_tag_ = std::max(next_tag_, region.tag + 1);
		for (auto &[name, fd] : received)
			if (has_tag(name, region.tag))
				made.fds.emplace(name, std::move(fd));
		made.state = std::move(region);
		regions_.push_back(std::move(made));
	}
}

void handover::fit(const std::vector<region_shape> &wanted)
{
	for (inherited_region &region : std::exchange(regions_, {})) {
		const region_shape &was = region.state.shape;
		const auto is_named = [&](const region_shape &shape) { return shape.name == was.name; };

		if (std::find(wanted.begin(), wanted.end(), was) != wanted.end()) {
			regions_.push_back(std::move(region));
			continue;
		}
		if (std::any_of(wanted.begin(), wanted.end(), is_named))
			spdlog::warn("region {}: its size, vectors, memory, socket or VMs are not what they were: "
			             "those who were connected have to connect again", was.name);
		else
			spdlog::info("region {}: it is not configured any more, and ends", was.name);
		end(std::move(region));
	}
}

void handover::end(inherited_region region) noexcept
{
	const region_state &state = region.state;

	if (state.made_memory)
		remove_named_memory(static_cast<memory_kind>(state.shape.memory), state.shape.memory_name);
	region.fds.clear();
	drop(state.tag);
}

std::optional<inherited_region> handover::take(const region_shape &shape)
{
	const auto found = std::find_if(regions_.begin(), regions_.end(),
	                                [&](const inherited_region &region) { return region.state.shape == shape; });

	if (found == regions_.end())
		return std::nullopt;
	std::optional<inherited_region> region{std::move(*found)};

	regions_.erase(found);
	return region;
}

template <typename Which>
void handover::remove_all(Which which) noexcept
{
	const std::set<std::string> before = stored_;

	dropped_ = true;
	for (const std::string &name : before)
		if (which(name))
			remove(name);
	if (has_store())
		::sd_notify_barrier(0, store_patience_us);
}

void handover::drop(unsigned tag) noexcept
{
	remove_all([&](const std::string &name) { return has_tag(name, tag); });
}

void handover::complain(const std::string &why)
{
	if (!std::exchange(complained_, true))
		spdlog::error("the service manager cannot keep our connections for a restart: {}", why);
}

bool handover::fits_store(const fd_names &fds)
{
	std::size_t size = 0;

	for (const auto &[name, fd] : fds)
		size += name.size() + 1;
	if (fds.size() + state_names.size() <= limit_ && size <= names_size_max)
		return true;
	complain(fmt::format("{} descriptors with names of {} bytes (the limits are {} and {})", fds.size(), size, limit_,
	                     names_size_max));
	return false;
}

void handover::publish(server_state state, const fd_names &fds)
try {
	const std::string name = state_names.at((sequence_ + 1) % state_names.size());
	bool whole = has_store() && fits_store(fds);

	if (!has_store())
		return;
	state.sequence = sequence_ + 1;
	state.pid = ::getpid();
	for (const auto &[each, fd] : fds)
		whole = whole && (stored_.contains(each) || store(each, fd));
	remove(name);
	if (!whole || !store(name, write_state(encode_state(state)).get())) {
		forget();
		return;
	}
	const std::set<std::string> before = stored_;

	sequence_ = state.sequence;
	kept_ = true;

	for (const std::string &each : before)
		if (!is_state(each) && !fds.contains(each))
			remove(each);
	complained_ = false;
} catch (const std::system_error &error) {
	complain(error.what());
	forget();
}

/* An old state would have the next server give IDs away that are taken. */
void handover::forget() noexcept
{
	kept_ = false;
	for (const char *name : state_names)
		remove(name);
}

bool handover::store(const std::string &name, int fd) noexcept
{
	/* A client that has hung up stays, so that its end is seen. */
	const std::string text = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name;
	int result = ::sd_pid_notify_with_fds(0, 0, text.c_str(), &fd, 1);

	/* Too many are on their way: wait until it has taken them. */
	if (result == -ETOOMANYREFS && ::sd_notify_barrier(0, store_patience_us) >= 0)
		result = ::sd_pid_notify_with_fds(0, 0, text.c_str(), &fd, 1);
	if (result > 0) {
		stored_.insert(name);
		return true;
	}
	complain(fmt::format("descriptor \"{}\": {}", name, std::error_code{-result, std::system_category()}.message()));
	return false;
}

void handover::remove(const std::string &name) noexcept
{
	::sd_notify(0, ("FDSTOREREMOVE=1\nFDNAME=" + name).c_str());
	stored_.erase(name);
}

void handover::rehearse() const
{
	std::vector<std::string> words = arguments_;

	words.emplace_back("--print-options");
	try_program(program_, words);
}

void handover::execute(server_state state, const fd_names &fds)
{
	fd_names all = fds;

	/* Under the name that the newest one in the store has. */
	state.sequence = sequence_ + state_names.size();
	state.pid = ::getpid();
	const unique_fd file = write_state(encode_state(state));

	all.emplace(state_names.at(sequence_ % state_names.size()), file.get());
	execute_with(program_, arguments_, all);
}

} // namespace kvmchan
