// SPDX-License-Identifier: MIT
#include "sample.hpp"

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <system_error>

#include <sys/utsname.h>

#include <nlohmann/json.hpp>

#include "pinning.hpp"

namespace kvmchan::bench {
namespace {

using json = nlohmann::ordered_json;

std::string cpu_model()
{
	std::ifstream info{"/proc/cpuinfo"};

	for (std::string line; std::getline(info, line);)
		if (line.starts_with("model name"))
			return line.substr(line.find(':') + 2);
	return "unknown";
}

json describe(bool quick, std::size_t cpus)
{
	utsname system{};
	double load = 0;

	::uname(&system);
	::getloadavg(&load, 1);
	return {{"program", "bench-host"},
	        {"machine", system.machine},
	        {"kernel", system.release},
	        {"cpu", cpu_model()},
	        {"cpus", cpus},
	        {"load", load},
	        {"compiler", __VERSION__},
	        {"time", std::chrono::duration_cast<std::chrono::seconds>(
	                         std::chrono::system_clock::now().time_since_epoch())
	                         .count()},
	        {"quick", quick}};
}

} // namespace

sample_file::sample_file(const std::string &output, const std::string &only, bool quick)
	: out_{output == "-" ? std::cout : file_}, only_{only}, cpus_{static_cast<unsigned>(usable_cpus().size())}
{
	if (output != "-") {
		file_.open(output, std::ios::trunc);
		if (!file_)
			throw std::system_error{errno, std::system_category(), output};
	}
	out_ << json{{"meta", describe(quick, cpus_)}} << std::endl;
}

bool sample_file::wants(const std::string &bench, const std::string &path) const
{
	return std::regex_search(bench + "/" + path, only_);
}

void sample_file::write(const sample &measured)
{
	json line{{"bench", measured.bench},   {"path", measured.path},         {"dir", measured.dir},
	          {"size", measured.size},     {"channels", measured.channels}, {"cpus", cpus_},
	          {"spin", measured.spin},     {"pinned", measured.pinned},     {"boot", 0},
	          {"round", measured.round},   {"unit", measured.unit},         {"value", measured.value}};

	if (!measured.what.empty())
		line["what"] = measured.what;
	if (measured.p99)
		line["p99"] = *measured.p99;
	if (measured.p999)
		line["p999"] = *measured.p999;
	if (measured.count)
		line["count"] = *measured.count;
	out_ << line << std::endl;
}

void sample_file::skip(const std::string &path, const std::string &why)
{
	out_ << json{{"skipped", path}, {"why", why}} << std::endl;
}

} // namespace kvmchan::bench
