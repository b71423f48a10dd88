/* SPDX-License-Identifier: MIT */
/* The C interface, from C, against the shared object. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kvmchan/kvmchan.h"

#define CHECK(condition)                                                              \
	do {                                                                          \
		if (!(condition)) {                                                   \
			fprintf(stderr, "%s:%d: %s; last error: %s\n", __FILE__,      \
				__LINE__, #condition, kvmchan_error_text());          \
			exit(1);                                                      \
		}                                                                     \
	} while (0)

static char name[64];

static void remove_object(void)
{
	char path[128];

	snprintf(path, sizeof(path), "/dev/shm/%s", name);
	unlink(path);
}

static void create(void)
{
	struct kvmchan_slot_options slots[3] = {
		{ sizeof(slots[0]), "bytes", 1, 0, { KVMCHAN_SIDE_HOST, KVMCHAN_SIDE_ANY }, { 4096, 8192 } },
		{ sizeof(slots[0]), "records", 1, 1, { KVMCHAN_SIDE_HOST, KVMCHAN_SIDE_HOST }, { 4096, 4096 } },
		{ sizeof(slots[0]), "block", 2, 0, { KVMCHAN_SIDE_HOST, KVMCHAN_SIDE_HOST }, { 12288, 0 } },
	};
	struct kvmchan_create_options options = {
		.struct_size = sizeof(options), .size = 1 << 20, .slot = slots, .slot_count = 3,
	};

	CHECK(kvmchan_region_create(name, &options) == 0);
	CHECK(kvmchan_region_create(name, &options) == -EEXIST);
	CHECK(strstr(kvmchan_error_text(), "formatted already"));
	options.struct_size = 3;
	CHECK(kvmchan_region_create(name, &options) == -EINVAL);
	options.struct_size = sizeof(options);
	options.replace = 1;
	CHECK(kvmchan_region_create(name, &options) == 0);
	CHECK(kvmchan_region_create(NULL, &options) == -EINVAL);
}

static struct kvmchan_region *open_region(void)
{
	struct kvmchan_region *region = NULL;

	CHECK(kvmchan_region_open("no-such-object-of-kvmchan", NULL, &region) == -ENOENT);
	CHECK(!region);
	CHECK(kvmchan_region_attach("/no/such/socket", NULL, &region) == -ENOENT);
	CHECK(kvmchan_region_open(name, NULL, &region) == 0);
	return region;
}

static void check_table(struct kvmchan_region *region)
{
	struct kvmchan_region_info info = { .struct_size = sizeof(info) };
	struct kvmchan_slot_info slot = { .struct_size = sizeof(slot) };
	uint16_t ids[4];

	CHECK(kvmchan_region_describe(region, &info) == 0);
	CHECK(info.size == 1 << 20 && info.slot_count == 64 && !info.sealed && !info.vectors);
	CHECK(kvmchan_region_slot(region, 0, &slot) == 1);
	CHECK(!strcmp(slot.name, "bytes") && slot.size[1] == 8192 && slot.side[1] == KVMCHAN_SIDE_ANY);
	CHECK(kvmchan_region_slot(region, 3, &slot) == 0);
	CHECK(kvmchan_region_slot(region, info.slot_count, &slot) == -ERANGE);
	CHECK(kvmchan_region_peers(region, ids, 4) == -ENOTCONN);
	CHECK(kvmchan_region_ring(region, 0, 0) == -ENOTCONN);
}

static void check_ends(struct kvmchan_channel *a, struct kvmchan_channel *b)
{
	struct kvmchan_counters counters = { .struct_size = sizeof(counters) };
	struct kvmchan_lowat marks = { 1, 1 };
	struct kvmchan_info info;

	CHECK(kvmchan_channel_info(a, &info) == 0);
	CHECK(!strcmp((char *)info.name, "bytes") && info.side == 0);
	CHECK(info.tx_size == 4096 && info.rx_size == 8192 && info.peer == 0xffffffff);
	CHECK(kvmchan_channel_counters(a, &counters) == 0);
	CHECK(counters.tx_bytes == 4096 && counters.struct_size == sizeof(counters));
	CHECK(kvmchan_channel_state(b) == KVMCHAN_STATE_CONNECTED);
	CHECK(kvmchan_channel_set_lowat(a, &marks) == 0);
	marks.rx = 4097;
	CHECK(kvmchan_channel_set_lowat(a, &marks) == -ERANGE);
	CHECK(kvmchan_channel_lowat(a, &marks) == 0 && marks.rx == 1 && marks.tx == 1);
	CHECK(kvmchan_channel_device_handle(a) == -ENODEV);
	CHECK(kvmchan_channel_handle(a) >= 0);
	CHECK(kvmchan_channel_is_nonblocking(a) == 0);
}

static void check_bytes(struct kvmchan_region *region)
{
	struct kvmchan_channel_options options = {
		.struct_size = sizeof(options), .flags = KVMCHAN_SIDE | KVMCHAN_NONBLOCK, .side = 1,
	};
	struct kvmchan_channel *a, *b;
	static char block[8192];

	CHECK(kvmchan_channel_connect(region, "nonesuch", NULL, &a) == -ENOENT && !a);
	CHECK(kvmchan_channel_connect(region, "block", NULL, &a) == -EINVAL);
	CHECK(kvmchan_channel_connect(region, "bytes", NULL, &a) == 0);
	CHECK(kvmchan_channel_connect(region, "bytes", &options, &b) == 0);
	CHECK(kvmchan_channel_read(b, block, sizeof(block)) == -EAGAIN);
	CHECK(kvmchan_channel_write(a, block, sizeof(block)) == 4096);
	CHECK(kvmchan_channel_data_ready(b) == 4096);
	CHECK(kvmchan_channel_buffer_space(a) == 0);
	CHECK(kvmchan_channel_wait(b, KVMCHAN_EVENT_READABLE, -1) == KVMCHAN_EVENT_READABLE);
	CHECK(kvmchan_channel_wait(b, 128, 0) == -EINVAL);
	CHECK(kvmchan_channel_read(b, block, sizeof(block)) == 4096);
	CHECK(kvmchan_channel_send(a, block, 1) == -ENOTSUP);
	check_ends(a, b);
	CHECK(kvmchan_channel_write_all(a, "bye", 3) == 0);
	CHECK(kvmchan_channel_shutdown(a, SHUT_WR) == 0);
	CHECK(kvmchan_channel_shutdown(a, 17) == -EINVAL);
	CHECK(kvmchan_channel_write(a, "x", 1) == -EPIPE);
	CHECK(kvmchan_channel_read(b, block, sizeof(block)) == 3 && !memcmp(block, "bye", 3));
	CHECK(kvmchan_channel_read(b, block, sizeof(block)) == 0);
	kvmchan_channel_close(a);
	CHECK(kvmchan_channel_wait(b, 0, 0) == KVMCHAN_EVENT_HANGUP);
	CHECK(kvmchan_channel_reconnect(b) == 0);
	CHECK(kvmchan_channel_state(b) == KVMCHAN_STATE_WAITING);
	kvmchan_channel_close(b);
	kvmchan_channel_close(NULL);
	options.flags |= 1u << 31;
	CHECK(kvmchan_channel_connect(region, "bytes", &options, &b) == -EINVAL && !b);
	CHECK(kvmchan_channel_open("/dev/null", NULL, &a) == -ENOTTY);
	CHECK(strstr(kvmchan_error_text(), "/dev/null"));
}

static void check_records(struct kvmchan_region *region)
{
	struct kvmchan_channel *a, *b;
	char buffer[4];
	size_t length;

	CHECK(kvmchan_channel_connect(region, "records", NULL, &a) == 0);
	CHECK(kvmchan_channel_connect(region, "records", NULL, &b) == 0);
	CHECK(kvmchan_channel_send(a, "longer", 6) == 0);
	CHECK(kvmchan_channel_send(a, "", 0) == -EINVAL);
	CHECK(kvmchan_channel_recv(b, buffer, sizeof(buffer), &length) == 1);
	CHECK(length == 6 && !memcmp(buffer, "long", 4));
	kvmchan_channel_close(a);
	CHECK(kvmchan_channel_recv(b, buffer, sizeof(buffer), &length) == 0);
	kvmchan_channel_close(b);
}

static void check_windows(struct kvmchan_region *region)
{
	struct kvmchan_channel *a, *b;
	char text[2][8] = { "one", "other" };
	struct iovec out[2] = { { text[0], 3 }, { text[1], 5 } };
	char buffer[2][8];
	struct iovec in[2] = { { buffer[0], 8 }, { buffer[1], 8 } };
	const void *seen;
	void *room;
	size_t size;

	CHECK(kvmchan_channel_connect(region, "records", NULL, &a) == 0);
	CHECK(kvmchan_channel_connect(region, "records", NULL, &b) == 0);
	CHECK(kvmchan_channel_commit(a, 0) == 0 && kvmchan_channel_commit(a, 1) == -EINVAL);
	CHECK(kvmchan_channel_reserve(a, 5000, &room, &size) == -EMSGSIZE && !room && !size);
	CHECK(kvmchan_channel_reserve(a, 5, &room, &size) == 0 && size == 4088);
	memcpy(room, "hello", 5);
	CHECK(kvmchan_channel_commit(a, 5) == 0);
	CHECK(kvmchan_channel_peek(b, 1, &seen, &size) == 1 && size == 5 && !memcmp(seen, "hello", 5));
	CHECK(kvmchan_channel_consume(b, 6) == -EINVAL && kvmchan_channel_consume(b, 5) == 0);
	CHECK(kvmchan_channel_send_many(a, out, 2) == 2);
	CHECK(kvmchan_channel_recv_many(b, in, 2) == 2);
	CHECK(in[1].iov_len == 5 && !memcmp(buffer[1], "other", 5));
	kvmchan_channel_close(a);
	CHECK(kvmchan_channel_peek(b, 1, &seen, &size) == 0 && !size);
	CHECK(kvmchan_channel_recv_many(b, in, 2) == 0);
	kvmchan_channel_close(b);
}

static void check_memory(struct kvmchan_region *region)
{
	struct kvmchan_memory *a, *b;
	uint64_t count = 0;

	CHECK(kvmchan_memory_connect(region, "block", &a) == 0);
	CHECK(kvmchan_memory_connect(region, "block", &b) == 0);
	CHECK(kvmchan_memory_size(a) == 12288);
	memcpy(kvmchan_memory_address(a), "shared", sizeof("shared"));
	CHECK(!strcmp(kvmchan_memory_address(b), "shared"));
	CHECK(kvmchan_memory_wait(b, &count, 0) == -ETIMEDOUT);
	CHECK(kvmchan_memory_signal(a) == 0);
	CHECK(kvmchan_memory_wait(b, &count, -1) == 0 && count == 1);
	CHECK(kvmchan_memory_count(b, &count) == 0 && count == 1);
	kvmchan_memory_close(a);
	kvmchan_memory_close(b);
}

static void check_devices(void)
{
	struct kvmchan_device *device;

	CHECK(kvmchan_devices(NULL, 0) >= 0);
	CHECK(kvmchan_nodes(NULL, 0) >= 0);
	CHECK(kvmchan_device_open("nowhere", &device) == -ENODEV);
}

int main(void)
{
	struct kvmchan_region *region;

	snprintf(name, sizeof(name), "kvmchan-test-c-%ld", (long)getpid());
	atexit(remove_object);
	CHECK(strlen(kvmchan_version()) >= 5);
	create();
	region = open_region();
	check_table(region);
	check_bytes(region);
	check_records(region);
	check_windows(region);
	check_memory(region);
	check_devices();
	kvmchan_region_close(region);
	return 0;
}
