// SPDX-License-Identifier: MIT
// The command line, end to end, with a server and without.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include <nlohmann/json.hpp>

#include "server_process.hpp"

namespace kvmchan::testing {
namespace {

using nlohmann::json;

struct outcome {
	int code;
	std::string out;
	std::string err;
};

std::string slurp(const std::filesystem::path &file)
{
	std::ostringstream text;

	text << std::ifstream{file, std::ios::binary}.rdbuf();
	return text.str();
}

class tool_commands : public ::testing::Test {
protected:
	~tool_commands() override
	{
		std::error_code ec;

		std::filesystem::remove("/dev/shm/" + object_, ec);
	}

	/* What a shell would do; a minute is for ever. */
	std::string line(const std::string &arguments) const { return "timeout 60 " KVMCHAN_TOOL " " + arguments; }

	outcome run(const std::string &arguments, const std::string &input = "/dev/null") const
	{
		const std::string number = std::to_string(++runs_);
		const auto out = directory_ / ("out" + number), err = directory_ / ("err" + number);
		const int status = std::system(
			(line(arguments) + " <" + input + " >" + out.string() + " 2>" + err.string()).c_str());

		return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, slurp(out), slurp(err)};
	}

	std::string file(const std::string &name, const std::string &content) const
	{
		std::ofstream{directory_ / name, std::ios::binary} << content;
		return (directory_ / name).string();
	}

	void create(const std::string &arguments)
	{
		const outcome made = run("create " + object_ + " -l 4M " + arguments);

		ASSERT_EQ(made.code, 0) << made.err;
	}

