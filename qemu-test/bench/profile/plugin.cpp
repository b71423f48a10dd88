// SPDX-License-Identifier: MIT
/*
 * A TCG plugin of QEMU (docs/devel/tcg-plugins): counts how often each block of
 * a guest's code runs. Orders come by a FIFO, the argument fifo=PATH, a line each:
 *   clear        all counts are 0
 *   write FILE   a line "address instructions times" for each block that ran;
 *                the file appears when it is complete
 * One count for all CPUs of the guest, not atomic: for guests with one CPU.
 */
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>

/* Debian has no package with qemu-plugin.h; this is its version 1, as far as it is used here. */
extern "C" {
struct qemu_info_t;
struct qemu_plugin_tb;

using qemu_plugin_id_t = std::uint64_t;
using qemu_plugin_vcpu_tb_trans_cb_t = void (*)(qemu_plugin_id_t, qemu_plugin_tb *);

enum qemu_plugin_op { QEMU_PLUGIN_INLINE_ADD_U64 };

void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, qemu_plugin_vcpu_tb_trans_cb_t);
void qemu_plugin_register_vcpu_tb_exec_inline(qemu_plugin_tb *, qemu_plugin_op, void *, std::uint64_t);
std::uint64_t qemu_plugin_tb_vaddr(const qemu_plugin_tb *);
std::size_t qemu_plugin_tb_n_insns(const qemu_plugin_tb *);

[[gnu::visibility("default")]] extern const int qemu_plugin_version = 1;
[[gnu::visibility("default")]] int qemu_plugin_install(qemu_plugin_id_t, const qemu_info_t *, int, char **);
}

namespace {

struct block {
	std::uint64_t address;
	std::uint64_t instructions;
	std::uint64_t times;
};

/* Translated code refers to them, so they stay where they are, and for good. */
std::mutex lock;
std::deque<block> blocks;

void translated(qemu_plugin_id_t, qemu_plugin_tb *code)
{
	const std::lock_guard guard{lock};
	block &made = blocks.emplace_back(block{qemu_plugin_tb_vaddr(code), qemu_plugin_tb_n_insns(code), 0});

	qemu_plugin_register_vcpu_tb_exec_inline(code, QEMU_PLUGIN_INLINE_ADD_U64, &made.times, 1);
}

void clear()
{
	const std::lock_guard guard{lock};

	for (block &each : blocks)
		each.times = 0;
}

void write(const std::string &file)
{
	const std::string unfinished = file + ".part";
	{
		const std::lock_guard guard{lock};
		std::ofstream out{unfinished};

		for (const block &each : blocks)
			if (each.times)
				out << each.address << ' ' << each.instructions << ' ' << each.times << '\n';
	}
	std::filesystem::rename(unfinished, file);
}

void obey(const std::string &fifo)
{
	for (;;) {
		std::ifstream orders{fifo};
		std::string word, file;

		while (orders >> word) {
			if (word == "clear")
				clear();
			else if (word == "write" && orders >> file)
				write(file);
		}
	}
}

} // namespace

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *, int argc, char **argv)
{
	constexpr std::string_view key = "fifo=";

	if (argc != 1 || !std::string_view{argv[0]}.starts_with(key))
		return -1;
	std::thread{obey, std::string{argv[0]}.substr(key.size())}.detach();
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
