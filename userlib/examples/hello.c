/* SPDX-License-Identifier: MIT */
/*
 * Sends a line and prints the answer. In a guest the argument is a device or a
 * channel's name; on the host a server's socket comes before the name:
 *
 *	hello log			in the guest
 *	hello /run/kvmchan.sock log	on the host
 */
#include <stdio.h>
#include <string.h>

#include <kvmchan/kvmchan.h>

static int open_end(int argc, char **argv, struct kvmchan_channel **out)
{
	struct kvmchan_region *region;
	int error;

	if (argc == 2)
		return kvmchan_channel_open(argv[1], NULL, out);
	error = kvmchan_region_attach(argv[1], NULL, &region);
	if (error)
		return error;
	error = kvmchan_channel_connect(region, argv[2], NULL, out);
	kvmchan_region_close(region);
	return error;
}

int main(int argc, char **argv)
{
	static const char greeting[] = "hello\n";
	struct kvmchan_channel *channel;
	char answer[256];
	ssize_t n;

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: hello [SOCKET] NAME\n");
		return 2;
	}
	if (open_end(argc, argv, &channel)) {
		fprintf(stderr, "hello: %s\n", kvmchan_error_text());
		return 1;
	}
	n = kvmchan_channel_write(channel, greeting, strlen(greeting));
	if (n > 0)
		n = kvmchan_channel_read(channel, answer, sizeof(answer));
	if (n < 0)
		fprintf(stderr, "hello: %s\n", strerror((int)-n));
	else
		fwrite(answer, 1, (size_t)n, stdout);
	kvmchan_channel_close(channel);
	return n < 0;
}
