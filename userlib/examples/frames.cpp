// SPDX-License-Identifier: MIT
// Frames in a memory block: "frames SOCKET BLOCK write" draws some, and
// "frames BLOCK" (in a guest) or "frames SOCKET BLOCK" follows them.
//
// The block has two buffers; the number of signals says which one is whole. A
// reader copies, and looks at the count once more: if the writer went on by two,
// the copy may be torn.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <kvmchan/memory.hpp>

namespace {

std::span<std::byte> buffer_of(const kvmchan::memory_block &block, std::uint64_t count)
{
	const std::size_t half = block.bytes().size() / 2;

	return block.bytes().subspan(count % 2 * half, half);
}

void write_frames(kvmchan::memory_block &block)
{
	for (std::uint64_t count = 1; count <= 10; ++count) {
		const auto frame = buffer_of(block, count);

		std::fill(frame.begin(), frame.end(), static_cast<std::byte>(count));
		block.signal();
		std::this_thread::sleep_for(std::chrono::milliseconds{100});
	}
}

void read_frames(kvmchan::memory_block &block)
{
	std::uint64_t seen = block.count();
	std::vector<std::byte> copy(block.bytes().size() / 2);

	for (;;) {
		const std::uint64_t count = block.wait(seen, std::chrono::seconds{5});

		if (count == seen)
			return;
		seen = count;
		std::memcpy(copy.data(), buffer_of(block, count).data(), copy.size());
		if (block.count() - count < 1)
			std::printf("frame %llu\n", static_cast<unsigned long long>(count));
	}
}

} // namespace

int main(int argc, char **argv)
try {
	if (argc < 2 || argc > 4) {
		std::fprintf(stderr, "usage: frames [SOCKET] BLOCK [write]\n");
		return 2;
	}
	auto block = argc == 2 ? kvmchan::memory_block{argv[1]}
	                       : kvmchan::memory_block{kvmchan::region::attach(argv[1]), argv[2]};

	argc == 4 ? write_frames(block) : read_frames(block);
	return 0;
} catch (const std::exception &error) {
	std::fprintf(stderr, "frames: %s\n", error.what());
	return 1;
}
