/* hang: a device call that never comes back, for tests on machines without a driver that hangs.
 *
 * Preloaded, it stands in front of the C library's ioctl(), as libcamera's compatibility layer does. An ioctl on the node
 * $HANG_NODE hangs for as long as the file $HANG_WHILE exists, also against signals. All others go to the kernel.
 *
 *   cc -shared -fPIC -O2 hang.c -o hang.so
 *   LD_PRELOAD=./hang.so HANG_NODE=/dev/null HANG_WHILE=/tmp/hang fanlight run …
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int hangs(int fd)
{
	const char *node = getenv("HANG_NODE");
	char link[64], path[PATH_MAX];
	ssize_t length;

	if (!node)
		return 0;
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof path - 1);
	if (length < 0)
		return 0;
	path[length] = 0;
	return !strcmp(path, node);
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int, unsigned long, ...);
	const char *file = getenv("HANG_WHILE");
	va_list list;
	void *argument;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (!real)
		real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	if (file && hangs(fd))
		while (!access(file, F_OK))
			usleep(20000);
	return real(fd, request, argument);
}