	temporary_directory directory_;
	std::string object_ = "kvmchan-test-tool-" + std::to_string(::getpid());
	mutable std::atomic<unsigned> runs_{0};
};

TEST_F(tool_commands, bytes_and_an_end_both_ways)
{
	create("--channel a:stream:4K:host,host");
	std::string there(300'000, 'x'), back(200'000, 'y');

	there[1000] = '\0';
	outcome one, two;
	std::thread first{[&] { one = run("connect --side 0 " + object_ + ":a", file("there", there)); }};

	two = run("connect --side 1 " + object_ + ":a", file("back", back));
	first.join();
	EXPECT_EQ(one.code, 0) << one.err;
	EXPECT_EQ(two.code, 0) << two.err;
	EXPECT_TRUE(one.out == back);
	EXPECT_TRUE(two.out == there);
}

TEST_F(tool_commands, one_way_and_reconnect)
{
	create("--channel a:stream:4K:host,host");
	process reader{{KVMCHAN_TOOL, "connect", "-r", "--reconnect", "--side", "1", object_ + ":a"}, directory_ / "read"};

	std::string all;

	for (const char *text : {"one ", "two ", "three"}) {
		EXPECT_EQ(run("connect -w --side 0 " + object_ + ":a", file("in", text)).code, 0);
		all += text;
		/* The next session drops what nobody has taken of this one. */
		EXPECT_TRUE(eventually([&] { return slurp(directory_ / "read") == all; }));
	}
}

TEST_F(tool_commands, records)
{
	create("--channel p:packet:4K:host,host");
	EXPECT_EQ(run("send " + object_ + ":p one 'two words' -f " + file("f", std::string("a\0b", 3))).code, 0);
	EXPECT_EQ(run("recv " + object_ + ":p -n 3").out, std::string("one\ntwo words\na\0b\n", 18));
	EXPECT_EQ(run("send " + object_ + ":p --lines", file("lines", "first\n\nlast")).code, 0);
	const outcome received = run("recv " + object_ + ":p --json");

	EXPECT_EQ(json::parse(received.out.substr(0, received.out.find('\n'))).at("hex"), "6669727374");
	const outcome too_long = run("send " + object_ + ":p " + std::string(5000, 'x'));

	EXPECT_EQ(too_long.code, 1);
	EXPECT_NE(too_long.err.find("5000 bytes; the longest record here has 4088"), std::string::npos) << too_long.err;
}

TEST_F(tool_commands, check_finds_what_is_wrong)
{
	create("--channel a:stream:4K:host,host --channel p:packet:64K:host,host");
	for (const char *name : {":a", ":p"}) {
		outcome one, two;
		std::thread first{[&] { one = run("check both --side 0 -b 3M --json " + object_ + name); }};

		two = run("check both --side 1 -b 3M --json " + object_ + name);
		first.join();
		ASSERT_EQ(one.code, 0) << one.err;
		ASSERT_EQ(two.code, 0) << two.err;
		const auto sent = json::parse(one.out.substr(0, one.out.find('\n')));
		const auto received = json::parse(two.out.substr(two.out.find('\n') + 1));

		EXPECT_EQ(sent.at("sha256"), received.at("sha256"));
		EXPECT_EQ(received.at("bytes"), 3 << 20);
	}
	outcome bad;
	std::thread other{[&] { run("check send --side 0 -b 1M -s 1 " + object_ + ":a"); }};

	bad = run("check recv --side 1 -b 1M -s 2 " + object_ + ":a");
	other.join();
	EXPECT_EQ(bad.code, 1);
	EXPECT_NE(bad.err.find("byte 0 is"), std::string::npos) << bad.err;
}

TEST_F(tool_commands, memory)
{
	create("--block m:8K");
	EXPECT_EQ(run("memory --write --signal --offset 4096 " + object_ + ":m", file("in", "data")).code, 0);
	EXPECT_EQ(run("memory --read --offset 4096 --length 4 " + object_ + ":m").out, "data");
	EXPECT_EQ(run("memory --write " + object_ + ":m", file("in", std::string(8193, 'x'))).code, 1);
	EXPECT_EQ(run("memory --read --offset 8193 " + object_ + ":m").code, 1);
	EXPECT_EQ(run("memory --wait --timeout 0.05 " + object_ + ":m").code, 1);
}

TEST_F(tool_commands, tables)
{
	create("--channel a:stream:4K,8K:host,3 --channel p:packet --block m:8K");
	const auto list = json::parse(run("ls --json " + object_).out);

	ASSERT_EQ(list.size(), 3U);
	EXPECT_EQ(list[0].at("ring_sizes"), json({4096, 8192}));
	EXPECT_EQ(list[0].at("sides"), json({"host", "3"}));
	EXPECT_EQ(list[1].at("mode"), "packet");
	EXPECT_EQ(list[2].at("kind"), "memory");
	EXPECT_EQ(json::parse(run("info --json " + object_).out).at("size"), 4 << 20);
	EXPECT_EQ(json::parse(run("map --json " + object_).out).size(), 1U + 3 + 3 + 2);
	EXPECT_EQ(json::parse(run("stat --json " + object_).out).size(), 2U);
	EXPECT_NE(run("ls").out.find(object_), std::string::npos);
	EXPECT_EQ(json::parse(run("ls --json").out).at("devices").is_array(), true);
}

TEST_F(tool_commands, errors_name_what_and_where)
{
	create("--channel a:stream:4K:host,host");
	const auto says = [&](const std::string &arguments, const std::string &text) {
		const outcome failed = run(arguments);

		EXPECT_NE(failed.code, 0) << arguments;
		EXPECT_NE((failed.out + failed.err).find(text), std::string::npos) << arguments << ": " << failed.err;
	};

	says("connect " + object_ + ":zz", "no channel \"zz\"");
	says("connect no-such-object:a", "no-such-object");
	says("connect --server /no/such/socket a", "/no/such/socket");
	says("connect nowhere", "/dev/kvmchan/by-name/nowhere");
	says("send " + object_ + ":a x", "is a stream");
	says("create " + object_ + " -l 4M", "formatted already");
	says("create " + object_ + "2 -l 3M", "power of two");
	says("create " + object_ + "2 --channel a:foo", "neither stream nor packet");
	says("create " + object_ + "2 --channel a:stream:5K", "power of two from 4K to 1G");
	says("create " + object_ + "2 --channel .a", "a name is");
	says("peers " + object_, "attached through a server");
	says("ring " + object_ + " --peer 1", "needs a server");
	says("info", "a region");
	EXPECT_FALSE(std::filesystem::exists("/dev/shm/" + object_ + "2"));
}

TEST_F(tool_commands, through_a_server)
{
	const auto socket = (directory_ / "s").string();
	process server{{KVMCHAN_TOOL, "serve", "-F", "-q", "-S", socket, "-l", "4M", "-n", "2", "--memfd", "--channel",
	                "a:stream:4K", "--block", "m:4K"},
	               directory_ / "server"};

	ASSERT_TRUE(eventually([&] { return run("info " + socket).code == 0; }));
	EXPECT_EQ(json::parse(run("info --json " + socket).out).at("managed"), true);
	outcome one, two;
	std::thread first{[&] { one = run("connect --server " + socket + " a --side 0", file("in", "there")); }};

	two = run("connect --side 1 " + socket + ":a", file("in2", "back"));
	first.join();
	EXPECT_EQ(one.out, "back") << one.err;
	EXPECT_EQ(two.out, "there") << two.err;
	process waiter{{KVMCHAN_TOOL, "memory", "--wait", "--read", "--length", "3", socket + ":m"}, directory_ / "waited"};
	EXPECT_TRUE(eventually([&] {
		return json::parse(run("peers --json " + socket).out).at("peers").size() == 1;
	}));
	process peer{{KVMCHAN_TOOL, "recv", socket + ":a"}, directory_ / "recv"};
	EXPECT_EQ(peer.wait(), 1) << "a is a stream";
	waiter.signal(SIGTERM);
	EXPECT_EQ(run("ring --peer 4242 " + socket).code, 1);
}

} // namespace
} // namespace kvmchan::testing
