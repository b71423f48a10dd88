// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <sstream>
#include <string>

/* What an end says on its standard output, a line each. */
namespace torture {

/**
 *	pid      its process ID, in `my`
 *	paired   the peer's header has come
 *	over     a session has come to its end in both directions
 *	former   how far the process was that had this end before, when it was killed
 *	wrong    bytes that are not what they should be; `note` says it
 */
struct report {
	std::string what{};
	std::uint64_t time = 0; ///< of the end's own clock, ns
	std::uint64_t my = 0;   ///< tag of our session
	std::uint64_t peer = 0; ///< tag of the peer's; 0: no header came
	std::uint64_t intended = 0; ///< where the last write would have come to
	std::uint64_t accepted = 0; ///< what writes have returned for
	std::uint64_t received = 0; ///< and checked
	std::string reading{"-"};   ///< how it ended: `eof`, an errno value, or `-`
	std::string writing{"-"};   ///< how it ended: `shut`, `pipe`, an errno value, or `-`
	std::string note{"-"};      ///< without spaces
};

inline std::string to_line(const report &r)
{
	std::ostringstream line;
	line << r.what << ' ' << r.time << ' ' << r.my << ' ' << r.peer << ' ' << r.intended << ' ' << r.accepted << ' '
	     << r.received << ' ' << r.reading << ' ' << r.writing << ' ' << r.note << '\n';
	return line.str();
}

inline std::optional<report> from_line(const std::string &line)
{
	std::istringstream words{line};
	report r;
	words >> r.what >> r.time >> r.my >> r.peer >> r.intended >> r.accepted >> r.received >> r.reading >>
		r.writing >> r.note;
	if (!words)
		return std::nullopt;
	return r;
}

} // namespace torture
