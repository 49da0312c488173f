#include "native.h"
#include <sys/random.h>

/* The end of a request: its timeline goes to the ring at once where nothing stands in between.
   Anything else is `Recorder`'s own, in Python: no ring yet, names nobody knows, a caller's trace,
   a thread that is new. It arms this when all of that is settled, and disarms it before it goes
   through any of it again. */

enum { POOL = 48 };

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    PyObject *slow;  /* closes a timeline in any case */
    PyObject *every; /* the verdict where there was nothing to decide */
    PyObject *lends; /* the type of what is lent of a request's head */
    PyObject *counts;
    Py_buffer counted;
    Log *busy;
    Py_ssize_t seen_count; /* places among the counts */
    Py_ssize_t sampled;
    uint32_t timeline;  /* kinds of frames */
    uint32_t occupancy;
    /* While it is armed: */
    RingMemory *ring;
    PyObject *seen;     /* threads whose names are known */
    PyObject *unsaid;   /* names that are to be told first */
    PyObject *problems; /* and what is known of this process: told as long as they are so many */
    PyObject *heed;     /* takes a ring's answer */
    Py_ssize_t known_problems;
    pid_t process;
    int64_t thread;     /* the last one that was among those seen */
    uint64_t pool[POOL];
    Py_ssize_t left;
} Ending;

static bool
draws(Ending *ending, uint64_t *into, Py_ssize_t count)
{
    if (ending->left < count) {
        if (getrandom(ending->pool, sizeof ending->pool, GRND_NONBLOCK) !=
            (ssize_t)sizeof ending->pool) {
            return false;
        }
        ending->left = POOL;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        into[i] = ending->pool[--ending->left];
    }
    return true;
}

/* Whether there is nothing of a caller's in the head that was lent. */
static bool
has_no_caller(Ending *ending, Marks *marks)
{
    if (marks->read_headers == NULL || marks->read_headers == Py_None) {
        return true;
    }
    if (!Py_IS_TYPE(marks->read_headers, (PyTypeObject *)ending->lends)) {
        return false;
    }
    if (marks->callerless) {
        return true;
    }
    PyObject *headers = PyObject_CallNoArgs(marks->read_headers);
    bool none = headers != NULL && PyDict_Check(headers) && PyDict_GET_SIZE(headers) == 0;
    Py_XDECREF(headers);
    PyErr_Clear();
    return none;
}

static bool
knows_thread(Ending *ending)
{
    int64_t here = this_thread();
    if (ending->thread != here) {
        PyObject *number = PyLong_FromUnsignedLong((unsigned long)here);
        if (number == NULL || PySet_Contains(ending->seen, number) != 1) {
            PyErr_Clear();
            Py_XDECREF(number);
            return false;
        }
        Py_DECREF(number);
        ending->thread = here;
    }
    return true;
}

static bool
is_settled(Ending *ending)
{
    return ending->ring != NULL && PyList_GET_SIZE(ending->unsaid) == 0 &&
           PyDict_GET_SIZE(ending->problems) == ending->known_problems &&
           ending->process == this_process() && knows_thread(ending);
}

static Py_ssize_t
write_down(Ending *ending, Marks *marks, Head *head)
{
    Frame frames[2];
    Py_ssize_t count = 0;
    const uint64_t size = sizeof(int64_t);
    Column *busy = &ending->busy->column;
    if (busy->used) {
        frames[count++] = (Frame){ending->occupancy, {busy->numbers, (uint64_t)busy->used * size}, {0}};
    }
    frames[count++] = (Frame){ending->timeline,
                              {head, sizeof *head},
                              {marks->column.numbers, (uint64_t)marks->column.used * size}};
    uint64_t *sampled = (uint64_t *)ending->counted.buf + ending->sampled;
    ++*sampled;
    int answer = ring_write(ending->ring, frames, count, true, &ending->counted);
    if (answer < 0) {
        --*sampled;
        PyErr_Clear();
        return -1;
    }
    busy->used = 0;
    Py_DECREF(marks_drop((PyObject *)marks, NULL));
    Py_CLEAR(marks->read_headers);
    Py_CLEAR(marks->path);
    return answer;
}

