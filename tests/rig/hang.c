/* hang: a system call that never returns, for tests on machines without a driver that hangs.
 *
 * It is preloaded and replaces functions of the C library. The node $HANG_NODE, which need not exist, opens as /dev/full.
 * An ioctl on it hangs for as long as the file $HANG_WHILE exists, even against signals. So does a connect to the IPv4
 * TCP port $HANG_PORT, even on a non-blocking socket. All other calls go to the kernel.
 *
 *   cc -shared -fPIC -O2 hang.c -o hang.so
 *   LD_PRELOAD=./hang.so HANG_NODE=/dev/video-hangs HANG_WHILE=/tmp/hang fanlight run …
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char device[] = "/dev/full";

static int hangs(int fd)
{
	char link[64], path[PATH_MAX];
	ssize_t length;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	length = readlink(link, path, sizeof path - 1);
	if (length < 0)
		return 0;
	path[length] = 0;
	return !strcmp(path, device);
}

/* Rust's standard library opens files with this function. */
int open64(const char *path, int flags, ...)
{
	static int (*real)(const char *, int, ...);
	const char *node = getenv("HANG_NODE");
	va_list list;
	mode_t mode;

	va_start(list, flags);
	mode = va_arg(list, mode_t);
	va_end(list);
	if (!real)
		real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
	return real(node && !strcmp(path, node) ? device : path, flags, mode);
}

static void hang(void)
{
	const char *file = getenv("HANG_WHILE");

	while (file && !access(file, F_OK))
		usleep(20000);
}

int connect(int fd, const struct sockaddr *to, socklen_t length)
{
	static int (*real)(int, const struct sockaddr *, socklen_t);
	const char *port = getenv("HANG_PORT");

	if (!real)
		real = (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect");
	if (port && to->sa_family == AF_INET && ntohs(((const struct sockaddr_in *)to)->sin_port) == atoi(port))
		hang();
	return real(fd, to, length);
}

int ioctl(int fd, unsigned long request, ...)
{
	static int (*real)(int, unsigned long, ...);
	va_list list;
	void *argument;

	va_start(list, request);
	argument = va_arg(list, void *);
	va_end(list);
	if (!real)
		real = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
	if (hangs(fd))
		hang();
	return real(fd, request, argument);
}
