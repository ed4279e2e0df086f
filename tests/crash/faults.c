/* Faults in the system calls of a process that is started with this in LD_PRELOAD; tests/crash/faults.py is its other
 * side, and says what the fields mean.
 *
 * Only calls on what lies under FAULT_ROOT count: by path, by folder descriptor and path, or by what /proc says a
 * descriptor is. FAULT_FOLDER holds `control`, which both sides map, the `trace` of all such calls and of the messages
 * that were sent to sockets, and two pipes: `struck` gets a byte when a call was struck, a held call waits for one from
 * `release`. Everything is counted for the whole process, whichever thread calls; the real calls are made by syscall(2),
 * so that the names of one call (pwrite, pwrite64, …) need only one place here.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN, WRITE, FSYNC, FDATASYNC, SYNCFS, FTRUNCATE, FALLOCATE, CHMOD, UNLINK, MKDIR, RENAME, SEND };
enum action { NOTHING, FAIL, SHORTEN, CRASH_BEFORE, CRASH_AFTER, CUT_BEFORE, CUT_AFTER, HOLD };
static const char *const names[] = {"open",   "write", "fsync",  "fdatasync", "syncfs", "ftruncate", "fallocate",
                                    "chmod", "unlink", "mkdir", "rename",    "send"};

struct control {
    _Atomic uint32_t ticks, action;
    uint32_t kinds, nth, onwards, error;
    _Atomic uint32_t seen, struck;
    char part[96];
};

struct call {
    enum kind kind;
    int counts, descriptor;
    uint32_t began;
    long offset, length;
    char path[4096];
};

#define PATH_LENGTH ((int)sizeof(((struct call *)0)->path))

static struct control *control;
static const char *root;
static int trace = -1, struck = -1, release = -1;

static int opened(const char *folder, const char *name) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC | O_APPEND, 0);
}

__attribute__((constructor)) static void start(void) {
    const char *folder = getenv("FAULT_FOLDER");
    root = getenv("FAULT_ROOT");
    if (!folder || !root) return;
    trace = opened(folder, "trace"), struck = opened(folder, "struck"), release = opened(folder, "release");
    int descriptor = opened(folder, "control");
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (trace < 0 || struck < 0 || release < 0 || mapped == MAP_FAILED) {
        perror("faults");
        _exit(127);
    }
    close(descriptor);
    control = mapped;
}

/* ------------------------------------------------------------------------------------------- which call, and where */

