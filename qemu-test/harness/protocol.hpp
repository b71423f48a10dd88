// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

/*
 * The control protocol between the harness and PID 1 of a guest, over a
 * virtio-serial port or a UART. Both directions are a byte stream of frames.
 *
 * A guest may be reset in the middle of a frame, and the host may have bytes
 * under way to the kernel that just died. So each boot begins with a mark that
 * holds a token made for this guest: PID 1 sends the mark and then `hello`;
 * the host looks for the mark in everything it receives, forgets what came
 * before it and answers with a mark of its own; PID 1 throws away everything
 * until it sees that. A mark starts with a size that no frame can have.
 *
 * Behind a migration another host process has the other end. It sends a mark,
 * and PID 1, which had one before, drops all commands and begins anew with its
 * own mark and `hello` (which is not answered then).
 *
 * Flow control: PID 1 stops reading a command's output while its port is full.
 * The host keeps at most input_window bytes of a command's input under way and
 * gets them back as `credit`, so one command that does not read blocks nobody.
 */
namespace harness::protocol {

inline constexpr std::string_view port_name = "kvmchan.control";
inline constexpr std::size_t max_payload = 64 * 1024;
inline constexpr std::size_t input_window = 256 * 1024;

enum class kind : std::uint32_t {
	// host to guest
	start = 1, // JSON {"argv": [...], "env": {...}}
	input,     // bytes; an empty one closes standard input
	signal,    // u32 signal number, to the process group
	ping,
	poweroff,
	reboot,
	// guest to host
	hello = 65, // JSON about the machine
	output,     // bytes
	error,      // bytes of standard error
	exited,     // u32 wait status; no frame of this id follows
	failed,     // text: the command could not be started; nothing follows
	credit,     // u32 bytes of input that were consumed
	log,        // text of the kernel log
	pong,
};

struct header {
	std::uint32_t size; // of the payload
	std::uint32_t id;   // of the command or ping
	kind type;
};
static_assert(sizeof(header) == 12);

struct frame {
	kind type;
	std::uint32_t id;
	std::string payload;
};

inline std::string mark(std::string_view token)
{
	return std::string{"\xff\xff\xff\xffkvmchan-boot:"} + std::string{token} + '\n';
}

inline std::string encode(kind type, std::uint32_t id, std::string_view payload = {})
{
	const header head{static_cast<std::uint32_t>(payload.size()), id, type};
	std::string bytes(sizeof head + payload.size(), '\0');
	std::memcpy(bytes.data(), &head, sizeof head);
	payload.copy(bytes.data() + sizeof head, payload.size());
	return bytes;
}

inline std::string encode_number(kind type, std::uint32_t id, std::uint32_t number)
{
	return encode(type, id, {reinterpret_cast<const char *>(&number), sizeof number});
}

inline std::uint32_t number(std::string_view payload)
{
	std::uint32_t value = 0;
	if (payload.size() == sizeof value)
		std::memcpy(&value, payload.data(), sizeof value);
	return value;
}

/** Cuts a byte stream into frames. */
class decoder {
public:
	explicit decoder(std::string_view token) : mark_{mark(token)} {}

	/**
	 * Takes received bytes. Returns true if a mark came: all before it is
	 * forgotten then, and next() continues behind it.
	 */
	bool feed(std::string_view bytes)
	{
		// Only the new bytes and a mark's length before them can complete one.
		const auto from = buffer_.size() < mark_.size() ? 0 : buffer_.size() - mark_.size();
		buffer_ += bytes;
		const auto found = buffer_.rfind(mark_);
		if (found == std::string::npos || found < from) {
			if (!synchronized_ && buffer_.size() > mark_.size())
				buffer_.erase(0, buffer_.size() - mark_.size());
			return false;
		}
		buffer_.erase(0, found + mark_.size());
		synchronized_ = true;
		return true;
	}

	/** The next complete frame. */
	std::optional<frame> next()
	{
		header head;
		if (!synchronized_ || buffer_.size() < sizeof head)
			return std::nullopt;
		std::memcpy(&head, buffer_.data(), sizeof head);
		if (head.size > max_payload) {
			// The beginning of a mark, or garbage of a kernel that died.
			synchronized_ = false;
			return std::nullopt;
		}
		if (buffer_.size() < sizeof head + head.size)
			return std::nullopt;
		frame result{head.type, head.id, buffer_.substr(sizeof head, head.size)};
		buffer_.erase(0, sizeof head + head.size);
		return result;
	}

private:
	std::string mark_;
	std::string buffer_;
	bool synchronized_ = false;
};

} // namespace harness::protocol
