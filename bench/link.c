/* A long link for bench/link.py: two network namespaces, a TUN device in each, and the packets between them late, at a
 * rate, in a bounded queue, and lost by chance. Packets are those of the wire (no offloads), so a loss is the loss of one.
 *
 *     link DELAY_NS BYTES_PER_SECOND QUEUE_BYTES LOSS SEED
 *
 * DELAY_NS is one way; BYTES_PER_SECOND 0 is no limit; LOSS is a probability, for each packet either way. Says "ready"
 * and the descriptors of the two namespaces, then carries packets until stdin ends, and says what it carried. The
 * namespaces have no names: they are gone with the last process in them, however it ends.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PACKET = 65536, MTU = 1500, WAITING = 20000, AT_A_TIME = 64, SECOND = 1000000000 };
static const char client_address[] = "10.10.0.1", server_address[] = "10.10.0.2";

typedef uint64_t nanoseconds;

struct packet {
    struct packet *next;
    nanoseconds due;
    size_t length;
    char bytes[];
};

struct direction {
    int from, to;
    uint64_t random;     /* the state of its generator */
    nanoseconds free_at; /* when the last byte of its queue will have left */
    struct packet *first, **end;
    uint64_t carried, carried_bytes, lost, dropped, refused;
    nanoseconds latest; /* the most by which a packet came after its time */
};

static nanoseconds delay;
static double rate, queue_bytes, loss;

static void fail(const char *what)
{
    fprintf(stderr, "link: %s: %s\n", what, strerror(errno));
    exit(1);
}

static nanoseconds now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (nanoseconds)time.tv_sec * SECOND + time.tv_nsec;
}

/* splitmix64 (Steele, Lea, Flood 2014), as a fraction of one. */
static double chance(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (double)((z ^ (z >> 31)) >> 11) / (double)(1ULL << 53);
}

static void set(int control, unsigned long what, const char *name, struct ifreq request)
{
    strcpy(request.ifr_name, name);
    if (ioctl(control, what, &request) != 0)
        fail(name);
}

static struct ifreq with_address(const char *text)
{
    struct ifreq request = {0};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(text)};
    memcpy(&request.ifr_addr, &address, sizeof address);
    return request;
}

static void turn_on(const char *switch_)
{
    int descriptor = open(switch_, O_WRONLY);
    if (descriptor < 0 || write(descriptor, "1", 1) != 1)
        fail(switch_);
    close(descriptor);
}

/* Addresses, and a queue so long that the forwarder, and no burst, decides what is dropped. Connections learn nothing
 * from those before them; everything else of TCP is as the system has it. */
static void configure(const char *here, const char *there)
{
    int control = socket(AF_INET, SOCK_DGRAM, 0);
    if (control < 0)
        fail("a socket");
    turn_on("/proc/sys/net/ipv4/tcp_no_metrics_save");
    if (access("/proc/sys/net/ipv6", F_OK) == 0)
        turn_on("/proc/sys/net/ipv6/conf/all/disable_ipv6"); /* what it sends by itself would be among what is lost */
    set(control, SIOCSIFADDR, "far", with_address(here));
    set(control, SIOCSIFDSTADDR, "far", with_address(there));
    set(control, SIOCSIFMTU, "far", (struct ifreq){.ifr_mtu = MTU});
    set(control, SIOCSIFTXQLEN, "far", (struct ifreq){.ifr_qlen = WAITING});
    set(control, SIOCSIFFLAGS, "far", (struct ifreq){.ifr_flags = IFF_UP});
    set(control, SIOCSIFFLAGS, "lo", (struct ifreq){.ifr_flags = IFF_UP});
    close(control);
}