static void
disarm(Ending *ending)
{
    Py_CLEAR(ending->ring);
    Py_CLEAR(ending->seen);
    Py_CLEAR(ending->unsaid);
    Py_CLEAR(ending->problems);
    Py_CLEAR(ending->heed);
    ending->thread = 0;
    ending->left = 0;
}

static bool
heeds(Ending *ending, Py_ssize_t answer)
{
    PyObject *number = PyLong_FromSsize_t(answer), *heed = Py_NewRef(ending->heed);
    disarm(ending);
    PyObject *heeded = number == NULL ? NULL : PyObject_CallOneArg(heed, number);
    Py_XDECREF(heeded);
    Py_XDECREF(number);
    Py_DECREF(heed);
    return heeded != NULL;
}

/* False where that is left to Python, which finds everything as it was. */
static bool
is_closed_at_once(Ending *ending, Marks *marks)
{
    int64_t finish_ns = now_ns();
    Head head;
    uint64_t ids[3];
    if (ending->ring == NULL || marks->closed || marks->verdict != ending->every ||
        !has_no_caller(ending, marks) || !is_settled(ending) || !draws(ending, ids, 3)) {
        return false;
    }
    if (!frame_head(marks, finish_ns, &head)) {
        PyErr_Clear();
        return false;
    }
    head.request_id = ids[0] ? ids[0] : 1;
    head.trace_high = ids[1];
    head.trace_low = ids[1] || ids[2] ? ids[2] : 1;
    Py_ssize_t answer = write_down(ending, marks, &head);
    if (answer > 0 && !heeds(ending, answer)) {
        PyErr_WriteUnraisable((PyObject *)ending);
    }
    return answer >= 0;
}

bool
ending_is_armed(PyObject *ending)
{
    return ((Ending *)ending)->ring != NULL;
}

PyObject *
ending_verdict(PyObject *ending)
{
    return ((Ending *)ending)->every;
}

PyObject *
ending_admits(PyObject *self)
{
    Ending *ending = (Ending *)self;
    if (ending->ring == NULL) {
        return NULL;
    }
    ++*((uint64_t *)ending->counted.buf + ending->seen_count);
    return ending->every;
}

Log *
ending_busy(PyObject *ending)
{
    return ((Ending *)ending)->busy;
}

static PyObject *
ending_call(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *names)
{
    Ending *ending = (Ending *)self;
    if (PyVectorcall_NARGS(nargsf) == 1 && names == NULL && is_marks(args[0]) &&
        is_closed_at_once(ending, (Marks *)args[0])) {
        Py_RETURN_NONE;
    }
    if (ending->slow == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "its recorder is gone");
        return NULL;
    }
    return PyObject_Vectorcall(ending->slow, args, nargsf, names);
}

/* arm(ring, process, seen, unsaid, problems, heed) */
static PyObject *
ending_arm(PyObject *self, PyObject *args)
{
    Ending *ending = (Ending *)self;
    PyObject *ring, *seen, *unsaid, *problems, *heed;
    int process;
    if (!PyArg_ParseTuple(args, "O!iO!O!O!O", &RingMemory_Type, &ring, &process, &PySet_Type, &seen,
                          &PyList_Type, &unsaid, &PyDict_Type, &problems, &heed)) {
        return NULL;
    }
    disarm(ending);
    ending->ring = (RingMemory *)Py_NewRef(ring);
    ending->seen = Py_NewRef(seen);
    ending->unsaid = Py_NewRef(unsaid);
    ending->problems = Py_NewRef(problems);
    ending->known_problems = PyDict_GET_SIZE(problems);
    ending->heed = Py_NewRef(heed);
    ending->process = process;
    Py_RETURN_NONE;
}