static void look_at(struct call *call, enum kind kind, int descriptor, const char *path) {
    char link[64], *end = call->path;
    int saved = errno;
    *call = (struct call){.kind = kind, .descriptor = descriptor, .offset = -1, .length = -1};
    if (!control) return;
    if (path && !strcmp(path, ".")) path = NULL;
    if (!path || path[0] != '/') {
        if (descriptor == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        long size = syscall(SYS_readlinkat, AT_FDCWD, link, call->path, PATH_LENGTH - 1);
        end += size > 0 ? size : 0;
        if (path) *end++ = '/';
    }
    if (path) snprintf(end, PATH_LENGTH - (end - call->path), "%s", path);
    size_t size = strlen(root);
    call->counts = !strncmp(call->path, root, size) && (call->path[size] == '/' || !call->path[size]);
    call->began = atomic_fetch_add(&control->ticks, call->counts ? 1 : 0);
    errno = saved;
}

static void note(const struct call *call, const char *path, long result, int error) {
    char line[8192];
    uint32_t ended = atomic_fetch_add(&control->ticks, 1);
    int size = snprintf(line, sizeof line, "%u\t%u\t%s\t%d\t%ld\t%ld\t%ld\t%d\t%s\n", call->began, ended,
                        names[call->kind], call->descriptor, call->offset, call->length, result,
                        result < 0 ? error : 0, path);
    syscall(SYS_write, trace, line, size < (int)sizeof line ? size : (int)sizeof line - 1);
}

/* -------------------------------------------------------------------------------------------------- what befalls it */

/* Whether the path contains the part, or ends with it when the part ends with a dollar sign. */
static int lies(const char *path, const char *part) {
    size_t size = strlen(part), length = strlen(path);
    if (!size || part[size - 1] != '$') return strstr(path, part) != NULL;
    return length >= size - 1 && !strncmp(path + length - (size - 1), part, size - 1);
}

static enum action befalls(const struct call *call) {
    enum action action = atomic_load(&control->action);
    if (!call->counts || action == NOTHING || !(control->kinds >> call->kind & 1)) return NOTHING;
    if (!lies(call->path, control->part)) return NOTHING;
    uint32_t seen = atomic_fetch_add(&control->seen, 1) + 1;
    if (seen != control->nth && !(control->onwards && seen > control->nth)) return NOTHING;
    atomic_fetch_add(&control->struck, 1);
    syscall(SYS_write, struck, "!", 1);
    return action;
}

static void crash(int power) {
    if (power) {
        uint32_t without_log = 2; /* see tests/crash/power.py */
        int folder = (int)syscall(SYS_openat, AT_FDCWD, root, O_RDONLY | O_DIRECTORY, 0);
        if (ioctl(folder, 0x8004587d, &without_log)) perror("faults: the power cannot be cut");
    }
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether the real call is to be made. */
static int goes_on(const struct call *call, enum action action) {
    char byte;
    if (action == CRASH_BEFORE || action == CUT_BEFORE) {
        note(call, call->path, -1, ECANCELED);
        crash(action == CUT_BEFORE);
    }
    if (action == HOLD) while (syscall(SYS_read, release, &byte, 1) < 0 && errno == EINTR) {}
    return action != FAIL;
}

static long done(const struct call *call, enum action action, long result) {
    if (action == FAIL) errno = (int)control->error, result = -1;
    int error = errno;
    if (call->counts) note(call, call->path, result, error);
    if (action == CRASH_AFTER || action == CUT_AFTER) crash(action == CUT_AFTER);
    errno = error;
    return result;
}

#define STRIKING(call, real)                                                                                           \
    enum action action = befalls(&call);                                                                               \
    return done(&call, action, goes_on(&call, action) ? (long)(real) : -1)
#define ALSO(name, same) __typeof__(same) name __attribute__((alias(#same)))

/* -------------------------------------------------------------------------------------------- by path, and syncing */

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    struct call call;
    look_at(&call, OPEN, folder, path);
    call.offset = flags;
    STRIKING(call, syscall(SYS_openat, folder, path, flags, mode));
}

static mode_t mode_of(int flags, va_list arguments) {
    return flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(arguments, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return open_at(folder, path, flags, mode);
}

int mkdirat(int folder, const char *path, mode_t mode) {
    struct call call;
    look_at(&call, MKDIR, folder, path);
    STRIKING(call, syscall(SYS_mkdirat, folder, path, mode));
}

int unlinkat(int folder, const char *path, int flags) {
    struct call call;
    look_at(&call, UNLINK, folder, path);
    STRIKING(call, syscall(SYS_unlinkat, folder, path, flags));
}

int fchmodat(int folder, const char *path, mode_t mode, int flags) {
    struct call call;
    (void)flags;
    look_at(&call, CHMOD, folder, path);
    call.length = mode;
    STRIKING(call, syscall(SYS_fchmodat, folder, path, mode));
}

int fchmod(int descriptor, mode_t mode) {
    struct call call;
    look_at(&call, CHMOD, descriptor, NULL);
    call.length = mode;
    STRIKING(call, syscall(SYS_fchmod, descriptor, mode));
}

int renameat(int from_folder, const char *from, int to_folder, const char *to) {
    struct call call;
    look_at(&call, RENAME, to_folder, to);
    STRIKING(call, syscall(SYS_renameat2, from_folder, from, to_folder, to, 0));
}

int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int chmod(const char *path, mode_t mode) { return fchmodat(AT_FDCWD, path, mode, 0); }
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }

#define SYNCING(name, kind)                                                                                            \
    int name(int descriptor) {                                                                                         \
        struct call call;                                                                                              \
        look_at(&call, kind, descriptor, NULL);                                                                        \
        STRIKING(call, syscall(SYS_##name, descriptor));                                                               \
    }

SYNCING(fsync, FSYNC)
SYNCING(fdatasync, FDATASYNC)
SYNCING(syncfs, SYNCFS)

int ftruncate(int descriptor, off_t length) {
    struct call call;
    look_at(&call, FTRUNCATE, descriptor, NULL);
    call.length = length;
    STRIKING(call, syscall(SYS_ftruncate, descriptor, length));
}

int fallocate(int descriptor, int mode, off_t offset, off_t length) {
    struct call call;
    look_at(&call, FALLOCATE, descriptor, NULL);
    call.offset = offset, call.length = length;
    STRIKING(call, syscall(SYS_fallocate, descriptor, mode, offset, length));
}

int posix_fallocate(int descriptor, off_t offset, off_t length) {
    return fallocate(descriptor, 0, offset, length) ? errno : 0;
}

/* --------------------------------------------------------------------------------------------------------- writing */

static void note_sent(int descriptor, const struct iovec *pieces, int count) {
    char text[2048];
    size_t size = 0;
    struct call call = {.kind = SEND, .descriptor = descriptor, .offset = -1, .length = -1};
    for (int i = 0; i < count; i++)
        for (size_t j = 0; j < pieces[i].iov_len && size < sizeof text - 1; j++) {
            unsigned char byte = ((const unsigned char *)pieces[i].iov_base)[j];
            text[size++] = byte >= ' ' && byte < 127 ? (char)byte : '?';
        }
    text[size] = 0;
    if (!control || !strstr(text, "{\"type\":\"")) return;
    call.began = atomic_fetch_add(&control->ticks, 1);
    note(&call, text, 0, 0);
}

static int is_socket(int descriptor) {
    struct stat status;
    int saved = errno, found = control && !fstat(descriptor, &status) && S_ISSOCK(status.st_mode);
    errno = saved;
    return found;
}

/* Write at `offset`, or at the descriptor's own position when it is -1. */
static ssize_t write_pieces(int descriptor, const struct iovec *pieces, int count, off_t offset) {
    struct call call;
    struct iovec half;
    look_at(&call, WRITE, descriptor, NULL);
    call.offset = offset, call.length = 0;
    for (int i = 0; i < count; i++) call.length += (long)pieces[i].iov_len;
    enum action action = befalls(&call);
    if (action == SHORTEN && call.length > 1 && count > 0) {
        half = (struct iovec){pieces[0].iov_base, (pieces[0].iov_len + 1) / 2};
        pieces = &half, count = 1;
    }
    if (!goes_on(&call, action)) return done(&call, action, -1);
    return done(&call, action, offset < 0 ? syscall(SYS_writev, descriptor, pieces, count)
                                          : syscall(SYS_pwritev, descriptor, pieces, count, offset, 0L));
}

ssize_t writev(int descriptor, const struct iovec *pieces, int count) {
    if (is_socket(descriptor)) note_sent(descriptor, pieces, count);
    return write_pieces(descriptor, pieces, count, -1);
}

ssize_t write(int descriptor, const void *buffer, size_t size) {
    struct iovec piece = {(void *)buffer, size};
    return writev(descriptor, &piece, 1);
}

ssize_t pwritev(int descriptor, const struct iovec *pieces, int count, off_t offset) {
    return write_pieces(descriptor, pieces, count, offset);
}

ssize_t pwritev2(int descriptor, const struct iovec *pieces, int count, off_t offset, int flags) {
    (void)flags;
    return write_pieces(descriptor, pieces, count, offset);
}

ssize_t pwrite(int descriptor, const void *buffer, size_t size, off_t offset) {
    struct iovec piece = {(void *)buffer, size};
    return write_pieces(descriptor, &piece, 1, offset);
}

ssize_t sendto(int descriptor, const void *buffer, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    struct iovec piece = {(void *)buffer, size};
    note_sent(descriptor, &piece, 1);
    return syscall(SYS_sendto, descriptor, buffer, size, flags, to, length);
}

ssize_t send(int descriptor, const void *buffer, size_t size, int flags) {
    return sendto(descriptor, buffer, size, flags, NULL, 0);
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags) {
    note_sent(descriptor, message->msg_iov, (int)message->msg_iovlen);
    return syscall(SYS_sendmsg, descriptor, message, flags);
}

ALSO(open64, open);
ALSO(openat64, openat);
ALSO(ftruncate64, ftruncate);
ALSO(fallocate64, fallocate);
ALSO(posix_fallocate64, posix_fallocate);
ALSO(pwrite64, pwrite);
ALSO(pwritev64, pwritev);
ALSO(pwritev64v2, pwritev2);
