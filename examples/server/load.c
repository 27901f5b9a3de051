// Load for the server next to it: connections that stay open, one thread each, and every answer held against the one
// it must be. argv: port, connections, seconds, place (sum or cgi). Prints one line of JSON.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int port, seconds;
static const char *place;

/* A histogram of microseconds: the last bucket holds all that are longer. */
enum { BUCKETS = 100000 };

struct result {
	uint64_t requests, wrong, dropped;
	uint32_t by[3];
	uint32_t *us;
};

static const char *const names[] = {"loop", "formula", "table"};

static uint64_t now_us(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_nsec / 1000;
}

static int connected(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}

/* Reads one answer; its body, or NULL where the connection ended before it was whole. */
static const char *answer(int fd, char *text, size_t size)
{
	size_t length = 0;

	for (;;) {
		ssize_t more = read(fd, text + length, size - 1 - length);
		char *body, *told;

		if (more <= 0)
			return NULL;
		length += (size_t)more;
		text[length] = 0;
		body = strstr(text, "\r\n\r\n");
		told = strstr(text, "Content-Length: ");
		if (body && told && (size_t)(body + 4 - text) + strtoul(told + 16, NULL, 10) == length)
			return body + 4;
	}
}

static int is_right(const char *text, const char *body, uint64_t n, struct result *result)
{
	char by[16];
	unsigned long long sum;
	size_t i;

	if (strncmp(text, "HTTP/1.1 200", 12) != 0 || sscanf(body, "%15s %llu", by, &sum) != 2 ||
	    sum != n * (n + 1) * (2 * n + 1) / 6)
		return 0;
	for (i = 0; i < 3; i++) {
		if (strcmp(by, names[i]) == 0) {
			result->by[i]++;
			return 1;
		}
	}
	return 0;
}

static void *load(void *at)
{
	struct result *result = at;
	uint64_t end = now_us() + (uint64_t)seconds * 1000000;
	char text[1024];
	unsigned n;
	int fd = connected();

	if (fd < 0)
		result->dropped++;
	for (n = 1; fd >= 0 && now_us() < end; n = n % 1000 + 1) {
		uint64_t began = now_us(), us;
		int length = snprintf(text, sizeof text, "GET /%s/%u HTTP/1.1\r\nHost: localhost\r\n\r\n", place, n);
		const char *body = write(fd, text, (size_t)length) == length ? answer(fd, text, sizeof text) : NULL;

		if (!body) {
			result->dropped++;
			break;
		}
		us = now_us() - began;
		result->requests++;
		result->wrong += !is_right(text, body, n, result);
		result->us[us < BUCKETS ? us : BUCKETS - 1]++;
	}
	close(fd);
	return NULL;
}

static int percentile(const uint32_t *us, uint64_t requests, double share)
{
	uint64_t seen = 0;
	int i;

	for (i = 0; i < BUCKETS - 1; i++) {
		seen += us[i];
		if ((double)seen >= share * (double)requests)
			return i;
	}
	return BUCKETS - 1;
}

int main(int argc, char **argv)
{
	int connections = argc > 2 ? atoi(argv[2]) : 4, i, b;
	struct result all = {0}, *results = calloc((size_t)connections, sizeof *results);
	pthread_t *threads = calloc((size_t)connections, sizeof *threads);

	port = argc > 1 ? atoi(argv[1]) : 0;
	seconds = argc > 3 ? atoi(argv[3]) : 2;
	place = argc > 4 ? argv[4] : "sum";
	all.us = calloc(BUCKETS, sizeof *all.us);
	for (i = 0; i < connections; i++) {
		results[i].us = calloc(BUCKETS, sizeof *all.us);
		pthread_create(&threads[i], NULL, load, &results[i]);
	}
	for (i = 0; i < connections; i++) {
		pthread_join(threads[i], NULL);
		all.requests += results[i].requests;
		all.wrong += results[i].wrong;
		all.dropped += results[i].dropped;
		for (b = 0; b < 3; b++)
			all.by[b] += results[i].by[b];
		for (b = 0; b < BUCKETS; b++)
			all.us[b] += results[i].us[b];
	}
	printf("{\"requests\": %llu, \"wrong\": %llu, \"dropped\": %llu, \"p50\": %d, \"p99\": %d, "
	       "\"by\": {\"loop\": %u, \"formula\": %u, \"table\": %u}}\n",
	       (unsigned long long)all.requests, (unsigned long long)all.wrong, (unsigned long long)all.dropped,
	       percentile(all.us, all.requests, 0.5), percentile(all.us, all.requests, 0.99), all.by[0], all.by[1],
	       all.by[2]);
	return all.wrong + all.dropped > 0;
}
