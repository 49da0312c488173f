#include "native.h"
#include <sys/syscall.h>
#include <unistd.h>

/* Which thread this is: the kernel is asked once for each, and again after a fork. */

static uint64_t forks;

static _Thread_local struct {
    uint64_t forks; /* one more than there were when it was asked */
    int64_t number;
} thread;

static void
forked(void)
{
    forks++;
}

int64_t
os_thread(void)
{
    if (thread.forks != forks + 1) {
        thread.number = (int64_t)syscall(SYS_gettid);
        thread.forks = forks + 1;
    }
    return thread.number;
}

bool
process_prepare(void)
{
    return pthread_atfork(NULL, NULL, forked) == 0;
}
