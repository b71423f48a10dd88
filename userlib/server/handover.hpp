// SPDX-License-Identifier: MIT
// Hands all that a server holds to the one that follows it.
#ifndef KVMCHAN_SERVER_HANDOVER_HPP
#define KVMCHAN_SERVER_HANDOVER_HPP

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "handover_state.hpp"

namespace kvmchan {

/**
 * Two ways, one form: the service manager's descriptor store keeps everything
 * while no server runs, and execute() leaves it to the program that takes this
 * process over. Either way the next server finds the descriptors as
 * sd_listen_fds_with_names() gives them, one of which, sealed, is the state.
 *
 * The store is used when the service manager says so: NOTIFY_SOCKET, and in
 * FDSTORE how many descriptors it takes. There are two names for the state, used
 * in turn, so that one whole state is there at any moment; what it speaks of is
 * stored before it and removed after it.
 */
class handover {
public:
	/**
	 * Takes what a former server left, of which there may be nothing. A state
	 * that is damaged or of another version is said in the log, and all that
	 * came with it is closed. @p arguments: of our own command line, for execute().
	 */
	static handover receive(std::vector<std::string> arguments);

	/** Did this very process leave it, under its former program? */
	bool same_process() const noexcept { return same_process_; }

	/**
	 * Ends what nobody will take: every region that is not of a shape in
	 * @p wanted, as the former server would have ended it. Before any is opened:
	 * the new ones may want the same sockets and names.
	 */
	void fit(const std::vector<region_shape> &wanted);
	/** The region of that shape; once. */
	std::optional<inherited_region> take(const region_shape &shape);
	/**
	 * What the store holds of a region that could not be taken is closed, the
	 * locks that it has included. It may take the service manager a moment.
	 */
	void drop(unsigned tag) noexcept;
	/** Was something left that could not be taken? */
	bool dropped() const noexcept { return dropped_; }
	/** A tag that no region has or has had. */
	unsigned new_tag() noexcept { return next_tag_++; }

	/** Is there a store that outlives this process? */
	bool has_store() const noexcept { return limit_ != 0; }
	/** Does it hold all of what was published last? */
	bool kept() const noexcept { return kept_; }

	/**
	 * Makes the store hold @p state and @p fds. When it cannot, that is said
	 * in the log once and tried again the next time.
	 */
	void publish(server_state state, const fd_names &fds);

	/** What execute() runs. */
	const std::string &program() const noexcept { return program_; }
	/**
	 * Would execute() work? Runs the program with its command line and
	 * --print-options in a child, as confined as we are. Throws std::system_error
	 * with what it said.
	 */
	void rehearse() const;
	/**
	 * Runs the program again, perhaps another version of it, in this process.
	 * Throws std::system_error when that cannot be done; all is as before then.
	 */
	void execute(server_state state, const fd_names &fds);

private:
	explicit handover(std::vector<std::string> arguments);

	template <typename Which>
	void remove_all(Which which) noexcept;
	void receive_all();
	void choose_state(fd_bag &received);
	void sort_into_regions(server_state state, fd_bag &received);
	void end(inherited_region region) noexcept;
	bool fits_store(const fd_names &fds);
	bool store(const std::string &name, int fd) noexcept;
	void remove(const std::string &name) noexcept;
	void forget() noexcept;
	void complain(const std::string &why);

	std::size_t limit_ = 0;
	std::set<std::string> stored_;
	std::uint64_t sequence_ = 0;
	unsigned next_tag_ = 0;
	bool kept_ = false;
	bool dropped_ = false;
	bool same_process_ = false;
	bool complained_ = false;
	std::vector<inherited_region> regions_;
	std::string program_;
	std::vector<std::string> arguments_;
};

} // namespace kvmchan

#endif
