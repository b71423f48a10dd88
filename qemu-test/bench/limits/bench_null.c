// SPDX-License-Identifier: GPL-2.0-only
/*
 * What read() and write() of a device can reach at best, for benchmarks.
 *
 * /dev/bench-copy moves a request between the caller and a buffer of 1 MiB,
 * round and round; /dev/bench-null takes and gives any number of bytes and
 * moves none, so that only the system call is left.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>

#define BENCH_BUFFER	SZ_1M

static char *buffer;

typedef size_t bench_copy_t(void *at, size_t bytes, struct iov_iter *iter);

static size_t bench_take(void *at, size_t bytes, struct iov_iter *iter)
{
	return copy_from_iter(at, bytes, iter);
}

static size_t bench_give(void *at, size_t bytes, struct iov_iter *iter)
{
	return copy_to_iter(at, bytes, iter);
}

/* The position in the buffer is the file's: nobody shares it meanwhile. */
static ssize_t bench_cycle(struct kiocb *iocb, struct iov_iter *iter,
			   bench_copy_t *copy)
{
	ssize_t done = 0;

	while (iov_iter_count(iter)) {
		size_t at = iocb->ki_pos & (BENCH_BUFFER - 1);
		size_t part = min_t(size_t, iov_iter_count(iter),
				    BENCH_BUFFER - at);
		size_t moved = copy(buffer + at, part, iter);

		iocb->ki_pos += moved;
		done += moved;
		if (moved < part)
			return done ?: -EFAULT;
	}
	return done;
}

static ssize_t bench_copy_write(struct kiocb *iocb, struct iov_iter *from)
{
	return bench_cycle(iocb, from, bench_take);
}

static ssize_t bench_copy_read(struct kiocb *iocb, struct iov_iter *to)
{
	return bench_cycle(iocb, to, bench_give);
}

static ssize_t bench_null_any(struct kiocb *iocb, struct iov_iter *iter)
{
	size_t bytes = iov_iter_count(iter);

	iov_iter_advance(iter, bytes);
	return bytes;
}

static const struct file_operations bench_copy_fops = {
	.owner = THIS_MODULE,
	.read_iter = bench_copy_read,
	.write_iter = bench_copy_write,
};

static const struct file_operations bench_null_fops = {
	.owner = THIS_MODULE,
	.read_iter = bench_null_any,
	.write_iter = bench_null_any,
};

static struct miscdevice bench_copy = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "bench-copy",
	.fops = &bench_copy_fops,
};

static struct miscdevice bench_null = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "bench-null",
	.fops = &bench_null_fops,
};

static int __init bench_init(void)
{
	int err;

	buffer = vzalloc(BENCH_BUFFER);
	if (!buffer)
		return -ENOMEM;
	err = misc_register(&bench_copy);
	if (err)
		goto err_free;
	err = misc_register(&bench_null);
	if (err)
		goto err_copy;
	return 0;

err_copy:
	misc_deregister(&bench_copy);
err_free:
	vfree(buffer);
	return err;
}
module_init(bench_init);

static void __exit bench_exit(void)
{
	misc_deregister(&bench_null);
	misc_deregister(&bench_copy);
	vfree(buffer);
}
module_exit(bench_exit);

MODULE_DESCRIPTION("The limits of read() and write(), for benchmarks of kvmchan");
MODULE_AUTHOR("The kvmchan authors");
MODULE_LICENSE("GPL");
