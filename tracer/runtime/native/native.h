/* The hot path in C: what its Python versions do, call for call. */

#ifndef TRACER_NATIVE_H
#define TRACER_NATIVE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <structmember.h>
#include <sys/types.h>
#include <time.h>

#ifdef Py_GIL_DISABLED
#error "the accelerator relies on the GIL; the free-threaded build runs the Python version"
#endif

enum { MARK_INTS = 4, BUSY_INTS = 5 };

/* From so many entries on the occupancy log is handed over; `tracer.runtime.recorder` does it. */
enum { BUSY_BATCH = 4000 };

/* Integers that grow at the end; without the GIL's release, so without a lock. */
typedef struct {
    int64_t *numbers;
    Py_ssize_t used;
    Py_ssize_t room;
} Column;

bool column_push(Column *column, const int64_t *numbers, Py_ssize_t count);
/* The same for the few integers of an entry, where there is room. */
static inline bool
column_add(Column *column, const int64_t *numbers, Py_ssize_t count)
{
    if (column->used + count > column->room) {
        return column_push(column, numbers, count);
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        column->numbers[column->used + i] = numbers[i];
    }
    column->used += count;
    return true;
}

PyObject *column_bytes(Column *column);
void column_free(Column *column);

/* Scopes that a thread has entered and that are not written down. */
typedef struct {
    int64_t thread;
    int64_t depth;
} Folded;

typedef struct {
    PyObject_HEAD
    Column column;
    Folded *folds;
    Py_ssize_t fold_count;
    long long folded;
    long long sequence;
    long long view;
    long long last_ns;
    long long after;
    long long handing;
    long long ids; /* of hops and tracks, given out so far */
    long long start_ns; /* this and the next: the head of the request's frame */
    long long connection;
    long long server;
    long long interface;
    long long loop;
    long long http;
    long long method;
    long long route;
    long long outcome;
    long long error_type;
    long long kept;
    long long endpoint;
    long long streams;
    double weight;
    PyObject *children;     /* a list: tasks of this request and their tracks */
    PyObject *path;         /* this and the next: what is lent until the request is over */
    PyObject *read_headers;
    PyObject *verdict;
    PyObject *status;       /* whatever the application gave for one */
    PyObject *entered; /* what runs a hand-off whose stacks are wanted, or NULL */
    PyObject *context;      /* in which a loop is told of this request's results, or NULL */
    void *of_loop;          /* which; it is only compared */
    char closed;
} Marks;

typedef struct {
    PyObject_HEAD
    Column column;
    PyObject *opened; /* the timeline that the loop's current turn has begun, or NULL */
    PyObject *after;  /* by the name of a view: what its requests do after their answers */
    long long reading; /* the name of that turn; 0 where nobody has given it one */
} Log;

/* Of so many names a wrapper remembers what its function has for them. */
enum { KNOWN = 5 };

typedef struct {
    PyObject_HEAD
    vectorcallfunc call; /* from here to `other`, what nearly every call needs */
    PyObject *wrapped;
    PyObject *variable;
    PyObject *timeline;
    int64_t number;
    PyObject *other;
    int64_t limit;
    PyObject *recorder;
    Log *log;
    PyObject *dict;
    PyObject *known[KNOWN]; /* what its function has for some names, as asked before */
    PyObject *weakrefs;
    PyObject *name; /* of the site that hands it over, where it was given one */
    union {
        PyTypeObject *handles; /* a turn's: whose slots are where the next three say, or NULL */
        PyCodeObject *asker;   /* of others': who asked last to hand it over, or NULL */
    };
    union {
        struct {
            int32_t callback_at;
            int32_t context_at;
            int32_t args_at;
        };
        struct {
            uint32_t sites; /* which table has that site */
            uint32_t site;
        };
    };
    char says_wrapped; /* whether it has its function for `__wrapped__` */
} Wrapper;

extern PyTypeObject Marks_Type;
extern PyTypeObject Log_Type;
extern PyTypeObject Wrapper_Type;
extern PyTypeObject WeakAttribute_Type;
extern PyTypeObject Waiting_Type;
extern PyTypeObject Steps_Type;
extern PyTypeObject RingMemory_Type;

/* These and their like are asked for everywhere: each is there once, where the cache has it. */
int64_t now_ns(void);

static inline int64_t
this_thread(void)
{
    return (int64_t)(uintptr_t)pthread_self();
}

/* The kind of timelines there is, once one was seen. */
extern PyTypeObject *marks_kind;

/* Whether it is one of another kind, or the first. */
bool is_marks_of_any(PyObject *object);

static inline bool
is_marks(PyObject *object)
{
    return object != NULL && (Py_IS_TYPE(object, marks_kind) || is_marks_of_any(object));
}

/* The number that the kernel has for this thread. */
int64_t os_thread(void);

PyObject *marks_drop(PyObject *self, PyObject *unused);

/* Bytes were handed to the kernel; past the limit only the last of them count. */
void marks_sent(Marks *marks);

/* Whether any of those that are counted waits. */
bool someone_waits(PyObject *waiting);

/* Calls something of Python's with the error that is set, which stays as it is. */
void tell_error(PyObject *failed);

/* Append a mark; drops it where there is no memory. Touches no Python object and no error. */
void marks_push(Marks *marks, int64_t code, int64_t instant, int64_t thread, int64_t value);

/* The same, of this instant and thread. */
void marks_now(Marks *marks, int64_t code, int64_t value);

/* What `tracer.runtime.call_sites` gives a function a name by. */
extern PyObject *name_attribute;

/* A new reference to an attribute, or NULL without an error: not having one costs no exception. */
PyObject *optional_attr(PyObject *object, PyObject *name);

