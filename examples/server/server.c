// A small web server whose request path can be changed while it serves: hooks that are off until they are
// wanted, and a handler with three implementations. Worker threads share one epoll; nothing but libc is linked.
//
//   GET /sum/N             1 + 4 + 9 + ... + N*N, and which implementation said so
//   GET /cgi/N             the same from a forked child
//   GET /admin/route/NAME  loop, formula or table: retargets the handler of /sum
//   GET /admin/hooks/on    counts requests and bytes from now on; /off stops that, /show tells
//   GET /admin/renew       one worker ends and another one starts
//
// Built with `static-call cc --runtime` the admin commands work by themselves. Built without, they are answered 503,
// and an operator retargets the server from outside: static-call set PID route=table.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <static_call.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- What can be changed --------------------------------------------------------------------------- */

struct answer {
	const char *by;
	uint64_t sum;
};

static struct answer route_loop(unsigned n)
{
	struct answer answer = {"loop", 0};
	uint64_t i;

	for (i = 1; i <= n; i++)
		answer.sum += i * i;
	return answer;
}

static struct answer route_formula(unsigned n)
{
	struct answer answer = {"formula", (uint64_t)n * (n + 1u) * (2u * (uint64_t)n + 1u) / 6u};

	return answer;
}

enum { MOST = 1000 };
static uint64_t sums[MOST + 1];

static struct answer route_table(unsigned n)
{
	struct answer answer = {"table", sums[n]};

	return answer;
}

DEFINE_STATIC_CALL(route, route_loop);
STATIC_CALL_TARGET(route, route_formula);
STATIC_CALL_TARGET(route, route_table);

static uint64_t requests, bytes;
static void count_request(void) { __atomic_add_fetch(&requests, 1, __ATOMIC_RELAXED); }
static void count_bytes(size_t size) { __atomic_add_fetch(&bytes, size, __ATOMIC_RELAXED); }

DEFINE_STATIC_CALL_NULL(on_request, count_request);
STATIC_CALL_TARGET(on_request, count_request);
DEFINE_STATIC_CALL_NULL(on_bytes, count_bytes);
STATIC_CALL_TARGET(on_bytes, count_bytes);

/* ---- Answers --------------------------------------------------------------------------------------- */

struct reply {
	int status;
	char body[256];
};

__attribute__((format(printf, 3, 4))) static void say(struct reply *reply, int status, const char *format, ...)
{
	va_list rest;

	va_start(rest, format);
	reply->status = status;
	vsnprintf(reply->body, sizeof reply->body, format, rest);
	va_end(rest);
}

static void sum(struct reply *reply, const char *number)
{
	unsigned long n = strtoul(number, NULL, 10);
	struct answer answer;

	if (n > MOST) {
		say(reply, 404, "at most %d", MOST);
		return;
	}
	answer = static_call(route)((unsigned)n);
	say(reply, 200, "%s %llu", answer.by, (unsigned long long)answer.sum);
}

/* The child's calls go where its parent's went at the moment of the fork. */
static void cgi(struct reply *reply, const char *number)
{
	int ends[2];
	ssize_t length = 0;
	pid_t child;

	if (pipe2(ends, O_CLOEXEC) != 0) {
		say(reply, 500, "pipe: %s", strerror(errno));
		return;
	}
	child = fork();
	if (child == 0) {
		sum(reply, number);
		length = write(ends[1], reply, sizeof *reply);
		_exit(length == sizeof *reply ? 0 : 1);
	}
	close(ends[1]);
	if (child > 0) {
		length = read(ends[0], reply, sizeof *reply);
		while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
			;
	}
	close(ends[0]);
	if (length != sizeof *reply)
		say(reply, 500, "the child did not answer");
}

/* ---- Commands -------------------------------------------------------------------------------------- */

static void told(struct reply *reply, int result)
{
	if (result == 0)
		say(reply, 200, "done");
	else
		say(reply, 503, "%s", strerror(-result));
}

static void admin_route(struct reply *reply, const char *name)
{
	if (strcmp(name, "loop") == 0)
		told(reply, static_call_update(route, route_loop));
	else if (strcmp(name, "formula") == 0)
		told(reply, static_call_update(route, route_formula));
	else if (strcmp(name, "table") == 0)
		told(reply, static_call_update(route, route_table));
	else
		say(reply, 404, "no route %s", name);
}

/* Both hooks at once where the program has a runtime of its own, one after the other where Node serves it. */
static int set_hooks(int on)
{
#ifdef STATIC_CALL_RUNTIME
	const struct static_call_change hooks[] = {
		STATIC_CALL_CHANGE(on_request, on ? count_request : NULL),
		STATIC_CALL_CHANGE(on_bytes, on ? count_bytes : NULL),
	};

	return static_call_update_batch(hooks, 2);
#else
	int first = static_call_update(on_request, on ? count_request : NULL);

	return first != 0 ? first : static_call_update(on_bytes, on ? count_bytes : NULL);
#endif
}

static void admin_hooks(struct reply *reply, const char *what)
{
	if (strcmp(what, "show") == 0)
		say(reply, 200, "%llu requests %llu bytes", (unsigned long long)__atomic_load_n(&requests, __ATOMIC_RELAXED),
		    (unsigned long long)__atomic_load_n(&bytes, __ATOMIC_RELAXED));
	else
		told(reply, set_hooks(strcmp(what, "on") == 0));
}

