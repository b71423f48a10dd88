// SPDX-License-Identifier: MIT
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <fstream>
#include <string>

namespace bench {

/** What was measured, as JSON lines: see README.md. */
class samples {
public:
	/** Standard output where @p file is empty. */
	explicit samples(const std::filesystem::path &file);

	void write(const nlohmann::json &line);
	void skip(const std::string &path, const std::string &why);

private:
	std::ofstream file_;
	std::ostream *out_;
};

/** The machine that this runs on; @p guest is its kernel. */
nlohmann::json describe_host(const std::string &guest);

} // namespace bench