static PyObject *
ending_disarm(PyObject *self, PyObject *Py_UNUSED(unused))
{
    disarm((Ending *)self);
    Py_RETURN_NONE;
}

/* (slow, busy, counts, places of the seen and the sampled, every, lends, kind of timelines, of occupancy) */
static PyObject *
ending_new(PyTypeObject *type, PyObject *args, PyObject *Py_UNUSED(names))
{
    PyObject *slow, *busy, *counts, *every, *lends;
    Py_ssize_t seen, sampled;
    unsigned int timeline, occupancy;
    if (!PyArg_ParseTuple(args, "OO!OnnOO!II", &slow, &Log_Type, &busy, &counts, &seen, &sampled,
                          &every, &PyType_Type, &lends, &timeline, &occupancy)) {
        return NULL;
    }
    Ending *ending = (Ending *)type->tp_alloc(type, 0);
    if (ending == NULL) {
        return NULL;
    }
    if (PyObject_GetBuffer(counts, &ending->counted, PyBUF_WRITABLE) < 0) {
        Py_DECREF(ending);
        return NULL;
    }
    Py_ssize_t places = ending->counted.len / (Py_ssize_t)sizeof(uint64_t);
    if (seen < 0 || seen >= places || sampled < 0 || sampled >= places) {
        Py_DECREF(ending);
        PyErr_SetString(PyExc_ValueError, "no such count");
        return NULL;
    }
    ending->call = ending_call;
    ending->slow = Py_NewRef(slow);
    ending->busy = (Log *)Py_NewRef(busy);
    ending->counts = Py_NewRef(counts);
    ending->every = Py_NewRef(every);
    ending->lends = Py_NewRef(lends);
    ending->seen_count = seen;
    ending->sampled = sampled;
    ending->timeline = timeline;
    ending->occupancy = occupancy;
    return (PyObject *)ending;
}

static int
ending_traverse(PyObject *self, visitproc visit, void *arg)
{
    Ending *ending = (Ending *)self;
    Py_VISIT(ending->slow);
    Py_VISIT(ending->every);
    Py_VISIT(ending->lends);
    Py_VISIT(ending->counts);
    Py_VISIT(ending->busy);
    Py_VISIT(ending->ring);
    Py_VISIT(ending->seen);
    Py_VISIT(ending->unsaid);
    Py_VISIT(ending->problems);
    Py_VISIT(ending->heed);
    return 0;
}

static int
ending_clear(PyObject *self)
{
    Ending *ending = (Ending *)self;
    disarm(ending);
    Py_CLEAR(ending->slow);
    return 0;
}

static void
ending_dealloc(PyObject *self)
{
    Ending *ending = (Ending *)self;
    PyObject_GC_UnTrack(self);
    (void)ending_clear(self);
    PyBuffer_Release(&ending->counted);
    Py_CLEAR(ending->counts);
    Py_CLEAR(ending->every);
    Py_CLEAR(ending->lends);
    Py_CLEAR(ending->busy);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef ending_methods[] = {
    {"arm", ending_arm, METH_VARARGS, "Have timelines go to a ring at once."},
    {"disarm", ending_disarm, METH_NOARGS, "Have each of them closed by Python."},
    {NULL, NULL, 0, NULL},
};

PyTypeObject Ending_Type = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "tracer.model._native.Ending",
    .tp_doc = "Closes timelines; see `tracer.runtime.recorder.Recorder.close`.",
    .tp_basicsize = sizeof(Ending),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_new = ending_new,
    .tp_traverse = ending_traverse,
    .tp_clear = ending_clear,
    .tp_dealloc = ending_dealloc,
    .tp_call = PyVectorcall_Call,
    .tp_vectorcall_offset = offsetof(Ending, call),
    .tp_methods = ending_methods,
};
