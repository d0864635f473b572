/* Lets the phone's library run on a machine with glibc: what bionic has and glibc has not, or has
 * otherwise. smoke gives the copy it loads these names: an import `sysconf` becomes `Sysconf`.
 *
 * Invariants: layouts on the library's side are bionic's for 64 bits (bits/sysconf.h, netdb.h, pthread.h);
 * what is not translated stops the process and says so, it is never guessed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void refuse(const char *what, long value) {
    fprintf(stderr, "shim.c does not translate %s %ld; add it\n", what, value);
    abort();
}

int *__errno(void) { return &errno; }

int __system_property_get(const char *name, char *value) {
    (void)name;
    *value = 0;
    return 0;
}

int __android_log_write(int priority, const char *tag, const char *text) {
    return fprintf(stderr, "log %d %s: %s\n", priority, tag, text);
}

/* A clock that can be broken on one thread: std panics when the system's fails, and so the smoke test
 * gets a panic out of a library that has no entry for one. */
static __thread int broken;

void Java_Smoke_breakClock(void *env, void *class, unsigned char now) {
    (void)env, (void)class;
    broken = now;
}

int Clock_gettime(clockid_t clock, struct timespec *now) {
    if (broken) {
        errno = EINVAL;
        return -1;
    }
    return clock_gettime(clock, now);
}

long Sysconf(int name) {
    switch (name) {
    case 0x0b: return sysconf(_SC_OPEN_MAX);
    case 0x26: return sysconf(_SC_IOV_MAX);
    case 0x27:
    case 0x28: return sysconf(_SC_PAGESIZE);
    case 0x60: return sysconf(_SC_NPROCESSORS_CONF);
    case 0x61: return sysconf(_SC_NPROCESSORS_ONLN);
    case 0x6f: return sysconf(_SC_HOST_NAME_MAX);
    default: refuse("sysconf", name); return -1;
    }
}

/* bionic's returns a number, as POSIX wants it. */
int Strerror_r(int error, char *text, size_t size) {
    return snprintf(text, size, "%s", strerrordesc_np(error)) < 0 ? EINVAL : 0;
}

/* Unversioned, glibc would hand out the one of 1999, which does not allocate. */
char *Realpath(const char *path, char *resolved) { return realpath(path, resolved); }

struct bionic_addrinfo {
    int flags, family, socktype, protocol;
    socklen_t length;
    char *name;
    struct sockaddr *address;
    struct bionic_addrinfo *next;
};

int Getaddrinfo(const char *node, const char *service, const struct bionic_addrinfo *hints,
                struct bionic_addrinfo **out) {
    struct addrinfo asked = {0}, *found = NULL;
    if (hints) {
        if (hints->flags) refuse("getaddrinfo's flags", hints->flags);
        asked.ai_family = hints->family;
        asked.ai_socktype = hints->socktype;
        asked.ai_protocol = hints->protocol;
    }
    int failed = getaddrinfo(node, service, &asked, &found);
    *out = NULL;
    switch (failed) {
    case 0: break;
    case EAI_AGAIN: return 2;
    case EAI_NONAME: return 8;
    case EAI_SYSTEM: return 11;
    default: return 4; /* EAI_FAIL */
    }
    for (struct addrinfo *it = found; it; it = it->ai_next) {
        struct bionic_addrinfo *made = calloc(1, sizeof *made + it->ai_addrlen);
        if (!made) abort();
        made->family = it->ai_family;
        made->socktype = it->ai_socktype;
        made->protocol = it->ai_protocol;
        made->length = it->ai_addrlen;
        made->address = memcpy(made + 1, it->ai_addr, it->ai_addrlen);
        *out = made;
        out = &made->next;
    }
    freeaddrinfo(found);
    return 0;
}

void Freeaddrinfo(struct bionic_addrinfo *it) {
    while (it) {
        struct bionic_addrinfo *next = it->next;
        free(it);
        it = next;
    }
}

const char *Gai_strerror(int error) {
    (void)error;
    return "the name could not be looked up";
}

/* glibc's attributes are larger than bionic's on arm64: only the stack's size is kept, at the start. */
int Pthread_attr_init(void *attributes) {
    *(size_t *)attributes = 0;
    return 0;
}

int Pthread_attr_destroy(void *attributes) {
    (void)attributes;
    return 0;
}

int Pthread_attr_setstacksize(void *attributes, size_t size) {
    *(size_t *)attributes = size;
    return 0;
}

int Pthread_create(pthread_t *thread, const void *attributes, void *(*run)(void *), void *argument) {
    pthread_attr_t real;
    pthread_attr_init(&real);
    size_t size = attributes ? *(const size_t *)attributes : 0;
    if (size) pthread_attr_setstacksize(&real, size);
    int failed = pthread_create(thread, &real, run, argument);
    pthread_attr_destroy(&real);
    return failed;
}

/* The agent in an app handles no signals. */
int Sigaction(int signal, const void *action, void *old) {
    (void)action, (void)old;
    refuse("sigaction", signal);
    return -1;
}
