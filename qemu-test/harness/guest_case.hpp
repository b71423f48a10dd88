// SPDX-License-Identifier: MIT
#pragma once

#include "guest.hpp"
#include "guest_tests.hpp"
#include "temp_dir.hpp"

#include <gtest/gtest.h>

#include <list>
#include <memory>
#include <string>
#include <vector>

namespace harness {

/** Where a log ended at some moment, to look only at what came later. */
struct log_mark {
	std::size_t dmesg = 0;
	std::size_t console = 0;
};

/**
 * The base of every case. At the end of each test the logs of its guests are
 * scanned: a kernel complaint fails the test unless expect_log() declared it.
 */
class guest_case : public ::testing::Test {
public:
	guest_case();
	~guest_case() override;

protected:
	/**
	 * Boots a guest for this test. TearDown() shuts it down and checks that
	 * the module unloads and QEMU exits, unless the test ended it itself.
	 */
	guest &boot(guest_options options = {});

	/**
	 * Migrates @p source (booted with `.shares = false`) into a new machine
	 * and ends the source's QEMU. @p options as for guest's constructor.
	 */
	guest &migrate(guest &source, guest_options options);
	guest &migrate(guest &source) { return migrate(source, source.options()); }

	/** A complaint that matches this ECMAScript regex is expected at least once. */
	void expect_log(std::string regex);
	/** The same, but it is fine if it does not come. */
	void allow_log(std::string regex);

	/** This test's own directory. */
	const temp_dir &dir() const { return dir_; }
	/** An ivshmem-plain over a new file in dir(). */
	ivshmem_plain plain(std::string id, std::uint64_t size = 1 << 20);

	void TearDown() override;

	/** Scans the logs of @p machine too, from now on. */
	void watch(guest &machine);

private:
	struct expectation {
		std::string regex;
		bool required;
	};
	struct watched {
		guest *machine;
		log_mark since;
	};
	void check_logs();
	void keep_logs() const;

	temp_dir dir_;
	std::list<std::unique_ptr<guest>> guests_;
	std::vector<watched> watched_;
	std::vector<expectation> expected_;
};

/**
 * Tests that share one guest. Derive, and give the machine once:
 *
 *     class basics : public harness::shared_guest_case {
 *     public:
 *             static void SetUpTestSuite() { share({.devices = {suite_plain("a")}}); }
 *     };
 *     TEST_F(basics, sees_it) { EXPECT_TRUE(shared().run("lspci")); }
 *
 * A test that loses the guest (crash, kill) fails alone: the next one gets a
 * fresh boot of the same machine.
 */
class shared_guest_case : public guest_case {
public:
	static void TearDownTestSuite();

protected:
	static void share(guest_options options);
	/** The suite's guest; boots it on first use. */
	guest &shared();
	static const temp_dir &suite_dir();
	/** An ivshmem-plain over a new file in suite_dir(). */
	static ivshmem_plain suite_plain(std::string id, std::uint64_t size = 1 << 20);
};

} // namespace harness
