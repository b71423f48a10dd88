// SPDX-License-Identifier: MIT
#include "kinds.hpp"

#include <csignal>
#include <array>

namespace torture {

namespace {

/* ---- ends ---- */

void kill_host_end(rig &r)
{
	r.host().kill9();
	r.lost(host_side);
}

void kill_guest_end(rig &r)
{
	r.guest_end().kill9();
	r.lost(guest_side);
}

void host_killed(rig &r)
{
	r.strike({host_side}, [&] { kill_host_end(r); }, [&] { r.start(host_side); });
}

void guest_killed(rig &r)
{
	r.strike({guest_side}, [&] { kill_guest_end(r); }, [&] { r.start(guest_side); });
}

void both_killed(rig &r)
{
	r.strike({host_side, guest_side},
	         [&] {
			 kill_host_end(r);
			 kill_guest_end(r);
		 },
	         [&] {
			 const auto first = r.coin() ? host_side : guest_side;
			 r.start(first);
			 r.linger();
			 r.start(first == host_side ? guest_side : host_side);
		 });
}

void closed(rig &r)
{
	r.finish();
	r.start(guest_side);
	r.linger();
	r.start(host_side);
	r.await_traffic();
}

void host_stopped(rig &r)
{
	r.disturb([&] {
		r.host().stop();
		r.linger();
		r.host().cont();
	});
}

/* ---- the machine ---- */

void qemu_stopped(rig &r)
{
	r.disturb([&] {
		::kill(r.machine().qemu_pid(), SIGSTOP);
		r.linger();
		::kill(r.machine().qemu_pid(), SIGCONT);
	});
}

void paused(rig &r)
{
	r.disturb([&] {
		r.machine().pause();
		r.linger();
		r.machine().resume();
	});
}

void qemu_killed(rig &r)
{
	r.strike({guest_side},
	         [&] {
			 r.machine().kill9();
			 r.lost(guest_side);
		 },
	         [&] {
			 r.boot();
			 r.start(guest_side);
		 });
}

void reset(rig &r)
{
	r.strike({guest_side},
	         [&] {
			 // Seen when the driver is there again.
			 r.machine().reset();
			 r.lost(guest_side);
		 },
	         [&] {
			 r.machine().check("cp /tests/torture-end /tmp/");
			 r.start(guest_side);
		 });
}

void unplugged(rig &r)
{
	r.strike({}, [&] { r.unplug(); }, [&] { r.replug(); });
}

void unbound(rig &r)
{
	r.strike({},
	         [&] {
			 r.machine().check("cd /sys/bus/pci/drivers/kvmchan; ls -d 0000:* >/tmp/bound; "
	                                   "for d in $(cat /tmp/bound); do echo $d >unbind; done");
		 },
	         [&] {
			 r.machine().check("cd /sys/bus/pci/drivers/kvmchan; for d in $(cat /tmp/bound); do echo $d >bind; done");
		 });
}

/* A module that is in use cannot be removed: its users leave first. */
void reloaded(rig &r)
{
	r.strike({guest_side},
	         [&] {
			 r.guest_end().signal(SIGTERM);
			 r.guest_end().wait();
			 r.lost(guest_side);
			 r.machine().unload_module();
		 },
	         [&] {
			 r.machine().load_module();
			 r.start(guest_side);
		 });
}

/* ---- the server ---- */

/* One of the ends may die while nobody serves. */
void server_killed(rig &r)
{
	switch (r.random(3)) {
	case 0:
		r.disturb([&] {
			r.server().kill9();
			r.linger();
			r.server().follow();
		});
		break;
	case 1:
		r.await_traffic();
		r.strike({host_side},
		         [&] {
				 r.server().kill9();
				 kill_host_end(r);
				 r.linger();
				 r.server().follow();
			 },
		         [&] { r.start(host_side); });
		break;
	default:
		r.await_traffic();
		r.strike({guest_side},
		         [&] {
				 r.server().kill9();
				 kill_guest_end(r);
				 r.linger();
				 r.server().follow();
			 },
		         [&] { r.start(guest_side); });
	}
}

void server_restarted(rig &r)
{
	if (r.coin()) {
		r.disturb([&] { r.server().restart(); });
		return;
	}
	r.strike({host_side},
	         [&] {
			 kill_host_end(r);
			 r.server().restart();
		 },
	         [&] { r.start(host_side); });
}

constexpr std::array every_kind{
	kind{"host-killed", 25, host_killed},       kind{"guest-killed", 25, guest_killed},
	kind{"both-killed", 10, both_killed},       kind{"closed", 8, closed},
	kind{"host-stopped", 12, host_stopped},     kind{"qemu-stopped", 12, qemu_stopped},
	kind{"paused", 12, paused},                 kind{"qemu-killed", 2, qemu_killed},
	kind{"reset", 2, reset},                    kind{"unplugged", 4, unplugged, false},
	kind{"unbound", 8, unbound, false},                kind{"reloaded", 4, reloaded},
	kind{"server-killed", 9, server_killed},    kind{"server-restarted", 8, server_restarted},
};

} // namespace

std::span<const kind> kinds()
{
	return every_kind;
}

} // namespace torture