/* A TUN device named "far" in a namespace of its own, whose descriptor goes to `namespace`. */
static int new_end(int *namespace, const char *here, const char *there)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI, .ifr_name = "far"};
    int tun;
    if (unshare(CLONE_NEWNET) != 0)
        fail("a network namespace");
    if ((*namespace = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
        fail("/proc/self/ns/net");
    if ((tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0)
        fail("/dev/net/tun");
    if (ioctl(tun, TUNSETIFF, &request) != 0)
        fail("TUNSETIFF");
    configure(here, there);
    return tun;
}

/* Take a packet onto the link, or lose it, or drop it where the queue is full. */
static void enter(struct direction *way, const char *bytes, size_t length, nanoseconds time)
{
    struct packet *packet;
    double waiting = way->free_at > time ? (double)(way->free_at - time) / SECOND * rate : 0;
    if (chance(&way->random) < loss) {
        way->lost++;
        return;
    }
    if (rate > 0) {
        if (waiting + (double)length > queue_bytes) {
            way->dropped++;
            return;
        }
        way->free_at = (way->free_at > time ? way->free_at : time) + (nanoseconds)((double)length / rate * SECOND);
    }
    if ((packet = malloc(sizeof *packet + length)) == NULL)
        fail("memory");
    packet->next = NULL;
    packet->due = (rate > 0 ? way->free_at : time) + delay;
    packet->length = length;
    memcpy(packet->bytes, bytes, length);
    *way->end = packet;
    way->end = &packet->next;
}

static void take(struct direction *way)
{
    static char bytes[MAX_PACKET];
    nanoseconds time = now();
    for (int count = 0; count < AT_A_TIME; count++) {
        ssize_t length = read(way->from, bytes, sizeof bytes);
        if (length < 0)
            return;
        enter(way, bytes, (size_t)length, time);
    }
}

static void deliver(struct direction *way)
{
    nanoseconds time = now();
    struct packet *packet;
    for (int count = 0; count < AT_A_TIME && (packet = way->first) != NULL && packet->due <= time; count++) {
        if (time - packet->due > way->latest)
            way->latest = time - packet->due;
        if (write(way->to, packet->bytes, packet->length) < 0)
            way->refused++; /* a device that is not up yet, or any more */
        way->carried++;
        way->carried_bytes += packet->length;
        if ((way->first = packet->next) == NULL)
            way->end = &way->first;
        free(packet);
    }
}

/* Until the next packet is due; a second at most. */
static struct timespec patience(const struct direction *ways)
{
    nanoseconds time = now(), due = time + SECOND - 1;
    for (int way = 0; way < 2; way++)
        if (ways[way].first != NULL && ways[way].first->due < due)
            due = ways[way].first->due;
    return (struct timespec){.tv_nsec = due > time ? (long)(due - time) : 0};
}

static void tell(const char *name, const struct direction *way)
{
    printf("%s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", name, way->carried,
           way->carried_bytes, way->lost, way->dropped, way->refused, way->latest);
}

int main(int argc, char **argv)
{
    int client_side, server_side;
    struct direction ways[2] = {{.end = &ways[0].first}, {.end = &ways[1].first}};
    struct pollfd ready[3] = {{.events = POLLIN}, {.events = POLLIN}, {.fd = 0, .events = POLLIN}};
    struct sched_param urgent = {.sched_priority = 1};

    if (argc != 6) {
        fprintf(stderr, "link DELAY_NS BYTES_PER_SECOND QUEUE_BYTES LOSS SEED\n");
        return 2;
    }
    delay = strtoull(argv[1], NULL, 10);
    rate = strtod(argv[2], NULL);
    queue_bytes = strtod(argv[3], NULL);
    loss = strtod(argv[4], NULL);
    ways[0].random = strtoull(argv[5], NULL, 10) * 2;
    ways[1].random = ways[0].random + 1;

    ready[0].fd = ways[0].from = ways[1].to = new_end(&client_side, client_address, server_address);
    ready[1].fd = ways[1].from = ways[0].to = new_end(&server_side, server_address, client_address);
    prctl(PR_SET_TIMERSLACK, 1000);
    sched_setscheduler(0, SCHED_FIFO, &urgent); /* a link does not wait for a processor; without the right it does */
    printf("ready %d %d\n", client_side, server_side);
    fflush(stdout);

    while (!ready[2].revents) {
        struct timespec limit = patience(ways);
        if (ppoll(ready, 3, &limit, NULL) < 0 && errno != EINTR)
            fail("ppoll");
        for (int way = 0; way < 2; way++) {
            take(&ways[way]);
            deliver(&ways[way]);
        }
    }
    tell("to_server", &ways[0]);
    tell("to_client", &ways[1]);
    return 0;
}
