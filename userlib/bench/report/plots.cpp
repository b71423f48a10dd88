// SPDX-License-Identifier: MIT
#include "plots.hpp"

#include <cerrno>
#include <fstream>
#include <functional>
#include <stdexcept>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tables.hpp"

namespace kvmchan::bench {
namespace {

struct plot {
	std::string name;
	std::string title;
	std::string x, y;
	/** Which samples a line is made of, but for the path, its spin and what is on the x axis. */
	selection which;
	const char *along;
	/** What is shown of a value. */
	std::function<double(double x, double value)> show = [](double, double value) { return value; };
};

/* A block of lines "x median least most" for each row of the tables; returns their names. */
std::vector<std::string> write_data(std::ostream &to, const plot &about, const sample_set &samples)
{
	std::vector<std::string> names;

	for (const row &line : rows(samples, about.which.bench, about.which.dir)) {
		selection which = about.which;
		std::string lines;

		if (which.pinned && line.which.pinned != which.pinned)
			continue;
		which.paths = line.which.paths;
		which.spin = line.which.spin;
		for (const json &x : values_of(samples, about.which, about.along)) {
			if (about.along == std::string{"size"})
				which.size = x.get<std::uint64_t>();
			else
				which.channels = x.get<unsigned>();
			const auto found = samples.value(which);
			const double at = x.get<double>();

			if (!found || at <= 0)
				continue;
			for (const double value : {at, about.show(at, found->median), about.show(at, found->least),
			                           about.show(at, found->most)})
				lines += std::to_string(value) + ' ';
			lines.back() = '\n';
		}
		if (lines.empty())
			continue;
		to << '"' << line.name << "\"\n" << lines << "\n\n";
		names.push_back(line.name);
	}
	return names;
}

/* "64 B" for 64, ... where sizes are along the axis. */
std::string tics(const plot &about, const sample_set &samples)
{
	std::string made;

	for (const json &x : values_of(samples, about.which, about.along))
		if (x.get<std::uint64_t>())
			made += (made.empty() ? "'" : ", '") +
			        (about.along == std::string{"size"} ? size_text(x.get<std::uint64_t>()) : std::to_string(x.get<std::uint64_t>())) + "' " +
			        std::to_string(x.get<std::uint64_t>());
	return made;
}

/* Lines of many paths: no two look the same. */
void write_script(std::ostream &to, const plot &about, const std::string &tics, std::size_t lines)
{
	to << "set terminal svg noenhanced size 800,500 background 'white'\n"
	   << "set output '" << about.name << ".svg'\n"
	   << "set title '" << about.title << "'\n"
	   << "set xlabel '" << about.x << "'\nset ylabel '" << about.y << "'\n"
	   << "set logscale x 2\nset logscale y 10\nset grid\nset key outside right\n"
	   << "set xtics (" << tics << ")\n"
	   << "plot for [i=0:" << lines - 1 << "] '" << about.name
	   << ".dat' index i using 1:2:3:4 with yerrorlines linetype i+1 dashtype 1+i/8 pointtype i+1 title columnheader(1)\n";
}

void run_gnuplot(const std::filesystem::path &directory, const std::string &script)
{
	const char *const command = R"(cd "$1" && exec gnuplot "$2")";
	const char *const words[] = {"sh", "-c", command, "sh", directory.c_str(), script.c_str(), nullptr};
	pid_t child = -1;
	int status = 0;

	if (::posix_spawnp(&child, words[0], nullptr, nullptr, const_cast<char **>(words), environ) ||
	    ::waitpid(child, &status, 0) < 0 || status)
		throw std::runtime_error{"gnuplot " + script + " failed: scripts/setup bench installs it"};
}

void draw(const std::filesystem::path &directory, const plot &about, const sample_set &samples)
{
	std::ofstream data{directory / (about.name + ".dat")};
	const std::vector<std::string> names = write_data(data, about, samples);

	data.close();
	if (names.empty()) {
		std::filesystem::remove(directory / (about.name + ".dat"));
		return;
	}
	std::ofstream script{directory / (about.name + ".gp")};

	write_script(script, about, tics(about, samples), names.size());
	script.close();
	if (!data || !script)
		throw std::runtime_error{directory.string() + ": cannot be written"};
	run_gnuplot(directory, about.name + ".gp");
}

/* On the host the ends are pinned, or they meet on one core now and then. */
selection one_channel(const std::string &dir)
{
	selection which{"throughput", {}, dir, {}, 1};

	which.unit = "MB/s";
	if (dir == "h2h")
		which.pinned = true;
	return which;
}

} // namespace

void write_plots(const std::filesystem::path &directory, const sample_set &samples)
{
	std::filesystem::create_directories(directory);
	for (const json &value : values_of(samples, {"throughput", {}}, "dir")) {
		const std::string dir = value.get<std::string>(), where = direction_text(dir);
		selection channels = one_channel(dir);

		draw(directory, {"throughput-" + dir, "Throughput, " + where, "bytes of a message", "MB/s", one_channel(dir), "size"},
		     samples);
		draw(directory,
		     {"cost-" + dir, "Time for a message, " + where, "bytes of a message", "µs", one_channel(dir), "size",
		      [](double size, double rate) { return size / rate; }},
		     samples);
		channels.channels.reset();
		channels.size = 65536;
		if (values_of(samples, channels, "channels").size() > 1)
			draw(directory,
			     {"channels-" + dir, "All channels together, " + where, "channels", "MB/s", channels, "channels"},
			     samples);
	}
	draw(directory,
	     {"epoll-guest", "To hear of one of the ready channels by epoll, and read, in the guest", "channels", "µs",
	      {"epoll", {}, "-"}, "channels"},
	     samples);
}

} // namespace kvmchan::bench
