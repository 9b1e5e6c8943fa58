/* What a disk would hold after a power cut in the worst case.
 *
 * Preloaded into a service, it keeps under CUT_DST a shadow of every file under CUT_SRC as of that file's last fsync. A
 * renamed file is found under its new name only after its directory was fsynced; until then the shadow keeps the old one.
 * What was unlinked is unlinked in the shadow at once: a rollback journal or a log that came back from the dead would undo
 * what was committed after it, and no file system resurrects what a later fsync of the directory has passed.
 *
 * The shadow of a file is put in place by a rename, so that a kill in the middle of copying does not tear it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WAITING 64

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static struct { char from[PATH_MAX], to[PATH_MAX]; } waiting[WAITING]; /* renames that no directory fsync has passed */
static int renames;

/* The place of `name` in the shadow; 0 when it is not ours. */
static int shadowed(const char *name, char *place) {
    const char *source = getenv("CUT_SRC"), *shadow = getenv("CUT_DST");
    size_t length = source ? strlen(source) : 0;
    if (!length || !shadow || strncmp(name, source, length) || (name[length] && name[length] != '/'))
        return 0;
    return snprintf(place, PATH_MAX, "%s%s", shadow, name + length) < PATH_MAX;
}

static int name_of(int descriptor, char *name) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, name, PATH_MAX - 1);
    if (length <= 0)
        return 0;
    name[length] = 0;
    return 1;
}

/* The directory of a file may be younger than the shadow. A new directory is taken to last once a file in it does. */
static void make_directory(const char *place) {
    char directory[PATH_MAX];
    snprintf(directory, sizeof directory, "%s", place);
    *strrchr(directory, '/') = 0;
    mkdir(directory, 0700);
}

/* A descriptor that can be read from. Another one of the same file only where ours cannot: closing it would drop the locks
 * that SQLite holds on its file, which it opens for reading and writing. */
static int readable(int descriptor, const char *name) {
    return (fcntl(descriptor, F_GETFL) & O_ACCMODE) == O_WRONLY ? open(name, O_RDONLY | O_CLOEXEC) : descriptor;
}

static void copy(int given, const char *name, const char *place) {
    char unfinished[PATH_MAX + 8], block[65536];
    int descriptor = readable(given, name);
    make_directory(place);
    snprintf(unfinished, sizeof unfinished, "%s.cut", place);
    int output = open(unfinished, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (output < 0)
        return;
    ssize_t got;
    off_t at = 0;
    while ((got = pread(descriptor, block, sizeof block, at)) > 0) {
        if (write(output, block, got) != got)
            break;
        at += got;
    }
    close(output);
    if (descriptor != given)
        close(descriptor);
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    real(unfinished, place);
}

static int directly_in(const char *file, const char *directory) {
    size_t length = strlen(directory);
    return !strncmp(file, directory, length) && file[length] == '/' && !strchr(file + length + 1, '/');
}

/* A directory was brought to the disk: the renames in it hold from now on. */
static void pass(const char *directory) {
    char from[PATH_MAX], to[PATH_MAX];
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    int kept = 0;
    for (int each = 0; each < renames; each++) {
        if (directly_in(waiting[each].to, directory)) {
            if (shadowed(waiting[each].from, from) && shadowed(waiting[each].to, to))
                real(from, to);
        } else {
            waiting[kept++] = waiting[each];
        }
    }
    renames = kept;
}

static void synced(int descriptor) {
    char name[PATH_MAX], place[PATH_MAX];
    struct stat found;
    if (!name_of(descriptor, name) || !shadowed(name, place) || fstat(descriptor, &found))
        return;
    pthread_mutex_lock(&turn);
    if (S_ISDIR(found.st_mode)) {
        pass(name);
    } else {
        copy(descriptor, name, place);
    }
    pthread_mutex_unlock(&turn);
}

int fsync(int descriptor) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fsync");
    int result = real(descriptor);
    if (!result)
        synced(descriptor);
    return result;
}

int fdatasync(int descriptor) {
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    int result = real(descriptor);
    if (!result)
        synced(descriptor);
    return result;
}

int rename(const char *from, const char *to) {
    int (*real)(const char *, const char *) = dlsym(RTLD_NEXT, "rename");
    char place[PATH_MAX];
    pthread_mutex_lock(&turn);
    int result = real(from, to);
    if (!result && shadowed(from, place)) {
        if (renames == WAITING)
            abort(); /* rather than to forget one and blame the service */
        snprintf(waiting[renames].from, PATH_MAX, "%s", from);
        snprintf(waiting[renames].to, PATH_MAX, "%s", to);
        renames++;
    }
    pthread_mutex_unlock(&turn);
    return result;
}

int unlink(const char *name) {
    int (*real)(const char *) = dlsym(RTLD_NEXT, "unlink");
    int result = real(name);
    char place[PATH_MAX];
    if (!result && shadowed(name, place))
        real(place);
    return result;
}
