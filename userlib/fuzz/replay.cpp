// SPDX-License-Identifier: MIT
// Runs a fuzz target on the files that are kept, in an ordinary build.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include <gtest/gtest.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size);

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> files_in(const fs::path &folder)
{
	std::vector<fs::path> files;

	if (fs::exists(folder))
		for (const auto &entry : fs::directory_iterator{folder})
			files.push_back(entry.path());
	std::sort(files.begin(), files.end());
	return files;
}

void replay(const fs::path &file)
{
	std::ifstream stream{file, std::ios::binary};
	const std::vector<char> bytes{std::istreambuf_iterator<char>{stream}, {}};

	/* An input that ends the process is the last one that was named. */
	std::fprintf(stderr, "%s\n", file.c_str());
	LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size());
}

TEST(KVMCHAN_FUZZ_TARGET, corpus)
{
	const auto files = files_in(KVMCHAN_FUZZ_CORPUS);

	ASSERT_FALSE(files.empty());
	for (const fs::path &file : files)
		replay(file);
}

TEST(KVMCHAN_FUZZ_TARGET, regressions)
{
	for (const fs::path &file : files_in(KVMCHAN_FUZZ_REGRESSIONS))
		replay(file);
}

TEST(KVMCHAN_FUZZ_TARGET, no_input)
{
	LLVMFuzzerTestOneInput(nullptr, 0);
}

} // namespace