/* What an object has for an attribute, or what `wrapped` has: without an error on the way, since
   asgiref and `inspect` ask every callable for what none of them has. */
PyObject *attr_or_wrapped(PyObject *object, PyObject *name, PyObject *wrapped);

/* A new reference to the timeline that a context variable holds, or NULL; sets no error. */
Marks *current_marks(PyObject *variable);

static inline PyObject **
slot_of(PyObject *object, Py_ssize_t offset)
{
    return (PyObject **)((char *)object + offset);
}

/* Where a type keeps what one of its slots holds; -1 where it has no such slot. */
Py_ssize_t offset_of(PyObject *type, const char *name);

/* Whether an object has an attribute that may be kept apart from it. */
bool has_weak_attribute(PyObject *object, PyObject *name);

/* Log what this thread did for a request; False where that isn't told by a glance. */
bool log_busy(Log *log, Marks *marks, int64_t start, int64_t end);

/* Log what a turn of a loop was for, or have `other` do it. No error is left. */
void note_turn(Wrapper *turn, PyObject *timeline, PyObject *callback, int64_t start, int64_t end);

bool handles_known(Wrapper *turn, PyObject *type);
PyObject *run_handle(Wrapper *turn, PyObject *handle, PyObject *callback, int64_t start,
                     PyObject **timeline);

PyObject *native_scope(PyObject *module, PyObject *args);
PyObject *native_read_scope(PyObject *module, PyObject *args);
PyObject *native_run_handle(PyObject *module, PyObject *args);
PyObject *native_timed_callback(PyObject *module, PyObject *args);
PyObject *native_schedule(PyObject *module, PyObject *args);
PyObject *native_wrapper(vectorcallfunc call, PyObject *args);
PyObject *native_run_handoff(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *native_begin_bridge(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *restore_context_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names);
PyObject *run_work_item_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names);
PyObject *call_soon_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names);
PyObject *call_soon_threadsafe_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names);

PyObject *native_encode_closed(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *native_frame_layout(PyObject *module, PyObject *args);
PyObject *native_ring_layout(PyObject *module, PyObject *args);
PyObject *native_run_in_executor(PyObject *module, PyObject *args);

/* The frame of the Python code that has called us, without an object for it; or NULL. Where a thread
   keeps it is CPython's own affair: read in 3.12 and 3.13. With any other version, or with
   TRACER_NO_INTERNALS, frame objects are asked for and every coroutine is wrapped. */
#if defined(TRACER_NO_INTERNALS) || PY_VERSION_HEX < 0x030C0000 || PY_VERSION_HEX >= 0x030E0000
#define READS_FRAMES 0
#elif PY_VERSION_HEX >= 0x030D0000
#define READS_FRAMES 1
#define calling_frame() (PyThreadState_Get()->current_frame)
#else
#define READS_FRAMES 1
#define calling_frame() (PyThreadState_Get()->cframe->current_frame)
#endif

/* Whether who calls us awaits what it is given with its next instruction. */
bool is_awaited_directly(void);

/* Have the end of a coroutine marked; false where that can't be. */
bool ends_with(PyObject *coroutine, Marks *marks, int64_t end, int64_t number);
void mark_end(Marks *marks, int64_t end, int64_t number);

/* A coroutine with its marks; steals both, and gives it bare where there are none to make. */
PyObject *with_marks(PyObject *call, Marks *marks, int64_t begin, int64_t end, int64_t number);
PyObject *native_async_scope(PyObject *module, PyObject *args);
PyObject *native_sync_to_async(PyObject *module, PyObject *args);

/* What `tracer.runtime.call_sites` has for a hand-off of a function that is asked for right now; -1 for nothing,
   without an error. */
int64_t site_of(PyObject *known, PyObject *ours, PyObject *function);
PyObject *native_handoff_site(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *wrapper_new(vectorcallfunc call, PyObject *wrapped);

/* How wrappers come and go: `tp_alloc` and `tp_free` of their type. */
PyObject *slot_alloc(PyTypeObject *type, Py_ssize_t items);
void slot_free(void *slot);

/* A scope for what is found anew in every request. */
PyObject *scope_of_one(Marks *marks, PyObject *wrapped, int64_t owner);

PyObject *native_live_receivers(PyObject *module, PyObject *args);
PyObject *native_handler_call(PyObject *module, PyObject *args);
PyObject *native_noting_errors(PyObject *module, PyObject *args);
PyObject *native_view(PyObject *module, PyObject *args);
PyObject *native_resolve(PyObject *module, PyObject *args);
PyObject *native_choose_view(PyObject *module, PyObject *args);
PyObject *native_before_handler(PyObject *module, PyObject *args);
PyObject *native_after_handler(PyObject *module, PyObject *args);

bool process_prepare(void);
bool wrapper_prepare(void);
bool busy_prepare(void);
bool handles_prepare(void);
bool turns_prepare(void);
bool submit_prepare(void);
bool sites_prepare(void);
bool coroutines_prepare(void);
bool direct_await_prepare(void);
bool hops_prepare(void);
bool steps_prepare(void);
bool views_prepare(void);

/* Codes of `tracer.model.timeline`; given at import, so there is one list of them. */
extern int64_t ENTER, EXIT, STEP, YIELD, DONE, SUBMIT, SUBMITTED, RUN, RUN_ON, RAN, NOTIFIED, READY;
extern int64_t HOP, HOP_END, SENT, LAST, DISCONNECT, OS_THREAD, QUEUED, TASK, READ;
extern int64_t MARK_LIMIT, HARD_LIMIT;

#endif