static int leaving;
static void start_worker(void);
static void admin_renew(struct reply *reply, const char *none)
{
	(void)none;
	start_worker();
	__atomic_add_fetch(&leaving, 1, __ATOMIC_RELAXED);
	say(reply, 200, "done");
}

static const struct {
	const char *prefix;
	void (*serve)(struct reply *reply, const char *rest);
} places[] = {
	{"/sum/", sum},
	{"/cgi/", cgi},
	{"/admin/route/", admin_route},
	{"/admin/hooks/", admin_hooks},
	{"/admin/renew", admin_renew},
};

static void serve(struct reply *reply, const char *path)
{
	size_t i;

	static_call_cond(on_request)();
	for (i = 0; i < sizeof places / sizeof *places; i++) {
		if (strncmp(path, places[i].prefix, strlen(places[i].prefix)) == 0) {
			places[i].serve(reply, path + strlen(places[i].prefix));
			return;
		}
	}
	say(reply, 404, "nothing here");
}

/* ---- Connections ----------------------------------------------------------------------------------- */

struct connection {
	int socket;
	size_t length;
	char text[2048];
};

static int epoll;

static int send_all(int socket, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t sent = send(socket, text, length, MSG_NOSIGNAL);

		if (sent < 0 && errno != EINTR && errno != EAGAIN)
			return -1;
		if (sent > 0) {
			text += sent;
			length -= (size_t)sent;
		}
	}
	return 0;
}

/* Answers one request, whose head ends with a 0 now. */
static int answer_head(int socket, char *head)
{
	char text[512], path[128] = "";
	struct reply reply;
	int length;

	if (sscanf(head, "GET %127s HTTP/1.1", path) != 1)
		say(&reply, 400, "no request");
	else
		serve(&reply, path);
	length = snprintf(text, sizeof text,
			  "HTTP/1.1 %d -\r\nContent-Length: %zu\r\nContent-Type: text/plain\r\n\r\n%s", reply.status,
			  strlen(reply.body), reply.body);
	static_call_cond(on_bytes)((size_t)length);
	return send_all(socket, text, (size_t)length);
}

/* Reads what is there and answers every whole request in it; -1 when the connection is over. */
static int answer_all(struct connection *connection)
{
	for (;;) {
		char *text = connection->text, *end;
		ssize_t more = read(connection->socket, text + connection->length,
				    sizeof connection->text - 1 - connection->length);

		if (more < 0 && (errno == EAGAIN || errno == EINTR))
			return 0;
		if (more <= 0)
			return -1;
		connection->length += (size_t)more;
		text[connection->length] = 0;
		while ((end = strstr(connection->text, "\r\n\r\n")) != NULL) {
			*end = 0;
			if (answer_head(connection->socket, connection->text) != 0)
				return -1;
			connection->length -= (size_t)(end + 4 - text);
			memmove(text, end + 4, connection->length + 1);
		}
		if (connection->length == sizeof connection->text - 1)
			return -1;
	}
}

/* One event at a time for each socket, so that no two workers have it. */
static void await(int socket, void *data, int how)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLONESHOT, .data.ptr = data};

	epoll_ctl(epoll, how, socket, &event);
}

static void accept_all(int listener)
{
	int socket;

	while ((socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct connection *connection = calloc(1, sizeof *connection);

		if (!connection) {
			close(socket);
			continue;
		}
		connection->socket = socket;
		await(socket, connection, EPOLL_CTL_ADD);
	}
}

static int listener;

static int leaves(void)
{
	int count = __atomic_load_n(&leaving, __ATOMIC_RELAXED);

	return count > 0 &&
	       __atomic_compare_exchange_n(&leaving, &count, count - 1, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void *work(void *none)
{
	while (!leaves()) {
		struct epoll_event event;
		struct connection *connection;

		if (epoll_wait(epoll, &event, 1, 100) != 1)
			continue;
		connection = event.data.ptr;
		if (!connection) {
			accept_all(listener);
			await(listener, NULL, EPOLL_CTL_MOD);
		} else if (answer_all(connection) == 0) {
			await(connection->socket, connection, EPOLL_CTL_MOD);
		} else {
			close(connection->socket);
			free(connection);
		}
	}
	return none;
}

static void start_worker(void)
{
	pthread_t worker;

	if (pthread_create(&worker, NULL, work, NULL) == 0)
		pthread_detach(worker);
}

/* A signal may interrupt any thread anywhere, and its handler calls through the same key. */
static void on_signal(int signal)
{
	(void)signal;
	static_call_cond(on_request)();
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	socklen_t size = sizeof address;
	int workers = argc > 1 ? atoi(argv[1]) : 2, one = 1;
	unsigned n;

	for (n = 1; n <= MOST; n++)
		sums[n] = sums[n - 1] + (uint64_t)n * n;
	sigaction(SIGUSR1, &action, NULL);
	epoll = epoll_create1(EPOLL_CLOEXEC);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 128) != 0 ||
	    getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
		perror("listen");
		return 1;
	}
	await(listener, NULL, EPOLL_CTL_ADD);
	printf("port %d\n", ntohs(address.sin_port));
	fflush(stdout);
	for (; workers > 0; workers--)
		start_worker();
	/* It lives as long as the program that started it. */
	while (getchar() != EOF)
		;
	return 0;
}
