// SPDX-License-Identifier: MIT
#include "guest.hpp"

#include "boot_files.hpp"
#include "debug_kernel.hpp"
#include "log_scan.hpp"
#include "qemu_command.hpp"
#include "qmp_client.hpp"
#include "session.hpp"
#include "temp_dir.hpp"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <random>
#include <system_error>
#include <utility>

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace harness {

using kvmchan::unique_fd;
using nlohmann::json;

namespace {

std::pair<unique_fd, unique_fd> socket_pair()
{
	int fds[2];
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
		throw std::system_error{errno, std::system_category(), "socketpair"};
	return {unique_fd{fds[0]}, unique_fd{fds[1]}};
}

std::string random_token()
{
	std::random_device random;
	return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

std::string text_of(const std::filesystem::path &file)
{
	std::ifstream in{file, std::ios::binary};
	return {std::istreambuf_iterator<char>{in}, {}};
}

} // namespace

struct guest::state {
	guest_options options;
	temp_dir dir{"guest"};
	std::filesystem::path share = dir / "share";
	std::string token = random_token();
	std::shared_ptr<session> control;
	std::shared_ptr<qmp_client> monitor;
	std::optional<host_process> qemu;
	std::vector<ivshmem> plugged; // by hotplug() and at boot
	bool module_loaded = false;
	std::optional<guest_command> suspending;

	void start(const std::string &incoming = {});
	std::string tail(std::size_t lines) const;
	[[noreturn]] void fail(const std::string &what) const { throw error{what + tail(60)}; }
};

void guest::state::start(const std::string &incoming)
{
	const auto initramfs = dir / "initramfs";
	write_initramfs(initramfs, options.module != module_load::none);
	std::filesystem::create_directory(share);

	auto [control_ours, control_theirs] = socket_pair();
	auto [monitor_ours, monitor_theirs] = socket_pair();
	const machine_files files{
		.kernel = kernel_file(options.image),
		.initramfs = initramfs,
		.share = share,
		.console = dir / "console",
		.qmp_fd = monitor_theirs.get(),
		.control_fd = control_theirs.get(),
		.token = token,
	};
	qemu.emplace(process_options{.argv = qemu_command(options, files, incoming),
	                             .inherit = {files.qmp_fd, files.control_fd}});
	qemu->close_stdin();
	control = session::open(std::move(control_ours), token);
	control->describe_failures_with([this] { return tail(60); });
	monitor = qmp_client::open(std::move(monitor_ours));
	plugged = options.devices;
}

std::string guest::state::tail(std::size_t lines) const
{
	std::string text;
	if (qemu && !qemu->err().empty())
		text += "\n--- QEMU ---\n" + qemu->err();
	text += "\n--- console ---\n" + last_lines(text_of(dir / "console"), lines);
	if (control)
		text += "\n--- kernel log ---\n" + last_lines(control->log(), lines);
	return text;
}

guest::guest(guest_options options) : state_{std::make_unique<state>()}
{
	state_->options = std::move(options);
	state_->start();
	// The destructor does not run if this constructor throws.
	try {
		state_->control->wait_boots(0, state_->options.boot_limit);
		if (state_->options.module == module_load::automatic)
			load_module();
	} catch (...) {
		abandon();
		throw;
	}
}

guest::guest(guest_options options, guest &source) : state_{std::make_unique<state>()}
{
	state_->options = std::move(options);
	state_->token = source.state_->token;
	state_->module_loaded = source.state_->module_loaded;
	const auto uri = "unix:" + (state_->dir / "migration").string();
	state_->start(uri);
	try {
		qmp("query-status"); // it listens now
		source.qmp("migrate", {{"uri", uri}});
		source.wait_migrated();
		wait_event("RESUME");
		state_->control->attach(nominal::command);
	} catch (...) {
		abandon();
		throw;
	}
}

void guest::wait_migrated()
{
	const auto deadline = deadline_after(nominal::event);
	for (;;) {
		const auto info = qmp("query-migrate");
		const auto status = info.value("status", "");
		if (status == "completed")
			return;
		if (status == "failed" || status == "cancelled")
			state_->fail("migration " + status + ": " + info.dump());
		if (clock::now() > deadline)
			throw deadline_error{"the migration does not end: " + info.dump() + tail()};
		usleep(10'000);
	}
}

/* The members stay alive for a moment after this object, in handles. */
void guest::abandon() noexcept
{
	state_->control->describe_failures_with({});
	state_->control->close();
	state_->monitor->close();
}

guest::~guest()
{
	abandon();
}

/* ---- commands ---- */

guest_command guest::spawn(const command &what)
{
	return {state_->control, state_->control->start(what)};
}

result guest::run(const command &what, milliseconds limit)
{
	auto handle = spawn(what);
	handle.write_stdin(what.input);
	handle.close_stdin();
	return handle.wait(limit);
}

std::string guest::check(const command &what, milliseconds limit)
{
	const auto outcome = run(what, limit);
	if (outcome.exit != 0)
		throw error{fmt::format("in the guest, \"{}\" exited with {}\n{}{}", what.argv.back(),
		                        outcome.exit, outcome.out, outcome.err)};
	return outcome.out;
}

command guest::host_program(const std::filesystem::path &program, std::vector<std::string> args)
{
	std::vector<std::string> argv{"/host" + std::filesystem::absolute(program).string()};
	argv.insert(argv.end(), std::make_move_iterator(args.begin()),
	            std::make_move_iterator(args.end()));
	return command{std::move(argv)};
}

/* ---- files ---- */

const std::filesystem::path &guest::share() const
{
	return state_->share;
}

void guest::put_file(std::string_view guest_path, std::string_view bytes, unsigned mode)
{
	command copy{"sh", "-c", R"(cat >"$1" && chmod "$2" "$1")", "put_file",
	             std::string{guest_path}, fmt::format("{:o}", mode)};
	copy.input = bytes;
	check(copy);
}

std::string guest::fetch_file(std::string_view guest_path)
{
	return check({"cat", std::string{guest_path}});
}

/* ---- the module ---- */

void guest::load_module()
{
	std::vector<std::string> argv{"insmod", "/lib/modules/kvmchan.ko"};
	const auto &params = state_->options.module_params;
	argv.insert(argv.end(), params.begin(), params.end());
	check(argv);
	state_->module_loaded = true;
}

void guest::unload_module()
{
	const auto outcome = run({"rmmod", "kvmchan"});
	if (outcome.exit != 0)
		state_->fail("rmmod kvmchan failed: " + outcome.err);
	state_->module_loaded = false;
	const auto left = run("ls -d /dev/kvmchan* /sys/class/kvmchan /sys/module/kvmchan "
	                      "/sys/kernel/debug/kvmchan 2>/dev/null");
	if (!left.out.empty())
		state_->fail("rmmod kvmchan left this behind:\n" + left.out);
}

/* ---- QMP ---- */

json guest::qmp(std::string_view execute, json arguments)
{
	return state_->monitor->execute(execute, std::move(arguments), nominal::qmp);
}

json guest::wait_event(std::string_view name, const std::function<bool(const json &)> &match,
                       milliseconds limit)
{
	return state_->monitor->wait_event(name, match, limit);
}

void guest::drop_events()
{
	state_->monitor->drop_events();
}

void guest::hotplug(const ivshmem &device)
{
	for (auto &[execute, arguments] : plug_steps(device))
		qmp(execute, std::move(arguments));
	state_->plugged.push_back(device);
}

void guest::unplug(std::string_view id)
{
	const auto found = std::ranges::find_if(
		state_->plugged, [&](const ivshmem &each) { return device_id(each) == id; });
	if (found == state_->plugged.end())
		throw error{"unplug: no device " + std::string{id}};
	qmp("device_del", {{"id", id}});
	wait_event("DEVICE_DELETED", [&](const json &event) {
		return event.at("data").value("device", "") == id;
	});
	for (auto &[execute, arguments] : unplug_steps(*found))
		qmp(execute, std::move(arguments));
	state_->plugged.erase(found);
}

void guest::pause()
{
	qmp("stop");
}

void guest::resume()
{
	qmp("cont");
}

void guest::suspend()
{
	const auto &options = state_->options;
	if (options.image != boot_image::bzimage || options.control != control_port::serial || options.shares)
		throw error{"suspend: boot with boot_image::bzimage, control_port::serial and .shares = false"};
	state_->suspending = spawn("echo mem >/sys/power/state");
	wait_event("SUSPEND");
}

void guest::wake_up()
{
	if (!state_->suspending)
		throw error{"wake_up: not suspended"};
	qmp("system_wakeup");
	wait_event("WAKEUP");
	const auto outcome = state_->suspending->wait();
	state_->suspending.reset();
	if (outcome.exit != 0)
		state_->fail("suspend failed: " + outcome.err);
	// Waking up resets q35's south bridge, and SeaBIOS does not bring the
	// ACPI registers back: the machine could neither power off nor sleep
	// again. So do what the firmware did at boot: PMBASE and ACPI_CNTL.
	check("lpc=/sys/bus/pci/devices/0000:00:1f.0/config; "
	      "printf '\\001\\006\\000\\000' | dd of=$lpc bs=4 seek=16 conv=notrunc 2>/dev/null && "
	      "printf '\\200' | dd of=$lpc bs=1 seek=68 conv=notrunc 2>/dev/null");
}

void guest::reset()
{
	const auto before = state_->control->boots();
	const auto set_action = [&](const char *action) { qmp("set-action", {{"reboot", action}}); };
	if (!state_->options.allow_reboot)
		set_action("reset");
	qmp("system_reset");
	state_->module_loaded = false;
	state_->control->wait_boots(before, state_->options.boot_limit);
	// Only now: SeaBIOS answers a reset of a used machine with another one.
	if (!state_->options.allow_reboot)
		set_action("shutdown");
	if (state_->options.module == module_load::automatic)
		load_module();
}

void guest::wait_boot(milliseconds limit)
{
	state_->control->wait_boots(state_->control->boots(), limit);
}

/* ---- the end ---- */

bool guest::running() const
{
	return state_->qemu->running();
}

int guest::qemu_pid() const
{
	return state_->qemu->pid();
}

void guest::kill9()
{
	state_->qemu->kill9();
	state_->control->close();
	state_->monitor->close();
}

void guest::shutdown()
{
	if (state_->module_loaded) {
		unload_module();
		check_leaks(*this);
	}
	keep_coverage(*this);
	sync_logs();
	state_->control->power_off();
	const auto ended = state_->qemu->wait_for(nominal::exit);
	if (!ended)
		state_->fail("the guest was told to power off, but QEMU does not end");
	if (ended->exit != 0)
		state_->fail(fmt::format("QEMU exited with {}", ended->exit));
}

int guest::wait_exit(milliseconds limit)
{
	const auto ended = state_->qemu->wait_for(limit);
	if (!ended)
		throw deadline_error{"QEMU does not end" + tail()};
	return ended->exit;
}

/* ---- logs ---- */

std::string guest::console() const
{
	return text_of(state_->dir / "console");
}

std::string guest::dmesg() const
{
	return state_->control->log();
}

void guest::sync_logs()
{
	state_->control->ping();
}

void guest::wait_log(std::string_view text, milliseconds limit)
{
	const auto there = [&] {
		return dmesg().find(text) != std::string::npos ||
		       console().find(text) != std::string::npos;
	};
	const auto deadline = deadline_after(limit);
	while (!there()) {
		if (clock::now() > deadline)
			throw deadline_error{"no \"" + std::string{text} + "\" in the logs" + tail()};
		usleep(10'000);
	}
}

std::string guest::tail(std::size_t lines) const
{
	return state_->tail(lines);
}

const guest_options &guest::options() const
{
	return state_->options;
}

} // namespace harness
