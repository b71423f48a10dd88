// SPDX-License-Identifier: MIT
#include "samples.hpp"

#include "accelerator.hpp"
#include "host_process.hpp"

#include <cstdlib>
#include <ctime>
#include <iostream>
#include <stdexcept>
#include <thread>

#include <sys/utsname.h>

namespace bench {

namespace {

std::string first_line(const std::string &text)
{
	return text.substr(0, text.find('\n'));
}

std::string cpu_model()
{
	std::ifstream in{"/proc/cpuinfo"};
	for (std::string line; std::getline(in, line);) {
		if (line.starts_with("model name"))
			return line.substr(line.find(':') + 2);
	}
	return "unknown";
}

std::string now()
{
	const std::time_t time = std::time(nullptr);
	char text[64];
	std::strftime(text, sizeof text, "%FT%TZ", std::gmtime(&time));
	return text;
}

} // namespace

samples::samples(const std::filesystem::path &file) : out_{&std::cout}
{
	if (file.empty())
		return;
	file_.open(file);
	if (!file_)
		throw std::runtime_error{"cannot write " + file.string()};
	out_ = &file_;
}

void samples::write(const nlohmann::json &line)
{
	*out_ << line.dump() << std::endl;
}

void samples::skip(const std::string &path, const std::string &why)
{
	write({{"skipped", path}, {"why", why}});
}

nlohmann::json describe_host(const std::string &guest)
{
	utsname host{};
	double load[3]{};
	uname(&host);
	getloadavg(load, 3);
	return {{"kernel", host.release},
	        {"guest_kernel", guest},
	        {"qemu", first_line(harness::run_host({"qemu-system-x86_64", "--version"}).out)},
	        {"accel", harness::accelerator_args()},
	        {"cpu", cpu_model()},
	        {"cores", std::thread::hardware_concurrency()},
	        {"load", {load[0], load[1], load[2]}},
	        {"date", now()}};
}

} // namespace bench
